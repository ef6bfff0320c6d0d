"""The U-Net, which is given the photograph and the map that it made before: refinement.

That of Mosinska et al. as rewritten by T. Zhao (topology_aware_delineation) and used by the study.
"""

import keras

from perceptual.models import layers

DIVISOR = 16  # of the sides of an image
_DOWN = (8, 16, 32, 32)
_UP = (32, 16, 8, 1)
_MOMENTUM, _EPSILON = 0.9, 1e-5  # PyTorch's defaults


def build(leak=0.0):
  """Builds the network.

  Args:
    leak: slope below zero of the activations on the way down. T. Zhao has 0.2; the study's code
      compares it the wrong way round, and so trained with plain ReLU, which is 0.

  Returns:
    A functional `keras.Model` from `[batch, height, width, 4]`, a photograph in [0, 1] and the
    previous map, sides multiples of 16, to `[batch, height, width, 1]` in (0, 1). It has 64,546
    trainable weights.
  """
  image = x = keras.Input((None, None, 4), name="image_and_map")
  skipped = []
  for number, channels in enumerate(_DOWN, start=1):
    x = _activation(leak, f"down{number}_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name=f"down{number}_border")(x)
    x = keras.layers.Conv2D(channels, 4, strides=2, use_bias=False, name=f"down{number}",
                            kernel_initializer=_kernel())(x)
    x = _norm(f"down{number}")(x)
    skipped.append(x)
  skipped.pop()  # the last is what the way up starts from
  for number, channels in enumerate(_UP, start=1):
    if number > 1:
      x = keras.layers.Concatenate(name=f"skip{number}")([x, skipped.pop()])
    x = keras.layers.ReLU(name=f"up{number}_relu")(x)
    # PyTorch's transposed convolution of 4 at stride 2 and padding 1 is Keras's "same".
    x = keras.layers.Conv2DTranspose(channels, 4, strides=2, padding="same", use_bias=False,
                                     name=f"up{number}", kernel_initializer=_kernel())(x)
    x = _norm(f"up{number}")(x)
  x = keras.layers.Activation("sigmoid", name="sigmoid")(x)
  return keras.Model(image, x, name="delineation_unet")


def _activation(leak, name):
  return keras.layers.LeakyReLU(leak, name=name) if leak else keras.layers.ReLU(name=name)


def _norm(name):
  return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=f"{name}_norm")


def _kernel():
  """PyTorch's default: uniform up to 1 / sqrt(fan-in)."""
  return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
