"""What is seen of a file before it is decoded; the notes are those of the reader."""

import os

import numpy as np
import pytest
from PIL import Image

from perceptual.comparison import headers
from perceptual.data.images.decoding import UnreadableImage


@pytest.fixture
def save(tmp_path):
  """Writes `[6, 9]` grey pixels of a dtype, and returns the path."""

  def save(dtype=np.uint8, kind="PNG", **options):
    path = tmp_path / "image"
    Image.fromarray(np.full((6, 9), 200, dtype)).save(path, kind, **options)
    return path

  return save


def test_size_notes_and_stamp(save):
  path = save()
  status = os.stat(path)
  assert headers.read(path) == headers.Header(
      (6, 9), (), (status.st_size, status.st_mtime_ns), False)


def test_the_size_is_that_of_the_upright_image(save):
  exif = Image.Exif()
  exif[0x0112] = 6
  found = headers.read(save(kind="JPEG", exif=exif))
  assert (found.size, found.notes) == ((9, 6), ("orientation applied",))


def test_the_bit_depth_given_is_noted_and_stamped_of_deep_images_alone(save):
  path = save(np.uint16)
  plain, given = headers.read(path), headers.read(path, bit_depth=10)
  assert plain.deep and given.deep
  assert (plain.notes, given.notes) == ((), ("read as 10 bits",))
  assert given.stamp == (*plain.stamp, 10)
  assert headers.read(save(), bit_depth=10).notes == ()


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "empty file"), (b"hello", "not an image (PNG, "), (b"%!PS-Adobe-3.0", "not an image ("),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "Truncated File Read"),
])
def test_what_is_no_image(tmp_path, data, reason):
  path = tmp_path / "image.png"
  path.write_bytes(data)
  with pytest.raises(UnreadableImage) as caught:
    headers.read(path)
  assert caught.value.name == str(path) and caught.value.reason.startswith(reason)


def test_what_is_no_file(tmp_path):
  os.mkfifo(tmp_path / "pipe.png")
  (tmp_path / "link.png").symlink_to("nowhere")
  found = headers.read_all(
      [tmp_path / "pipe.png", tmp_path, tmp_path / "link.png", tmp_path / "a\0"])
  assert [error.reason for error in found[:3]] == [
      "not a file", "not a file", "No such file or directory"]
  assert isinstance(found[3], UnreadableImage)
