"""MSE and PSNR: the difference of pixels."""

import functools
import math

from keras import ops

from perceptual.metrics.classical import planes
from perceptual.metrics.classical.index import Index

# PSNR of identical images is infinite, which no mean, table or score can hold: it ends here, at a
# mean squared error of 1e-10 of the squared range. A single step of one colour of one pixel of
# 8 bits stays below it in images of up to 51,000 pixels.
HIGHEST_PSNR = 100.0


def mse():
  """Returns the mean squared error of pixels in [0, 1], which the LPIPS paper calls L2.

  The mean is over pixels and colours. Lower is better; 0 to 1. Its map is the squared error,
  averaged over colours.
  """
  return Index("mse", {}, lower_is_better=True, smallest_side=1, embed=_pixels,
               between=_mean_squared_error, spatial_map=_squared_error)


def psnr(channels="rgb", crop=0):
  """Returns the peak signal-to-noise ratio in decibels, -10 log10(mean squared error).

  The peak is the whole range, 255 of 8 bits, and the mean is over pixels and colours before the
  logarithm, as in `tf.image.psnr` and `skimage.metrics.peak_signal_noise_ratio`. Higher is better;
  0 to `HIGHEST_PSNR`, which identical images get.

  Args:
    channels: `rgb`; `luma`, the Y of MATLAB's rgb2ycbcr, as super-resolution papers have it; or
      `grey`, MATLAB's rgb2gray.
    crop: how many pixels of each border are left out, as many as the scale in those papers.

  Raises:
    UserError: an option is none of these.
  """
  planes.require(channels, crop)
  return Index("psnr", {"channels": channels, "crop": crop}, lower_is_better=False,
               smallest_side=1 + 2 * crop,
               embed=functools.partial(planes.planes, channels=channels, crop=crop),
               between=_decibels, size_note=f" with crop={crop}" if crop else "")


def _pixels(images):
  return images


def _squared_error(pixels_0, pixels_1):
  return ops.mean(ops.square(pixels_0 - pixels_1), axis=-1)


def _mean_squared_error(pixels_0, pixels_1):
  return ops.mean(_squared_error(pixels_0, pixels_1), axis=(1, 2))


def _decibels(pixels_0, pixels_1):
  lowest = math.pow(10.0, -HIGHEST_PSNR / 10.0)
  return 10.0 * ops.log10(1.0 / ops.maximum(_mean_squared_error(pixels_0, pixels_1), lowest))
