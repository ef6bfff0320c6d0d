"""EfficientNets, with the last map before each stride, or torchvision's modules, as feature taps.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (arXiv
1905.11946). `efficientnet` is the one of Kumar et al., "Do better ImageNet classifiers assess
perceptual similarity better?" (TMLR 2022), which is that of tensorflow/tpu
(models/official/efficientnet); `torchvision_efficientnet` is torchvision/models/efficientnet.py.

The two have the same layers and differ in how a convolution with a stride is padded: by
TensorFlow's "same", which pads the end of a map of even size more, or by (kernel - 1) / 2 zeros on
each side. They differ in the constants of batch normalisation, in the kernels that they start from,
and, here, in the taps.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
from keras import ops

from perceptual import errors
from perceptual.models import layers, taps, torch_layers

# The user's keras.json may say otherwise; the whole package is [batch, height, width, channels].
_FORMAT = "channels_last"

# Variant: the multiples of the channels and of the blocks of `STAGES`, and the dropout.
VARIANTS = {
    "b0": (1.0, 1.0, 0.2),
    "b1": (1.0, 1.1, 0.2),
    "b2": (1.1, 1.2, 0.3),
    "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4),
    "b5": (1.6, 2.2, 0.4),
    "b6": (1.8, 2.6, 0.5),
    "b7": (2.0, 3.1, 0.5),
}

# Variants of torchvision: the share of the old value in moving statistics, and the epsilon.
TORCHVISION_VARIANTS = {
    "b0": (0.9, 1e-5),
    "b7": (0.99, 1e-3),
}


@dataclasses.dataclass(frozen=True)
class Stage:
  """Blocks of one kernel and number of channels: the first has the stride."""

  kernel_size: int
  stride: int
  expansion: int
  channels: int
  blocks: int


# As data: an initializer made once would start kernels of one shape with the same numbers.
_KERNEL_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}

_STEM_CHANNELS = 32
STAGES = (
    Stage(kernel_size=3, stride=1, expansion=1, channels=16, blocks=1),
    Stage(kernel_size=3, stride=2, expansion=6, channels=24, blocks=2),
    Stage(kernel_size=5, stride=2, expansion=6, channels=40, blocks=2),
    Stage(kernel_size=3, stride=2, expansion=6, channels=80, blocks=3),
    Stage(kernel_size=5, stride=1, expansion=6, channels=112, blocks=3),
    Stage(kernel_size=5, stride=2, expansion=6, channels=192, blocks=4),
    Stage(kernel_size=3, stride=1, expansion=6, channels=320, blocks=1),
)
_HEAD_CHANNELS = 1280
_CHANNELS_DIVISOR = 8

# The stage, 0 for the stem, whose output is a tap, to the tap's name.
_TAPS = {2: "reduction_2", 3: "reduction_3", 5: "reduction_4", 7: "reduction_5"}
_TORCHVISION_TAPS = {stage: f"features_{stage}" for stage in range(len(STAGES) + 1)}


def efficientnet(variant, *, width=1.0, depth=1.0, num_classes=1000, dropout=None,
                 survival_probability=0.8, image_size=None, batch_norm_momentum=0.9,
                 batch_norm_epsilon=1e-3, synchronized_batch_norm=False, name=None):
  """Builds an EfficientNet classifier of Kumar et al., with feature taps.

  A tap `reduction_i` is the last map before each stride, and the last one: the output of a block,
  which has no activation. Its stride is 4, 8, 16 or 32 (i from 2 to 5): 64x64 images give maps of
  16x16, 8x8, 4x4 and 2x2. B0 has 24, 40, 112 and 320 channels there.

  Variables are named by place (`stage2_block1_depthwise/kernel`, `head_conv_bn/gamma`), so that
  `variable.path` depends on the options alone.

  Args:
    variant: one of `VARIANTS`.
    width: a further multiple of the variant's channels, > 0. Channels are rounded as the code
      does it: to the nearest multiple of 8, halves up, at least 8, and up where the nearest is
      less than nine tenths. So no width gives less than 8 channels.
    depth: a further multiple of the variant's blocks in each stage, > 0, rounded up.
    num_classes: the number of logits; 0 for the taps alone, without the layers after them.
    dropout: the fraction of the pooled features dropped in training, in [0, 1); None for the
      variant's: 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5 from B0 to B7.
    survival_probability: the probability, in (0, 1], that an image keeps the branch of a last
      block in training: stochastic depth. That of the i-th of n blocks, from 0, is
      1 - (1 - survival_probability) i / n; what is kept is divided by it, so that nothing is
      scaled outside training. It concerns the blocks with a shortcut.
    image_size: the side or (height, width) of the images, in pixels; None for any size, which may
      then differ from call to call. Every size from 1x1 works, odd ones too.
    batch_norm_momentum: the share of the old value in an update of the moving statistics, in
      [0, 1). The paper's first version prints 0.9, the code 0.99.
    batch_norm_epsilon: what is added to variances, > 0.
    synchronized_batch_norm: whether training batches are normalised by the statistics of all
      replicas together rather than of each one's share (TensorFlow alone).
    name: the model's name; None for "efficientnet_" and the variant.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already
    normalised, to a dict: `logits`, `[batch, num_classes] float32` under every dtype policy
    (unless num_classes is 0), and each tap by its name, `[batch, ceil(height / stride),
    ceil(width / stride), channels]` in the policy's compute dtype.

  Raises:
    UserError: an unknown variant or an illegal option.
  """
  if variant not in tuple(VARIANTS):
    raise errors.unknown("EfficientNet", variant, VARIANTS)
  norm = torch_layers.batch_norm(momentum=batch_norm_momentum, epsilon=batch_norm_epsilon,
                          synchronized=synchronized_batch_norm)
  parts = _Parts(norm, _KERNEL_INITIALIZER, pads_sides_alike=False)
  return _network(
      variant, parts, _TAPS, width=width, depth=depth, num_classes=num_classes, dropout=dropout,
      survival_probability=survival_probability, image_size=image_size,
      name=name or f"efficientnet_{variant}")


def torchvision_efficientnet(variant, *, width=1.0, depth=1.0, num_classes=1000, dropout=None,
                             survival_probability=0.8, kernel_initializer="he_normal",
                             image_size=None, batch_norm_momentum=None,
                             batch_norm_epsilon=None, synchronized_batch_norm=False, name=None):
  """Builds an EfficientNet of torchvision, with the outputs of its modules as feature taps.

  A tap `features_i` is the output of torchvision's module `features[i]`: of the stem (0) and of
  the seven stages. Strides are 2, 2, 4, 8, 16, 16, 32 and 32. Pihlgren et al., "A Systematic
  Performance Analysis of Deep Perceptual Loss Networks" (arXiv 2302.04032), take 0, 1, 4 and 7.

  Args:
    variant: one of `TORCHVISION_VARIANTS`.
    width, depth, num_classes, dropout, survival_probability, image_size, synchronized_batch_norm:
      as `efficientnet` has them.
    kernel_initializer: how the kernels begin, all but that of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    batch_norm_momentum, batch_norm_epsilon: as `efficientnet` has them; None for the variant's:
      0.9 and 1e-5 of B0, 0.99 and 1e-3 of B7. Momentum is 1 less PyTorch's.
    name: the model's name; None for "torchvision_efficientnet_" and the variant.

  Returns:
    A functional `keras.Model`, as `efficientnet` returns it.

  Raises:
    UserError: an unknown variant or an illegal option.
  """
  if variant not in tuple(TORCHVISION_VARIANTS):
    raise errors.unknown("EfficientNet of torchvision", variant, TORCHVISION_VARIANTS)
  torch_layers.require_initializer(kernel_initializer)
  momentum, epsilon = TORCHVISION_VARIANTS[variant]
  norm = torch_layers.batch_norm(
      momentum=momentum if batch_norm_momentum is None else batch_norm_momentum,
      epsilon=epsilon if batch_norm_epsilon is None else batch_norm_epsilon,
      synchronized=synchronized_batch_norm)
  parts = _Parts(norm, kernel_initializer, pads_sides_alike=True)
  return _network(
      variant, parts, _TORCHVISION_TAPS, width=width, depth=depth, num_classes=num_classes,
      dropout=dropout, survival_probability=survival_probability, image_size=image_size,
      name=name or f"torchvision_efficientnet_{variant}")


def stage_blocks(variant, depth=1.0):
  """Returns the number of blocks of each stage of a variant, a tuple."""
  _, multiple, _ = VARIANTS[variant]
  return tuple(math.ceil(multiple * depth * stage.blocks) for stage in STAGES)


@keras.saving.register_keras_serializable("perceptual")
class OnePixelConv2D(keras.layers.Conv2D):
  """A 1x1 convolution of maps of one pixel, by a product of matrices, quicker on a CPU."""

  def convolution_op(self, inputs, kernel):
    product = ops.matmul(ops.squeeze(inputs, (1, 2)), ops.squeeze(kernel, (0, 1)))
    return ops.expand_dims(product, (1, 2))


@dataclasses.dataclass(frozen=True)
class _Parts:
  """How a code makes its convolutions: what differs between tensorflow/tpu and torchvision.

  Attributes:
    norm: makes the normalisation layer from its `name`.
    kernel_initializer: the start of kernels.
    pads_sides_alike: whether a convolution with a stride pads all sides by the same zeros.
  """

  norm: Callable
  kernel_initializer: object
  pads_sides_alike: bool

  def conv_bn(self, x, filters, kernel_size, *, stride=1, name):
    """Applies a convolution without bias and a batch normalisation."""
    x, padding = self._padded(x, kernel_size, stride, name)
    x = keras.layers.Conv2D(
        filters, kernel_size, strides=stride, padding=padding, use_bias=False,
        kernel_initializer=self.kernel_initializer, data_format=_FORMAT, name=name)(x)
    return self.norm(name=f"{name}_bn")(x)

  def conv_bn_swish(self, x, filters, kernel_size, *, stride=1, name):
    """Applies `conv_bn` and a swish, x times its sigmoid."""
    return _swish(self.conv_bn(x, filters, kernel_size, stride=stride, name=name), name)

  def depthwise_bn_swish(self, x, kernel_size, *, stride, name):
    """Applies one kernel to each channel, a batch normalisation and a swish."""
    x, padding = self._padded(x, kernel_size, stride, name)
    x = keras.layers.DepthwiseConv2D(
        kernel_size, strides=stride, padding=padding, use_bias=False,
        depthwise_initializer=self.kernel_initializer, data_format=_FORMAT, name=name)(x)
    return _swish(self.norm(name=f"{name}_bn")(x), name)

  def squeeze_excite(self, x, filters, *, name):
    """Multiplies each channel by a number in (0, 1) computed from the means of all channels."""
    y = keras.layers.GlobalAveragePooling2D(
        keepdims=True, data_format=_FORMAT, name=f"{name}_squeeze")(x)
    for step, channels, activation in (("reduce", filters, "silu"),
                                       ("expand", x.shape[-1], "sigmoid")):
      y = OnePixelConv2D(
          channels, 1, activation=activation, kernel_initializer=self.kernel_initializer,
          data_format=_FORMAT, name=f"{name}_{step}")(y)
    return keras.layers.Multiply(name=f"{name}_excite")([x, y])

  def _padded(self, x, kernel_size, stride, name):
    """Returns what a convolution is to be applied to, and its own padding."""
    if stride == 1 or not self.pads_sides_alike:
      return x, "same"
    pad = keras.layers.ZeroPadding2D(
        (kernel_size - 1) // 2, data_format=_FORMAT, name=f"{name}_pad")
    return pad(x), "valid"


def _network(variant, parts, tap_names, *, width, depth, num_classes, dropout,
             survival_probability, image_size, name):
  multiple, _, variant_dropout = VARIANTS[variant]
  dropout = variant_dropout if dropout is None else dropout
  _check_options(width=width, depth=depth, num_classes=num_classes, dropout=dropout,
                 survival_probability=survival_probability)
  channels = functools.partial(_channels, multiple=multiple * width)
  image = layers.image_input(image_size)
  x = parts.conv_bn_swish(image, channels(_STEM_CHANNELS), 3, stride=2, name="stem_conv")
  x, features = _stages(
      x, parts, tap_names, channels=channels, blocks=stage_blocks(variant, depth),
      survival_probability=survival_probability)
  outputs = {}
  if num_classes:
    x = parts.conv_bn_swish(x, channels(_HEAD_CHANNELS), 1, name="head_conv")
    outputs["logits"] = _classifier(x, num_classes, dropout)
  return keras.Model(image, {**outputs, **features}, name=name)


def _check_options(*, width, depth, num_classes, dropout, survival_probability):
  """Raises a `UserError` for an illegal value of an option that both codes' networks have."""
  require, is_number = layers.require, layers.is_number
  for option, value in (("width", width), ("depth", depth)):
    layers.require_factor(option, value)
  require(layers.is_integer(num_classes) and num_classes >= 0, "num_classes", num_classes,
          must_be="an integer >= 0")
  require(is_number(dropout) and 0 <= dropout < 1, "dropout", dropout,
          must_be="a number in [0, 1)")
  require(is_number(survival_probability) and 0 < survival_probability <= 1,
          "survival_probability", survival_probability, must_be="a number in (0, 1]")


def _channels(channels, multiple):
  exact = channels * multiple
  nearest = int(exact + _CHANNELS_DIVISOR / 2) // _CHANNELS_DIVISOR * _CHANNELS_DIVISOR
  rounded = max(_CHANNELS_DIVISOR, nearest)
  return rounded if rounded >= 0.9 * exact else rounded + _CHANNELS_DIVISOR


def _stages(x, parts, tap_names, *, channels, blocks, survival_probability):
  """Applies all blocks to the stem's output; returns the last map and a dict of the taps."""
  features, stride, done = {}, 2, 0

  def tapped(x, number):
    if number in tap_names:
      tap = tap_names[number]
      x = features[tap] = taps.Tap(stride=stride, name=tap)(x)
    return x

  x = tapped(x, 0)
  for number, (stage, count) in enumerate(zip(STAGES, blocks), start=1):
    for block in range(1, count + 1):
      x = _block(
          x, parts, stage, channels(stage.channels), stride=stage.stride if block == 1 else 1,
          drop_rate=(1 - survival_probability) * done / sum(blocks),
          name=f"stage{number}_block{block}")
      done += 1
    stride *= stage.stride
    x = tapped(x, number)
  return x, features


def _block(x, parts, stage, filters, *, stride, drop_rate, name):
  """Applies a mobile inverted bottleneck: expansion, depthwise, squeeze and excite, projection."""
  shortcut, inputs = x, x.shape[-1]
  if stage.expansion > 1:
    x = parts.conv_bn_swish(x, stage.expansion * inputs, 1, name=f"{name}_expand")
  x = parts.depthwise_bn_swish(x, stage.kernel_size, stride=stride, name=f"{name}_depthwise")
  # A quarter of the block's inputs, not of the expanded channels.
  x = parts.squeeze_excite(x, max(1, inputs // 4), name=f"{name}_se")
  x = parts.conv_bn(x, filters, 1, name=f"{name}_project")
  if stride > 1 or inputs != filters:
    return x
  if drop_rate > 0:
    x = layers.StochasticDepth(drop_rate, name=f"{name}_drop")(x)
  return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def _swish(x, name):
  return keras.layers.Activation("silu", name=f"{name}_swish")(x)


def _classifier(x, num_classes, dropout):
  """Applies mean pooling, dropout and the dense layer, in float32 whatever the dtype policy."""
  x = keras.layers.GlobalAveragePooling2D(data_format=_FORMAT, dtype="float32", name="pool")(x)
  if dropout > 0:
    x = layers.Dropout(dropout, dtype="float32", name="dropout")(x)
  return keras.layers.Dense(
      num_classes,
      kernel_initializer=keras.initializers.VarianceScaling(
          1 / 3, mode="fan_out", distribution="uniform"),
      dtype="float32", name="logits")(x)
