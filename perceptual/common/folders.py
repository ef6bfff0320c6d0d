"""Where this package keeps what it has converted, on this machine."""

import os

from perceptual.common.files import expanded

WEIGHTS_VARIABLE = "PERCEPTUAL_WEIGHTS"


def weights_dir(path=None):
  """Returns the folder of converted weights as a `pathlib.Path`; it need not exist.

  Args:
    path: the folder; None for what the environment variable PERCEPTUAL_WEIGHTS names, or else
      `perceptual/weights` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache).
  """
  cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
  path = path or os.environ.get(WEIGHTS_VARIABLE) or f"{cache}/perceptual/weights"
  return expanded(path)
