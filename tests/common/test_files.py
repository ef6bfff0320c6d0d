"""Paths as users write them, and files that are whole or not there."""

import os
import pathlib

import pytest

from perceptual.common import files
from perceptual.errors import UserError
from tools.build_files import ROOT


def test_the_home_directory_is_put_in(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert files.expanded("~/x") == tmp_path / "x"
  assert files.expanded(pathlib.Path("x/~")) == pathlib.Path("x/~")


def test_a_user_who_is_not_there_is_one_line():
  with pytest.raises(UserError, match=r"^~nobody-of-this-name/x: no user ~nobody-of-this-name"):
    files.expanded("~nobody-of-this-name/x")


def test_a_zero_byte_after_a_user_is_one_line():
  """Found by `tools.faults.guided` in a CSV of pairs."""
  with pytest.raises(UserError, match=r"'~g\\x00/a.png' has a zero byte"):
    files.expanded("~g\0/a.png")


def test_a_file_may_be_called_like_a_user(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "~draft.png").touch()
  assert files.expanded("~draft.png") == pathlib.Path("~draft.png")


def test_every_path_of_the_package_goes_through_it():
  users = [path.relative_to(ROOT).as_posix() for path in (ROOT / "perceptual").rglob("*.py")
           if ".expanduser()" in path.read_text("utf-8")]
  assert sorted(users) == ["perceptual/common/backends.py",  # of `~` alone
                           "perceptual/common/files.py"]


@pytest.mark.parametrize("address", [
    "gs://bucket/run", "s3://bucket/run", "https://example.com/a.png", "ram://x",
    pathlib.Path("gs://bucket/run")])
def test_an_address_is_refused_in_one_line(address):
  with pytest.raises(UserError, match="is not a path on this machine, which is needed here: copy"):
    files.expanded(address)


def test_a_path_with_a_colon_is_a_path(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  assert files.expanded("12:30/x") == pathlib.Path("12:30/x")
  (tmp_path / "lr:").mkdir()
  assert files.expanded("lr:/x") == pathlib.Path("lr:/x")


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(monkeypatch, tmp_path):
  done = []
  real = files.sync, os.replace
  monkeypatch.setattr(files, "sync", lambda path: (done.append(("sync", str(path))), real[0](path)))
  monkeypatch.setattr(os, "replace", lambda a, b: (done.append(("rename", str(b))), real[1](a, b)))
  files.write_text(tmp_path / "a.txt", "text")
  temporary = str(tmp_path / f".a.{os.getpid()}.txt")
  assert done == [("sync", temporary), ("rename", str(tmp_path / "a.txt")), ("sync", str(tmp_path))]
  assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_leftovers_of_killed_processes_go_and_nothing_else(tmp_path):
  kept = ["metrics.csv", ".metrics.csv", ".metrics.12x.csv", ".other.12.csv", "metrics.12.csv"]
  kept.append(f".metrics.{os.getpid()}.csv")  # of a process that runs
  for name in (*kept, ".metrics.4194305.csv", ".m.etrics.4194306.json", ".record.4194306"):
    (tmp_path / name).touch()
  files.remove_leftovers(tmp_path, ["metrics.csv", "m.etrics.json", "record"])
  assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
  files.remove_leftovers(tmp_path / "none", ["metrics.csv"])


def test_what_a_killed_process_has_left_of_a_file_goes_when_it_is_written_again(tmp_path):
  """And nothing else: neither that of a process that runs nor a user's hidden file."""
  ended, running = 4194305, os.getppid()  # the first is above what Linux gives
  for name in (f".a.{ended}.txt", f".a.{running}.txt", f".b.{ended}.txt", ".mine.txt"):
    (tmp_path / name).touch()
  files.write_text(tmp_path / "a.txt", "text")
  assert sorted(path.name for path in tmp_path.iterdir()) == sorted([
      f".a.{running}.txt", f".b.{ended}.txt", ".mine.txt", "a.txt"])
