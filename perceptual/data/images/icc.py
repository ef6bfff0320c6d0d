"""ICC profiles, brought to sRGB.

Images of 8 bits go through LittleCMS, Pillow's colour management. Pillow gives it no colour image
of 16 bits: for those the curves and the matrix of the profile are applied by ICC.1:2022.
"""

import functools
import io
import struct

import numpy as np
from PIL import ImageCms

from perceptual.data.images import srgb

_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's, of the profiles' colour spaces
_TAG_TABLE = 128
_LONGEST_NAME = 60


@functools.lru_cache(maxsize=16)
def space(data, mode):
  """Returns the `srgb.Space` of a profile, or None if it is that of sRGB.

  Args:
    data: the bytes of the profile.
    mode: Pillow's, of the images.
  """
  try:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    colours = profile.profile.xcolor_space.strip()
    working = _MODES.get(colours)
    if not _fits(working, mode):
      return srgb.ignored(f"{colours} profile of a {mode} image ignored")
    # LittleCMS's optimised transforms of grey are off by up to ten levels of 255 in the dark.
    flags = ImageCms.Flags.NOOPTIMIZE if working == "L" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(
        profile, ImageCms.createProfile("sRGB"), working, "RGB", flags=flags)
  except Exception:  # On damaged profiles Pillow and LittleCMS raise errors of many kinds.
    return srgb.ignored("damaged colour profile ignored")
  found = srgb.Space(
      f"{_name(profile)} converted to sRGB",
      lambda image: ImageCms.applyTransform(image.convert(working), transform),
      functools.partial(_of_values, data))
  return None if working != "CMYK" and srgb.is_srgb(found, working) else found


def _fits(working, mode):
  """Whether images of a mode have the colours of a profile; grey is a colour of RGB."""
  if working == "RGB":
    return mode != "CMYK"
  if working == "L":
    return mode.startswith(("1", "L", "I"))
  return mode == working


def _name(profile):
  words = " ".join((profile.profile.profile_description or "").split())
  return words if words.isprintable() and 0 < len(words) <= _LONGEST_NAME else "colour profile"


def _of_values(data, values):
  """Brings float values to sRGB; raises `ValueError` where the profile has tables for that."""
  tags = _tags(data)
  try:
    if b"A2B0" in tags:
      raise KeyError("A2B0")
    if b"kTRC" in tags:
      curves, matrix = [_curve(tags[b"kTRC"])] * 3, np.eye(3)
    else:
      curves = [_curve(tags[kind]) for kind in (b"rTRC", b"gTRC", b"bTRC")]
      matrix = srgb.from_xyz(
          np.stack([_fixed(tags[kind][8:20]) for kind in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=-1))
  except KeyError as error:
    raise ValueError("a colour profile with tables is not applied to images of more than 8 bits; "
                     "convert it to sRGB first") from error
  return srgb.shaped("", curves, matrix).of_values(values)


def _tags(data):
  """Returns `{signature: data}` of a profile."""
  count, = struct.unpack_from(">I", data, _TAG_TABLE)
  table = data[_TAG_TABLE + 4:_TAG_TABLE + 4 + 12 * count]
  return {kind: data[start:start + size]
          for kind, start, size in struct.iter_unpack(">4sII", table)}


def _curve(tag):
  """Returns a tone curve (`curv` or `para`, 10.6 and 10.18) as a function."""
  if tag[:4] == b"para":
    kind, = struct.unpack_from(">H", tag, 8)
    return functools.partial(_parametric, *_parameters(kind, _fixed(tag[12:])))
  count, = struct.unpack_from(">I", tag, 8)
  table = np.frombuffer(tag, ">u2", count, 12)
  if count == 0:
    return np.float32
  if count == 1:
    return functools.partial(_parametric, table[0] / 256, 1, 0, 0, 0, 0, 0)
  places = np.linspace(0, 1, count)
  return lambda values: np.float32(np.interp(values, places, table / 65535))


def _parameters(kind, given):
  """Returns the seven parameters of the general function, of which the others are cases."""
  gamma, a, b, c, d, e, f = (*given[:(1, 3, 4, 5, 7)[kind]], *[0] * 6)[:7]
  if kind == 0:
    return gamma, 1, 0, 0, 0, 0, 0
  if kind == 1:
    return gamma, a, b, 0, -b / a, 0, 0
  if kind == 2:
    return gamma, a, b, 0, -b / a, c, c
  return gamma, a, b, c, d, e, f


def _parametric(gamma, a, b, c, d, e, f, values):
  values = np.float64(values)
  power = np.maximum(a * values + b, 0) ** gamma + e
  return np.float32(np.where(values >= d, power, c * values + f))


def _fixed(data):
  """Returns numbers of s15Fixed16."""
  return np.frombuffer(data[:len(data) // 4 * 4], ">i4") / 65536
