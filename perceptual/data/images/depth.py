"""Samples of more than 8 bits, and of ranges other than 0-255, as the file has them.

Pillow has no colour image of 16 bits: it keeps the high byte of each sample, by the byte order that
its tiles name. Decoded again by the other order, the file gives the low byte. The samples of netpbm
files, which Pillow scales, are read here.
"""

import io
import re
import struct
import sys
import zlib
from typing import NamedTuple

import numpy as np

from perceptual.data.images import boxes, formats

_OTHER_ORDER = {  # of Pillow's raw modes whose samples have two bytes, which one it keeps
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA", "RGBX") for order, other in (("B", "L"), ("L", "B"))}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 258, 262, 284  # tags of TIFF 6.0
_WHITE_IS_ZERO, _SEPARATE_PLANES = 0, 2

# A 16-bit file that uses less than a sixteenth of its range holds 12 bits or fewer, or a black
# picture: only its maker knows which, and the values differ by that factor.
_SUSPECT_BITS = 12


class Depth(NamedTuple):
  """How fine the samples of a file are.

  Attributes:
    maximum: the sample that means 1, as the file declares it.
    scale: what the samples that are read here are multiplied by, of formats that are padded.
    kept: whether they are read at that depth; otherwise 8 bits of them are.
  """

  maximum: int = 255
  scale: int = 1
  kept: bool = False

  @property
  def bits(self):
    """Bits of a sample."""
    return self.maximum.bit_length()

  @property
  def may_be_less(self):
    """Whether the samples have 16 bits, of which the file may use fewer without saying so."""
    return self.kept and self.maximum == 65535


def declared(image, stream):
  """Returns the `Depth` of an opened image.

  Args:
    image: a `PIL.ImageFile.ImageFile`.
    stream: its file.

  Raises:
    ValueError: if Pillow would misread it.
  """
  return _DECLARED.get(image.format, _declared_by_pillow)(image, stream)


def _declared_by_pillow(image, stream):
  del stream
  return Depth()


def _declared_by_png(image, stream):
  del stream
  deep = any(";16" in tile.args for tile in image.tile)
  return Depth(65535, kept=True) if deep else Depth()


def _declared_by_tiff(image, stream):
  del stream
  bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
  if bits <= 8:
    return Depth()
  grey = image.mode.startswith("I;16")
  if not grey and image.tag_v2.get(_PLANAR_CONFIGURATION) == _SEPARATE_PLANES:
    raise ValueError(f"a TIFF of {bits} bits in separate planes; save it with interleaved samples")
  return Depth(2**bits - 1, kept=grey or _raw_mode(image) in _OTHER_ORDER)


def _declared_by_ppm(image, stream):
  del stream
  maximum = _netpbm_maximum(image)
  return Depth(maximum, kept=255 % maximum != 0) if maximum != 255 else Depth()


def _declared_by_jpeg2000(image, stream):
  bits = boxes.jpeg2000_bits(stream)
  if bits <= 8:
    return Depth()
  if bits > 16:
    raise ValueError(f"a JPEG 2000 of {bits} bits; at most 16 are read")
  # Pillow pads a grey image with zero bits.
  return Depth(2**bits - 1, scale=2**(16 - bits), kept=image.mode == "I;16")


def _declared_by_avif(image, stream):
  del image
  return Depth(2**boxes.avif_bits(stream) - 1)


_DECLARED = {
    "PNG": _declared_by_png,
    "TIFF": _declared_by_tiff,
    "PPM": _declared_by_ppm,
    "JPEG2000": _declared_by_jpeg2000,
    "AVIF": _declared_by_avif,
}


def read(image, data):
  """Returns the samples of an image whose depth is kept, `[height, width, channels]` uint16.

  Channels are 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha). Of a TIFF they are turned
  upright, as Pillow does it.

  Args:
    image: a `PIL.ImageFile.ImageFile`, opened and not decoded.
    data: the bytes of its file.

  Raises:
    ValueError: if the file is damaged.
    Exception: what Pillow raises on a damaged file, of many kinds.
  """
  if image.format == "PPM":
    return _netpbm_samples(image, data)
  if image.mode.startswith("I;16"):
    return _grey(image)
  if _raw_mode(image) == "LA;16B":
    return _grey_with_alpha(data)
  return _colour(image, data)


def scaled(samples, depth, *, bit_depth=None):
  """Returns samples as float32 in [0, 1].

  Args:
    samples: as `read` gives them, or some channels of them.
    depth: their `Depth`.
    bit_depth: how many bits they really have, where they may have less than 16.

  Raises:
    ValueError: if one is above what its bits allow, or all are so low in a 16-bit file that it
      likely holds fewer bits, and `bit_depth` is None.
  """
  maximum = 2**bit_depth - 1 if bit_depth is not None and depth.may_be_less else depth.maximum
  highest = int(samples.max(initial=0)) // depth.scale
  if highest > maximum:
    raise ValueError(f"a sample of {highest}, above {maximum}, the highest of "
                     f"{maximum.bit_length()} bits")
  if bit_depth is None and depth.may_be_less and 0 < highest < 2**_SUSPECT_BITS:
    raise ValueError(
        f"16-bit samples of at most {highest}: give their bit_depth, which is "
        f"{_likely_bits(highest)} if white is {2**_likely_bits(highest) - 1}, or 16 if the picture "
        "is that dark")
  return np.divide(samples, np.float32(maximum * depth.scale), dtype=np.float32)


def to_uint8(pixels):
  """Returns float pixels in [0, 1] rounded to uint8; those that are uint8 as they are."""
  return pixels if pixels.dtype == np.uint8 else np.floor(pixels * 255 + 0.5).astype(np.uint8)


def to_float(pixels):
  """Returns uint8 pixels as float32 in [0, 1]; those that are float as they are."""
  if pixels.dtype == np.uint8:
    return np.divide(pixels, np.float32(255), dtype=np.float32)
  return pixels


def _likely_bits(highest):
  return max(highest.bit_length() + highest.bit_length() % 2, 8)


def _raw_mode(image):
  args = image.tile[0].args
  return _named_order(args if isinstance(args, str) else args[0])


def _named_order(raw_mode):
  """Returns a raw mode whose byte order is that of the machine, as libtiff's is, with its name."""
  return raw_mode.replace(";16N", ";16L" if sys.byteorder == "little" else ";16B")


def _grey(image):
  samples = np.asarray(image).astype(np.uint16)
  if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
    samples = 2**image.tag_v2[_BITS_PER_SAMPLE][0] - 1 - samples
  return samples[..., np.newaxis]


def _grey_with_alpha(data):
  """Reads a PNG of 16-bit grey and alpha as one of 8-bit RGBA, whose pixels have as many bytes."""
  header = bytearray(data[12:29])  # IHDR: its type, width, height, depth, colour and methods
  header[12:14] = 8, 6
  patched = b"".join([data[:12], header, struct.pack(">I", zlib.crc32(header)), data[33:]])
  with formats.open_image(io.BytesIO(patched)) as image:
    first_and_second = np.asarray(image).astype(np.uint16)
  return first_and_second[..., ::2] << 8 | first_and_second[..., 1::2]


def _colour(image, data):
  with formats.open_image(io.BytesIO(data)) as other:
    other.tile = [_in_other_order(tile) for tile in other.tile]
    second = np.asarray(other)
  return np.asarray(image).astype(np.uint16) << 8 | second


def _in_other_order(tile):
  if isinstance(tile.args, str):
    return tile._replace(args=_OTHER_ORDER[tile.args])
  return tile._replace(args=(_OTHER_ORDER[_named_order(tile.args[0])], *tile.args[1:]))


def _netpbm_maximum(image):
  tile = image.tile[0]
  if isinstance(tile.args, str):
    return 65535 if tile.args.startswith("I;16") else 255
  return tile.args[1]


def _netpbm_samples(image, data):
  """Reads the raster of a PGM or PPM file, in digits or in bytes."""
  maximum, raster = _netpbm_maximum(image), data[image.tile[0].offset:]
  shape = (image.height, image.width, 3 if image.mode == "RGB" else 1)
  count = shape[0] * shape[1] * shape[2]
  if data[:2] in (b"P2", b"P3"):
    words = re.sub(rb"#[^\r\n]*", b"", raster).split()[:count]
    samples = np.fromiter(map(int, words), np.int64)
  else:
    dtype = np.dtype(">u2" if maximum > 255 else "u1")
    raster = raster[:count * dtype.itemsize]
    samples = np.frombuffer(raster, dtype, len(raster) // dtype.itemsize)
  if len(samples) < count:
    raise ValueError("image file is truncated")
  if samples.max() > maximum or samples.min() < 0:
    raise ValueError(f"a sample outside 0 to {maximum}")
  return samples.astype(np.uint16).reshape(shape)


