"""Inception v3 as torchvision has it, with every mixed module up to 6e as a feature tap.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (arXiv 1512.00567);
torchvision/models/inception.py. The auxiliary classifier, which only training uses, is not here.
"""

import dataclasses
import functools

import keras

from perceptual.models import layers, taps, torch_layers


@dataclasses.dataclass(frozen=True)
class Conv:
  """A convolution of a mixed module: padded to keep the size, or with a stride and no padding.

  Attributes:
    name: its name in its module.
    filters: its output channels.
    kernel_size: the side of its kernel, or (height, width).
    stride: its stride.
  """

  name: str
  filters: int
  kernel_size: int | tuple
  stride: int = 1


_AVERAGE_POOL, _MAX_POOL = "average_pool", "max_pool"

# A module is a tuple of branches, which are concatenated. A branch is a chain of convolutions and
# pools; where it has a tuple of two convolutions, it forks into both, which are concatenated.


def _module_a(pool_filters):
  return (
      (Conv("branch1x1", 64, 1),),
      (Conv("branch5x5_1", 48, 1), Conv("branch5x5_2", 64, 5)),
      (Conv("branch3x3dbl_1", 64, 1), Conv("branch3x3dbl_2", 96, 3),
       Conv("branch3x3dbl_3", 96, 3)),
      (_AVERAGE_POOL, Conv("branch_pool", pool_filters, 1)),
  )


_MODULE_B = (
    (Conv("branch3x3", 384, 3, stride=2),),
    (Conv("branch3x3dbl_1", 64, 1), Conv("branch3x3dbl_2", 96, 3),
     Conv("branch3x3dbl_3", 96, 3, stride=2)),
    (_MAX_POOL,),
)


def _module_c(filters):
  return (
      (Conv("branch1x1", 192, 1),),
      (Conv("branch7x7_1", filters, 1), Conv("branch7x7_2", filters, (1, 7)),
       Conv("branch7x7_3", 192, (7, 1))),
      (Conv("branch7x7dbl_1", filters, 1), Conv("branch7x7dbl_2", filters, (7, 1)),
       Conv("branch7x7dbl_3", filters, (1, 7)), Conv("branch7x7dbl_4", filters, (7, 1)),
       Conv("branch7x7dbl_5", 192, (1, 7))),
      (_AVERAGE_POOL, Conv("branch_pool", 192, 1)),
  )


_MODULE_D = (
    (Conv("branch3x3_1", 192, 1), Conv("branch3x3_2", 320, 3, stride=2)),
    (Conv("branch7x7x3_1", 192, 1), Conv("branch7x7x3_2", 192, (1, 7)),
     Conv("branch7x7x3_3", 192, (7, 1)), Conv("branch7x7x3_4", 192, 3, stride=2)),
    (_MAX_POOL,),
)

_MODULE_E = (
    (Conv("branch1x1", 320, 1),),
    (Conv("branch3x3_1", 384, 1),
     (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1)))),
    (Conv("branch3x3dbl_1", 448, 1), Conv("branch3x3dbl_2", 384, 3),
     (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1)))),
    (_AVERAGE_POOL, Conv("branch_pool", 192, 1)),
)

# Those with taps, and those past the last tap, which only the logits need.
_TAPPED = {
    "Mixed_5b": _module_a(32),
    "Mixed_5c": _module_a(64),
    "Mixed_5d": _module_a(64),
    "Mixed_6a": _MODULE_B,
    "Mixed_6b": _module_c(128),
    "Mixed_6c": _module_c(160),
    "Mixed_6d": _module_c(160),
    "Mixed_6e": _module_c(192),
}
_LAST = {
    "Mixed_7a": _MODULE_D,
    "Mixed_7b": _MODULE_E,
    "Mixed_7c": _MODULE_E,
}
MODULES = {**_TAPPED, **_LAST}


def convolutions(module):
  """Returns the `Conv`s of one of `MODULES`, a list."""
  steps = [step for branch in MODULES[module] for step in branch]
  ends = [fork for step in steps if isinstance(step, tuple) for fork in step]
  return [step for step in (*steps, *ends) if isinstance(step, Conv)]


def inception_v3(*, width=1.0, num_classes=1000, dropout=0.5, kernel_initializer="he_normal",
                 transform_input=True, image_size=None, batch_norm_momentum=0.9,
                 batch_norm_epsilon=1e-3, synchronized_batch_norm=False, name="inception_v3"):
  """Builds an Inception v3 with taps from `Conv2d_2b_3x3` to `Mixed_6e`.

  They are `Conv2d_2b_3x3`, `Conv2d_4a_3x3` and `Mixed_5b` to `Mixed_6e`, with strides 2, 4, 8 (5b
  to 5d) and 16 (6a to 6e). Nothing pads the first layers, so that maps are smaller than the image
  divided by these: 64x64 images give 29x29, 12x12, 5x5 and 2x2, 299x299 images 147x147, 71x71,
  35x35 and 17x17. The smallest image is 43x43, and 75x75 with logits.

  Variables are named by place: `Conv2d_1a_3x3_conv/kernel`, `Conv2d_1a_3x3_conv_bn/gamma`,
  `Mixed_5b_branch1x1_conv/kernel`, `logits/kernel`.

  Args:
    width: the multiple of the channels of every layer but the last, > 0.
    num_classes: the number of logits; 0 for the taps alone, without the modules past `Mixed_6e`.
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
  conv = functools.partial(
      torch_layers.basic_conv, width=width, norm=norm, kernel_initializer=kernel_initializer)
  image = layers.image_input(image_size)
  x = torch_layers.MinimumSize(43, image_side=43, with_logits=75 if num_classes else None,
                        name="minimum_size")(image)
  x = torch_layers.transform_input(x, transform_input)
  x, features = _stem(x, conv)
  stride = 8
  for module, branches in _TAPPED.items():
    stride = 16 if module == "Mixed_6a" else stride
    x = _mixed(x, branches, conv=conv, name=module)
    x = features[module] = taps.Tap(stride=stride, name=module)(x)
  logits = {}
  if num_classes:
    x = torch_layers.MinimumSize(3, image_side=75, name="minimum_size_of_Mixed_6e")(x)
    for module, branches in _LAST.items():
      x = _mixed(x, branches, conv=conv, name=module)
    logits["logits"] = torch_layers.pooled_logits(x, num_classes, dropout=dropout)
  return keras.Model(image, {**logits, **features}, name=name)


def _stem(x, conv):
  """Applies the layers before the first mixed module; returns its map and a dict of its taps."""
  x = conv(x, 32, 3, stride=2, name="Conv2d_1a_3x3")
  x = conv(x, 32, 3, name="Conv2d_2a_3x3")
  x = conv(x, 64, 3, padding=1, name="Conv2d_2b_3x3")
  early = taps.Tap(stride=2, name="Conv2d_2b_3x3")(x)
  x = torch_layers.max_pool(early, 3, stride=2, name="maxpool1")
  x = conv(x, 80, 1, name="Conv2d_3b_1x1")
  x = conv(x, 192, 3, name="Conv2d_4a_3x3")
  late = taps.Tap(stride=4, name="Conv2d_4a_3x3")(x)
  x = torch_layers.max_pool(late, 3, stride=2, name="maxpool2")
  return x, {"Conv2d_2b_3x3": early, "Conv2d_4a_3x3": late}


def _mixed(x, branches, *, conv, name):
  return keras.layers.Concatenate(axis=-1, name=f"{name}_concatenate")(
      [end for branch in branches for end in _branch(x, branch, conv, name)])


def _branch(x, steps, conv, name):
  """Applies the steps of a branch; returns its one map, or the two of a fork at its end."""
  for step in steps[:-1]:
    x = _step(x, step, conv, name)
  last = steps[-1] if isinstance(steps[-1], tuple) else steps[-1:]
  return [_step(x, step, conv, name) for step in last]


def _step(x, step, conv, name):
  if step == _AVERAGE_POOL:
    return torch_layers.average_pool(x, 3, stride=1, padding=1, name=f"{name}_{step}")
  if step == _MAX_POOL:
    return torch_layers.max_pool(x, 3, stride=2, name=f"{name}_{step}")
  return conv(x, step.filters, step.kernel_size, stride=step.stride,
              padding=_padding(step), name=f"{name}_{step.name}")


def _padding(step):
  if step.stride > 1:
    return 0
  sides = step.kernel_size if isinstance(step.kernel_size, tuple) else (step.kernel_size,) * 2
  return tuple((side - 1) // 2 for side in sides)
