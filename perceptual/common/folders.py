"""Where this package keeps files of its own on this machine."""

import hashlib
import os

from perceptual.common.files import expanded

WEIGHTS_VARIABLE = "PERCEPTUAL_WEIGHTS"


def weights_dir(path=None):
  """Returns the folder of converted weights as a `pathlib.Path`; it need not exist.

  Args:
    path: the folder; None for what the environment variable PERCEPTUAL_WEIGHTS names, or else
      `perceptual/weights` in the user's cache folder (XDG_CACHE_HOME, or ~/.cache).
  """
  return expanded(path or os.environ.get(WEIGHTS_VARIABLE) or f"{_cache()}/weights")


def staging_dir(address):
  """Returns the folder in which what belongs to an address is built; it need not exist.

  It is the same for the same address, in `perceptual/staging` in the user's cache folder.

  Args:
    address: `etils.epath.Path`.
  """
  digest = hashlib.sha256(str(address).encode()).hexdigest()
  return expanded(f"{_cache()}/staging/{address.name}-{digest[:16]}")


def _cache():
  return f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/perceptual"
