"""The versions of what computes a metric."""

import importlib

import keras

from perceptual.version import __version__


def versions():
  """Returns the versions of this package, Keras and its backend, for a fingerprint: a dict."""
  backend = keras.backend.backend()
  return {"perceptual": __version__, "keras": keras.version(),
          backend: importlib.import_module(backend).__version__}
