"""Perceptual similarity of images, measured by the features of small image classifiers.

`perceptual.scores`, `perceptual.distances`, `perceptual.models`, ... are imported when first used, so
that `import perceptual` costs nothing.
"""

import importlib

from perceptual.version import __version__

_MODULES = ("data", "distances", "errors", "evaluation", "exporting", "metric", "models",
            "preprocessing", "scores", "training")

__all__ = ["__version__", *_MODULES]


def __getattr__(name):
  if name in _MODULES:
    return importlib.import_module(f"perceptual.{name}")
  raise AttributeError(f"module 'perceptual' has no attribute {name!r}")


def __dir__():
  return sorted([*globals(), *_MODULES])
