"""DenseNet-121 as torchvision has it, with the stem and every dense block as a feature tap.

Huang et al., "Densely Connected Convolutional Networks" (arXiv 1608.06993);
torchvision/models/densenet.py.
"""

import functools

import keras

from perceptual.models import layers, taps, torch_layers

_STEM_CHANNELS = 64
_GROWTH = 32
BLOCKS = (6, 12, 24, 16)


def densenet121(*, width=1.0, num_classes=1000, dropout=0.0, kernel_initializer="he_normal",
                image_size=None, batch_norm_momentum=0.9, batch_norm_epsilon=1e-5,
                synchronized_batch_norm=False, name="densenet121"):
  """Builds a DenseNet-121 with the taps `relu0`, of the stem, and `denseblock1` to `denseblock4`.

  Blocks give what they concatenate, before any normalisation or ReLU. Of an image of side n the
  first tap has side (n + 1) // 2, the second half of it, rounded up, and each further one half of
  the one before, rounded down: 64x64 images give maps of sides 32, 16, 8, 4 and 2. The smallest
  image is 29x29.

  Variables are named by place: `conv0/kernel`, `norm0/gamma`,
  `denseblock1_denselayer1_conv1/kernel`, `transition1_norm/gamma`, `norm5/gamma`, `logits/kernel`.

  Args:
    width: the multiple of the stem's channels and of the growth, and so of the channels of every
      layer but the last, > 0.
    num_classes: the number of logits; 0 for the taps alone.
    dropout: the fraction of each dense layer's new features dropped in training, in [0, 1).
    kernel_initializer: how the weights begin, all but those of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    image_size: the side or (height, width) of the images, in pixels; None for any.
    batch_norm_momentum: the share of the old value in an update of the moving statistics, in
      [0, 1): 1 less PyTorch's momentum.
    batch_norm_epsilon: what is added to variances, > 0.
    synchronized_batch_norm: whether training batches are normalised by the statistics of all
      replicas together rather than of each one's share (TensorFlow alone).
    name: the model's name.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already normalised,
    to a dict: `logits`, `[batch, num_classes] float32` (unless num_classes is 0), and each tap.

  Raises:
    UserError: an illegal option.
  """
  torch_layers.check_options(width=width, num_classes=num_classes, dropout=dropout,
                      kernel_initializer=kernel_initializer)
  norm = torch_layers.batch_norm(momentum=batch_norm_momentum, epsilon=batch_norm_epsilon,
                          synchronized=synchronized_batch_norm)
  conv = functools.partial(torch_layers.conv, use_bias=False, kernel_initializer=kernel_initializer)
  image = layers.image_input(image_size)
  x = torch_layers.MinimumSize(29, image_side=29, name="minimum_size")(image)
  x = conv(x, torch_layers.scaled(_STEM_CHANNELS, width), 7, stride=2, padding=3, name="conv0")
  x = _norm_relu(x, norm, "norm0")
  features = {"relu0": taps.Tap(stride=2, name="relu0")(x)}
  x = torch_layers.max_pool(features["relu0"], 3, stride=2, padding=1, name="pool0")
  for number, count in enumerate(BLOCKS, start=1):
    tap = f"denseblock{number}"
    if number > 1:
      x = _transition(x, norm=norm, conv=conv, name=f"transition{number - 1}")
    for layer in range(1, count + 1):
      x = _dense_layer(x, torch_layers.scaled(_GROWTH, width), norm=norm, conv=conv,
                       dropout=dropout,
                       name=f"{tap}_denselayer{layer}")
    x = features[tap] = taps.Tap(stride=2 ** (number + 1), name=tap)(x)
  logits = {}
  if num_classes:
    logits["logits"] = torch_layers.pooled_logits(
        _norm_relu(x, norm, "norm5"), num_classes, dropout=0)
  return keras.Model(image, {**logits, **features}, name=name)


def _norm_relu(x, norm, name):
  return keras.layers.ReLU(name=f"{name}_relu")(norm(name=name)(x))


def _dense_layer(x, growth, *, norm, conv, dropout, name):
  """Adds channels to those that there are."""
  y = _norm_relu(x, norm, f"{name}_norm1")
  y = conv(y, 4 * growth, 1, name=f"{name}_conv1")
  y = _norm_relu(y, norm, f"{name}_norm2")
  y = conv(y, growth, 3, padding=1, name=f"{name}_conv2")
  if dropout > 0:
    y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
  return keras.layers.Concatenate(axis=-1, name=f"{name}_concatenate")([x, y])


def _transition(x, *, norm, conv, name):
  """Halves channels, height and width."""
  x = _norm_relu(x, norm, f"{name}_norm")
  x = conv(x, x.shape[-1] // 2, 1, name=f"{name}_conv")
  return torch_layers.average_pool(x, 2, stride=2, name=f"{name}_pool")
