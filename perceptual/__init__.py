"""Perceptual similarity of images, measured by the features of small image classifiers.

  metric = perceptual.load_metric()
  distance = metric(reference, candidate)  # [batch, height, width, 3] each -> [batch]

What stands here is imported when first used, so that `import perceptual` costs nothing.
"""

import importlib

from perceptual import serialization as _serialization
from perceptual.version import __version__

# Public name -> the module that has it, or the module that it is.
_NAMES = {
    "load_image": "perceptual.data.images.loading",
    "load_metric": "perceptual.loading",
    "list_metrics": "perceptual.loading",
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

__all__ = ["__version__", *_NAMES, *_MODULES]

_serialization.register_with_keras()


def __getattr__(name):
  if name in _NAMES:
    return getattr(importlib.import_module(_NAMES[name]), name)
  if name in _MODULES or name in _NATIVE:
    return importlib.import_module({**_MODULES, **_NATIVE}[name])
  raise AttributeError(f"module 'perceptual' has no attribute {name!r}")


def __dir__():
  return sorted([*globals(), *_NAMES, *_MODULES, *_NATIVE])
