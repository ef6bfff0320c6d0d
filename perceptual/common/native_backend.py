"""The backend that Keras must run on for a part of the package made for one framework."""

import os
import sys

from perceptual.errors import UserError

_FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX"}


def missing(backend, error):
  """Returns the exception to raise where the import of a framework failed.

  Args:
    backend: `"torch"` or `"jax"`, of the part of the package with that name.
    error: the `ModuleNotFoundError`, which is returned if it is about another module.
  """
  if error.name != backend:
    return error
  return UserError(f"perceptual.{backend} needs {_FRAMEWORKS[backend]}, which is not installed: "
                   f'pip install "perceptual[{backend}]"')


def prefer(backend):
  """Makes Keras run on a backend if it is not imported yet and the user has not chosen another.

  Args:
    backend: as in `missing`.
  """
  if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", backend)


def require(backend):
  """Raises `UserError` unless Keras runs on a backend; imports Keras.

  Args:
    backend: as in `missing`.
  """
  import keras

  running = keras.backend.backend()
  if running != backend:
    raise UserError(
        f"perceptual.{backend} needs Keras on {_FRAMEWORKS[backend]}, and Keras runs on {running}: "
        f"set the environment variable KERAS_BACKEND={backend}, or import perceptual.{backend} "
        "before Keras.")
