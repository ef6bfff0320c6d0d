"""Which colours the numbers of an image file mean."""

import functools

import numpy as np

from perceptual.data.images import boxes, icc, png, srgb

# Code points of ITU-T H.273: primaries by its table 2, exponents of transfer curves by table 3.
_UNSPECIFIED = 2
_PRIMARIES = {
    1: ("", srgb.PRIMARIES),
    _UNSPECIFIED: ("", srgb.PRIMARIES),
    9: ("BT.2020", (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)),
    11: ("DCI P3", (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    12: ("Display P3", (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
}
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}
_LIKE_SRGB = (1, _UNSPECIFIED, 6, 13, 14, 15)  # the curves of video are shown as sRGB's is
_HDR = {16: "PQ", 18: "HLG"}

# gAMA: encoders write 0.45455 for sRGB, whose curve is not a power (PNG, third edition, 11.3.2.5),
# and libpng treats values within 5% of it as the same.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 0.45455, 0.05


def declared(image, stream):
  """Returns the `srgb.Space` of an opened image, or None where its numbers are those of sRGB.

  What says nothing is sRGB. Of what a PNG file says, code points go before a profile, that before
  a declaration of sRGB, and that before a gamma (PNG, third edition, 4.3).

  Args:
    image: a `PIL.ImageFile.ImageFile`; of a PNG, with what `png.complete_info` adds.
    stream: its file.

  Raises:
    ValueError: if its colours are not understood, or of high dynamic range.
  """
  code_points = _code_points(image, stream)
  if code_points:
    return _of_code_points(*code_points)
  profile = image.info.get("icc_profile")
  if image.format == "JPEG2000":
    profile = boxes.jpeg2000_profile(stream)
  if profile and image.mode != "LAB":  # which means the same colours everywhere
    return icc.space(bytes(profile), image.mode)
  if image.format != "PNG" or "srgb" in image.info:
    return None
  return _of_gamma(image.info.get("gamma"), image.info.get("chromaticity"))


def _code_points(image, stream):
  """Returns the code points of the primaries and of the transfer curve, or None."""
  if image.format == "PNG":
    data = image.info.get(png.CODE_POINTS, b"")
    return tuple(data[:2]) if len(data) >= 2 else None
  if image.format == "AVIF" and "icc_profile" not in image.info:
    return boxes.avif_code_points(stream)
  return None


def _of_code_points(primaries, transfer):
  if transfer in _HDR:
    raise ValueError(f"{_HDR[transfer]}, of high dynamic range, has no single look in sRGB; "
                     "convert it first")
  if primaries not in _PRIMARIES or transfer not in (*_LIKE_SRGB, *_EXPONENTS):
    raise ValueError(f"colours of the code points {primaries} and {transfer} are not understood")
  name, chromaticities = _PRIMARIES[primaries]
  exponent = _EXPONENTS.get(transfer)
  words = f"gamma {exponent:g}" if exponent else ""
  return _calibrated(f"{name} {words}".strip(), exponent, chromaticities)


def _of_gamma(gamma, chromaticities):
  """Returns the `Space` of a PNG's gAMA and cHRM, either of which may be None."""
  if not gamma and not chromaticities:
    return None
  words = " and ".join(filter(None, (gamma and "gAMA", chromaticities and "cHRM")))
  is_srgb_gamma = not gamma or abs(gamma / _SRGB_GAMMA - 1) <= _GAMMA_TOLERANCE
  if is_srgb_gamma and (not gamma or not chromaticities
                        or np.allclose(chromaticities, srgb.PRIMARIES, atol=1e-3)):
    exponent = None
  else:
    exponent = 1 / gamma
  return _calibrated(words, exponent, chromaticities or srgb.PRIMARIES)


@functools.lru_cache(maxsize=16)
def _calibrated(words, exponent, chromaticities):
  """Returns the `Space` of an exponent, or None for the curve of sRGB, and of primaries."""
  curve = srgb.decode if exponent is None else lambda values: values ** np.float32(exponent)
  try:
    with np.errstate(all="ignore"):
      matrix = srgb.from_xyz(srgb.primaries_in_xyz(chromaticities))
  except np.linalg.LinAlgError:
    matrix = np.full((3, 3), np.nan)
  if not np.isfinite(matrix).all():
    return srgb.ignored(f"impossible {words} ignored")
  space = srgb.shaped(f"{words} converted to sRGB", [curve] * 3, matrix)
  return None if srgb.is_srgb(space, "RGB") else space
