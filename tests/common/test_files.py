"""Paths as users write them, and files that are whole or not there."""

import os
import pathlib

import pytest

from perceptual.common import files, processes
from perceptual.errors import UserError
from tests import leftovers
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
  temporary = str(tmp_path / ".a.tmp.txt")
  monkeypatch.setattr(files, "temporary", lambda path: pathlib.Path(temporary))
  files.write_text(tmp_path / "a.txt", "text")
  assert done == [("sync", temporary), ("rename", str(tmp_path / "a.txt")), ("sync", str(tmp_path))]
  assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_leftovers_of_killed_processes_go_and_nothing_else(tmp_path):
  left = [leftovers.temporary(tmp_path / name) for name in ("metrics.csv", "m.e.json", "record")]
  kept = [tmp_path / name for name in (
      "metrics.csv", ".metrics.csv", ".metrics.2019.csv", "metrics.12.csv")]  # users have such
  kept.append(leftovers.temporary(tmp_path / "other.csv"))
  kept.append(files.temporary(tmp_path / "metrics.csv"))  # of a process that runs
  for path in (*left, *kept):
    path.touch()
  files.remove_leftovers(tmp_path, ["metrics.csv", "m.e.json", "record"])
  assert sorted(tmp_path.iterdir()) == sorted(kept)
  files.remove_leftovers(tmp_path / "none", ["metrics.csv"])


def test_what_a_killed_process_has_left_of_a_file_goes_when_it_is_written_again(
    tmp_path, monkeypatch):
  """And nothing else: neither that of a process that runs, here or elsewhere, nor a user's."""
  path = tmp_path / "a.txt"
  kept = [tmp_path / ".mine.txt", tmp_path / ".a.2019.txt",
          leftovers.temporary(tmp_path / "b.txt"), files.temporary(path)]
  with monkeypatch.context() as patch:
    patch.setattr(processes.socket, "gethostname", lambda: "another")
    kept.append(leftovers.temporary(path))  # whose number means nothing here
  for other in (leftovers.temporary(path), *kept):
    other.touch()
  files.write_text(path, "text")
  assert sorted(tmp_path.iterdir()) == sorted([*kept, path])


def test_two_that_write_a_file_at_once_do_not_share_a_temporary(tmp_path):
  path = tmp_path / "a.txt"
  with files.beside(path) as first:
    first.write_text("first")
    files.write_text(path, "second")
    assert path.read_text() == "second"
  assert path.read_text() == "first"
  assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_have_as_long_a_name_as_the_disk_takes(tmp_path):
  path = tmp_path / ("\u00e9" * 125 + ".json")  # 255 bytes
  left = leftovers.temporary(path)
  left.touch()
  files.write_text(path, "{}")
  assert list(tmp_path.iterdir()) == [path]
