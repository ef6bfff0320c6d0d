"""FSIM and FSIMc: the similarity of phase congruency, gradients and, for FSIMc, colours.

Zhang, Zhang, Mou, Zhang, "FSIM: a feature similarity index for image quality assessment" (IEEE TIP
2011), in the details the authors' FeatureSIM.m. No kept library computes it in TensorFlow or Keras.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from perceptual.metrics.classical import colour
from perceptual.metrics.classical.index import Index
from perceptual.metrics.classical.phase_congruency import WAVELENGTHS, phase_congruency
from perceptual.metrics.classical.similarity import similarity

# The constants of the similarities of phase congruency, gradient and the two colour planes, for
# pixels of 0 to 255; and the exponent of the latter.
T1, T2, T3, T4 = 0.85, 160.0, 200.0, 200.0
LAMBDA = 0.03

# The shorter side is brought near to this many pixels, by a whole factor.
VIEWED_SIDE = 256

# From red, green and blue to luma and the colour planes I and Q.
_YIQ = (colour.LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))

# Horizontal and vertical derivative.
_SCHARR = np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]], np.float32) / 16

# Added to every pixel's weight in the average, the phase congruency. That is zero all over two
# constant images, whose index would be 0 / 0; thus it is their plain average. It is far below the
# weights of any picture.
_LEAST_WEIGHT = 1e-7

_TINY = 1e-30  # under the root of the gradient, whose slope at zero is infinite


class Features(NamedTuple):
  """What is compared of an image, each [batch, height, width] after downsampling."""

  phase_congruency: Any
  gradient: Any
  i: Any
  q: Any


def fsim():
  """Returns FSIM, of the luma alone. Higher is better; 0 to 1."""
  return _index("fsim", _luma_similarity)


def fsimc():
  """Returns FSIMc, FSIM with colour. Higher is better; 0 to 1."""
  return _index("fsimc", _luma_and_colour_similarity)


def _index(name, similarity_map):
  return Index(name, {}, lower_is_better=False, smallest_side=WAVELENGTHS[0], embed=_features,
               between=functools.partial(_weighted_mean, similarity_map=similarity_map))


def _weighted_mean(features_0, features_1, *, similarity_map):
  """The mean of a map of similarities, weighted by the larger phase congruency."""
  weights = _LEAST_WEIGHT + ops.maximum(
      features_0.phase_congruency, features_1.phase_congruency)
  weighted = weights * similarity_map(features_0, features_1)
  return ops.sum(weighted, axis=(1, 2)) / ops.sum(weights, axis=(1, 2))


def _features(images):
  """Returns the `Features` of images [batch, height, width, 3] in [0, 1]."""
  yiq = _downsampled(ops.stack([colour.plane(255.0 * images, row) for row in _YIQ], axis=-1))
  luma = yiq[..., 0]
  return Features(phase_congruency(luma), _gradient(luma), yiq[..., 1], yiq[..., 2])


def _luma_similarity(features_0, features_1):
  return (similarity(features_0.phase_congruency, features_1.phase_congruency, T1)
          * similarity(features_0.gradient, features_1.gradient, T2))


def _luma_and_colour_similarity(features_0, features_1):
  return _luma_similarity(features_0, features_1) * _colour_similarity(features_0, features_1)


def _colour_similarity(features_0, features_1):
  """The real part of the product's power: the product is negative where two colours are opposed."""
  product = (similarity(features_0.i, features_1.i, T3)
             * similarity(features_0.q, features_1.q, T4))
  not_zero = product != 0
  magnitude = ops.power(ops.where(not_zero, ops.absolute(product), 1.0), LAMBDA)
  power = ops.where(product > 0, magnitude, math.cos(math.pi * LAMBDA) * magnitude)
  return ops.where(not_zero, power, 0.0)


def _gradient(luma):
  """The magnitude of the gradient by Scharr's operator; beyond the border the image is zero."""
  kernels = np.stack([_SCHARR, _SCHARR.T], axis=-1)[:, :, np.newaxis]
  derivatives = ops.conv(ops.expand_dims(luma, -1), kernels, padding="same",
                         data_format="channels_last")
  return ops.sqrt(ops.sum(ops.square(derivatives), axis=-1) + _TINY)


def _downsampled(planes):
  """Returns the means of every block of pixels, [batch, height, width, planes]."""
  factor = _downsampling(*ops.shape(planes)[1:3])
  if isinstance(factor, int) and factor == 1:
    return planes
  rows = _block_means(planes, factor)
  return ops.swapaxes(_block_means(ops.swapaxes(rows, 1, 2), factor), 1, 2)


def _downsampling(height, width):
  """Returns the shorter side over 256, rounded, and at least 1; a tensor where a size is one."""
  if isinstance(height, int) and isinstance(width, int):
    return max(1, (2 * min(height, width) + VIEWED_SIDE) // (2 * VIEWED_SIDE))
  shorter = ops.minimum(height, width)
  return ops.maximum(1, (2 * shorter + VIEWED_SIDE) // (2 * VIEWED_SIDE))


def _block_means(planes, factor):
  """Averages `factor` rows about every `factor`-th, the first included; beyond the border is zero.

  This is MATLAB's `conv2(planes, ones(factor, 1) / factor, "same")(1:factor:end, :)`.
  """
  batch, height, width, channels = ops.shape(planes)
  blocks = (height + factor - 1) // factor
  before = ops.zeros((batch, (factor - 1) // 2, width, channels), dtype="float32")
  after = ops.zeros((batch, factor, width, channels), dtype="float32")
  padded = ops.concatenate([before, planes, after], axis=1)[:, :blocks * factor]
  return ops.mean(ops.reshape(padded, (batch, blocks, factor, width, channels)), axis=2)
