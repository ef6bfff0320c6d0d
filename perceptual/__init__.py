"""Perceptual similarity of images, measured by the features of small image classifiers.

  metric = perceptual.load_metric()
  distance = metric(reference, candidate)  # [batch, height, width, 3] each -> [batch]

`load_metric`, `PerceptualLoss`, `PerceptualDistance` and the modules are imported when first used,
so that `import perceptual` costs nothing.
"""

import importlib

from perceptual.version import __version__

_MODULES = ("box", "classical", "comparing", "data", "distances", "errors", "evaluation",
            "exporting", "loading", "losses", "lpips", "masks", "metric", "models", "preprocessing",
            "scores", "training", "weights")
_NAMES = {"load_metric": "loading", "PerceptualLoss": "losses", "PerceptualDistance": "losses"}

__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name):
  if name in _NAMES:
    return getattr(importlib.import_module(f"perceptual.{_NAMES[name]}"), name)
  if name in _MODULES:
    return importlib.import_module(f"perceptual.{name}")
  raise AttributeError(f"module 'perceptual' has no attribute {name!r}")


def __dir__():
  return sorted([*globals(), *_NAMES, *_MODULES])
