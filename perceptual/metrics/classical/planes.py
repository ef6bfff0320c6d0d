"""What of a colour image is compared: its colours or its luma, without the border if asked."""

from keras import ops

from perceptual import errors
from perceptual.metrics.classical import colour

# `grey` is MATLAB's rgb2gray, as in Wang's experiments. `luma` is the Y of MATLAB's rgb2ycbcr,
# 16 to 235 of 255, as super-resolution papers have it; it is not rounded to 8 bits.
_WEIGHTS = {"grey": (colour.LUMA, 0.0), "luma": (colour.STUDIO_LUMA, colour.STUDIO_BLACK)}

CHANNELS = ("rgb", *_WEIGHTS)


def require(channels, crop=0):
  """Raises `UserError` for illegal options of a metric of planes."""
  if channels not in CHANNELS:
    raise errors.unknown("channels", channels, CHANNELS)
  errors.require_integer("crop", crop, at_least=0)


def planes(images, channels, crop=0):
  """Returns what is compared of images.

  Args:
    images: `[batch, height, width, 3]` float32 in [0, 1].
    channels: one of `CHANNELS`.
    crop: how many pixels of each border are left out.

  Returns:
    `[batch, height - 2 crop, width - 2 crop, planes]` float32 in [0, 1].
  """
  if crop:
    images = images[:, crop:-crop, crop:-crop, :]
  if channels == "rgb":
    return images
  weights, offset = _WEIGHTS[channels]
  return ops.expand_dims(offset + colour.plane(images, weights), -1)
