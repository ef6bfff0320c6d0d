"""VGG networks as torchvision has them, with the end of every stage as a feature tap.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv 1409.1556); torchvision/models/vgg.py, with and without batch normalisation. VGG-16 without
is the trunk of LPIPS-VGG.
"""

import functools

import keras

from perceptual import errors
from perceptual.models import layers, taps, torch_layers

_CHANNELS = (64, 128, 256, 512, 512)
_HIDDEN = 4096

# Depth: the 3x3 convolutions of each stage.
VARIANTS = {
    11: (1, 1, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def vgg(depth, *, width=1.0, num_classes=1000, dropout=0.5, kernel_initializer="he_normal",
        image_size=None, name=None):
  """Builds a VGG network with one tap a stage, after its last ReLU.

  A tap is named by its stage and its convolution: VGG-16's are `relu1_2`, `relu2_2`, `relu3_3`,
  `relu4_3` and `relu5_3`. Their strides are 1, 2, 4, 8 and 16, and their sides those of the image
  divided by them, rounded down. The smallest image is 16x16, and 32x32 with logits.

  Variables are named by place: `conv1_1/kernel` to `conv5_3/bias`, `fc6/kernel`, `fc7/kernel`,
  `logits/kernel`.

  Args:
    depth: one of `VARIANTS`: the number of layers with weights.
    width: the multiple of the channels of every layer but the last, > 0.
    num_classes: the number of logits; 0 for the taps alone, without the 120 million weights of the
      classifier.
    dropout: the fraction dropped in training after each hidden layer of the classifier, in [0, 1).
    kernel_initializer: how the weights begin, all but those of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    image_size: the side or (height, width) of the images, in pixels; None for any.
    name: the model's name; None for "vgg" and the depth.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already normalised,
    to a dict: `logits`, `[batch, num_classes] float32` (unless num_classes is 0), and each tap.

  Raises:
    UserError: an unknown depth or an illegal option.
  """
  conv_relu = functools.partial(
      torch_layers.conv_relu, padding=1, kernel_initializer=kernel_initializer)
  return _network(
      depth, conv_relu, width=width, num_classes=num_classes, dropout=dropout,
      kernel_initializer=kernel_initializer, image_size=image_size, name=name or f"vgg{depth}")


def vgg_bn(depth, *, width=1.0, num_classes=1000, dropout=0.5, kernel_initializer="he_normal",
           image_size=None, batch_norm_momentum=0.9, batch_norm_epsilon=1e-5,
           synchronized_batch_norm=False, name=None):
  """Builds a VGG network with a batch normalisation before every ReLU but the classifier's.

  Taps and sizes are those of `vgg`, and so are the names of variables: beside `conv1_1/kernel` and
  `conv1_1/bias` there is `conv1_1_bn/gamma`.

  Args:
    depth, width, num_classes, dropout, kernel_initializer, image_size: as `vgg` has them.
    batch_norm_momentum: the share of the old value in an update of the moving statistics, in
      [0, 1): 1 less PyTorch's momentum.
    batch_norm_epsilon: what is added to variances, > 0.
    synchronized_batch_norm: whether training batches are normalised by the statistics of all
      replicas together rather than of each one's share (TensorFlow alone).
    name: the model's name; None for "vgg", the depth and "_bn".

  Returns:
    A functional `keras.Model`, as `vgg` returns it.

  Raises:
    UserError: an unknown depth or an illegal option.
  """
  norm = torch_layers.batch_norm(momentum=batch_norm_momentum, epsilon=batch_norm_epsilon,
                          synchronized=synchronized_batch_norm)

  def conv_bn_relu(x, filters, kernel_size, *, name):
    x = torch_layers.conv(x, filters, kernel_size, padding=1, kernel_initializer=kernel_initializer,
                   name=name)
    return keras.layers.ReLU(name=f"{name}_relu")(norm(name=f"{name}_bn")(x))

  return _network(
      depth, conv_bn_relu, width=width, num_classes=num_classes, dropout=dropout,
      kernel_initializer=kernel_initializer, image_size=image_size, name=name or f"vgg{depth}_bn")


def _network(depth, conv_relu, *, width, num_classes, dropout, kernel_initializer, image_size,
             name):
  """Builds a network of any convolution that ends in a ReLU."""
  if depth not in tuple(VARIANTS):
    raise errors.unknown("VGG depth", depth, VARIANTS)
  torch_layers.check_options(width=width, num_classes=num_classes, dropout=dropout,
                      kernel_initializer=kernel_initializer)
  image = layers.image_input(image_size)
  x = torch_layers.MinimumSize(16, image_side=16, with_logits=32 if num_classes else None,
                        name="minimum_size")(image)
  features = {}
  for stage, (channels, count) in enumerate(zip(_CHANNELS, VARIANTS[depth]), start=1):
    if stage > 1:
      x = torch_layers.max_pool(x, 2, stride=2, name=f"pool{stage - 1}")
    for number in range(1, count + 1):
      x = conv_relu(x, torch_layers.scaled(channels, width), 3, name=f"conv{stage}_{number}")
    tap = f"relu{stage}_{count}"
    x = features[tap] = taps.Tap(stride=2 ** (stage - 1), name=tap)(x)
  logits = {}
  if num_classes:
    logits["logits"] = _classifier(
        x, torch_layers.scaled(_HIDDEN, width), num_classes, dropout=dropout,
        kernel_initializer=kernel_initializer)
  return keras.Model(image, {**logits, **features}, name=name)


def _classifier(x, hidden, num_classes, *, dropout, kernel_initializer):
  x = torch_layers.MinimumSize(2, image_side=32, name="minimum_size_of_stage5")(x)
  x = torch_layers.max_pool(x, 2, stride=2, name="pool5")
  x = torch_layers.AdaptiveAveragePooling(7, name="grid")(x)
  x = torch_layers.flatten(x, name="flatten")
  for name in ("fc6", "fc7"):
    x = torch_layers.dense_relu(x, hidden, kernel_initializer=kernel_initializer, name=name)
    if dropout > 0:
      x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
  return torch_layers.logits(x, num_classes)
