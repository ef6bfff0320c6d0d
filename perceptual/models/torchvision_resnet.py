"""ResNets and a ResNeXt as torchvision has them, with the stem and every layer as a feature tap.

He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), with the stride of a
bottleneck on its 3x3 convolution; Xie et al., "Aggregated Residual Transformations for Deep Neural
Networks" (arXiv 1611.05431); torchvision/models/resnet.py. Those of Kumar et al., which differ in
their padding and projections, are in `resnet.py`.
"""

import dataclasses
import functools

import keras

from perceptual import errors
from perceptual.models import layers, taps, torch_layers

_STEM_CHANNELS = 64
_CHANNELS = (64, 128, 256, 512)


@dataclasses.dataclass(frozen=True)
class Variant:
  """A network of four layers of blocks.

  Attributes:
    blocks: the blocks of each layer.
    convolutions: those of each block: 2 of 3x3, or 3, where a 3x3 stands between two of 1x1, the
      last of which has four times the layer's channels.
    groups: the groups of a bottleneck's 3x3 convolution.
    group_channels: the channels of each group in the first layer, which double from layer to layer.
  """

  blocks: tuple
  convolutions: int
  groups: int = 1
  group_channels: int = 64


VARIANTS = {
    "resnet18": Variant((2, 2, 2, 2), convolutions=2),
    "resnet50": Variant((3, 4, 6, 3), convolutions=3),
    "resnext50_32x4d": Variant((3, 4, 6, 3), convolutions=3, groups=32, group_channels=4),
}


def torchvision_resnet(variant, *, width=1.0, num_classes=1000, dropout=0.0,
                       kernel_initializer="he_normal", image_size=None, batch_norm_momentum=0.9,
                       batch_norm_epsilon=1e-5, synchronized_batch_norm=False, name=None):
  """Builds a ResNet or ResNeXt with the taps `relu`, of the stem, and `layer1` to `layer4`.

  Their strides are 2, 4, 8, 16 and 32, and their sides those of the image divided by them, rounded
  up. Images may be of any size.

  Variables are named by place: `conv1/kernel`, `layer1_0_conv1/kernel`, `layer1_0_conv1_bn/gamma`,
  `layer2_0_downsample/kernel`, `logits/kernel`.

  Args:
    variant: one of `VARIANTS`.
    width: the multiple of the channels of every layer but the last, > 0. Groups stay as many, each
      of at least one channel.
    num_classes: the number of logits; 0 for the taps alone.
    dropout: the fraction of the pooled features dropped in training, in [0, 1).
    kernel_initializer: how the weights begin, all but those of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    image_size: the side or (height, width) of the images, in pixels; None for any.
    batch_norm_momentum: the share of the old value in an update of the moving statistics, in
      [0, 1): 1 less PyTorch's momentum.
    batch_norm_epsilon: what is added to variances, > 0.
    synchronized_batch_norm: whether training batches are normalised by the statistics of all
      replicas together rather than of each one's share (TensorFlow alone).
    name: the model's name; None for the variant's.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already normalised,
    to a dict: `logits`, `[batch, num_classes] float32` (unless num_classes is 0), and each tap.

  Raises:
    UserError: an unknown variant or an illegal option.
  """
  if variant not in tuple(VARIANTS):
    raise errors.unknown("ResNet of torchvision", variant, VARIANTS)
  torch_layers.check_options(width=width, num_classes=num_classes, dropout=dropout,
                      kernel_initializer=kernel_initializer)
  norm = torch_layers.batch_norm(momentum=batch_norm_momentum, epsilon=batch_norm_epsilon,
                          synchronized=synchronized_batch_norm)
  conv_bn = functools.partial(
      torch_layers.conv_bn, norm=norm, kernel_initializer=kernel_initializer)
  image = layers.image_input(image_size)
  x = conv_bn(
      image, torch_layers.scaled(_STEM_CHANNELS, width), 7, stride=2, padding=3, name="conv1")
  x = keras.layers.ReLU(name="conv1_relu")(x)
  features = {"relu": taps.Tap(stride=2, name="relu")(x)}
  x = torch_layers.max_pool(features["relu"], 3, stride=2, padding=1, name="pool1")
  for number, count in enumerate(VARIANTS[variant].blocks, start=1):
    tap = f"layer{number}"
    for block in range(count):
      x = _block(x, VARIANTS[variant], number, width=width,
                 stride=2 if number > 1 and block == 0 else 1, conv_bn=conv_bn,
                 name=f"{tap}_{block}")
    x = features[tap] = taps.Tap(stride=2 ** (number + 1), name=tap)(x)
  logits = {}
  if num_classes:
    logits["logits"] = torch_layers.pooled_logits(x, num_classes, dropout=dropout)
  return keras.Model(image, {**logits, **features}, name=name or variant)


def _block(x, variant, number, *, width, stride, conv_bn, name):
  """Applies a block's convolutions, adds the shortcut, and a ReLU."""
  y = x
  convolutions = _convolutions(variant, number, width)
  for place, (filters, kernel_size, groups) in enumerate(convolutions, start=1):
    if place > 1:
      y = keras.layers.ReLU(name=f"{name}_conv{place - 1}_relu")(y)
    # The first 3x3 convolution has the stride.
    y = conv_bn(y, filters, kernel_size, stride=stride if place == variant.convolutions - 1 else 1,
                padding=kernel_size // 2, groups=groups, name=f"{name}_conv{place}")
  if stride > 1 or x.shape[-1] != y.shape[-1]:
    x = conv_bn(x, y.shape[-1], 1, stride=stride, name=f"{name}_downsample")
  y = keras.layers.Add(name=f"{name}_add")([y, x])
  return keras.layers.ReLU(name=f"{name}_relu")(y)


def _convolutions(variant, number, width):
  """Returns the channels, kernel and groups of each convolution in the blocks of a layer."""
  channels = torch_layers.scaled(_CHANNELS[number - 1], width)
  if variant.convolutions == 2:
    return ((channels, 3, 1),) * 2
  inner = variant.groups * torch_layers.scaled(variant.group_channels * 2 ** (number - 1), width)
  return (inner, 1, 1), (inner, 3, variant.groups), (4 * channels, 1, 1)
