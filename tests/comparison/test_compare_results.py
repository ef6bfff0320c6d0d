"""What a comparison comes to: closed forms, on screen and in files."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from perceptual.comparison import pairing, result_files, summary, tables
from perceptual.errors import UserError


@pytest.fixture
def clips(tmp_path, write_grey):
  """Differences of 0.2 and 0.4 in clip x, of 0.6 in clip y; a frame too many, and one cut short."""
  write_grey(tmp_path / "r", {"x/1.png": 0, "x/2.png": 0, "y/1.png": 0, "y/2.png": 0, "y/3.png": 0})
  write_grey(tmp_path / "c", {"x/1.png": 51, "x/2.png": 102, "y/1.png": 153, "y/2.png": 0})
  (tmp_path / "c" / "y" / "2.png").write_bytes(b"")
  return pairing.frames(tmp_path / "r", tmp_path / "c")


def test_statistics_are_those_of_their_definitions():
  values = np.array([1.0, 2, 4, math.nan, math.inf])
  assert summary.summarise(values) == summary.Summary(
      3, 7 / 3, pytest.approx(math.sqrt(7 / 3 / 3)), pytest.approx(math.sqrt(7 / 3)), 1, 4, 1)
  assert summary.summarise(np.array([5.0])) == summary.Summary(1, 5, None, None, 5, 5, 0)
  assert summary.summarise(np.array([math.inf])) == summary.Summary(
      0, None, None, None, None, None, 1)


def test_clips_count_once_however_many_frames_they_have(clips, difference, compare):
  result = compare(clips, difference())
  means = {clip: found["difference"].mean for clip, found in summary.by_clip(result).items()}
  assert means == {"x": pytest.approx(0.3), "y": pytest.approx(0.6)}
  over = summary.over_clips(result)["difference"]
  assert (over.count, over.mean) == (2, pytest.approx(0.45))
  assert over.standard_error == pytest.approx(0.15)
  assert summary.overall(result)["difference"].mean == pytest.approx(0.4)


def test_a_clip_without_a_frame_has_no_mean(clips, difference, compare, tmp_path):
  (tmp_path / "c" / "y" / "1.png").write_bytes(b"")
  result = compare(clips, difference())
  assert summary.by_clip(result)["y"]["difference"].mean is None
  assert summary.over_clips(result)["difference"].count == 1
  assert ["y", "0"] in [line.split() for line in tables.text(result).splitlines()]


def test_clips_on_screen(clips, difference, compare, tmp_path):
  text = tables.text(compare(clips, difference())).replace(f"{tmp_path}/", "")
  assert text == """\
clips of c against those of r, frames by name

metric        mean  std error  std dev  lowest  highest  pairs  direction
-------------------------------------------------------------------------------
difference  0.4000     0.1155   0.2000  0.2000   0.6000      3  lower is better

clip                       frames  difference
---------------------------------------------
x                               2      0.3000
y                               1      0.6000
mean over clips                        0.4500
standard error over clips              0.1500

skipped: 2
  r/y/3.png: no candidate of this name
  r/y/2.png, c/y/2.png: c/y/2.png: empty file"""


def test_candidates_on_screen(tmp_path, write_grey, tapped, likeness, compare, monkeypatch):
  monkeypatch.chdir(write_grey(tmp_path, {"r.png": 0, "far.png": 102, "near.png": 51}))
  found = pairing.one_with_many("r.png", ["far.png", "near.png"])
  assert tables.text(compare(found, tapped("net"), per_tap=True)) == """\
net to r.png; lower is better

candidate  distance     low    high
-----------------------------------
near.png     0.2000  0.0500  0.1500
far.png      0.4000  0.1000  0.3000"""
  assert tables.text(compare(found, tapped("net"), likeness("alike"))) == """\
net, alike to r.png; lower is better: net, higher is better: alike

candidate     net   alike
-------------------------
near.png   0.2000  5.0000
far.png    0.4000  2.5000"""
  assert tables.text(compare(found, likeness("alike"))) == """\
alike to r.png; higher is better

candidate  similarity
---------------------
near.png       5.0000
far.png        2.5000"""


def test_what_was_altered_kept_infinite_or_too_much_to_list_is_said(
    tmp_path, write_grey, likeness, compare):
  write_grey(tmp_path / "r", {f"{i}.png": i for i in range(20)})
  write_grey(tmp_path / "c", {"0.png": 0, "1.png": 52, "x.gif": 0})
  (tmp_path / "c" / "1.png").unlink()
  Image.new("CMYK", (8, 8)).save(tmp_path / "c" / "1.jpg")
  found = pairing.folders(tmp_path / "r", tmp_path / "c")
  compare(found, likeness("l"), output_dir=tmp_path / "out")
  text = tables.text(compare(found, likeness("l"), output_dir=tmp_path / "out"))
  assert "\nl: 1 infinite values are not in the mean\n" in text
  assert "\n2 of 2 pairs come from an earlier run\n" in text
  assert "\n1 of 4 files: CMYK converted to RGB\n" in text
  assert "\nskipped: 19\n" in text
  assert text.endswith("\n  and 9 more, in skipped.csv where --output_dir is given")


def test_nothing_compared(tmp_path, write_grey, difference, compare):
  write_grey(tmp_path / "r", {"a.png": 0})
  write_grey(tmp_path / "c", {"b.png": 0})
  result = compare(pairing.folders(tmp_path / "r", tmp_path / "c"), difference())
  assert tables.text(result).startswith("nothing could be compared\n\nskipped: 2\n")
  result_files.write(result, tmp_path / "out", settings={})
  assert json.loads((tmp_path / "out" / "results.json").read_text())["pairs"] == []


@pytest.mark.parametrize(("value", "text"), [
    (None, ""), (math.nan, ""), (0.0, "0.0000"), (0.00123, "0.0012"), (31.25, "31.2500"),
    (0.000123, "1.23e-04"), (-0.5, "-0.5000"), (math.inf, "inf")])
def test_numbers(value, text):
  assert tables.number(value) == text


def test_files(clips, difference, likeness, compare, tmp_path):
  result = compare(clips, difference("d"), likeness("l"))
  result_files.write(result, tmp_path / "out", settings={"batch_size": None})
  with (tmp_path / "out" / "results.csv").open(newline="") as stream:
    rows = list(csv.DictReader(stream))
  names = ["../r/x/1.png", "../c/x/1.png"]
  assert rows[0] == {"reference": names[0], "candidate": names[1], "clip": "x", "d": "0.200000003",
                     "l": "5.0", "altered": ""}
  assert [row["clip"] for row in rows] == ["x", "x", "y"]
  data = json.loads((tmp_path / "out" / "results.json").read_text())
  assert (data["compared"], data["skipped"], data["settings"]) == (3, 2, {"batch_size": None})
  assert data["fingerprints"]["l"]["name"] == "l"
  assert data["summary"]["d"]["mean"] == pytest.approx(0.4)
  assert data["summary"]["d"]["count"] == 3
  assert data["clips"]["x"]["d"]["mean"] == pytest.approx(0.3)
  assert data["over_clips"]["d"]["standard_error"] == pytest.approx(0.15)
  assert data["pairs"][0] == {"reference": names[0], "candidate": names[1], "clip": "x",
                              "d": 0.200000003, "l": 5.0, "altered": ""}
  with (tmp_path / "out" / "skipped.csv").open(newline="") as stream:
    assert [row["reference"] for row in csv.DictReader(stream)] == ["../r/y/3.png", "../r/y/2.png"]


def test_results_are_a_list_of_pairs_that_moves_with_the_images(
    clips, difference, compare, tmp_path):
  result = compare(clips, difference("d"))
  result_files.write(result, tmp_path / "out", settings={})
  for name in ("r", "c", "out"):
    (tmp_path / "moved").mkdir(exist_ok=True)
    (tmp_path / name).rename(tmp_path / "moved" / name)
  again = compare(pairing.from_csv(tmp_path / "moved" / "out" / "results.csv"), difference("d"))
  np.testing.assert_array_equal(again.of("d"), result.of("d")[result.compared()])


def test_columns_have_no_spaces():
  assert result_files.column_name("resnet6, random init") == "resnet6_random_init"
  assert result_files.column_name("lpips-alex/relu1") == "lpips-alex/relu1"


def test_what_is_infinite_or_missing_stays_valid_json(
    tmp_path, write_grey, likeness, difference, compare):
  write_grey(tmp_path, {"a.png": 7, "b.png": 7})
  result = compare(pairing.every_pair(tmp_path), likeness("l"), difference("big", smallest=9))
  result_files.write(result, tmp_path / "out", settings={})
  text = (tmp_path / "out" / "results.json").read_text()
  pair, = json.loads(text, parse_constant=pytest.fail)["pairs"]
  assert (pair["l"], pair["big"]) == ("inf", None)
  assert ",inf,," in (tmp_path / "out" / "results.csv").read_text()


def test_results_that_cannot_be_written(clips, difference, compare, tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match=r"cannot be written to .*/file/out: Not a directory\."):
    result_files.write(compare(clips, difference()), tmp_path / "file" / "out", settings={})
