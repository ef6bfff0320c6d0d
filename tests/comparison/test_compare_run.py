"""A whole comparison: every pair asked for has a value or a reason, also after a kill."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from perceptual.comparison import batches, journal, pairing
from perceptual.data.images import decoding, formats
from perceptual.errors import UserError


@pytest.fixture
def folders(tmp_path, write_grey):
  """Reference `i` is 10 i, its candidate 51 more: a difference of 0.2. And every failure."""
  r, c = tmp_path / "r", tmp_path / "c"
  write_grey(r, {f"{i:02d}.png": 10 * i for i in range(12)})
  write_grey(c, {f"{i:02d}.png": 10 * i + 51 for i in range(12)})
  write_grey(r, {"empty.png": 1, "short.png": 1, "size.png": 1, "text.png": 1, "alone.png": 1})
  write_grey(c, {"empty.png": 1, "short.png": 1, "text.png": 1})
  write_grey(c, {"size.png": 1}, size=(4, 6))
  (r / "empty.png").write_bytes(b"")
  (c / "text.png").write_bytes(b"no image at all")
  (c / "short.png").write_bytes((c / "short.png").read_bytes()[:60])
  return r, c


def test_every_pair_has_a_value_or_a_reason(folders, difference, compare):
  r, c = folders
  result = compare(pairing.folders(r, c), difference())
  assert result.columns == ("difference",) and result.kept == 0
  assert len(result.compared()) == 12
  np.testing.assert_allclose(result.of("difference")[result.compared()], 0.2, rtol=1e-6)
  reasons = {os.path.basename(entry.reference): entry.reason.removeprefix(f"{c.parent}/")
             for entry in result.skipped}
  assert reasons.pop("short.png").startswith("c/short.png: ")
  assert reasons == {
      "alone.png": "no candidate of this name",
      "empty.png": "r/empty.png: empty file",
      "text.png": f"c/text.png: not an image ({formats.NAMES})",
      "size.png": f"c/size.png is 6x4 pixels and {r}/size.png 8x8; images to compare must have one "
                  "size"}
  asked = {result.pairing.names(pair) for pair in range(len(result.pairing.pairs))}
  compared = {result.pairing.names(pair) for pair in result.compared()}
  assert asked - compared == {entry[:2] for entry in result.skipped if entry.candidate}


def test_the_values_do_not_depend_on_the_batch(folders, difference, compare):
  found = pairing.folders(*folders)
  expected = compare(found, difference())
  for batch_size in (1, 5, 100):
    result = compare(found, difference(), batch_size=batch_size)
    np.testing.assert_array_equal(result.values, expected.values)


def test_a_pair_that_the_user_names_must_be_comparable(folders, difference, compare):
  r, c = folders
  good = [c / "00.png", c / "01.png"]
  result = compare(pairing.one_with_many(r / "00.png", good), difference())
  np.testing.assert_allclose(result.of("difference"), [51 / 255, 61 / 255], rtol=1e-6)
  for bad, message in [("empty.png", "r/empty.png: empty file."), ("none.png", "No such file"),
                       ("alone.png", "c/alone.png: No such file or directory."),
                       ("short.png", "c/short.png: ")]:
    folder = r if bad == "empty.png" else c
    with pytest.raises(UserError, match=message):
      compare(pairing.one_with_many(r / "00.png", [*good, folder / bad]), difference())
  with pytest.raises(UserError, match=r"c/size\.png is 6x4 pixels and .*00\.png 8x8; images to"):
    compare(pairing.one_with_many(r / "00.png", [c / "size.png"]), difference())
  with pytest.raises(UserError, match=r"difference: reference is too small, 11 pixels are need"):
    compare(pairing.one_with_many(r / "00.png", good), difference(smallest=11))


def test_what_one_metric_refuses_the_others_compare(folders, difference, compare):
  result = compare(pairing.folders(*folders), difference("any"), difference("big", smallest=11))
  assert len(result.compared()) == 12
  assert np.isnan(result.of("big")).all()
  refused = [entry for entry in result.skipped if entry.reason.startswith("big: ")]
  assert len(refused) == 12


def test_several_metrics_see_images_that_are_decoded_once(
    folders, difference, likeness, compare, monkeypatch):
  reads = []
  decode = decoding.decode
  monkeypatch.setattr(
      decoding, "decode",
      lambda data, name, **options: reads.append(name) or decode(data, name, **options))
  result = compare(pairing.folders(*folders), difference("a"), difference("b"), likeness("l"))
  np.testing.assert_allclose(result.values[result.compared()][0], [0.2, 0.2, 5], rtol=1e-6)
  assert len(reads) == len(set(reads)) > 12


def test_all_pairs_with_features_equal_those_without(tmp_path, write_grey, featured, difference,
                                                     compare, monkeypatch):
  write_grey(tmp_path, {f"{i:02d}.png": 12 * i for i in range(20)})
  monkeypatch.setattr(batches, "_FEATURE_BYTES_PER_PIXEL", 3 * 4)
  monkeypatch.setattr(batches, "FEATURE_CACHE_BYTES", 8 * 8 * 8 * 3 * 4)  # eight images
  metric = featured()
  found = pairing.every_pair(tmp_path)
  result = compare(found, metric, difference(), batch_size=4)
  np.testing.assert_allclose(result.of("featured"), result.of("difference"), atol=1e-6)
  assert metric.images < len(found.pairs) * 2 / 3


_KILLED = """
import os, pathlib, signal
import numpy as np
from perceptual.comparison import pairing, run

class Mortal:
  lower_is_better, has_taps, has_map, trunk_key = True, False, True, None
  fingerprint = {{"name": "difference", "taps": ["low", "high"]}}
  calls = 0

  def __call__(self, reference, candidate):
    self.calls += 1
    if self.calls == 4:
      os.kill(os.getpid(), signal.SIGKILL)
    return np.abs(np.float32(reference) - candidate).mean((1, 2, 3)) / 255

found = pairing.folders({0!r}, {1!r})
run.compare(run.inspect(found), {{"difference": Mortal()}}, output_dir={2!r}, batch_size=2)
"""


def test_a_killed_run_goes_on(folders, difference, compare, tmp_path):
  found = pairing.folders(*folders)
  options = {"output_dir": tmp_path / "out", "batch_size": 2}
  code = _KILLED.format(*map(str, folders), str(tmp_path / "out"))
  assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
  whole = compare(found, difference())
  metric = difference()
  result = compare(found, metric, **options)
  assert result.kept == 6 and len(metric.shapes) == 3
  np.testing.assert_array_equal(result.values, whole.values)
  assert result.skipped == whole.skipped
  metric = difference()
  again = compare(found, metric, **options)
  assert again.kept == 12 and metric.shapes == []
  np.testing.assert_array_equal(again.values, whole.values)


def test_changed_and_added_files_are_compared_on_the_next_run(
    folders, difference, compare, tmp_path, write_grey):
  r, c = folders
  out = tmp_path / "out"
  compare(pairing.folders(r, c), difference(), output_dir=out)
  write_grey(c, {"00.png": 255, "alone.png": 1})
  metric = difference()
  with pytest.warns(UserWarning, match="1 of the pairs in .* are compared again"):
    result = compare(pairing.folders(r, c), metric, output_dir=out)
  assert result.kept == 11
  assert sorted(result.of("difference")[result.compared()])[::12] == [0, 1]
  assert metric.shapes == [(4, 8, 8, 3)], "two, and what could not be read before, padded"


def test_a_journal_of_another_metric_is_refused(folders, difference, compare, tmp_path):
  found = pairing.folders(*folders)
  compare(found, difference("a"), output_dir=tmp_path / "out")
  before = (tmp_path / "out" / journal.FILE).read_bytes()
  with pytest.raises(UserError, match="holds values of a, not of b; name another output folder"):
    compare(found, difference("b"), output_dir=tmp_path / "out")
  assert (tmp_path / "out" / journal.FILE).read_bytes() == before


def test_infinite_values_survive_the_journal(tmp_path, write_grey, likeness, compare):
  write_grey(tmp_path / "f", {"a.png": 1, "b.png": 1, "c.png": 52})
  found = pairing.every_pair(tmp_path / "f")
  for kept in (0, 3):
    result = compare(found, likeness("l"), output_dir=tmp_path / "out")
    assert result.kept == kept
    np.testing.assert_allclose(result.of("l"), [np.inf, 5, 5], rtol=1e-6)
