"""Paths as users write them."""

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


def test_a_file_may_be_called_like_a_user(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "~draft.png").touch()
  assert files.expanded("~draft.png") == pathlib.Path("~draft.png")


def test_every_path_of_the_package_goes_through_it():
  users = [path.relative_to(ROOT).as_posix() for path in (ROOT / "perceptual").rglob("*.py")
           if ".expanduser()" in path.read_text("utf-8")]
  assert sorted(users) == ["perceptual/common/backends.py",  # of `~` alone
                           "perceptual/common/files.py"]
