"""The autoencoder: four convolutions to a code, four transposed ones back."""

import keras

from perceptual.models import layers

# Height and width of images -> positions a side from which the decoder starts.
SIDES = {64: 1, 96: 3}
PADDED = {32: 64}  # smaller images are mirrored at their borders to a larger size
CODE = "code"
_ENCODER = (32, 64, 128, 256)
_DECODER = ((128, 5), (64, 5), (32, 6), (3, 6))  # channels and kernel of each
_START = 1024  # channels
_MOMENTUM, _EPSILON = 0.9, 1e-5  # PyTorch's defaults


def build(side, code=64):
  """Builds the autoencoder: deterministic, as the study used it (its gamma is 0).

  Args:
    side: height and width of the images, one of `SIDES`.
    code: how many numbers an image passes through.

  Returns:
    A functional `keras.Model` from `[batch, side, side, 3]` in [0, 1] to the same in (0, 1). Its
    layer `code` gives `[batch, code]`; see `encoder`.
  """
  image = x = keras.Input((side, side, 3), name="image")
  for number, channels in enumerate(_ENCODER, start=1):
    x = keras.layers.Conv2D(channels, 4, strides=2, name=f"down{number}",
                            kernel_initializer=kernel())(x)
    x = _norm(f"down{number}")(x)
    x = keras.layers.ReLU(name=f"down{number}_relu")(x)
  x = keras.layers.Flatten(name="flat")(x)
  x = keras.layers.Dense(code, name=CODE, kernel_initializer=kernel())(x)
  positions = SIDES[side]
  x = keras.layers.Dense(_START * positions**2, activation="relu", name="start",
                         kernel_initializer=kernel())(x)
  x = keras.layers.Reshape((positions, positions, _START), name="map")(x)
  for number, (channels, size) in enumerate(_DECODER, start=1):
    x = keras.layers.Conv2DTranspose(channels, size, strides=2, name=f"up{number}",
                                     kernel_initializer=kernel())(x)
    if number < len(_DECODER):
      x = _norm(f"up{number}")(x)
      x = keras.layers.ReLU(name=f"up{number}_relu")(x)
  x = keras.layers.Activation("sigmoid", name="sigmoid")(x)
  return keras.Model(image, x, name=f"autoencoder{side}")


def encoder(model):
  """Returns the part of an autoencoder from images to codes, `[batch, code]`."""
  return keras.Model(model.input, model.get_layer(CODE).output, name="encoder")


def _norm(name):
  return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=f"{name}_norm")


def kernel():
  """PyTorch's default: uniform up to 1 / sqrt(fan-in)."""
  return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
