"""What torchvision's networks share: PyTorch's padding, pooling and order of axes, in Keras.

Keras's "same" padding of a strided layer depends on the size of the map; PyTorch's never does.
Everything here gives, at every size, the numbers of the PyTorch module it is named after.
"""

import math

import keras
from keras import ops

from perceptual import errors
from perceptual.models import layers

# The user's keras.json may say otherwise; the whole package is [batch, height, width, channels].
_FORMAT = "channels_last"


@keras.saving.register_keras_serializable("perceptual")
class AdaptiveAveragePooling(keras.layers.Layer):
  """`AdaptiveAvgPool2d`: means over a fixed grid of cells, whatever the size of the map.

  Cell i of n along an axis of length m covers the positions from floor(i m / n) to
  ceil((i + 1) m / n): cells overlap where n does not divide m. Keras's own layer needs to know the
  size of the map when a graph is built.

  Args:
    size: the cells along each side, an integer >= 1.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, size, **options):
    super().__init__(**options)
    self.size = size

  def call(self, inputs):
    _, height, width, _ = ops.shape(inputs)
    rows, columns = (self._weights(length, inputs.dtype) for length in (height, width))
    pooled = ops.einsum("ih,bhwc->biwc", rows, inputs)
    return ops.einsum("jw,biwc->bijc", columns, pooled)

  def _weights(self, length, dtype):
    """The share of each position in the mean of each cell, `[size, length]`."""
    cell = ops.expand_dims(ops.arange(self.size), 1)
    first, end = cell * length // self.size, -(-(cell + 1) * length // self.size)
    position = ops.expand_dims(ops.arange(length), 0)
    inside = ops.cast(ops.logical_and(first <= position, position < end), dtype)
    return inside / ops.sum(inside, axis=1, keepdims=True)

  def compute_output_shape(self, input_shape):
    return (input_shape[0], self.size, self.size, input_shape[-1])

  def get_config(self):
    return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("perceptual")
class MinimumSize(keras.layers.Layer):
  """Lets maps through that are large enough for the windows that follow.

  Smaller ones are no mere error in what follows: with oneDNN, a max-pool of a 3x3 window on a map
  of 1x1 ends TensorFlow's process.

  Args:
    side: the smallest height and width of the map, in positions.
    image_side: the smallest height and width of the image that has such a map, in pixels.
    **options: as `keras.layers.Layer` has them.

  Raises:
    UserError: in a call, if the map is smaller. A TensorFlow graph that learns sizes as it runs
      raises `tf.errors.InvalidArgumentError` then.
  """

  def __init__(self, side, *, image_side, **options):
    super().__init__(**options)
    self.side = side
    self.image_side = image_side

  def call(self, inputs):
    self._check(inputs.shape)
    if None in tuple(inputs.shape)[1:3]:
      return self._checked_as_it_runs(inputs)
    return inputs

  def compute_output_spec(self, inputs):
    self._check(inputs.shape)
    return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

  def get_config(self):
    return {**super().get_config(), "side": self.side, "image_side": self.image_side}

  def _check(self, shape):
    if any(side is not None and side < self.side for side in tuple(shape)[1:3]):
      error = errors.UserError(self._message())
      error._keras_call_info_injected = True  # else Keras wraps it into a page about its arguments
      raise error

  def _checked_as_it_runs(self, inputs):
    import tensorflow as tf  # the only backend whose graphs do not know their sizes

    large_enough = tf.debugging.assert_greater_equal(
        tf.reduce_min(tf.shape(inputs)[1:3]), self.side, message=self._message())
    with tf.control_dependencies([large_enough]):
      return tf.identity(inputs)

  def _message(self):
    return (f"The images are too small for this network: their sides must be at least "
            f"{self.image_side} pixels.")


def conv_relu(x, filters, kernel_size, *, stride=1, padding=0, kernel_initializer="he_normal",
              dtype=None, name):
  """Applies `Conv2d(..., kernel_size, stride, padding)` and a ReLU.

  Args:
    x: a map `[batch, height, width, channels]`.
    filters: the output channels.
    kernel_size: the side of the square kernel.
    stride: the stride.
    padding: the rows and columns of zeros on each side.
    kernel_initializer: as `keras.layers.Conv2D` has it.
    dtype: the layers' dtype or policy; None for the global one.
    name: the convolution's name; the layers about it are named after it.

  Returns:
    A map `[batch, (height + 2 padding - kernel_size) // stride + 1, ..., filters]`.
  """
  same = stride == 1 and 2 * padding == kernel_size - 1
  if padding and not same:
    x = keras.layers.ZeroPadding2D(padding, data_format=_FORMAT, name=f"{name}_pad")(x)
  x = keras.layers.Conv2D(
      filters, kernel_size, strides=stride, padding="same" if same else "valid",
      kernel_initializer=kernel_initializer, data_format=_FORMAT, dtype=dtype, name=name)(x)
  return keras.layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def max_pool(x, size, *, stride, ceil_mode=False, name):
  """Applies `MaxPool2d(size, stride, ceil_mode=...)` to a map without negative values.

  In ceil mode a window may reach over the end of the map. One that reaches over by at most one
  position, as here, sees a row of zeros there, which no maximum after a ReLU minds; where no window
  reaches over, none sees it.

  Args:
    x: a map `[batch, height, width, channels]`, not negative.
    size: the side of the window; `stride + 1` in ceil mode.
    stride: the stride, at most 2 in ceil mode.
    ceil_mode: whether the last positions of a map belong to a window in any case.
    name: the layer's name.

  Returns:
    A map `[batch, (height - size) // stride + 1, ..., channels]`; the quotient is rounded up in
    ceil mode.
  """
  if ceil_mode:
    x = keras.layers.ZeroPadding2D(
        ((0, 1), (0, 1)), data_format=_FORMAT, name=f"{name}_pad")(x)
  return keras.layers.MaxPooling2D(
      size, strides=stride, padding="valid", data_format=_FORMAT, name=name)(x)


def flatten(x, *, name):
  """Applies `flatten`: a map as a vector in PyTorch's order, channels before positions."""
  x = keras.layers.Permute((3, 1, 2), name=f"{name}_channels_first")(x)
  return keras.layers.Flatten(data_format=_FORMAT, name=name)(x)


def dense_relu(x, units, *, kernel_initializer, name):
  """Applies `Linear` and a ReLU."""
  return keras.layers.Dense(
      units, activation="relu", kernel_initializer=kernel_initializer, name=name)(x)


def logits(x, num_classes):
  """Applies the last `Linear`, in float32 whatever the dtype policy."""
  return keras.layers.Dense(
      num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
      dtype="float32", name="logits")(x)


def scaled(channels, width):
  """Returns a multiple of the published channels: the nearest integer, halves up, at least 1."""
  return max(1, math.floor(channels * width + 0.5))


def check_options(*, width, num_classes, dropout, kernel_initializer):
  """Raises `UserError` for an illegal value of an option that all these networks have."""
  layers.require(layers.is_number(width) and 0 < width < math.inf, "width", width,
                 must_be="a number > 0")
  layers.require(layers.is_integer(num_classes) and num_classes >= 0, "num_classes", num_classes,
                 must_be="an integer >= 0")
  layers.require(layers.is_number(dropout) and 0 <= dropout < 1, "dropout", dropout,
                 must_be="a number in [0, 1)")
  try:
    keras.initializers.get(kernel_initializer)
  except ValueError:
    layers.require(False, "kernel_initializer", kernel_initializer,
                   must_be="the name of an initializer of Keras, as he_normal")
