"""`load_image`, and what `read_image` notes."""

import io
import os

import numpy as np
import pytest
from PIL import Image

import perceptual
from perceptual.data.images import loading
from perceptual.data.images.decoding import UnreadableImage, read_head

_PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def _saved(kind, mode="RGB", pixels=_PIXELS, **options):
  stream = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
  return stream.getvalue()


@pytest.fixture
def read(tmp_path):
  """Returns a function of the bytes of a file to its pixels and notes; the head tells the same."""

  def read(data):
    path = tmp_path / "image"
    path.write_bytes(data)
    pixels, notes = loading.read_image(path)
    head = read_head(io.BytesIO(data), "image")
    assert (head.size, head.notes) == (pixels.shape[:2], notes)
    np.testing.assert_array_equal(perceptual.load_image(str(path)), pixels)
    return pixels, notes

  return read


def _exif(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return exif


def _upright(pixels, orientation):
  """By the definition: which side of the picture the first row and the first column are."""
  row, column = {1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"),
                 4: ("bottom", "left"), 5: ("left", "top"), 6: ("right", "top"),
                 7: ("right", "bottom"), 8: ("left", "bottom")}[orientation]
  if row in ("left", "right"):
    pixels, row, column = pixels.transpose(1, 0, 2), column, row
  pixels = pixels[::-1] if row == "bottom" else pixels
  return pixels[:, ::-1] if column == "right" else pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied(read, kind, orientation):
  options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
  plain, _ = read(_saved(kind, **options))
  pixels, notes = read(_saved(kind, exif=_exif(orientation), **options))
  np.testing.assert_array_equal(pixels, _upright(plain, orientation))
  assert notes == (("orientation applied",) if orientation > 1 else ())


def test_orientation_of_an_avif_is_applied(read):
  plain, _ = read(_saved("AVIF"))
  pixels, notes = read(_saved("AVIF", exif=_exif(6)))
  np.testing.assert_array_equal(pixels, _upright(plain, 6))
  assert notes == ("orientation applied",)


@pytest.mark.parametrize("place", ["chunks", "chunks_behind"])
def test_orientation_of_a_png_before_or_behind_its_pixels(read, png, place):
  data = _exif(8).tobytes().removeprefix(b"Exif\0\0")
  pixels, notes = read(png(_PIXELS, **{place: {b"eXIf": data}}))
  np.testing.assert_array_equal(pixels, _upright(_PIXELS, 8))
  assert notes == ("orientation applied",)


def test_orientation_of_deep_images_is_applied(read, png, samples):
  found = samples(6, 9, 3)
  data = _exif(6).tobytes().removeprefix(b"Exif\0\0")
  pixels, _ = read(png(found, {b"eXIf": data}))
  np.testing.assert_array_equal(pixels, _upright(found / np.float32(65535), 6))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientations_and_damaged_exif_are_passed_over(read, png, orientation):
  for data in (_exif(orientation).tobytes().removeprefix(b"Exif\0\0"), b"nonsense"):
    pixels, notes = read(png(_PIXELS, {b"eXIf": data}))
    np.testing.assert_array_equal(pixels, _PIXELS)
    assert notes == ()


def _animated(kind, mode="RGB"):
  frames = [Image.fromarray(255 - _PIXELS), Image.fromarray(_PIXELS // 2)]
  options = {"lossless": True} if kind == "WEBP" else {}
  return _saved(kind, mode, save_all=True, append_images=frames, **options)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames(read, kind):
  pixels, notes = read(_animated(kind))
  np.testing.assert_array_equal(pixels, _PIXELS)
  assert notes == ("first of 3 frames",)  # and not laid over white: it is opaque


@pytest.mark.parametrize(("data", "notes"), [
    (_saved("PNG"), ()),
    (_saved("PNG", "L"), ()),
    (_saved("PNG", "P"), ()),
    (_saved("PNG", "1"), ()),
    (_saved("JPEG"), ()),
    (_saved("PPM"), ()),
    (_saved("TGA"), ()),
    (_saved("JPEG2000"), ()),
    (_saved("AVIF"), ()),
    (_animated("GIF"), ("first of 3 frames",)),
    (_saved("JPEG", "CMYK"), ("CMYK converted to RGB",)),
    (_saved("TIFF", "LAB"), ("LAB converted to RGB",)),
    (_saved("PNG", "RGBA"), ("laid over white",)),
    (_saved("PNG", "LA"), ("laid over white",)),
    (_saved("WEBP", "RGBA", np.dstack([_PIXELS, _PIXELS[..., 0]])), ("laid over white",)),
])
def test_notes(read, data, notes):
  assert read(data)[1] == notes


def test_what_cannot_be_read(tmp_path):
  os.mkfifo(tmp_path / "pipe.png")
  (tmp_path / "empty.png").touch()
  (tmp_path / "link.png").symlink_to("nowhere")
  for name, reason in (("pipe.png", "not a file"), ("", "not a file"), ("empty.png", "empty file"),
                       ("link.png", "No such file or directory"), ("a\0", "embedded null byte")):
    with pytest.raises(UnreadableImage) as caught:
      perceptual.load_image(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and caught.value.reason == reason


def test_a_sparse_file_is_not_read_into_memory(tmp_path):
  path = tmp_path / "huge.png"
  path.write_bytes(_saved("PNG"))
  os.truncate(path, 40 * 2**30)
  with pytest.raises(UnreadableImage, match=r"42,949,672,960 bytes, more than an image of the"):
    perceptual.load_image(path)


def test_a_user_who_is_not_there(tmp_path, monkeypatch):
  with pytest.raises(UnreadableImage, match="no user ~nobody-of-this-name"):
    perceptual.load_image("~nobody-of-this-name/x.png")
  monkeypatch.chdir(tmp_path)
  (tmp_path / "~backup.png").write_bytes(_saved("PNG"))
  np.testing.assert_array_equal(perceptual.load_image("~backup.png"), _PIXELS)
