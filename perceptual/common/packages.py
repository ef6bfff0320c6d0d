"""Optional packages, and the messages that say how to install a missing one.

The core needs few libraries. The others come with the extras of setup.py; what needs one asks for
it by `require`, before it does anything else.
"""

import importlib.util
from typing import NamedTuple

from perceptual.errors import UserError


class _Package(NamedTuple):
  """What a package is called, the smallest extra of setup.py that brings it, its name for pip."""

  name: str
  extra: str
  pip: str


# What the core does without, by the name that is imported.
OPTIONAL = {
    "gin": _Package("gin-config", "train", "gin-config"),
    "jax": _Package("JAX", "jax", "jax"),
    "matplotlib": _Package("Matplotlib", "report", "matplotlib"),
    "official": _Package("tf-models-official", "train", "tf-models-official"),
    "onnx": _Package("ONNX", "export", "onnx"),
    "onnxruntime": _Package("ONNX Runtime", "onnxruntime", "onnxruntime"),
    "openpyxl": _Package("openpyxl", "report", "openpyxl"),
    "orbit": _Package("tf-models-official", "train", "tf-models-official"),
    "scipy": _Package("SciPy", "report", "scipy"),
    "skimage": _Package("scikit-image", "demo", "scikit-image"),
    "sklearn": _Package("scikit-learn", "demo", "scikit-learn"),
    "tensorflow": _Package("TensorFlow", "tensorflow", "tensorflow"),
    "tensorflow_datasets": _Package("TensorFlow Datasets", "train", "tensorflow-datasets"),
    "tensorflow_hub": _Package("TensorFlow Hub", "hub", "tensorflow-hub"),
    "tensorflow_serving": _Package(
        "TensorFlow Serving's API", "export", "tensorflow-serving-api"),
    "threadpoolctl": _Package("threadpoolctl", "demo", "threadpoolctl"),
    "torch": _Package("PyTorch", "torch", "torch"),
}


def called(module):
  """Returns what the package is called that is imported as `module`."""
  return OPTIONAL[module].name if module in OPTIONAL else module


def is_installed(module):
  """Whether a top-level module can be imported; it is not imported."""
  spec = importlib.util.find_spec(module)
  # A spec without an origin is a folder of that name on the path, as gin/ of the repository.
  return spec is not None and spec.origin is not None


def install(extra):
  """Returns the command that installs an extra of setup.py."""
  return f'pip install "perceptual[{extra}]"'


def require(*modules, extra, purpose):
  """Raises `UserError` unless top-level modules can be imported.

  Args:
    *modules: the names by which they are imported.
    extra: the extra of setup.py that installs all of them.
    purpose: what needs them, the subject of a sentence: `'Training'`.
  """
  missing = [*dict.fromkeys(called(module) for module in modules if not is_installed(module))]
  if missing:
    verb = "are" if len(missing) > 1 else "is"
    raise UserError(f"{purpose} needs {listed(missing, 'and')}, which {verb} not installed: "
                    f"{install(extra)}")


def explained(error):
  """Returns a `UserError` for the failed import of an optional package, or None for any other.

  Args:
    error: a `ModuleNotFoundError`.
  """
  package = OPTIONAL.get((error.name or "").partition(".")[0])
  return package and UserError(
      f"{package.name} is needed and not installed: {install(package.extra)}")


def listed(names, word):
  """Returns names as text: `a`, `a and b`, `a, b and c`, or with another word than `and`."""
  *first, last = names
  return f"{', '.join(first)} {word} {last}" if first else last
