"""What Keras runs on, chosen before Keras is imported, which can be done once in a process.

The user's KERAS_BACKEND wins. Without it, what needs TensorFlow takes it; everything else takes the
backend of Keras's own configuration file if that is installed, or else the first of `BACKENDS` that
is.
"""

import json
import os
import pathlib
import sys

from perceptual.common import packages
from perceptual.errors import UserError

# In the order in which they are taken. TensorFlow is Keras's own default.
BACKENDS = ("tensorflow", "torch", "jax")

_VARIABLE = "KERAS_BACKEND"

_optional = False


def choose(required=None, *, purpose=None):
  """Chooses what Keras runs on: sets KERAS_BACKEND unless it is set. Nothing is imported.

  Where Keras has been imported already, its backend stays.

  Args:
    required: the only backend that will do, one of `BACKENDS`; None if any will.
    purpose: what needs it, as the subject of a sentence: `'Training'`.

  Returns:
    The backend, one of `BACKENDS`.

  Raises:
    UserError: KERAS_BACKEND names another backend than the one required, none of `BACKENDS`, or one
      that is not installed; Keras already runs on another than the one required; or nothing is set
      and no backend is installed.
  """
  if "keras" in sys.modules:
    return _imported(required, purpose)
  chosen = os.environ.get(_VARIABLE)
  if not chosen:
    chosen = required or _first_installed(purpose)
  elif chosen not in BACKENDS:
    raise UserError(f"{_VARIABLE} must be {packages.listed(BACKENDS, 'or')}, not {chosen!r}.")
  elif required and chosen != required:
    raise UserError(f"{purpose} runs on {packages.called(required)}, and {_VARIABLE} is "
                    f"{chosen!r}: set it to {required}.")
  if not packages.is_installed(chosen):
    raise UserError(_missing(chosen, purpose))
  os.environ[_VARIABLE] = chosen
  return chosen


def make_optional():
  """Lets the names of metrics be looked up without a backend: ONNX Runtime may have the metric."""
  global _optional
  _optional = True


def choose_unless_optional():
  """Chooses what Keras runs on, for what imports Keras; nothing after `make_optional`.

  Raises:
    UserError: as `choose`.
  """
  if installed() or not _optional:
    choose()


def installed():
  """Returns those of `BACKENDS` that are installed."""
  return tuple(backend for backend in BACKENDS if packages.is_installed(backend))


def _imported(required, purpose):
  import keras

  backend = keras.backend.backend()
  if required not in (None, backend):
    raise UserError(f"{purpose} runs on {packages.called(required)}, and Keras already runs on "
                    f"{backend!r}: set {_VARIABLE} to {required} before Keras is imported.")
  return backend


def _first_installed(purpose):
  found = installed()
  if not found:
    commands = packages.listed([packages.install(backend) for backend in BACKENDS], "or")
    lacking = f"{purpose} needs a backend of Keras" if purpose else "Keras has no backend here"
    raise UserError(f"{lacking}. Install one: {commands}")
  configured = _configured()
  return configured if configured in found else found[0]


def _configured():
  """Returns the backend of Keras's configuration file, where Keras itself looks for it; or None."""
  home = os.environ.get("KERAS_HOME") or pathlib.Path("~").expanduser() / ".keras"
  try:
    return json.loads((pathlib.Path(home) / "keras.json").read_text("utf-8"))["backend"]
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _missing(backend, purpose):
  name, others = packages.called(backend), installed()
  if os.environ.get(_VARIABLE) != backend:
    return f"{purpose} needs {name}, which is not installed: {packages.install(backend)}"
  hint = f", or set {_VARIABLE} to {packages.listed(others, 'or')}" if others else ""
  return (f"{_VARIABLE} is {backend!r}, and {name} is not installed: "
          f"{packages.install(backend)}{hint}")
