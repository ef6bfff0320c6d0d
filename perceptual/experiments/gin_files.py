"""Where gin files are found, in a checkout and in any kind of installation.

A name such as `gin/runs/demo.gin` is looked for from the working directory first, then among those
that come with the package: `gin/` inside it in an installation, beside it in a checkout.
"""

import difflib
import importlib.resources
import pathlib

from perceptual.errors import UserError


def places():
  """Returns the folders from which names of gin files start, in the order of the search."""
  package = pathlib.Path(str(importlib.resources.files("perceptual")))
  return (pathlib.Path(), package if (package / "gin").is_dir() else package.parent)


def require(file):
  """Raises `UserError`, with what may be meant, unless a gin file is in one of the places."""
  if any((place / file).is_file() for place in places()):
    return
  close = difflib.get_close_matches(pathlib.Path(file).as_posix(), _available("gin/**"), n=1)
  if close:
    raise UserError(f"There is no gin file {file}. Did you mean {close[0]}?")
  available = _available(pathlib.Path(file).parent.as_posix()) or _available("gin/runs")
  raise UserError(f"There is no gin file {file}. Available: {', '.join(available)}.")


def _available(folder):
  """Returns the names of the gin files of a folder, or of a pattern of folders."""
  if pathlib.Path(folder).is_absolute():
    return []
  return sorted({found.relative_to(place).as_posix() for place in places()
                 for found in place.glob(f"{folder}/*.gin")})
