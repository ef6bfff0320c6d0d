"""Perceptual similarity of images, measured by the features of small image classifiers.

  metric = perceptual.load_metric()
  distance = metric(reference, candidate)  # [batch, height, width, 3] each -> [batch]

Public names are imported when first used, so that `import perceptual` costs nothing.
"""

import importlib

from perceptual import serialization as _serialization
from perceptual.common import backends, packages
from perceptual.version import __version__

# Public name -> the module that has it, or the module that it is.
_NAMES = {
    "load_image": "perceptual.data.images.loading",
    "load_metric": "perceptual.loading",
    "list_metrics": "perceptual.metrics.registry",
    "PerceptualLoss": "perceptual.losses",
    "PerceptualDistance": "perceptual.losses",
}
_MODULES = {
    "scores": "perceptual.evaluation.scores",
    **{name: f"perceptual.{name}" for name in (
        "comparison", "data", "errors", "evaluation", "export", "loading", "losses", "metrics",
        "models", "training", "weights")},
}
# Each needs a framework that may be missing, so that `from perceptual import *` leaves them out.
_NATIVE = {"torch": "perceptual.torch", "jax": "perceptual.jax"}
# Those that import Keras: what it runs on is chosen first.
_ON_KERAS = tuple(f"perceptual.{name}" for name in (
    "export", "loading", "losses", "metrics", "models", "training", "weights"))

__all__ = ["__version__", *_NAMES, *_MODULES]

_serialization.register_with_keras()


def __getattr__(name):
  if name in _NAMES:
    return getattr(_imported(_NAMES[name]), name)
  if name in _MODULES or name in _NATIVE:
    return _imported({**_MODULES, **_NATIVE}[name])
  raise AttributeError(f"module 'perceptual' has no attribute {name!r}")


def _imported(module):
  if module in _ON_KERAS:
    backends.choose()
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError as error:
    raise packages.explained(error) or error from None


def __dir__():
  return sorted([*globals(), *_NAMES, *_MODULES, *_NATIVE])
