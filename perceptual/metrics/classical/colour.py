"""Weighted sums of red, green and blue."""

from keras import ops

# ITU-R BT.601 luma, which MATLAB's rgb2gray, and so both papers' code, computes from RGB.
LUMA = (0.299, 0.587, 0.114)


def plane(images, weights):
  """Returns `images` [batch, height, width, 3] weighted by colour, [batch, height, width]."""
  # Not a product of matrices: some devices multiply those in a shorter format.
  return ops.sum(images * ops.convert_to_tensor(weights, "float32"), axis=-1)
