"""Published weights for Keras: converted strictly from PyTorch's files, kept in one folder.

    weights.convert("alexnet-owt-7be5be79.pth", "alexnet")  # alexnet.weights.h5, alexnet.json
    model = weights.load("alexnet")

`names()` lists what can be converted. Neither PyTorch nor torchvision is needed, nor Keras to see
what there is: what stands here is imported when first used.
"""

import importlib

_NAMES = {"convert": "conversion", "load": "store", "names": "catalogue", "weights_dir": "store"}

__all__ = [*_NAMES]


def __getattr__(name):
  if name not in _NAMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
