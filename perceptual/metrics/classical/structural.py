"""SSIM and MS-SSIM: the similarity of local means, contrasts and structures.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity" (IEEE TIP 2004): a Gaussian window of 11x11 pixels and standard deviation 1.5,
K1 = 0.01, K2 = 0.03, averaged over the positions where the window lies inside the image.
Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment"
(Asilomar 2003): five scales.

`tf.image.ssim`, `keras.ops.image.ssim` and `skimage.metrics.structural_similarity` (with
`gaussian_weights=True, sigma=1.5, use_sample_covariance=False`) compute the same SSIM, and the
tests hold this one to them. It is written out because MS-SSIM needs its contrast term and users its
map, on every backend: Keras returns neither; TensorFlow's is of TensorFlow alone, and the gradient
of its MS-SSIM is NaN where a scale is uncorrelated (tensorflow#50400).
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from perceptual import errors
from perceptual.metrics.classical import planes
from perceptual.metrics.classical.index import Index
from perceptual.metrics.classical.similarity import similarity

WINDOW = 11
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2

# The exponents of Wang et al. 2003, from the finest scale to the coarsest.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(channels="rgb", crop=0):
  """Returns SSIM. Higher is better; -1 to 1.

  Images are compared at their own size: the downsampling to about 256 pixels that a later version
  of Wang's code suggests is left to the caller, as in the libraries above. The map is the index at
  each window's centre, averaged over channels; the 5 pixels along each border, where no window
  fits, and those of `crop` repeat the nearest one.

  Args:
    channels: `rgb`, the mean of the index over red, green and blue, as in the libraries above;
      `luma`, the index of the Y of MATLAB's rgb2ycbcr, as super-resolution papers have it; or
      `grey`, that of MATLAB's rgb2gray, as in Wang's experiments.
    crop: how many pixels of each border are left out, as many as the scale in those papers.

  Raises:
    UserError: an option is none of these.
  """
  planes.require(channels, crop)
  return Index(
      "ssim", {"channels": channels, "crop": crop}, lower_is_better=False,
      smallest_side=WINDOW + 2 * crop,
      embed=functools.partial(_moments_of_images, channels=channels, crop=crop),
      between=_mean_index, size_note=f" with crop={crop}" if crop else "",
      spatial_map=functools.partial(_index_map, crop=crop))


def ms_ssim(scales=5, channels="rgb"):
  """Returns MS-SSIM. Higher is better; 0 to 1.

  The contrast-and-structure terms of all scales and the SSIM of the coarsest, each averaged over
  positions, raised to its weight, and multiplied. A negative average counts as zero, as in
  `tf.image.ssim_multiscale`, for its power is not real. From scale to scale the image is halved by
  the mean of 2x2 pixels; an odd last row or column is repeated, as in Wang's code.

  Args:
    scales: how many scales, 1 to 5. The paper's 5 need images of at least 161 pixels a side;
      64x64 pixels have room for 3. With fewer than 5, the weights of the finest ones are scaled to
      the sum of all five: numbers of the same range, but not the paper's MS-SSIM.
    channels: as for `ssim`; the mean over channels is taken last.

  Raises:
    UserError: an option is none of these.
  """
  errors.require_integer("scales", scales)
  if scales > len(SCALE_WEIGHTS):
    raise errors.UserError(f"scales must be at most {len(SCALE_WEIGHTS)}, not {scales}.")
  planes.require(channels)
  finest = SCALE_WEIGHTS[:scales]
  weights = tuple(weight * sum(SCALE_WEIGHTS) / sum(finest) for weight in finest)
  fewer = "".join(f", {_smallest_side(n)} as ms-ssim:scales={n}" for n in range(scales - 1, 0, -1))
  return Index(
      "ms-ssim", {"scales": scales, "channels": channels}, lower_is_better=False,
      smallest_side=_smallest_side(scales),
      embed=functools.partial(_moments_at_scales, scales=scales, channels=channels),
      between=functools.partial(_product_over_scales, weights=weights),
      size_note=f" with scales={scales}{fewer}")


def _smallest_side(scales):
  """The least side that still holds the window at the coarsest scale, halves being rounded up."""
  return (WINDOW - 1) * 2**(scales - 1) + 1


class Moments(NamedTuple):
  """Planes, and their local means and variances where the window fits."""

  planes: Any
  mean: Any
  variance: Any


def _moments_of_images(images, *, channels, crop=0):
  return _moments(planes.planes(images, channels, crop))


def _moments_at_scales(images, *, scales, channels):
  pyramid = [planes.planes(images, channels)]
  for _ in range(scales - 1):
    pyramid.append(_halved(pyramid[-1]))
  return tuple(_moments(level) for level in pyramid)


def _mean_index(moments_0, moments_1):
  luminance, contrast = _terms(moments_0, moments_1)
  return ops.mean(luminance * contrast, axis=(1, 2, 3))


def _index_map(moments_0, moments_1, *, crop):
  luminance, contrast = _terms(moments_0, moments_1)
  return _with_border(ops.mean(luminance * contrast, axis=-1), WINDOW // 2 + crop)


def _product_over_scales(moments_0, moments_1, *, weights):
  terms = [_terms(*pair) for pair in zip(moments_0, moments_1)]
  coarsest_luminance, coarsest_contrast = terms[-1]
  maps = [contrast for _, contrast in terms[:-1]] + [coarsest_luminance * coarsest_contrast]
  by_channel = math.prod(_power(ops.mean(at_scale, axis=(1, 2)), weight)
                         for at_scale, weight in zip(maps, weights))
  return ops.mean(by_channel, axis=-1)


def _moments(levels):
  """Returns the `Moments` of planes `[batch, height, width, planes]`."""
  # A variance is the small difference of two large numbers, in float32. It does not depend on the
  # average of the plane, so that is taken out of them first.
  average = ops.mean(levels, axis=(1, 2), keepdims=True)
  centred = levels - average
  mean = _windowed(centred)
  return Moments(levels, mean + average, _variance(ops.square(centred), mean))


def _terms(moments_0, moments_1):
  """Returns the luminance term and the contrast-and-structure term, [batch, h, w, channels].

  The latter, `(2 covariance + C2) / (variance_0 + variance_1 + C2)`, is written with the variance
  of the difference: exactly 1 for identical images, and precise for nearly identical ones.
  """
  variance_of_difference = _variance(ops.square(moments_0.planes - moments_1.planes),
                                     moments_0.mean - moments_1.mean)
  contrast = 1.0 - variance_of_difference / (moments_0.variance + moments_1.variance + C2)
  return similarity(moments_0.mean, moments_1.mean, C1), contrast


def _variance(squares, mean):
  """The local variance from the squares and the local mean; rounding leaves none below zero."""
  return ops.maximum(_windowed(squares) - ops.square(mean), 0.0)


def _windowed(levels):
  """Weighted means over the window, where it fits: [batch, h - 10, w - 10, channels]."""
  offsets = np.arange(WINDOW) - WINDOW // 2
  weights = np.exp(-np.square(offsets / SIGMA) / 2)
  weights = (weights / weights.sum()).astype(np.float32)
  channels = levels.shape[-1]
  for shape in ((WINDOW, 1, 1, 1), (1, WINDOW, 1, 1)):  # the Gaussian is separable
    kernel = np.tile(weights.reshape(shape), (1, 1, channels, 1))
    levels = ops.depthwise_conv(levels, kernel, padding="valid", data_format="channels_last")
  return levels


def _halved(levels):
  """The mean of every 2x2 pixels; of those that there are, at the end of an odd side."""
  return ops.average_pool(levels, 2, strides=2, padding="same", data_format="channels_last")


def _power(base, exponent):
  """`max(base, 0) ** exponent` for an exponent below 1, with a finite gradient at zero too."""
  positive = base > 0
  return ops.where(positive, ops.power(ops.where(positive, base, 1.0), exponent), 0.0)


def _with_border(maps, border):
  """Repeats the outermost values of `[batch, h, w]` for so many pixels on every side."""
  for axis in (1, 2):
    length = ops.shape(maps)[axis]
    nearest = ops.clip(ops.arange(length + 2 * border) - border, 0, length - 1)
    maps = ops.take(maps, nearest, axis=axis)
  return maps
