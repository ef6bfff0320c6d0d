"""Each folder is listed once, whatever links lead to it."""

import os

import pytest

from perceptual.data.images import folders, image_files
from perceptual.data.images.decoding import UnreadableImage


@pytest.fixture
def make(tmp_path):
  """Makes empty files and links: `{name: None, or what the link names}`."""

  def make(entries):
    for name, target in entries.items():
      path = tmp_path / "root" / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch() if target is None else path.symlink_to(target)
    return tmp_path / "root"

  return make


def _names(root):
  return [name for name, _ in folders.files(root)]


def test_a_link_to_the_folder_itself_or_to_one_above(make):
  root = make({"a.png": None, "sub/b.png": None, "loop": ".", "sub/up": ".."})
  assert _names(root) == ["a.png", "sub/b.png"]
  assert folders.passed_over(root) == {
      "loop": "a link to the folder itself, which is listed",
      "sub/up": "a link to the folder itself, which is listed"}


def test_two_folders_that_link_to_each_other(make):
  root = make({"x/1.png": None, "y/2.png": None, "x/to": "../y", "y/to": "../x"})
  assert _names(root) == ["x/1.png", "y/2.png"]
  assert folders.passed_over(root) == {"x/to": "a link to y, which is listed",
                                       "y/to": "a link to x, which is listed"}


def test_a_real_folder_goes_before_a_link_that_sorts_before_it(make):
  root = make({"real/1.png": None, "alias": "real"})
  assert _names(root) == ["real/1.png"]
  assert folders.passed_over(root) == {"alias": "a link to real, which is listed"}


def test_a_link_to_a_folder_elsewhere_is_followed_once(make, tmp_path):
  (tmp_path / "elsewhere/deep").mkdir(parents=True)
  (tmp_path / "elsewhere/deep/1.png").touch()
  (tmp_path / "elsewhere/back").symlink_to(tmp_path / "root")
  root = make({"z.png": None, "m": "../elsewhere", "n": "../elsewhere/deep"})
  assert _names(root) == ["z.png", "m/deep/1.png"]
  assert folders.passed_over(root) == {"n": "a link to m/deep, which is listed",
                                       "m/back": "a link to the folder itself, which is listed"}


def test_the_order_is_that_of_names_folder_by_folder(make):
  root = make({"b.png": None, "a/2.png": None, "a-b/1.png": None, "a/b/3.png": None, ".x/y": None})
  assert _names(root) == ["b.png", "a/2.png", "a/b/3.png", "a-b/1.png"]


def test_a_pipe_among_the_files_is_not_waited_for(make):
  root = make({"a.png": None})
  os.mkfifo(root / "pipe.png")
  pipe = [file for file in image_files.image_files(root) if file.name == "pipe.png"]
  with pytest.raises(UnreadableImage, match=r"^pipe\.png: not a file"):
    pipe[0].decode()
