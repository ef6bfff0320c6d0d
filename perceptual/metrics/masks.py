"""Masks: only a part of each pair of images counts.

A mask is `[batch, height, width]`, of any dtype: 1 where a pixel counts, 0 where it does not.

A feature sees more of an image than the place that it stands for, its receptive field, so that it
is not enough to leave out the features outside a mask: those inside see what is outside. Therefore
the candidate first takes the reference's pixels there (`filled`), so that differences outside a
mask have no effect. Then each place of a feature map counts by the share of its pixels that are
inside (`mean_inside`).
"""

import numpy as np
from keras import ops

from perceptual.common import tensors
from perceptual.errors import UserError


def check(mask, images):
  """Raises `UserError` unless `mask` is one for `images`.

  While a function is traced there are no values yet: the shape alone is checked, and `conditions`
  are there for the values.

  Args:
    mask: an array or a tensor.
    images: `[batch, height, width, channels]`.
  """
  shape, expected = list(mask.shape), list(images.shape)[:3]
  if len(shape) != 3 or any(a != b and None not in (a, b) for a, b in zip(shape, expected)):
    raise UserError(f"mask: shape {shape}; that of these images is {expected}.")
  if tensors.has_values(mask):
    with tensors.computed_now():
      legal = ops.all(ops.logical_and(_is_binary(mask), _counts_something(mask)))
      legal = bool(ops.convert_to_numpy(legal))
    if not legal:
      _raise_for_values(ops.convert_to_numpy(mask))


def conditions(mask):
  """Returns what must hold of a mask whose values are not known yet: `[(bool [batch], message)]`.

  The message is a list of text and tensors.
  """
  values = ops.cast(mask, "float32")
  return [(_is_binary(mask), ["mask must be of 0 and 1; lowest and highest:",
                              ops.min(values), ops.max(values)]),
          (_counts_something(mask), ["mask: nothing counts in a sample; each needs a 1."])]


def filled(reference, candidate, mask):
  """Returns the candidate with the reference's pixels where the mask is 0.

  Args:
    reference: `[batch, height, width, channels]`.
    candidate: the same shape and dtype.
    mask: `[batch, height, width]`, 0 and 1.
  """
  inside = ops.expand_dims(ops.cast(mask, "bool"), -1)
  return ops.where(inside, candidate, reference)


def mean_inside(maps, mask):
  """Returns the mean over the places of a map, each weighted by the mask's share of it.

  Args:
    maps: `[batch, rows, columns]` float32; a place is an equal part of the image, whatever the
      network's padding.
    mask: `[batch, height, width]`, 0 and 1.

  Returns:
    `[batch]` float32: for a mask of ones the plain mean, for one without a 1 NaN.
  """
  shares = _shares(ops.cast(mask, "float32"), ops.shape(maps)[1:])
  return ops.sum(shares * maps, axis=(1, 2)) / ops.sum(shares, axis=(1, 2))


def _shares(mask, size):
  """Returns the mean of the mask over each of `size` equal parts, `[batch, rows, columns]`."""
  _, height, width = ops.shape(mask)
  rows, columns = _averaging(height, size[0]), _averaging(width, size[1])
  return ops.matmul(ops.matmul(rows, mask), ops.transpose(columns))


def _averaging(length, parts):
  """Returns the weight of each pixel in each part of a line, `[parts, length]` float32."""
  pixels = ops.cast(ops.arange(length), "float32")
  size = ops.cast(length, "float32") / ops.cast(parts, "float32")
  starts = ops.expand_dims(ops.cast(ops.arange(parts), "float32") * size, 1)
  overlap = ops.minimum(starts + size, pixels + 1.0) - ops.maximum(starts, pixels)
  return ops.relu(overlap) / size


def _is_binary(mask):
  """Whether all values of a sample's mask are 0 or 1, `[batch]` bool."""
  values = ops.cast(mask, "float32")
  return ops.all(ops.logical_or(values == 0, values == 1), axis=(1, 2))


def _counts_something(mask):
  """Whether a sample's mask has a 1, `[batch]` bool."""
  return ops.any(ops.cast(mask, "bool"), axis=(1, 2))


def _raise_for_values(mask):
  if not np.isin(mask, (0, 1)).all():
    raise UserError(f"mask: values from {mask.min():g} to {mask.max():g}; they must be 0 and 1.")
  empty = np.flatnonzero(~mask.astype(bool).any(axis=(1, 2)))
  raise UserError(f"mask: nothing counts in sample {empty[0]}; each needs a 1 at least.")
