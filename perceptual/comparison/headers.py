"""What the head of an image file tells before its pixels are decoded."""

import os
import pathlib
import stat
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from perceptual.common import in_order
from perceptual.common.progress import progress
from perceptual.comparison.pairing import printable
from perceptual.data.images.image_files import UnreadableImage

_PROGRESS_FROM = 1000  # files: fewer take less than a second
# Modes that become RGB without a loss; for the others see `image_files.decode`.
_LOSSLESS_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16", "I;16B", "I;16L")
_ORIENTATION = 0x0112
# Pillow decodes a whole PNG to look for this tag, which PNG files hardly ever have.
_FORMATS_WITH_ORIENTATION = ("JPEG", "MPO", "TIFF", "WEBP")


class Header(NamedTuple):
  """The head of an image file.

  Attributes:
    size: height and width in pixels.
    notes: what of the file does not reach the metric, for instance `first of 12 frames`.
    stamp: size in bytes and time of the last change in nanoseconds: another file, another stamp.
  """

  size: tuple[int, int]
  notes: tuple[str, ...]
  stamp: tuple[int, int]


def read(path):
  """Returns the `Header` of a file.

  Raises:
    UnreadableImage: if it is no image, or cannot be opened.
  """
  name = printable(path)
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
      raise UnreadableImage(name, "not a file")
    if not status.st_size:
      raise UnreadableImage(name, "empty file")
    with Image.open(path) as image:
      width, height = image.size
      return Header((height, width), tuple(_notes(image)), (status.st_size, status.st_mtime_ns))
  except UnreadableImage:
    raise
  except UnidentifiedImageError as error:
    raise UnreadableImage(name, "not an image") from error
  except OSError as error:
    raise UnreadableImage(name, error.strerror or str(error)) from error
  except Exception as error:  # On damaged files Pillow's readers raise errors of many kinds.
    raise UnreadableImage(name, str(error) or type(error).__name__) from error


def read_all(paths):
  """Returns for each path its `Header`, or the `UnreadableImage` that reading it raised."""
  found = in_order.map_in_order(_read_or_error, paths)
  if len(paths) < _PROGRESS_FROM:
    return list(found)
  with progress(found, description="looking at files", total=len(paths), unit="file") as bar:
    return list(bar)


def _read_or_error(path):
  try:
    return read(pathlib.Path(path))
  except UnreadableImage as error:
    return error


def _notes(image):
  """Yields what `image_files.decode` will do to an image that loses something of it."""
  frames = getattr(image, "n_frames", 1)
  if frames > 1:
    yield f"first of {frames} frames"
  if _has_16_bits(image):
    yield "high byte of 16 bits"
  if image.has_transparency_data:
    yield "laid over white"
  if image.mode not in _LOSSLESS_MODES:
    yield f"{image.mode} converted to RGB"
  if image.format in _FORMATS_WITH_ORIENTATION and image.getexif().get(_ORIENTATION, 1) != 1:
    yield "orientation tag not applied"


def _has_16_bits(image):
  """Whether Pillow reads samples of 16 bits, which its mode tells of greyscale images alone."""
  if image.format == "PPM" and not isinstance(image.tile[0].args, str):
    return image.tile[0].args[1] > 255
  return image.mode.startswith("I;16") or any(";16" in str(tile.args) for tile in image.tile)
