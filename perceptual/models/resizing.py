"""Bilinear resizing to a size that a graph may learn only as it runs: pure `keras.ops`.

`keras.ops.image.resize` refuses sizes that are tensors.
"""

from keras import ops


def bilinear(maps, size):
  """Resizes maps bilinearly between the centres of pixels, without antialiasing.

  Args:
    maps: `[batch, height, width] float32`.
    size: the new (height, width), integers or scalar tensors.

  Returns:
    `[batch, *size] float32`; the maps as they are if that is their size.
  """
  _, height, width = ops.shape(maps)
  rows = _interpolation_weights(height, size[0])
  columns = _interpolation_weights(width, size[1])
  return ops.matmul(ops.matmul(rows, maps), ops.transpose(columns))


def _interpolation_weights(length, new_length):
  """Returns the weight of each old position in each new one, [new_length, length] float32."""
  old = ops.cast(ops.arange(length), "float32")
  centres = ops.cast(ops.arange(new_length), "float32") + 0.5
  ratio = ops.cast(length, "float32") / ops.cast(new_length, "float32")
  new = ops.clip(centres * ratio - 0.5, 0.0, ops.cast(length - 1, "float32"))
  return ops.relu(1.0 - ops.absolute(ops.expand_dims(new, 1) - old))
