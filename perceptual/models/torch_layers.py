"""What torchvision's networks share: PyTorch's padding, pooling and order of axes, in Keras.

Keras's "same" padding of a strided layer depends on the size of the map; PyTorch's never does.
Everything here gives, at every size, the numbers of the PyTorch module it is named after.
"""

import functools
import math

import keras
from keras import ops

from perceptual.models import layers, preprocessing

# The user's keras.json may say otherwise; the whole package is [batch, height, width, channels].
_FORMAT = "channels_last"


@keras.saving.register_keras_serializable("perceptual")
class AdaptiveAveragePooling(keras.layers.Layer):
  """`AdaptiveAvgPool2d`: means over a fixed grid of cells, for maps of any size.

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
class MinimumSize(layers.SideCheck):
  """Lets maps through that are large enough for the windows that follow.

  Smaller ones do more than raise an error later: with oneDNN, a max-pool of a 3x3 window on a map
  of 1x1 ends TensorFlow's process.

  Args:
    side: the smallest height and width of the map, in positions.
    image_side: the smallest height and width of the image that has such a map, in pixels.
    with_logits: what an image must have for the network's classifier, if that is more: told in
      the same message.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, side, *, image_side, with_logits=None, **options):
    super().__init__(**options)
    self.side = side
    self.image_side = image_side
    self.with_logits = with_logits

  def is_legal(self, side):
    return side >= self.side

  def message(self, sides=None):
    del sides  # of a map, of which its reader knows nothing
    logits = f", or {self.with_logits} for its logits" if self.with_logits else ""
    return (f"The images are too small for this network: their sides must be at least "
            f"{self.image_side} pixels{logits}.")

  def get_config(self):
    return {**super().get_config(), "side": self.side, "image_side": self.image_side,
            "with_logits": self.with_logits}


@keras.saving.register_keras_serializable("perceptual")
class GroupedConv2D(keras.layers.Conv2D):
  """`Conv2d(..., groups=...)`: a convolution of each group of channels by kernels of its own.

  Keras gives it to XLA on TensorFlow, which compiles it anew for every size and whose gradient on
  a CPU takes hundreds of times as long as that of one convolution a group.
  """

  def convolution_op(self, inputs, kernel):
    if keras.backend.backend() != "tensorflow":
      return super().convolution_op(inputs, kernel)
    parts = (ops.split(tensor, self.groups, axis=-1) for tensor in (inputs, kernel))
    return ops.concatenate(
        [super(GroupedConv2D, self).convolution_op(*part) for part in zip(*parts)], axis=-1)


@keras.saving.register_keras_serializable("perceptual")
class TransformInput(keras.layers.Layer):
  """`transform_input=True`: images normalised by ImageNet's colours, normalised to [-1, 1] instead.

  Torchvision does so in the networks whose published weights come from elsewhere: GoogLeNet and
  Inception v3.
  """

  def call(self, inputs):
    mean = ops.convert_to_tensor(preprocessing.IMAGENET.mean, inputs.dtype)
    std = ops.convert_to_tensor(preprocessing.IMAGENET.std, inputs.dtype)
    return inputs * (std / 0.5) + (mean - 0.5) / 0.5

  def compute_output_shape(self, input_shape):
    return input_shape


def conv(x, filters, kernel_size, *, stride=1, padding=0, groups=1, use_bias=True,
         kernel_initializer="he_normal", dtype=None, name):
  """Applies `Conv2d(..., kernel_size, stride, padding, groups=groups, bias=use_bias)`.

  Args:
    x: a map `[batch, height, width, channels]`.
    filters: the output channels, a multiple of `groups`.
    kernel_size: the side of the square kernel, or a pair (height, width).
    stride: the stride.
    padding: the rows and columns of zeros on each side, or a pair (rows, columns).
    groups: the parts of the channels, in and out, that have nothing to do with each other.
    use_bias: whether there is a bias.
    kernel_initializer: as `keras.layers.Conv2D` has it.
    dtype: the layers' dtype or policy; None for the global one.
    name: the convolution's name; the layers about it are named after it.

  Returns:
    A map `[batch, (height + 2 padding - kernel_size) // stride + 1, ..., filters]`.
  """
  kernel_size, padding = _pair(kernel_size), _pair(padding)
  same = stride == 1 and all(2 * zeros == side - 1 for zeros, side in zip(padding, kernel_size))
  if any(padding) and not same:
    x = keras.layers.ZeroPadding2D(padding, data_format=_FORMAT, name=f"{name}_pad")(x)
  layer = keras.layers.Conv2D if groups == 1 else GroupedConv2D
  return layer(
      filters, kernel_size, strides=stride, padding="same" if same else "valid", groups=groups,
      use_bias=use_bias, kernel_initializer=kernel_initializer, data_format=_FORMAT, dtype=dtype,
      name=name)(x)


def conv_relu(x, filters, kernel_size, *, stride=1, padding=0, kernel_initializer="he_normal",
              dtype=None, name):
  """Applies `conv` with a bias, and a ReLU."""
  x = conv(x, filters, kernel_size, stride=stride, padding=padding,
           kernel_initializer=kernel_initializer, dtype=dtype, name=name)
  return keras.layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def conv_bn(x, filters, kernel_size, *, stride=1, padding=0, groups=1, norm, kernel_initializer,
            name):
  """Applies `conv` without a bias, and a batch normalisation that `norm` makes from a name."""
  x = conv(x, filters, kernel_size, stride=stride, padding=padding, groups=groups, use_bias=False,
           kernel_initializer=kernel_initializer, name=name)
  return norm(name=f"{name}_bn")(x)


def conv_bn_relu(x, filters, kernel_size, *, stride=1, padding=0, groups=1, norm,
                 kernel_initializer, name):
  """Applies `conv_bn` and a ReLU."""
  x = conv_bn(x, filters, kernel_size, stride=stride, padding=padding, groups=groups, norm=norm,
              kernel_initializer=kernel_initializer, name=name)
  return keras.layers.ReLU(name=f"{name}_relu")(x)


def batch_norm(*, momentum, epsilon, synchronized):
  """Returns what makes a `BatchNorm2d` from a `name`, after checking the options.

  Raises:
    UserError: an illegal option, called by its name in the networks: `batch_norm_momentum`.
  """
  layers.require_batch_norm(momentum=momentum, epsilon=epsilon, synchronized=synchronized)
  return functools.partial(
      layers.BatchNormalization, momentum=momentum, epsilon=epsilon, synchronized=synchronized)


def max_pool(x, size, *, stride, padding=0, ceil_mode=False, name):
  """Applies `MaxPool2d(size, stride, padding, ceil_mode=...)` to a map without negative values.

  Padding is by zeros here, which no maximum of such a map minds. In ceil mode a window may reach
  over the end of the map. One that reaches over by at most one position, as here, sees a row of
  zeros there; where no window reaches over, none sees it.

  Args:
    x: a map `[batch, height, width, channels]`, not negative.
    size: the side of the window; `stride` or `stride + 1` in ceil mode.
    stride: the stride, at most 2 in ceil mode.
    padding: the rows and columns on each side that a window may reach over.
    ceil_mode: whether the last positions of a map belong to a window in any case.
    name: the layer's name.

  Returns:
    A map `[batch, (height + 2 padding - size) // stride + 1, ..., channels]`; the quotient is
    rounded up in ceil mode.
  """
  if padding or ceil_mode:
    x = keras.layers.ZeroPadding2D(
        ((padding, padding + ceil_mode),) * 2, data_format=_FORMAT, name=f"{name}_pad")(x)
  return keras.layers.MaxPooling2D(
      size, strides=stride, padding="valid", data_format=_FORMAT, name=name)(x)


def average_pool(x, size, *, stride, padding=0, name):
  """Applies `AvgPool2d(size, stride, padding)`, whose means count the zeros of the padding.

  Args:
    x: a map `[batch, height, width, channels]`.
    size: the side of the window.
    stride: the stride.
    padding: the rows and columns of zeros on each side.
    name: the layer's name.

  Returns:
    A map `[batch, (height + 2 padding - size) // stride + 1, ..., channels]`.
  """
  if padding:
    x = keras.layers.ZeroPadding2D(padding, data_format=_FORMAT, name=f"{name}_pad")(x)
  return keras.layers.AveragePooling2D(
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


def basic_conv(x, filters, kernel_size, *, stride=1, padding=0, width, norm, kernel_initializer,
               name):
  """Applies the `BasicConv2d` of GoogLeNet and Inception v3, with a multiple of the channels."""
  return conv_bn_relu(
      x, scaled(filters, width), kernel_size, stride=stride, padding=padding, norm=norm,
      kernel_initializer=kernel_initializer, name=f"{name}_conv")


def transform_input(image, wanted):
  """Applies `TransformInput` if it is wanted; raises `UserError` unless `wanted` is a bool."""
  layers.require(isinstance(wanted, bool), "transform_input", wanted, must_be="True or False")
  return TransformInput(name="transform_input")(image) if wanted else image


def pooled_logits(x, num_classes, *, dropout):
  """Applies `AdaptiveAvgPool2d(1)`, dropout and the last `Linear`, all in float32."""
  x = keras.layers.GlobalAveragePooling2D(data_format=_FORMAT, dtype="float32", name="pool")(x)
  if dropout > 0:
    x = layers.Dropout(dropout, dtype="float32", name="logits_dropout")(x)
  return logits(x, num_classes)


def scaled(channels, width):
  """Returns a multiple of the published channels: the nearest integer, halves up, at least 1."""
  return max(1, math.floor(channels * width + 0.5))


def check_options(*, width, num_classes, dropout, kernel_initializer):
  """Raises `UserError` for an illegal value of an option that all these networks have."""
  layers.require_factor("width", width)
  layers.require(layers.is_integer(num_classes) and num_classes >= 0, "num_classes", num_classes,
                 must_be="an integer >= 0")
  layers.require(layers.is_number(dropout) and 0 <= dropout < 1, "dropout", dropout,
                 must_be="a number in [0, 1)")
  require_initializer(kernel_initializer)


def require_initializer(kernel_initializer):
  """Raises `UserError` unless it is an initializer of Keras."""
  try:
    keras.initializers.get(kernel_initializer)
  except ValueError:
    layers.require(False, "kernel_initializer", kernel_initializer,
                   must_be="the name of an initializer of Keras, as he_normal")


def _pair(value):
  return value if isinstance(value, tuple) else (value, value)
