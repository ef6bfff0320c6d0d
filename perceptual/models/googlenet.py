"""GoogLeNet as torchvision has it, with every inception module as a feature tap.

Szegedy et al., "Going Deeper with Convolutions" (arXiv 1409.4842), with batch normalisation;
torchvision/models/googlenet.py, whose kernels of 3x3 in place of 5x5 are the published weights'.
The auxiliary classifiers, which only training uses, are not here.
"""

import functools

import keras

from perceptual.models import layers, taps, torch_layers

# Module: the channels of its branches. The first is one 1x1 convolution; the second and the third
# are a 1x1 and a 3x3; the last is a max-pool and a 1x1.
_MODULES = {
    "inception3a": (64, (96, 128), (16, 32), 32),
    "inception3b": (128, (128, 192), (32, 96), 64),
    "inception4a": (192, (96, 208), (16, 48), 64),
    "inception4b": (160, (112, 224), (24, 64), 64),
    "inception4c": (128, (128, 256), (24, 64), 64),
    "inception4d": (112, (144, 288), (32, 64), 64),
    "inception4e": (256, (160, 320), (32, 128), 128),
    "inception5a": (256, (160, 320), (32, 128), 128),
    "inception5b": (384, (192, 384), (48, 128), 128),
}
MODULES = tuple(_MODULES)
# The modules that a max-pool follows, to its window.
_POOL_AFTER = {"inception3b": 3, "inception4e": 2}


def googlenet(*, width=1.0, num_classes=1000, dropout=0.2, kernel_initializer="he_normal",
              transform_input=True, image_size=None, batch_norm_momentum=0.9,
              batch_norm_epsilon=1e-3, synchronized_batch_norm=False, name="googlenet"):
  """Builds a GoogLeNet with the taps `conv1`, `conv3`, and `inception3a` to `inception5b`.

  Of an image of side n the first tap has side (n + 1) // 2, and after each of four max-pools half
  of the one before, rounded down, but up before 5a: 64x64 images give maps of 32 (`conv1`), 16
  (`conv3`), 8 (3a, 3b), 4 (4a to 4e) and 2 (5a, 5b). The smallest image is 15x15.

  Variables are named by place: `conv1_conv/kernel`, `conv1_conv_bn/gamma`,
  `inception3a_branch2_1_conv/kernel`, `logits/kernel`.

  Args:
    width: the multiple of the channels of every layer but the last, > 0.
    num_classes: the number of logits; 0 for the taps alone.
    dropout: the fraction of the pooled features dropped in training, in [0, 1).
    kernel_initializer: how the weights begin, all but those of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    transform_input: whether images normalised by ImageNet's mean and deviation are normalised to
      [-1, 1] instead, as torchvision does for the published weights.
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
  image = layers.image_input(image_size)
  x = torch_layers.MinimumSize(15, image_side=15, name="minimum_size")(image)
  x = torch_layers.transform_input(x, transform_input)
  conv = functools.partial(
      torch_layers.basic_conv, width=width, norm=norm, kernel_initializer=kernel_initializer)
  x = conv(x, 64, 7, stride=2, padding=3, name="conv1")
  features = {"conv1": taps.Tap(stride=2, name="conv1")(x)}
  x = torch_layers.max_pool(features["conv1"], 3, stride=2, ceil_mode=True, name="pool1")
  x = conv(x, 64, 1, name="conv2")
  x = conv(x, 192, 3, padding=1, name="conv3")
  x = features["conv3"] = taps.Tap(stride=4, name="conv3")(x)
  x = torch_layers.max_pool(x, 3, stride=2, ceil_mode=True, name="pool2")
  stride = 8
  for module, branches in _MODULES.items():
    x = _inception(x, branches, conv=conv, name=module)
    x = features[module] = taps.Tap(stride=stride, name=module)(x)
    if module in _POOL_AFTER:
      x = torch_layers.max_pool(
          x, _POOL_AFTER[module], stride=2, ceil_mode=True, name=f"{module}_pool")
      stride *= 2
  logits = {}
  if num_classes:
    logits["logits"] = torch_layers.pooled_logits(x, num_classes, dropout=dropout)
  return keras.Model(image, {**logits, **features}, name=name)


def _inception(x, branches, *, conv, name):
  first, (second_1x1, second), (third_1x1, third), last = branches
  pooled = torch_layers.max_pool(x, 3, stride=1, padding=1, name=f"{name}_branch4_0")
  return keras.layers.Concatenate(axis=-1, name=f"{name}_concatenate")([
      conv(x, first, 1, name=f"{name}_branch1"),
      conv(conv(x, second_1x1, 1, name=f"{name}_branch2_0"), second, 3, padding=1,
           name=f"{name}_branch2_1"),
      conv(conv(x, third_1x1, 1, name=f"{name}_branch3_0"), third, 3, padding=1,
           name=f"{name}_branch3_1"),
      conv(pooled, last, 1, name=f"{name}_branch4_1")])
