"""Filters of images by spatial frequency: squares in the shifted Fourier plane.

Kumar et al. 2022 keep a square of side r about the zero frequency (low-pass), or remove a band
of width 2 at radius r (inverse band-pass). How they place an even square about a centre that is one
cell of the plane, and what they measure a radius by, is not stated; both are said below. The
filters are linear: what they return is not clipped.
"""

import numpy as np

from perceptual import errors


def low_pass(images, side):
  """Returns images of which a centred square of frequencies is kept.

  A square of even side holds one more negative frequency than positive ones. The real part of the
  inverse transform is taken, which halves that one: the filtered image stays real and is not moved.

  Args:
    images: `[..., height, width, channels]`, of any real dtype.
    side: of the square, in frequencies, from 1 (the mean colour alone) on; from the images' own
      side on, nothing is removed.

  Returns:
    float64 of the images' shape.
  """
  errors.require_integer("side", side)
  height, width = _size(images)
  kept = np.outer(_within(height, side), _within(width, side))
  return _filtered(images, kept)


def inverse_band_pass(images, radius, *, width=2):
  """Returns images from which a band of frequencies is removed.

  The band holds radii from `radius` to `radius + width - 1`; the radius of a frequency is the
  larger of its vertical and horizontal one, so that a band is the frame of a square.

  Args:
    images: `[..., height, width, channels]`, of any real dtype.
    radius: the band's inner radius, in cycles an image, from 0 (the mean colour) on.
    width: of the band.

  Returns:
    float64 of the images' shape.
  """
  errors.require_integer("radius", radius, at_least=0)
  errors.require_integer("width", width)
  rows, columns = (np.abs(_frequencies(length)) for length in _size(images))
  larger = np.maximum(rows[:, np.newaxis], columns)
  return _filtered(images, (larger < radius) | (larger >= radius + width))


def _size(images):
  shape = np.shape(images)
  if len(shape) < 3:
    raise errors.UserError("images must be [..., height, width, channels]. "
                           f"Received shape: {list(shape)}.")
  return shape[-3:-1]


def _frequencies(length):
  """Returns the whole frequencies of the shifted Fourier transform, zero at `length // 2`."""
  return np.arange(length) - length // 2


def _within(length, side):
  """Returns which frequencies an axis of the square holds."""
  frequencies = _frequencies(length)
  first = -(side // 2)
  return (frequencies >= first) & (frequencies < first + side)


def _filtered(images, kept):
  """Returns images of which the frequencies of a mask of the shifted plane are kept."""
  mask = np.fft.ifftshift(kept)[..., np.newaxis]
  planes = np.fft.fft2(np.asarray(images, "float64"), axes=(-3, -2))
  return np.fft.ifft2(planes * mask, axes=(-3, -2)).real
