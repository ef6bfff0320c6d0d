"""The network: residual blocks at the small size, then doublings, after Johnson et al. 2016."""

import keras
from keras import ops

from perceptual.models import layers

DOUBLINGS = {4: 2, 8: 3}  # scale -> how often the size is doubled
LEAST_SIDE = 5  # of an input, in pixels: a border of four is mirrored
_CHANNELS = 64
_BLOCKS = 4
_MOMENTUM, _EPSILON = 0.9, 1e-5  # PyTorch's defaults: its momentum of 0.1 is what is taken anew


@keras.saving.register_keras_serializable("perceptual")
class ReflectedBorder(keras.layers.Layer):
  """Pads maps by their own pixels, mirrored at the border without repeating it."""

  def __init__(self, width, **options):
    super().__init__(**options)
    self.width = width

  def call(self, inputs):
    border = (self.width, self.width)
    return ops.pad(inputs, ((0, 0), border, border, (0, 0)), mode="reflect")

  def get_config(self):
    return {**super().get_config(), "width": self.width}


def build(scale, channels=_CHANNELS):
  """Builds the network.

  Convolutions begin as PyTorch's do, uniform up to 1 / sqrt(fan-in); their biases at zero.

  Args:
    scale: 4 or 8, how much larger the output is.
    channels: of all layers between.

  Returns:
    A functional `keras.Model` from `[batch, height, width, 3]` in [0, 1], at least 5 pixels a side,
    to `[batch, scale * height, scale * width, 3]` in (0, 1). At the study's 64 channels it has
    401,865 trainable weights at 4 times the size and 438,921 at 8 times.
  """
  image = keras.Input((None, None, 3), name="image")
  x = _conv_norm(image, channels, 9, "conv_in")
  x = keras.layers.ReLU(name="relu_in")(x)
  for number in range(1, _BLOCKS + 1):
    x = _residual_block(x, channels, f"block{number}")
  for number in range(1, DOUBLINGS[scale] + 1):
    x = keras.layers.UpSampling2D(2, interpolation="nearest", name=f"double{number}")(x)
    x = _conv_norm(x, channels, 3, f"up{number}")
    x = keras.layers.ReLU(name=f"relu_up{number}")(x)
  x = _conv_norm(x, 3, 9, "conv_out")
  x = keras.layers.Activation("tanh", name="tanh")(x)
  return keras.Model(image, (x + 1) / 2, name=f"super_resolution_x{scale}")


def _residual_block(inputs, channels, name):
  x = _conv_norm(inputs, channels, 3, f"{name}_conv1")
  x = keras.layers.ReLU(name=f"{name}_relu")(x)
  x = _conv_norm(x, channels, 3, f"{name}_conv2")
  return keras.layers.Add(name=f"{name}_add")([inputs, x])


def _conv_norm(x, channels, size, name):
  """A convolution that keeps the size, by a mirrored border, and batch normalisation."""
  x = ReflectedBorder(size // 2, name=f"{name}_border")(x)
  x = keras.layers.Conv2D(
      channels, size, kernel_initializer=keras.initializers.VarianceScaling(
          1 / 3, mode="fan_in", distribution="uniform"), name=name)(x)
  return layers.BatchNormalization(
      momentum=_MOMENTUM, epsilon=_EPSILON, name=f"{name}_norm")(x)
