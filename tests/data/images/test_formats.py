"""What is opened is decided by content alone, and only the formats of the table are."""

import io

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from perceptual.data.images import formats, image_files
from perceptual.data.images.decoding import UnreadableImage, decode, read_head
from perceptual.errors import UserError

_PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def _saved(kind):
  stream = io.BytesIO()
  Image.fromarray(_PIXELS).save(stream, kind)
  return stream.getvalue()


@pytest.mark.parametrize("kind", formats.FORMATS, ids=lambda kind: kind.name)
def test_every_format_is_read_under_every_name(kind, tmp_path):
  data = _saved(kind.pillow_name)
  assert formats.identify(data) == kind
  expected = decode(data, "a.dat")
  assert expected.shape == (20, 30, 3)
  for suffix in kind.suffixes:
    (tmp_path / f"image{suffix.upper()}").write_bytes(data)
  found = list(image_files.image_files(tmp_path))
  assert len(found) == len(kind.suffixes)
  for file in found:
    np.testing.assert_array_equal(file.decode(), expected)


def test_postscript_does_not_reach_ghostscript(monkeypatch):
  monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **options: pytest.fail("run"))
  stream = io.BytesIO()
  Image.fromarray(_PIXELS).save(stream, "EPS")
  for data in (stream.getvalue(), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"):
    with pytest.raises(UnreadableImage, match=r"^x\.png: not an image \(PNG, JPEG, "):
      decode(data, "x.png")
    with pytest.raises(UnreadableImage, match="not an image"):
      read_head(io.BytesIO(data), "x.png")


@pytest.mark.parametrize("kind", ["ICO", "PCX", "SGI", "PDF", "IM", "DDS"])
def test_formats_that_are_not_in_the_table_are_refused(kind):
  with pytest.raises(UnreadableImage, match="not an image"):
    decode(_saved(kind), "a.png")


def test_a_damaged_file_of_a_known_format_is_called_so():
  with pytest.raises(UnreadableImage, match="a damaged TIFF, or of a kind that is not read"):
    decode(b"II*\0\x08\0\0\0\0\0\0\0\0\0", "a.tif")


@pytest.fixture
def limited(monkeypatch):
  """Sets the limit, and Pillow's again after the test."""
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
  return lambda megapixels: monkeypatch.setenv("PERCEPTUAL_MAX_MEGAPIXELS", megapixels)


def test_the_limit_of_pixels_is_pillows_until_it_is_raised(limited, monkeypatch):
  data = _saved("PNG")
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
  for call in (lambda: decode(data, "a"), lambda: read_head(io.BytesIO(data), "a")):
    with pytest.raises(UnreadableImage, match=(
        r"a: more than 0.0002 megapixels; set the environment variable PERCEPTUAL_MAX_MEGAPIXELS")):
      call()
  limited("0.0006")
  assert decode(data, "a").shape == (20, 30, 3)
  for kind in ("TIFF", "WEBP"):  # Pillow checks these again elsewhere
    assert decode(_saved(kind), "a").shape == (20, 30, 3)


def test_the_limit_can_be_lowered(limited):
  limited("0.000599")
  with pytest.raises(UnreadableImage, match=r"more than 0.000599 megapixels"):
    decode(_saved("PNG"), "a")


@pytest.mark.parametrize("value", ["", "many", "0", "-1", "nan"])
def test_a_limit_that_is_no_number(limited, value):
  limited(value)
  with pytest.raises(UserError, match="should be a positive number of megapixels"):
    decode(_saved("PNG"), "a")
