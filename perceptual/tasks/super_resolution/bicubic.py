"""MATLAB's `imresize(image, scale, 'bicubic')`, which super-resolution papers shrink images by.

Its kernel is Keys's cubic with a = -0.5, widened by 1 / scale where an image is shrunk, against
aliasing; sizes are rounded up, and what lies beyond the border is mirrored. Pillow's and OpenCV's
bicubics differ by tenths of a decibel in what a network then scores.
"""

import math

import numpy as np


def resize(image, scale):
  """Returns a resized image.

  Rows are resized first, as in MATLAB; uint8 is rounded once, at the end.

  Args:
    image: `[height, width, ...]` uint8, 0 to 255, or float64, which is neither rounded nor clipped.
    scale: the factor of both sides.
  """
  resized = image.astype(np.float64)
  for axis in (0, 1):
    resized = _resized(resized, scale, axis)
  if image.dtype != np.uint8:
    return resized
  return np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8)


def _resized(image, scale, axis):
  length = image.shape[axis]
  positions, weights = _contributions(length, math.ceil(length * scale), scale)
  moved = np.moveaxis(image, axis, -1)
  return np.moveaxis(np.einsum("...ok,ok->...o", moved[..., positions], weights), -1, axis)


def _contributions(length, new_length, scale):
  """The positions that each new position is made of, and their weights: `[new_length, k]` each."""
  stretch = min(scale, 1.0)
  width = 4.0 / stretch
  centres = (np.arange(new_length) + 0.5) / scale - 0.5
  count = math.ceil(width) + 2
  positions = np.floor(centres - width / 2).astype(int)[:, np.newaxis] + np.arange(count) + 1
  weights = _cubic(stretch * (centres[:, np.newaxis] - positions))
  weights /= weights.sum(axis=1, keepdims=True)
  mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
  return mirrored[positions % (2 * length)], weights


def _cubic(x):
  """Keys's cubic convolution kernel, a = -0.5."""
  x = np.abs(x)
  near = 1.5 * x**3 - 2.5 * x**2 + 1
  far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
  return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
