"""Decoding image files: strictly, into sRGB, upright, at their depth, with a note of each change.

The head of a file is read into a `Head`, which serves both the decoder and callers that want only
the notes.
"""

import contextlib
import io
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from perceptual.data.images import boxes, colour, depth, formats, png, srgb
from perceptual.errors import UserError, require_integer

# Pillow keeps the sample of a PNG's transparent grey as it is, and multiplies the image's.
_GREY_FACTORS = {"L;2": 85, "L;4": 17}
# Modes that become RGB without a loss.
_LOSSLESS_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "I;16", "I;16B",
                   "I;16L")
# How arrays are turned upright, by the value of the tag (Exif 2.32, 4.6.4.A).
_UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
_ORIENTATION_KEYS = frozenset(("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"))
_SIDES_EXCHANGED = (5, 6, 7, 8)
_LONGEST_RUN, _ALWAYS_DECODED = 255, 2**20  # pixels that one code of a BMP gives; and of any file


class UnreadableImage(UserError):
  """An image that does not decode: `name` and `reason`, joined in the message."""

  def __init__(self, name, reason):
    super().__init__(f"{name}: {reason}")
    self.name = name
    self.reason = reason


class Head(NamedTuple):
  """What the header of an image file says.

  Attributes:
    size: height and width in pixels, upright.
    depth: `depth.Depth` of its samples.
    space: `srgb.Space` of its colours, or None for sRGB.
    orientation: 1 to 8, as Exif counts them.
    transparent: whether some of it may be.
    frames: how many pictures it holds.
    mode: Pillow's.
  """

  size: tuple[int, int]
  depth: depth.Depth
  space: srgb.Space | None
  orientation: int
  transparent: bool
  frames: int
  mode: str

  @property
  def notes(self):
    """What is altered on the way to pixels, a tuple of strings such as `first of 12 frames`."""
    return tuple(self._notes())

  def _notes(self):
    if self.frames > 1:
      yield f"first of {self.frames} frames"
    if self.depth.bits > 8 and not self.depth.kept:
      yield f"high 8 of {self.depth.bits} bits"
    if self.space:
      yield self.space.note
    if not (self.depth.kept or self.mode in _LOSSLESS_MODES
            or (self.mode == "CMYK" and self.space)):
      yield f"{self.mode} converted to RGB"
    if self.transparent:
      yield "laid over white"
    if self.orientation != 1:
      yield "orientation applied"


def read_head(stream, name):
  """Returns the `Head` of an image file, none of whose pixels are decoded.

  Args:
    stream: a seekable binary file.
    name: its name, for the error.

  Raises:
    UnreadableImage: if it is not an image, or of a kind that is not read.
  """
  with _reasons(name), formats.open_image(stream) as image:
    return _head(image, stream)


def decode(data, name, *, bit_depth=None):
  """Decodes an image strictly: one that is truncated, empty or no image is an error.

  Colours are converted to sRGB by the profile, or what else the file says of them. The image is
  turned upright, as its orientation tag says. Greyscale, palette and CMYK images are converted to
  RGB. Transparent ones are laid over white. 32-bit ones have no defined range and are refused. Of
  several frames the first is taken.

  Args:
    data: the bytes of a file.
    name: its name, for the error.
    bit_depth: 8 to 16: how many bits the samples of a 16-bit file really have, for instance 10
      where 1023 is white; None for what the file declares. Other files are read as they are.

  Returns:
    `[height, width, 3]`, a new array: uint8, or float32 in [0, 1] where the file has more than
    8 bits.

  Raises:
    UnreadableImage: if the bytes are not a whole image, or one that is not read; if a sample is
      above what `bit_depth` allows; or if the samples of a 16-bit file are all below 4096, as
      those of 12 bits are, and `bit_depth` is None.
  """
  return decode_with_head(data, name, bit_depth=bit_depth)[0]


def decode_with_head(data, name, *, bit_depth=None):
  """Returns what `decode` does, and the `Head`; arguments and errors are the same."""
  require_bit_depth(bit_depth)
  with _reasons(name):
    stream = io.BytesIO(data)
    with formats.open_image(stream) as image:
      head = _head(image, stream)
      _check_whole(image, data)
      if head.depth.kept:
        pixels = _deep_pixels(image, data, head, bit_depth)
      else:
        pixels = _pixels(image, head)
      if head.orientation != 1 and image.format != "TIFF":  # of a TIFF, Pillow has applied it
        pixels = np.ascontiguousarray(_UPRIGHT[head.orientation](pixels))
      return pixels, head


def require_bit_depth(bit_depth):
  """Raises `UserError` unless `bit_depth` is None or a whole number from 8 to 16."""
  if bit_depth is not None:
    require_integer("bit_depth", bit_depth, 8, below=17)


@contextlib.contextmanager
def _reasons(name):
  """Turns any error of the block into an `UnreadableImage`."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:  # On damaged files Pillow's readers raise errors of many kinds.
    raise UnreadableImage(name, str(error) or type(error).__name__) from error


def _check_whole(image, data):
  """Checks what decoding alone does not check."""
  if image.format == "PNG":
    png.check(io.BytesIO(data))
  elif image.format == "JPEG2000":
    boxes.check_jpeg2000(data)
  elif image.tile and image.tile[0].codec_name == "bmp_rle":
    # Pillow decodes it in Python, pixel by pixel where lines are left blank.
    pixels = image.width * image.height
    if pixels > max(_ALWAYS_DECODED, _LONGEST_RUN * len(data)):
      raise ValueError(f"a run-length coded BMP of {len(data):,} bytes holds no {pixels:,} pixels")


def _head(image, stream):
  if image.mode in ("I", "F") and image.format != "PPM":
    raise ValueError(f"32-bit pixels (mode {image.mode}) have no defined range")
  position = stream.tell()
  if image.format == "PNG":
    png.complete_info(image, stream)
  orientation = _orientation(image)
  height, width = image.height, image.width
  if orientation in _SIDES_EXCHANGED and image.format != "TIFF":  # of a TIFF, Pillow has done so
    height, width = width, height
  head = Head(
      size=(height, width), depth=depth.declared(image, stream), orientation=orientation,
      space=colour.declared(image, stream), transparent=image.has_transparency_data,
      frames=getattr(image, "n_frames", 1), mode=image.mode)
  stream.seek(position)
  return head


def _orientation(image):
  """Returns the value of the tag of orientation, 1 where there is none or an impossible one."""
  if image.format != "TIFF" and _ORIENTATION_KEYS.isdisjoint(image.info):
    return 1
  try:
    value = Image.Image.getexif(image).get(ExifTags.Base.Orientation)
  except Exception:  # Damaged Exif data do not make an image unreadable.
    return 1
  return value if value in _UPRIGHT else 1


def _pixels(image, head):
  """Returns `[height, width, 3]` uint8, as Pillow decodes it."""
  factor = _GREY_FACTORS.get(image.tile[0].args) if image.format == "PNG" and image.tile else None
  image.load()
  if factor and "transparency" in image.info:
    image.info["transparency"] *= factor
  to_srgb = head.space.of_image if head.space else lambda opaque: opaque.convert("RGB")
  if not head.transparent:
    return np.array(to_srgb(image))
  rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
  is_grey = image.mode in ("1", "L", "LA", "La")
  opaque = to_srgb(rgba.convert("L" if is_grey else "RGB"))
  opaque.putalpha(rgba.getchannel("A"))
  white = Image.new("RGBA", opaque.size, "white")
  return np.array(Image.alpha_composite(white, opaque).convert("RGB"))


def _deep_pixels(image, data, head, bit_depth):
  """Returns `[height, width, 3]` float32 in [0, 1]."""
  samples = depth.read(image, data)
  has_alpha = samples.shape[-1] in (2, 4)
  colours = samples[..., :-1] if has_alpha else samples
  values = depth.scaled(colours, head.depth, bit_depth=bit_depth)
  if head.space:
    values = head.space.of_values(values)
  if has_alpha:
    alpha = samples[..., -1:] / np.float32(head.depth.maximum)
    values = values * alpha + (1 - alpha)
  elif "transparency" in image.info:
    clear = (samples == np.uint16(image.info["transparency"])).all(axis=-1, keepdims=True)
    values = np.where(clear, np.float32(1), values)
  return np.array(np.broadcast_to(values, (*values.shape[:-1], 3)))
