"""Every write of the package ended by force at each of its changes of the disk: old or new, whole.

The short form of `tools.faults.crashes`, whose campaigns do the same with whole commands. A forked
process writes and is ended; TensorFlow is not used in it.
"""

import functools
import json

import numpy as np
import pytest

from perceptual.common import files, locks
from perceptual.comparison import headers, journal, pairing
from perceptual.data import tfds_files
from perceptual.export import saved_model
from perceptual.training import checkpoint_files, records
from tools.faults import crashes, forks, injection


class _Checkpoint:
  """Writes the two files of a checkpoint, as `tf.train.Checkpoint` does."""

  def write(self, prefix):
    folder, _, name = prefix.rpartition("/")
    files.pathlib.Path(folder).mkdir()
    for suffix in (".data-00000-of-00001", ".index"):
      with open(f"{prefix}{suffix}", "w") as file:
        file.write(f"{name}{suffix} " * 20)


def _save(folder, step):
  checkpoint_files.write(_Checkpoint(), folder, step, notes={"step": step})
  checkpoint_files.keep_newest(folder)


def _campaign(folder, write, check):
  """Ends `write()` before each of its changes of the disk, halves of writes included."""
  def ended(end_at, half):
    injection.Injector(folder, end_at, half).install()
    write()

  end_at, status = 0, injection.EXIT
  while status == injection.EXIT:
    end_at += 1
    for half in (False, True):
      status = forks.in_child(functools.partial(ended, end_at, half))
      assert status in (0, injection.EXIT)
      check(status == 0)
  assert end_at > 3
  return end_at


def test_a_file_is_old_or_new(tmp_path):
  path = tmp_path / "a.json"
  path.write_text("old")

  def check(is_done):
    assert path.read_text() == ("new" * 100 if is_done else path.read_text())
    assert path.read_text() in ("old", "new" * 100)
    files.write_text(path, "old")

  _campaign(tmp_path, lambda: files.write_text(path, "new" * 100), check)
  files.remove_leftovers(tmp_path, ["a.json"])
  assert [found.name for found in tmp_path.iterdir()] == ["a.json"]


def test_of_checkpoints_there_is_always_a_whole_one(tmp_path, monkeypatch):
  """What is not yet complete is told from damage: by its tensors, which here stand in one file."""
  monkeypatch.setattr(checkpoint_files, "_fault_of_tensors", lambda path: (
      None if files.pathlib.Path(f"{path}.index").exists() else "no index"))
  folder = tmp_path / "last"

  def check(is_done):
    step, faults = checkpoint_files.sound(folder)
    assert faults == []
    assert step == 20 if is_done else step in (10, 20)
    checkpoint_files.remove_leftovers(folder)
    checkpoint_files.remove(folder, 20)
    assert checkpoint_files.sound(folder) == (10, [])

  _save(folder, 5)
  _save(folder, 10)
  assert _campaign(tmp_path, functools.partial(_save, folder, 20), check) > 10


def test_a_first_checkpoint_is_there_or_not(tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint_files, "_fault_of_tensors", lambda path: None)
  folder = tmp_path / "last"

  def check(is_done):
    step, faults = checkpoint_files.sound(folder)
    assert (step, faults) in ([(10, [])] if is_done else [(10, []), (None, [])])
    files.remove(folder)

  _campaign(tmp_path, functools.partial(_save, folder, 10), check)


def test_metrics_keep_their_lines(tmp_path):
  path = tmp_path / "metrics.csv"
  rows = [{"step": step, "loss": step / 7} for step in (0, 4, 8)]

  def check(is_done):
    assert records.read_metrics(path) in ([rows] if is_done else [rows, rows[:2]])
    records.MetricsFile(path, 4).write()

  for row in rows[:2]:
    records.MetricsFile(path, row["step"]).append(row)
  _campaign(tmp_path, lambda: records.MetricsFile(path, 4).append(rows[2]), check)


def test_a_journal_loses_the_batch_at_most(tmp_path, monkeypatch):
  from PIL import Image

  for i in range(3):
    (tmp_path / "f").mkdir(exist_ok=True)
    Image.new("L", (4, 4), i).save(tmp_path / "f" / f"{i}.png")
  found = pairing.every_pair(tmp_path / "f")
  inspected = headers.read_all(found.files)
  about = {"columns": ("d",), "fingerprints": {"d": {}}}
  values = np.array([[0.25], [0.5], [0.75]])

  def write(pairs):
    with journal.Journal(tmp_path / "out", **about) as book:
      book.record(found, inspected, pairs, values[pairs])

  def check(is_done):
    with journal.Journal(tmp_path / "out", **about) as book:
      loaded, _ = book.load(found, inspected)
    assert loaded[0] == [0.25]
    assert all(row == list(values[pair]) for pair, row in loaded.items())
    assert len(loaded) == 3 or not is_done
    (tmp_path / "out" / journal.FILE).unlink()
    write([0])

  write([0])
  _campaign(tmp_path / "out", lambda: write([1, 2]), check)


@pytest.mark.parametrize("exchanges", [True, False])
def test_an_export_is_old_or_new_and_found_again(tmp_path, monkeypatch, exchanges):
  if not exchanges:
    monkeypatch.setattr(files, "exchanged", lambda one, other: False)
  target = tmp_path / "m"

  def make(text):
    with files.staging(files.temporary(target)) as beside:
      beside.mkdir()
      (beside / "fingerprint.json").write_text(json.dumps(text))
      saved_model._put_in_place(beside, target)

  def check(is_done):
    if exchanges:
      assert target.exists()
    saved_model._recover(target)
    assert json.loads((target / "fingerprint.json").read_text()) in (
        ["new"] if is_done else ["old", "new"])
    saved_model._recover(target)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    make("old")

  make("old")
  _campaign(tmp_path, functools.partial(make, "new"), check)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_data_set_is_old_or_new_and_found_again(tmp_path, monkeypatch, exchanges):
  monkeypatch.setattr(tfds_files, "is_complete", lambda folder: (folder / "all").exists())
  if not exchanges:
    monkeypatch.setattr(files, "exchanged", lambda one, other: False)
  directory = tmp_path / "1.0.0"

  def make(text):
    with tfds_files.unfinished(directory, overwrite=True) as building:
      (building / "all").write_text(text)

  def check(is_done):
    if not directory.exists():
      tfds_files._put_back(directory)
    assert (directory / "all").read_text() in (["new"] if is_done else ["old", "new"])
    make("old")
    assert [path.name for path in tmp_path.iterdir()] == ["1.0.0"]

  make("old")
  _campaign(tmp_path, functools.partial(make, "new"), check)


def test_a_lock_is_free_again(tmp_path):
  def write():
    with locks.held(tmp_path):
      files.write_text(tmp_path / "a", "text")

  def check(is_done):
    with locks.held(tmp_path):
      pass

  _campaign(tmp_path, write, check)


def test_a_table_has_a_line_for_each_command():
  lines = crashes.table({"train": (70, 60, []), "export": (40, 30, ["lost"])}).splitlines()
  assert [line.strip("| ").split(" | ") for line in lines[2:]] == [
      ["train", "70", "60", "0"], ["export", "40", "30", "1"]]
