import collections
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from perceptual.common import files
from perceptual.data import tfds_files
from perceptual.data.labelled import shuffled_writer
from perceptual.data.labelled.shuffled_writer import ShuffledWriter

DATASET = tfds_files.DatasetName("numbers", "small", "1.0.0")
SIZES = {"train": 95, "validation": 15}
TOTAL = sum(SIZES.values())


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
  monkeypatch.setattr(shuffled_writer, "EXAMPLES_PER_SHARD", 20)


def writer(directory, fingerprint="numbers", seed=0):
  directory.mkdir(exist_ok=True)
  return ShuffledWriter(directory, DATASET, sizes=SIZES, seed=seed, fingerprint=fingerprint)


def add(target, start, stop):
  for i in range(start, stop):
    target.add(i, "train" if i < SIZES["train"] else "validation", b"record %d" % i * (i % 5))


def write(directory, **options):
  target = writer(directory, **options)
  add(target, 0, TOTAL)
  target.commit(TOTAL, {})
  return target.finish()


def contents(directory):
  return {path.name: path.read_bytes() for path in directory.iterdir()}


def records(directory, split):
  paths = sorted(str(path) for path in directory.glob(f"numbers-{split}.*"))
  return [record.numpy() for record in tf.data.TFRecordDataset(paths)]


def test_every_record_is_written_once(tmp_path):
  infos = {info.name: info for info in write(tmp_path / "a")}
  for split, numbers in (("train", range(95)), ("validation", range(95, 110))):
    expected = collections.Counter(b"record %d" % i * (i % 5) for i in numbers)
    assert collections.Counter(records(tmp_path / "a", split)) == expected
    assert infos[split].num_examples == SIZES[split]
    assert infos[split].num_bytes == sum(len(r) * n for r, n in expected.items())
  assert [info.num_shards for info in infos.values()] == [5, 1]
  assert len(contents(tmp_path / "a")) == 6


def test_the_order_is_random_across_and_within_shards(tmp_path):
  target = writer(tmp_path / "a")
  for i in range(SIZES["train"]):
    target.add(i, "train", b"%d" % i)
  target.commit(SIZES["train"], {})
  target.finish()
  order = np.array(records(tmp_path / "a", "train")).astype(int)
  # Sorted input would give rank correlations of 1.
  assert abs(np.corrcoef(order, np.arange(95))[0, 1]) < 0.3
  assert len(set(order[:20] // 20)) >= 4


def test_the_order_is_a_function_of_the_seed(tmp_path):
  write(tmp_path / "a")
  write(tmp_path / "b")
  write(tmp_path / "c", seed=1)
  assert contents(tmp_path / "a") == contents(tmp_path / "b")
  assert records(tmp_path / "a", "train") != records(tmp_path / "c", "train")


def test_a_later_run_goes_on_after_the_last_commit(tmp_path):
  write(tmp_path / "whole")
  first = writer(tmp_path / "a")
  assert (first.taken, first.tally) == (0, {})
  add(first, 0, 30)
  first.commit(30, {"seen": 30})
  add(first, 30, 47)  # lost: never committed
  del first
  second = writer(tmp_path / "a")
  assert (second.taken, second.tally) == (30, {"seen": 30})
  add(second, 30, TOTAL)
  second.commit(TOTAL, {"seen": TOTAL})
  second.finish()
  assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_later_run_goes_on_after_the_last_shard(tmp_path, monkeypatch):
  write(tmp_path / "whole")
  first = writer(tmp_path / "a")
  add(first, 0, TOTAL)
  first.commit(TOTAL, {"seen": TOTAL})
  write_shard = ShuffledWriter._write_shard

  def killed_at_the_fourth(self, path, split, shard):
    if shard == 3:
      raise KeyboardInterrupt
    return write_shard(self, path, split, shard)

  monkeypatch.setattr(ShuffledWriter, "_write_shard", killed_at_the_fourth)
  with pytest.raises(KeyboardInterrupt):
    first.finish()
  written = []

  def noted(self, path, split, shard):
    written.append(path.name)
    return write_shard(self, path, split, shard)

  monkeypatch.setattr(ShuffledWriter, "_write_shard", noted)
  second = writer(tmp_path / "a")
  assert second.taken == TOTAL
  second.finish()
  assert len(written) == 3
  assert contents(tmp_path / "a") == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["fingerprint", "seed", "damage", "no state"])
def test_leftovers_that_do_not_fit_are_removed(tmp_path, change):
  first = writer(tmp_path / "a")
  add(first, 0, 30)
  first.commit(30, {"seen": 30})
  work = tmp_path / "a/work"
  if change == "damage":
    for path in work.glob("*.waiting"):
      path.write_bytes(b"")
  if change == "no state":
    (work / "state.json").write_text("{")
  options = {"fingerprint": {"fingerprint": "other"}, "seed": {"seed": 7}}.get(change, {})
  second = writer(tmp_path / "a", **options)
  assert (second.taken, second.tally) == (0, {})
  assert [path.name for path in work.iterdir()] == ["state.json"]


def test_a_shard_may_stay_empty(tmp_path):
  target = writer(tmp_path / "a")
  target.add(0, "train", b"only")
  target.commit(TOTAL, {})
  infos = {info.name: info for info in target.finish()}
  assert sorted(infos["train"].shard_lengths) == [0, 0, 0, 0, 1]
  assert records(tmp_path / "a", "train") == [b"only"]


def test_what_the_state_tells_of_is_synced_before(tmp_path, monkeypatch):
  """A file is synced before it is renamed, its folder after; waiting records before the state."""
  done = []
  sync, replace = files.sync, os.replace
  name = lambda path: str(pathlib.Path(path).relative_to(tmp_path))  # noqa: E731
  monkeypatch.setattr(files, "sync", lambda path: (done.append(name(path)), sync(path)))
  monkeypatch.setattr(
      os, "replace", lambda a, b: (done.append(f"{name(a)} > {name(b)}"), replace(a, b)))
  state = ["a/work/beside", "a/work/beside > a/work/state.json", "a/work"]
  target = writer(tmp_path / "a")
  assert done == ["a", *state]

  done.clear()
  for count in (0, 1):
    target.add(count, "train", b"some")
    target.commit(count + 1, {})
  waiting = [f"a/work/{shuffled_writer._waiting_name('train', int(draw * 5))}"
             for draw in np.random.default_rng(0).random(TOTAL)[:2]]
  assert done == [waiting[0], *state, waiting[1], *state]

  done.clear()
  target.finish()
  shards = sorted(path.name for path in (tmp_path / "a").iterdir())
  assert done == [step for shard in shards for step in (
      "a/work/beside", f"a/work/beside > a/{shard}", "a", *state)]
