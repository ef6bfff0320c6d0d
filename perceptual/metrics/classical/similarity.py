"""The similarity of two non-negative quantities that SSIM and FSIM are both built from."""

from keras import ops


def similarity(a, b, constant):
  """Returns `(2 a b + constant) / (a^2 + b^2 + constant)`, elementwise: 1 where a = b, else less.

  Written as the difference from 1, so that it is exactly 1 where a = b, and keeps its digits where
  they nearly are.
  """
  return 1.0 - ops.square(a - b) / (ops.square(a) + ops.square(b) + constant)
