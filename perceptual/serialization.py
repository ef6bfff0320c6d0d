"""Makes Keras find this package's classes by name when it loads a saved model.

Keras looks for a class of a saved model among those registered with it. A class registers itself as
its module is imported, which `import perceptual` puts off. So a stand-in is registered for each as
soon as both `perceptual` and Keras are imported: it imports the class when a model needs it.
"""

import importlib
import importlib.abc
import sys

# Functions cannot stand here, since Keras keeps what it finds: `tanh_gelu` is registered with the
# layers that come before it in every model.
_CLASSES = {
    "perceptual.losses": ("PerceptualDistance", "PerceptualLoss", "WeightedSum"),
    "perceptual.models.efficientnet": ("OnePixelConv2D",),
    "perceptual.models.expected_input": ("ExpectedInput",),
    "perceptual.models.layer_copies": ("KnownLength",),
    "perceptual.models.layers": ("BatchNormalization", "Dropout", "StochasticDepth"),
    "perceptual.models.taps": ("Tap",),
    "perceptual.models.torch_layers": (
        "AdaptiveAveragePooling", "GroupedConv2D", "MinimumSize", "TransformInput"),
    "perceptual.models.vit_layers": (
        "ClassToken", "PatchMap", "SelfAttention", "Tokens", "WholePatches"),
    "perceptual.tasks.super_resolution.network": ("ReflectedBorder",),
    "perceptual.training.optimizers": ("AdamOfKernels", "MomentumSgd", "RmsPropFromOne"),
    "perceptual.training.schedules": ("FactorAtBoundaries", "WarmUp"),
}


def register_with_keras():
  """Registers the stand-ins now if Keras is imported, or else once it is; imports nothing."""
  if "keras" in sys.modules:
    _register(sys.modules["keras"])
  elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
    sys.meta_path.insert(0, _KerasFinder())


class _StandIn:
  """Makes an object of a class from its configuration, as Keras asks the class itself."""

  def __init__(self, module, name):
    self._module = module
    self.__name__ = name

  def from_config(self, config):
    return getattr(importlib.import_module(self._module), self.__name__).from_config(config)


def _register(keras):
  registered = keras.saving.get_custom_objects()
  for module, names in _CLASSES.items():
    for name in names:
      registered.setdefault(f"perceptual>{name}", _StandIn(module, name))


class _KerasFinder(importlib.abc.MetaPathFinder):
  """Finds Keras as the other finders do, to be told when it is imported."""

  def find_spec(self, name, path=None, target=None):
    if name != "keras":
      return None
    specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
    spec = next(filter(None, specs), None)
    if spec is not None and spec.loader is not None:
      spec.loader = _RegisteringLoader(spec.loader)
    return spec


class _RegisteringLoader(importlib.abc.Loader):
  """Imports Keras by its own loader, registers, and leaves no trace."""

  def __init__(self, loader):
    self._loader = loader

  def create_module(self, spec):
    return self._loader.create_module(spec)

  def exec_module(self, module):
    module.__loader__ = module.__spec__.loader = self._loader
    self._loader.exec_module(module)
    _register(module)
