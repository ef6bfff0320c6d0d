"""What the campaigns do to the disk and how they judge it, in short."""

import collections
import errno
import random

import pytest

from perceptual.common import files
from tools.faults import contents, corruption, crashes, forks, injection, machine


def test_a_disk_that_is_full_from_a_change_on(tmp_path):
  def write():
    injection.Injector(tmp_path, 7, full=True).install()
    files.write_text(tmp_path / "a.txt", "first")  # open, write, two syncs and a rename
    try:
      files.write_text(tmp_path / "b.txt", "second")
    except OSError as error:
      raise SystemExit(error.errno) from error

  assert forks.in_child(write) == errno.ENOSPC
  assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_half_of_a_save_of_tensorflow(tmp_path):
  class Saved:
    def save(self, path):
      for suffix in (".index", ".data"):
        with open(f"{path}{suffix}", "wb") as file:
          file.write(bytes(10))

  injector = injection.Injector(tmp_path, 1, half=True)
  save = injector._counted_save(Saved.save)
  assert forks.in_child(lambda: save(Saved(), str(tmp_path / "step-1"))) == injection.EXIT
  assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
      "step-1.index": 5, "step-1.data": 5}


def test_what_hangs_or_fails_has_a_status(monkeypatch):
  assert forks.in_child(lambda: None) == 0
  assert forks.in_child(lambda: 1 / 0) == forks.BUG
  assert forks.answer_of_child(lambda: {"a": 1}) == (0, {"a": 1})
  assert forks.answer_of_child(lambda: 1 / 0) == (forks.BUG, None)


@pytest.mark.parametrize(("changes", "wanted"), [(300, 25), (7, 25), (10, 10), (11, 3)])
def test_crashes_are_spread_over_the_whole_run(changes, wanted):
  chosen = crashes.spread(changes, wanted, random.Random(0))
  wanted = min(changes, wanted)
  assert len(set(chosen)) == wanted and sorted(chosen) == chosen
  for part, change in enumerate(chosen):
    assert 1 + changes * part // wanted <= change < 1 + changes * (part + 1) // wanted


def test_files_are_damaged_over_their_whole_length():
  data = bytes(range(100))
  damaged = {what: damage and damage(data) for what, damage in corruption.damages(100, 4).items()}
  assert damaged["removed"] is None and damaged["emptied"] == b""
  assert damaged["cut in half"] == data[:50]
  for place in (12, 37, 62, 87):
    changed = damaged[f"byte {place} flipped"]
    assert [i for i in range(100) if changed[i] != data[i]] == [place]
  assert set(corruption.damages(0, 4)) == {"cut in half", "emptied", "removed"}


def test_runs_are_equal_but_for_time_and_place(tmp_path):
  for place, seconds in (("one", 3.5), ("other", 4.5)):
    out = tmp_path / place / "out"
    out.mkdir(parents=True)
    (out / "metrics.csv").write_text(f"step,images_per_second,loss\n4,{seconds},0.5\n")
    (out / "about.json").write_text(f'{{"prepared": {seconds}, "folder": "{out}"}}')
    (out / "page.html").write_text(f"written on 2026-01-01 at 12:0{int(seconds)} UTC")
    (out / "progress.json").write_text(f"{seconds}")
  found, other = (contents.here(tmp_path / place / "out") for place in ("one", "other"))
  assert found == other and set(found) == {"metrics.csv", "about.json", "page.html"}
  (tmp_path / "other" / "out" / "metrics.csv").write_text("step,loss\n4,0.25\n")
  (tmp_path / "other" / "out" / ".left").touch()
  assert contents.differences(contents.here(tmp_path / "other" / "out"), found) == [
      ".left", "metrics.csv"]


@pytest.mark.parametrize(("line", "named"), [
    ("error: /run/out/scores.csv is damaged.", True),
    ("error: /run/out/checkpoints/last/step-4 is damaged: cut short", True),
    ("warning: /run/out/metrics.csv is not as it was written", False),
    ("error: something is wrong in /run/out.", False)])
def test_a_line_names_the_file_that_was_damaged(line, named):
  from pathlib import Path
  names = ["scores.csv", "checkpoints/last/step-4.data-00000-of-00001"]
  assert any(corruption._names(line, Path("/run/out"), name) for name in names) == named


def test_faults_of_the_machine_are_counted_by_command_and_together():
  found = {"full disk": collections.Counter({machine.EQUAL: 1, machine.TOLD: 3}),
           "clock": collections.Counter({machine.OTHER: 1})}
  lines = machine.table({"train": found, "export": found}).splitlines()
  assert [line.strip("| ").split(" | ") for line in lines[2:]] == [
      ["train", "1 + 3", "0 + 0", "1"], ["export", "1 + 3", "0 + 0", "1"],
      ["all", "2 + 6", "0 + 0", "2"]]
