"""The networks by name.

A network is one row of `_NETWORKS`: a builder, and the options that make it this network. To add
a family, write its builder beside `resnet.py` and give it its rows here. A row of `_WRAPPERS` is
for other people's networks, which its options name; `wrap` is the same for Python.
"""

import inspect

from perceptual import errors
from perceptual.common import backends

backends.choose()  # before Keras is imported

from perceptual.models import (  # noqa: E402
    alexnet,
    densenet,
    efficientnet,
    googlenet,
    inception,
    keras_networks,
    resnet,
    squeezenet,
    torchvision_resnet,
    vgg,
    vit,
)
from perceptual.models.wrapping import wrap as wrap  # noqa: E402

_NETWORKS = {
    **{f"resnet{depth}": (resnet.resnet, {"depth": depth, "name": f"resnet{depth}"})
       for depth in resnet.VARIANTS},
    **{f"efficientnet_{variant}": (
        efficientnet.efficientnet, {"variant": variant, "name": f"efficientnet_{variant}"})
       for variant in efficientnet.VARIANTS},
    "alexnet": (alexnet.alexnet, {"name": "alexnet"}),
    **{f"vgg{depth}": (vgg.vgg, {"depth": depth, "name": f"vgg{depth}"})
       for depth in vgg.VARIANTS},
    "vgg16_bn": (vgg.vgg_bn, {"depth": 16, "name": "vgg16_bn"}),
    "densenet121": (densenet.densenet121, {"name": "densenet121"}),
    "torchvision_resnet18": (
        torchvision_resnet.torchvision_resnet,
        {"variant": "resnet18", "name": "torchvision_resnet18"}),
    "torchvision_resnet50": (
        torchvision_resnet.torchvision_resnet,
        {"variant": "resnet50", "name": "torchvision_resnet50"}),
    "resnext50_32x4d": (
        torchvision_resnet.torchvision_resnet,
        {"variant": "resnext50_32x4d", "name": "resnext50_32x4d"}),
    "googlenet": (googlenet.googlenet, {"name": "googlenet"}),
    "inception_v3": (inception.inception_v3, {"name": "inception_v3"}),
    "squeezenet1_1": (squeezenet.squeezenet1_1, {"name": "squeezenet1_1"}),
    **{f"torchvision_efficientnet_{variant}": (
        efficientnet.torchvision_efficientnet,
        {"variant": variant, "name": f"torchvision_efficientnet_{variant}"})
       for variant in efficientnet.TORCHVISION_VARIANTS},
    **{name: (vit.vit, {"variant": name, "name": name}) for name in vit.VARIANTS},
}

_WRAPPERS = {
    "keras_file": (keras_networks.keras_file, {"name": "keras_file"}),
    "keras_applications": (keras_networks.keras_applications, {"name": "keras_applications"}),
}


def names():
  """Returns the names of all networks, a tuple of strings, each family from small to large."""
  return tuple(_NETWORKS)


def wrappers():
  """Returns the names that stand for other people's networks, which options name: a tuple."""
  return tuple(_WRAPPERS)


def network_options(name):
  """Returns the options that a network takes: a dict of option to its default.

  Raises:
    UserError: an unknown network.
  """
  builder, fixed = _network(name)
  parameters = inspect.signature(builder).parameters
  return {
      option: parameter.default
      for option, parameter in parameters.items() if option not in fixed}


def build(name, **options):
  """Builds a network, freshly initialised unless its options name weights.

  Args:
    name: one of `names()` or of `wrappers()`.
    **options: some of `network_options(name)`; documented at the family's builder
      (`resnet.resnet`).

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32`, to a dict of
    `logits`, `[batch, num_classes] float32`, and of every feature tap by its name.

  Raises:
    UserError: an unknown network or option, or an illegal value.
  """
  builder, fixed = _network(name)
  errors.require_options(name, options, network_options(name))
  return builder(**fixed, **options)


def build_at_random(name, **options):
  """Builds a network as `build` does, but without the trained weights that its options name."""
  if "weights" in network_options(name):
    options["weights"] = None
  return build(name, **options)


def _network(name):
  available = _NETWORKS | _WRAPPERS
  if name not in tuple(available):
    raise errors.unknown("network", name, available)
  return available[name]
