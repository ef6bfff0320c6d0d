"""Weighted sums of red, green and blue."""

from keras import ops

# ITU-R BT.601 luma, which MATLAB's rgb2gray, and so both papers' code, computes from RGB.
LUMA = (0.299, 0.587, 0.114)

# The same luma within its range in 8-bit video, 16 to 235 of 255: MATLAB's rgb2ycbcr.
STUDIO_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
STUDIO_BLACK = 16 / 255


def plane(images, weights):
  """Returns `images` [batch, height, width, 3] weighted by colour, [batch, height, width]."""
  # Not a product of matrices: some devices multiply those in a shorter format.
  return ops.sum(images * ops.convert_to_tensor(weights, "float32"), axis=-1)
