"""Published weights for Keras: converted strictly from PyTorch's files, kept in one folder.

    weights.convert("alexnet-owt-7be5be79.pth", "alexnet")  # alexnet.weights.h5, alexnet.json
    model = weights.load("alexnet")

`names()` lists what can be converted. Neither PyTorch nor torchvision is needed.
"""

from perceptual.weights.catalogue import names
from perceptual.weights.conversion import convert
from perceptual.weights.store import load, weights_dir

__all__ = ["convert", "load", "names", "weights_dir"]
