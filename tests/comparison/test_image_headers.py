"""What is seen of a file before it is decoded, and that nothing it loses goes unsaid."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from perceptual.comparison import headers
from perceptual.data.images.image_files import UnreadableImage

_PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
_DEEP = np.random.default_rng(0).integers(0, 65536, (6, 9, 3), np.uint16)


def _saved(kind, mode="RGB", **options):
  stream = io.BytesIO()
  Image.fromarray(_PIXELS).convert(mode).save(stream, kind, **options)
  return stream.getvalue()


def _animated(kind):
  others = [Image.fromarray(255 - _PIXELS), Image.fromarray(_PIXELS // 2)]
  return _saved(kind, save_all=True, append_images=others)


def _turned(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return _saved("JPEG", exif=exif)


def _deep_png():
  """A PNG of 16 bits a colour, which Pillow does not write."""
  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in _DEEP)
  return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 6, 16, 2, 0, 0, 0))
          + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def _ppm(pixels):
  head = f"P6 9 6 {np.iinfo(pixels.dtype).max}\n".encode()
  return head + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def _deep_grey(kind):
  stream = io.BytesIO()
  Image.fromarray(_DEEP[..., 0]).save(stream, kind)
  return stream.getvalue()


@pytest.mark.parametrize(("data", "notes"), [
    (_saved("PNG"), ()),
    (_saved("PNG", "L"), ()),
    (_saved("PNG", "P"), ()),
    (_saved("PNG", "1"), ()),
    (_saved("JPEG"), ()),
    (_turned(1), ()),
    (_turned(6), ("orientation tag not applied",)),
    (_saved("JPEG", "CMYK"), ("CMYK converted to RGB",)),
    (_saved("TIFF", "LAB"), ("LAB converted to RGB",)),
    (_saved("PNG", "RGBA"), ("laid over white",)),
    (_saved("PNG", "LA"), ("laid over white",)),
    (_animated("GIF"), ("first of 3 frames",)),
    (_animated("PNG"), ("first of 3 frames",)),
    (_animated("WEBP"), ("first of 3 frames",)),
    (_animated("TIFF"), ("first of 3 frames",)),
    (_deep_png(), ("high byte of 16 bits",)),
    (_deep_grey("PNG"), ("high byte of 16 bits",)),
    (_deep_grey("TIFF"), ("high byte of 16 bits",)),
    (_ppm(_DEEP), ("high byte of 16 bits",)),
    (_ppm(_PIXELS), ()),
])
def test_size_and_notes(tmp_path, data, notes):
  path = tmp_path / "image"
  path.write_bytes(data)
  found = headers.read(path)
  assert (found.size, found.notes) == ((6, 9), notes)
  assert found.stamp == (len(data), os.stat(path).st_mtime_ns)


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "empty file"), (b"hello", "not an image"), (_saved("PNG")[:20], "Truncated File Read"),
])
def test_what_is_no_image(tmp_path, data, reason):
  path = tmp_path / "image.png"
  path.write_bytes(data)
  with pytest.raises(UnreadableImage) as caught:
    headers.read(path)
  assert (caught.value.name, caught.value.reason) == (str(path), reason)


def test_what_is_no_file(tmp_path):
  os.mkfifo(tmp_path / "pipe.png")
  (tmp_path / "link.png").symlink_to("nowhere")
  found = headers.read_all(
      [tmp_path / "pipe.png", tmp_path, tmp_path / "link.png", tmp_path / "a\0"])
  assert [error.reason for error in found[:3]] == [
      "not a file", "not a file", "No such file or directory"]
  assert isinstance(found[3], UnreadableImage)
