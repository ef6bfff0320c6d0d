"""ResNets for 64x64 images, with the outputs of their block groups as feature taps.

Kumar et al., "Do better ImageNet classifiers assess perceptual similarity better?" (TMLR 2022),
and their code, tensorflow/tpu pull request 991 (models/official/resnet/resnet_model.py); the
blocks are those of He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385)
with the stride of a bottleneck on its 3x3 convolution.

Where that code differs from other ResNets, it is followed:
- Convolutions with a stride are padded by (kernel - 1) / 2 zeros on each side, so that where a
  feature falls depends on the kernel alone. TensorFlow's "same", which pads the end of a map of
  even size more, serves the others and the max-pool.
- The first block of every group has a projection shortcut, even where it changes no shape (the
  first group of basic blocks), so ResNet-18 and -34 have 4,224 parameters more than torchvision's.
- Kernels start from a truncated normal of variance 1 / fan_in.
"""

import functools
import math

import keras

from perceptual import errors
from perceptual.models import layers, taps

_STEM_CHANNELS = 64
_STEM_STRIDE = 4
_GROUP_CHANNELS = (64, 128, 256, 512)

# The user's keras.json may say otherwise; the whole package is [batch, height, width, channels].
_FORMAT = "channels_last"


def conv_bn(x, filters, kernel_size, *, stride=1, norm, gamma="ones", name):
  """Applies a convolution without bias and a batch normalisation.

  Args:
    x: a map `[batch, height, width, channels]`.
    filters: the output channels.
    kernel_size: the side of the square kernel, odd.
    stride: the stride of the convolution.
    norm: makes the normalisation layer from its `gamma_initializer` and `name`.
    gamma: the initial value of the normalisation's scale, "ones" or "zeros".
    name: the convolution's name; the layers about it are named after it.

  Returns:
    A map `[batch, ceil(height / stride), ceil(width / stride), filters]`.
  """
  if stride > 1 and kernel_size > 1:
    x = keras.layers.ZeroPadding2D(
        (kernel_size - 1) // 2, data_format=_FORMAT, name=f"{name}_pad")(x)
  x = keras.layers.Conv2D(
      filters, kernel_size, strides=stride, padding="same" if stride == 1 else "valid",
      use_bias=False, kernel_initializer="variance_scaling", data_format=_FORMAT, name=name)(x)
  return norm(gamma_initializer=gamma, name=f"{name}_bn")(x)


def conv_bn_relu(x, filters, kernel_size, *, stride=1, norm, name):
  """Applies `conv_bn` and a ReLU."""
  x = conv_bn(x, filters, kernel_size, stride=stride, norm=norm, name=name)
  return keras.layers.ReLU(name=f"{name}_relu")(x)


def single_conv(x, filters, *, stride, norm, gamma, name):
  """The branch of ResNet-6's blocks: a basic block without its second convolution."""
  return conv_bn(x, filters, 3, stride=stride, norm=norm, gamma=gamma, name=f"{name}_conv1")


def basic(x, filters, *, stride, norm, gamma, name):
  """The branch of two 3x3 convolutions."""
  x = conv_bn_relu(x, filters, 3, stride=stride, norm=norm, name=f"{name}_conv1")
  return conv_bn(x, filters, 3, norm=norm, gamma=gamma, name=f"{name}_conv2")


def bottleneck(x, filters, *, stride, norm, gamma, name):
  """The branch of a 1x1, a 3x3 and a 1x1 convolution to four times as many channels."""
  x = conv_bn_relu(x, filters, 1, norm=norm, name=f"{name}_conv1")
  x = conv_bn_relu(x, filters, 3, stride=stride, norm=norm, name=f"{name}_conv2")
  return conv_bn(x, 4 * filters, 1, norm=norm, gamma=gamma, name=f"{name}_conv3")


# Depth: the branch of each block, and the blocks of each group.
VARIANTS = {
    2: (single_conv, ()),
    3: (single_conv, (1,)),
    4: (single_conv, (1, 1)),
    6: (single_conv, (1, 1, 1, 1)),
    10: (basic, (1, 1, 1, 1)),
    18: (basic, (2, 2, 2, 2)),
    34: (basic, (3, 4, 6, 3)),
    50: (bottleneck, (3, 4, 6, 3)),
    101: (bottleneck, (3, 4, 23, 3)),
    152: (bottleneck, (3, 8, 36, 3)),
    200: (bottleneck, (3, 24, 36, 3)),
}


def resnet(depth, *, width=1.0, skip_connections=True, num_classes=1000, dropout=0.0,
           image_size=None, batch_norm_momentum=0.9, batch_norm_epsilon=1e-5,
           synchronized_batch_norm=False, name=None):
  """Builds a ResNet classifier with feature taps.

  A tap `reduction_i` is the output of block group i, after its last ReLU. Its stride is 4, 8, 16
  or 32 and its channels are 64, 128, 256 or 512 times `width`, four times that from depth 50 on:
  64x64 images give maps of 16x16, 8x8, 4x4 and 2x2.

  Depths 6 and more have four groups. ResNet-6 has one block a group, of a single convolution.
  **Depths 2, 3 and 4 are defined in no source**: the papers only name them. Taken here is what
  their names and ResNet-6 suggest: the stem, the first depth - 2 of ResNet-6's groups, and the
  dense layer. So ResNet-4 has taps `reduction_1` and `reduction_2`, ResNet-3 `reduction_1` alone;
  ResNet-2 has no group, and as a metric must see something, its tap is the stem's output, `stem`.

  Variables are named by place (`group1_block1_conv1/kernel`, `group1_block1_conv1_bn/gamma`,
  `logits/bias`), so that `variable.path` depends on the options alone.

  Args:
    depth: one of `VARIANTS`: the number of layers with weights on the longest path.
    width: the multiple of the channels of every layer but the last, > 0. Channels are rounded to
      the nearest integer, halves up, and are at least 1; a bottleneck's output has four times the
      rounded number.
    skip_connections: False removes the shortcuts, their projections and the additions: the
      papers' ablation.
    num_classes: the number of logits; 0 for the taps alone.
    dropout: the fraction of the pooled features dropped in training, in [0, 1).
    image_size: the side or (height, width) of the images, in pixels; None for any size, which may
      then differ from call to call. Every size from 1x1 works, odd ones too.
    batch_norm_momentum: the share of the old value in an update of the moving statistics, in
      [0, 1).
    batch_norm_epsilon: what is added to variances, > 0.
    synchronized_batch_norm: whether training batches are normalised by the statistics of all
      replicas together rather than of each one's share (TensorFlow alone).
    name: the model's name; None for "resnet" and the depth.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already
    normalised, to a dict: `logits`, `[batch, num_classes] float32` under every dtype policy (unless
    num_classes is 0), and each tap by its name, `[batch, ceil(height / stride),
    ceil(width / stride), channels]` in the policy's compute dtype.

  Raises:
    UserError: an unknown depth or an illegal option.
  """
  if depth not in tuple(VARIANTS):
    raise errors.unknown("ResNet depth", depth, VARIANTS)
  _check_options(
      width=width, skip_connections=skip_connections, num_classes=num_classes, dropout=dropout,
      batch_norm_momentum=batch_norm_momentum, batch_norm_epsilon=batch_norm_epsilon,
      synchronized_batch_norm=synchronized_batch_norm)
  norm = functools.partial(
      layers.BatchNormalization, momentum=batch_norm_momentum, epsilon=batch_norm_epsilon,
      synchronized=synchronized_batch_norm)
  image = layers.image_input(image_size)
  x = _stem(image, _channels(_STEM_CHANNELS, width), norm)
  x, features = _groups(x, *VARIANTS[depth], width=width, skip=skip_connections, norm=norm)
  logits = {"logits": _classifier(x, num_classes, dropout)} if num_classes else {}
  return keras.Model(image, {**logits, **features}, name=name or f"resnet{depth}")


def _check_options(*, width, skip_connections, num_classes, dropout, batch_norm_momentum,
                   batch_norm_epsilon, synchronized_batch_norm):
  """Raises a `UserError` for an illegal value; `image_size` is checked where it is used."""
  require, is_number = layers.require, layers.is_number
  layers.require_factor("width", width)
  require(isinstance(skip_connections, bool), "skip_connections", skip_connections,
          must_be="True or False")
  require(layers.is_integer(num_classes) and num_classes >= 0, "num_classes", num_classes,
          must_be="an integer >= 0")
  require(is_number(dropout) and 0 <= dropout < 1, "dropout", dropout,
          must_be="a number in [0, 1)")
  layers.require_batch_norm(
      momentum=batch_norm_momentum, epsilon=batch_norm_epsilon,
      synchronized=synchronized_batch_norm)


def _channels(channels, width):
  return max(1, math.floor(channels * width + 0.5))


def _stem(image, filters, norm):
  """Applies the 7x7 convolution and the max-pool: a quarter of the height and width."""
  x = conv_bn_relu(image, filters, 7, stride=2, norm=norm, name="stem_conv")
  return keras.layers.MaxPooling2D(
      3, strides=2, padding="same", data_format=_FORMAT, name="stem_pool")(x)


def _groups(x, branch, blocks, *, width, skip, norm):
  """Applies the block groups; returns the last map and a dict of the taps."""
  stride = _STEM_STRIDE
  if not blocks:
    x = taps.Tap(stride=stride, name="stem")(x)
    return x, {"stem": x}
  features = {}
  for group, (filters, count) in enumerate(zip(_GROUP_CHANNELS, blocks), start=1):
    for block in range(1, count + 1):
      x = _block(
          x, branch, _channels(filters, width), stride=2 if group > 1 and block == 1 else 1,
          projection=block == 1, skip=skip, norm=norm, name=f"group{group}_block{block}")
    tap = f"reduction_{group}"
    x = features[tap] = taps.Tap(stride=stride, name=tap)(x)
    stride *= 2
  return x, features


def _block(x, branch, filters, *, stride, projection, skip, norm, name):
  """Applies a branch, adds the shortcut if there is one, and a ReLU.

  With a shortcut the branch's last scale starts from 0, so that a block begins as its shortcut
  alone. Without one that would make every output and gradient 0: the scale then starts from 1.
  """
  y = branch(x, filters, stride=stride, norm=norm, gamma="zeros" if skip else "ones", name=name)
  if skip and projection:
    x = conv_bn(x, y.shape[-1], 1, stride=stride, norm=norm, name=f"{name}_projection")
  if skip:
    y = keras.layers.Add(name=f"{name}_add")([y, x])
  return keras.layers.ReLU(name=f"{name}_relu")(y)


def _classifier(x, num_classes, dropout):
  """Applies mean pooling, dropout and the dense layer, in float32 whatever the dtype policy."""
  x = keras.layers.GlobalAveragePooling2D(data_format=_FORMAT, dtype="float32", name="pool")(x)
  if dropout > 0:
    x = layers.Dropout(dropout, dtype="float32", name="dropout")(x)
  return keras.layers.Dense(
      num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
      dtype="float32", name="logits")(x)
