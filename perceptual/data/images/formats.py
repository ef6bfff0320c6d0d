"""The image formats that are read: by which bytes they begin, what their files are called.

A format is told by a file's content, never by its name, and Pillow is asked for that one alone: its
other readers, some of which start programs (PostScript goes to Ghostscript), see no file.
"""

import math
import os
import re
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from perceptual.errors import UserError

MAX_MEGAPIXELS = "PERCEPTUAL_MAX_MEGAPIXELS"  # the environment variable that moves the limit
_SIGNATURE_BYTES = 32
_BYTES_PER_PIXEL = 16  # of the largest file that is read: four samples of 32 bits


class Format(NamedTuple):
  """One format.

  Attributes:
    name: for people.
    pillow_name: Pillow's name for it.
    suffixes: of file names, in lower case.
    signature: what matches the first bytes of a file.
  """

  name: str
  pillow_name: str
  suffixes: tuple[str, ...]
  signature: re.Pattern


def _format(name, pillow_name, suffixes, signature):
  return Format(name, pillow_name, suffixes, re.compile(signature, re.DOTALL))


FORMATS = (
    _format("PNG", "PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n"),
    _format("JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff"),
    _format("GIF", "GIF", (".gif",), rb"GIF8[79]a"),
    _format("BMP", "BMP", (".bmp", ".dib"), rb"BM"),
    _format("WebP", "WEBP", (".webp",), rb"RIFF....WEBP"),
    _format("TIFF", "TIFF", (".tif", ".tiff"), rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"),
    _format("PPM", "PPM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[1-6]\s"),
    _format("AVIF", "AVIF", (".avif", ".avifs"), rb"....ftyp(avif|avis|mif1|msf1)"),
    _format("JPEG 2000", "JPEG2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
            rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    # TGA has no signature. Its header has a palette or zeros in its place, and ends with a depth.
    _format("TGA", "TGA", (".tga",),
            rb".(\x00[\x02\x03\x0a\x0b]\x00{5}|\x01[\x01-\x03\x09-\x0b].{5})"
            rb".{8}[\x01\x08\x0f\x10\x18\x20]"),
)
SUFFIXES = tuple(suffix for kind in FORMATS for suffix in kind.suffixes)
NAMES = ", ".join(kind.name for kind in FORMATS)


def is_image_name(name):
  """Whether a file of this name should hold an image, by its suffix."""
  return name.lower().endswith(SUFFIXES)


def identify(start):
  """Returns the `Format` of a file that starts with these bytes, or None."""
  return next((kind for kind in FORMATS if kind.signature.match(start)), None)


def open_image(stream):
  """Opens an image of one of `FORMATS` and decodes none of its pixels.

  Args:
    stream: a seekable binary file, at least until it is identified.

  Returns:
    A `PIL.ImageFile.ImageFile`.

  Raises:
    ValueError: if it is empty or of no such format, or has more pixels than are allowed.
    Exception: what Pillow raises on a damaged file, of many kinds.
  """
  stream.seek(0)
  start = stream.read(_SIGNATURE_BYTES)
  if not start:
    raise ValueError("empty file")
  kind = identify(start)
  if kind is None:
    raise ValueError(f"not an image ({NAMES})")
  limit = _max_pixels()
  try:
    image = Image.open(stream, formats=[kind.pillow_name])
  except UnidentifiedImageError as error:
    raise ValueError(f"a damaged {kind.name}, or of a kind that is not read") from error
  except Image.DecompressionBombError as error:
    raise ValueError(_too_large(limit)) from error
  if image.width * image.height > limit:
    raise ValueError(_too_large(limit))
  return image


def max_bytes():
  """Returns the size of the largest file that is read: 16 bytes for each pixel allowed."""
  return _BYTES_PER_PIXEL * _max_pixels()


def _max_pixels():
  """Returns how many pixels an image may have: Pillow's limit, or what the user has set.

  Pillow checks its own limit in several places, so it is raised to one that the user sets.
  """
  megapixels = os.environ.get(MAX_MEGAPIXELS)
  pillows = Image.MAX_IMAGE_PIXELS  # from there on Pillow warns; twice as many it refuses
  if megapixels is None:
    return math.inf if pillows is None else 2 * pillows
  try:
    limit = float(megapixels) * 1e6
  except ValueError:
    limit = math.nan
  if not limit > 0:
    raise UserError(f"{MAX_MEGAPIXELS}={megapixels!r} should be a positive number of megapixels.")
  if pillows is not None and pillows < limit:
    Image.MAX_IMAGE_PIXELS = None if math.isinf(limit) else math.ceil(limit)
  return limit


def _too_large(limit):
  return (f"more than {limit / 1e6:.4g} megapixels; set the environment variable {MAX_MEGAPIXELS} "
          "to read larger images")
