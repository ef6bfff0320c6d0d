"""SqueezeNet 1.1 as torchvision has it, with every fire module as a feature tap.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size"
(arXiv 1602.07360), in its authors' version 1.1; torchvision/models/squeezenet.py. The trunk of
LPIPS-Squeeze.
"""

import functools

import keras

from perceptual.models import layers, taps, torch_layers

# The channels of each fire module squeezed, and those expanded by its 1x1 and by its 3x3
# convolution; modules are counted from 2, as in the paper.
_FIRES = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}
_POOL_BEFORE = (2, 4, 6)


def squeezenet1_1(*, width=1.0, num_classes=1000, dropout=0.5, kernel_initializer="he_normal",
                  image_size=None, name="squeezenet1_1"):
  """Builds a SqueezeNet 1.1 with the taps `relu1` and `fire2` to `fire9`.

  Of an image of side n the taps have sides (n - 3) // 2 + 1, and after each of three max-pools half
  of the one before, rounded down: 64x64 images give maps of sides 31, 15, 7 and 3, with strides 2,
  4, 8 and 16. The smallest image is 17x17.

  Variables are named by place: `conv1/kernel`, `fire2_squeeze/kernel`, `fire2_expand1x1/kernel`,
  `fire2_expand3x3/kernel`, ..., `conv10/bias`.

  Args:
    width: the multiple of the channels of every layer but the last, > 0.
    num_classes: the number of logits; 0 for the taps alone.
    dropout: the fraction of the last features dropped in training, in [0, 1).
    kernel_initializer: how the weights begin, all but those of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    image_size: the side or (height, width) of the images, in pixels; None for any.
    name: the model's name.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already normalised,
    to a dict: `logits`, `[batch, num_classes] float32` (unless num_classes is 0), and each tap.

  Raises:
    UserError: an illegal option.
  """
  torch_layers.check_options(width=width, num_classes=num_classes, dropout=dropout,
                      kernel_initializer=kernel_initializer)
  image = layers.image_input(image_size)
  x = torch_layers.MinimumSize(17, image_side=17, name="minimum_size")(image)
  conv_relu = functools.partial(torch_layers.conv_relu, kernel_initializer=kernel_initializer)
  x = conv_relu(x, torch_layers.scaled(64, width), 3, stride=2, name="conv1")
  stride = 2
  x = taps.Tap(stride=stride, name="relu1")(x)
  features = {"relu1": x}
  for number, channels in _FIRES.items():
    name_of_fire = f"fire{number}"
    if number in _POOL_BEFORE:
      x = torch_layers.max_pool(x, 3, stride=2, ceil_mode=True, name=f"pool{number - 1}")
      stride *= 2
    squeezed, expanded = (torch_layers.scaled(count, width) for count in channels)
    x = _fire(x, squeezed, expanded, conv_relu=conv_relu, name=name_of_fire)
    x = features[name_of_fire] = taps.Tap(stride=stride, name=name_of_fire)(x)
  logits = {"logits": _classifier(x, num_classes, dropout)} if num_classes else {}
  return keras.Model(image, {**logits, **features}, name=name)


def _fire(x, squeezed, expanded, *, conv_relu, name):
  x = conv_relu(x, squeezed, 1, name=f"{name}_squeeze")
  return keras.layers.Concatenate(axis=-1, name=f"{name}_concatenate")([
      conv_relu(x, expanded, 1, name=f"{name}_expand1x1"),
      conv_relu(x, expanded, 3, padding=1, name=f"{name}_expand3x3")])


def _classifier(x, num_classes, dropout):
  """Applies dropout, a convolution to the classes and mean pooling; these in float32."""
  if dropout > 0:
    x = layers.Dropout(dropout, name="conv10_dropout")(x)
  x = torch_layers.conv_relu(
      x, num_classes, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
      dtype="float32", name="conv10")
  return keras.layers.GlobalAveragePooling2D(
      data_format="channels_last", dtype="float32", name="logits")(x)
