"""Torchvision's networks: which of its modules is which of our layers, and the published files.

To add one, add a row to `TRUNKS`. Modules are those of the whole published network: also of layers
that a model may be without, such as its classifier, and the auxiliary classifiers that torchvision
trained beside GoogLeNet and Inception v3 and no model here has. Networks, and Keras with them, are
imported only when a row's modules are asked for.
"""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial

VERSION = "IMAGENET1K_V1"


@dataclasses.dataclass(frozen=True)
class Trunk:
  """A network of torchvision's.

  Attributes:
    make_modules: takes nothing and returns `modules`.
    file: the name of the file of its weights, `VERSION`.
    old_names: names that the file has but torchvision's module no longer has: a regular expression,
      and what `re.sub` makes of it. None where there are none.
  """

  make_modules: Callable
  file: str
  old_names: tuple | None = None

  @functools.cached_property
  def modules(self):
    """Our layers to torchvision's modules, a dict."""
    return self.make_modules()


def _vgg(depth, *, batch_norm=False):
  """VGG's layers by the place that torchvision gives them, ReLUs and max-pools counted."""
  from perceptual.models import vgg

  modules, place = {}, 0
  for stage, count in enumerate(vgg.VARIANTS[depth], start=1):
    for number in range(1, count + 1):
      modules[f"conv{stage}_{number}"] = f"features.{place}"
      if batch_norm:
        place += 1
        modules[f"conv{stage}_{number}_bn"] = f"features.{place}"
      place += 2
    place += 1
  return {**modules, "fc6": "classifier.0", "fc7": "classifier.3", "logits": "classifier.6"}


def _resnet(variant):
  """A ResNet's layers; only the first block of a layer may have a projection, `downsample`."""
  from perceptual.models import torchvision_resnet

  variant = torchvision_resnet.VARIANTS[variant]
  modules = {"conv1": "conv1", "conv1_bn": "bn1"}
  for layer, count in enumerate(variant.blocks, start=1):
    modules[f"layer{layer}_0_downsample"] = f"layer{layer}.0.downsample.0"
    modules[f"layer{layer}_0_downsample_bn"] = f"layer{layer}.0.downsample.1"
    for block in range(count):
      for place in range(1, variant.convolutions + 1):
        modules[f"layer{layer}_{block}_conv{place}"] = f"layer{layer}.{block}.conv{place}"
        modules[f"layer{layer}_{block}_conv{place}_bn"] = f"layer{layer}.{block}.bn{place}"
  return {**modules, "logits": "fc"}


def _densenet():
  """DenseNet's layers: torchvision's have the same names, with dots."""
  from perceptual.models import densenet

  dense_layers = [f"denseblock{block}.denselayer{layer}"
                  for block, count in enumerate(densenet.BLOCKS, start=1)
                  for layer in range(1, count + 1)]
  names = [
      "conv0", "norm0", "norm5",
      *(f"{layer}.{part}" for layer in dense_layers
        for part in ("norm1", "conv1", "norm2", "conv2")),
      *(f"transition{number}.{part}" for number in range(1, len(densenet.BLOCKS))
        for part in ("norm", "conv"))]
  return {**{name.replace(".", "_"): f"features.{name}" for name in names}, "logits": "classifier"}


def _basic_convs(modules):
  """The two layers of each of torchvision's `BasicConv2d`, ours to its module."""
  return {layer: module for ours, theirs in modules.items() for layer, module in (
      (f"{ours}_conv", f"{theirs}.conv"), (f"{ours}_conv_bn", f"{theirs}.bn"))}


def _efficientnet(variant):
  """An EfficientNet's layers; the first stage's blocks, which do not expand, lack a module."""
  from perceptual.models import efficientnet

  modules = _conv_bn("stem_conv", "features.0")
  stages = zip(efficientnet.STAGES, efficientnet.stage_blocks(variant))
  for number, (stage, blocks) in enumerate(stages, start=1):
    parts = ("expand", "depthwise", "se", "project")[stage.expansion == 1:]
    for block in range(blocks):
      for place, part in enumerate(parts):
        ours = f"stage{number}_block{block + 1}_{part}"
        theirs = f"features.{number}.{block}.block.{place}"
        modules |= _squeeze_excite(ours, theirs) if part == "se" else _conv_bn(ours, theirs)
  head = f"features.{len(efficientnet.STAGES) + 1}"
  return {**modules, **_conv_bn("head_conv", head), "logits": "classifier.1"}


def _conv_bn(ours, theirs):
  return {ours: f"{theirs}.0", f"{ours}_bn": f"{theirs}.1"}


def _squeeze_excite(ours, theirs):
  return {f"{ours}_reduce": f"{theirs}.fc1", f"{ours}_expand": f"{theirs}.fc2"}


def _googlenet():
  """GoogLeNet's layers, and the auxiliary classifiers."""
  from perceptual.models import googlenet

  return {
      **_basic_convs({name: name for name in ("conv1", "conv2", "conv3")}),
      **_basic_convs({f"{module}_{branch.replace('.', '_')}": f"{module}.{branch}"
                      for module in googlenet.MODULES for branch in _GOOGLENET_BRANCHES}),
      "logits": "fc",
      **_basic_convs({name: f"{name}.conv" for name in _GOOGLENET_AUXILIARY}),
      **{f"{name}_{layer}": f"{name}.{layer}"
         for name in _GOOGLENET_AUXILIARY for layer in ("fc1", "fc2")},
  }


def _inception_v3():
  """Inception v3's layers, and the auxiliary classifier."""
  from perceptual.models import inception

  return {
      **_basic_convs({name: name for name in (
          "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")}),
      **_basic_convs({
          f"{module}_{conv.name}": f"{module}.{conv.name}"
          for module in inception.MODULES for conv in inception.convolutions(module)}),
      "logits": "fc",
      **_basic_convs({f"AuxLogits_{name}": f"AuxLogits.{name}" for name in ("conv0", "conv1")}),
      "AuxLogits_fc": "AuxLogits.fc",
  }


_ALEXNET = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "logits": "classifier.6",
}

_SQUEEZENET_FIRES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
_SQUEEZENET = {
    "conv1": "features.0",
    **{f"fire{fire}_{part}": f"features.{place}.{part}"
       for fire, place in _SQUEEZENET_FIRES.items()
       for part in ("squeeze", "expand1x1", "expand3x3")},
    "conv10": "classifier.1",
}

_GOOGLENET_BRANCHES = ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1")
_GOOGLENET_AUXILIARY = ("aux1", "aux2")

# DenseNet's file is older than torchvision's rule that no name of a module has a dot.
_DENSENET_OLD_NAMES = (r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2")

TRUNKS = {
    "alexnet": Trunk(_ALEXNET.copy, "alexnet-owt-7be5be79.pth"),
    "vgg11": Trunk(partial(_vgg, 11), "vgg11-8a719046.pth"),
    "vgg16": Trunk(partial(_vgg, 16), "vgg16-397923af.pth"),
    "vgg16_bn": Trunk(partial(_vgg, 16, batch_norm=True), "vgg16_bn-6c64b313.pth"),
    "vgg19": Trunk(partial(_vgg, 19), "vgg19-dcbb9e9d.pth"),
    "densenet121": Trunk(_densenet, "densenet121-a639ec97.pth", _DENSENET_OLD_NAMES),
    "torchvision_resnet18": Trunk(partial(_resnet, "resnet18"), "resnet18-f37072fd.pth"),
    "torchvision_resnet50": Trunk(partial(_resnet, "resnet50"), "resnet50-0676ba61.pth"),
    "resnext50_32x4d": Trunk(
        partial(_resnet, "resnext50_32x4d"), "resnext50_32x4d-7cdf4587.pth"),
    "googlenet": Trunk(_googlenet, "googlenet-1378be20.pth"),
    "inception_v3": Trunk(_inception_v3, "inception_v3_google-0cc3c7bd.pth"),
    "squeezenet1_1": Trunk(_SQUEEZENET.copy, "squeezenet1_1-b8a52dc0.pth"),
    "torchvision_efficientnet_b0": Trunk(
        partial(_efficientnet, "b0"), "efficientnet_b0_rwightman-7f5810bc.pth"),
    "torchvision_efficientnet_b7": Trunk(
        partial(_efficientnet, "b7"), "efficientnet_b7_lukemelas-c5b4e57e.pth"),
}
