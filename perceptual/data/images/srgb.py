"""Colours of other curves and primaries, brought to sRGB (IEC 61966-2-1).

Values are made linear by a curve for each channel, multiplied by a matrix, and encoded by the curve
of sRGB. Colours that sRGB does not have are clipped.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from perceptual.data.images import depth

PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)  # x, y of white, red, green, blue
_D50 = np.array((0.9642, 1.0, 0.8249))  # the white of ICC profiles
_BRADFORD = np.array(
    ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)))
_SAME = 1  # levels of 255 by which what is called sRGB may differ from it: those of rounding


class Space(NamedTuple):
  """Colours other than sRGB, and how they are brought there.

  Attributes:
    note: what is done to an image, for people.
    of_image: takes a Pillow image of 8 bits without alpha; returns one of mode RGB, in sRGB.
    of_values: takes `[height, width, 1 or 3]` float32 in [0, 1]; returns three channels of sRGB.
  """

  note: str
  of_image: Callable
  of_values: Callable


def ignored(note):
  """Returns the `Space` of a declaration that cannot be followed: the numbers stay."""
  return Space(note, lambda image: image.convert("RGB"),
               lambda values: np.broadcast_to(values, (*values.shape[:-1], 3)))


def shaped(note, curves, matrix):
  """Returns the `Space` of curves and a matrix.

  Args:
    note: see `Space`.
    curves: three functions from values in [0, 1] to linear light.
    matrix: `[3, 3]`, from linear light to that of sRGB's primaries.
  """

  def of_values(values):
    channels = np.broadcast_to(values, (*values.shape[:-1], 3))
    linear = np.stack([curve(channels[..., i]) for i, curve in enumerate(curves)], axis=-1)
    return encode(linear @ np.float32(matrix).T)

  def of_image(image):
    values = depth.to_float(np.asarray(image.convert("RGB")))
    return Image.fromarray(depth.to_uint8(of_values(values)))

  return Space(note, of_image, of_values)


def decode(values):
  """Returns linear light, float32, of values in [0, 1] by the curve of sRGB."""
  values = np.float32(values)
  return np.where(values <= 0.04045, values / np.float32(12.92),
                  ((values + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4))


def encode(linear):
  """Returns values in [0, 1], float32, of linear light by the curve of sRGB."""
  linear = np.clip(np.float32(linear), 0, 1)
  return np.where(linear <= 0.0031308, linear * np.float32(12.92),
                  np.float32(1.055) * linear ** np.float32(1 / 2.4) - np.float32(0.055))


def from_xyz(columns):
  """Returns the matrix to sRGB's primaries from those whose XYZ, under D50, are the columns."""
  return np.linalg.solve(primaries_in_xyz(PRIMARIES), columns)


def primaries_in_xyz(chromaticities):
  """Returns `[3, 3]`: the XYZ under D50 of red, green and blue, in columns.

  The white is adapted by the Bradford transform, as in ICC profiles (ICC.1:2022, annex E).

  Args:
    chromaticities: x and y of white, red, green and blue.
  """
  x, y = np.reshape(chromaticities, (4, 2)).T
  white, *primaries = np.stack((x / y, np.ones(4), (1 - x - y) / y), axis=-1)
  columns = np.stack(primaries, axis=-1)
  columns = columns * np.linalg.solve(columns, white)
  scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
  return np.linalg.solve(_BRADFORD, scale @ _BRADFORD @ columns)


def is_srgb(space, mode):
  """Whether a `Space` leaves images of a mode, L or RGB, as they are, apart from rounding."""
  if mode == "L":
    probe = np.arange(256, dtype=np.uint8)[np.newaxis]
  else:
    levels = np.uint8(np.arange(0, 256, 15))
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
  image = Image.fromarray(probe)
  found = np.int16(np.asarray(space.of_image(image)))
  return np.abs(found - np.asarray(image.convert("RGB"))).max() <= _SAME
