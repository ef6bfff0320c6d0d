"""`checksums.json`: the size and the SHA-256 of every file of an export, by which damage is told.

Exports of earlier versions have none and are used as they are. Files that were added later are not
looked at. Only accidents are found: anyone who can change a file can change its checksum too.
"""

import json

from perceptual.common import files
from perceptual.errors import UserError

FILE = "checksums.json"


def write(folder):
  """Writes the checksums of all files of a folder, a `pathlib.Path`."""
  found = {path.relative_to(folder).as_posix(): _of(path)
           for path in sorted(folder.rglob("*")) if path.is_file()}
  (folder / FILE).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def verify(folder):
  """Raises `UserError`, which names the file, where one is missing or not as it was written."""
  path = folder / FILE
  try:
    stated = json.loads(path.read_text("utf-8"))
    found = {name: dict(about) for name, about in stated.items()}
  except FileNotFoundError:
    return
  except (OSError, ValueError, TypeError, AttributeError, RecursionError):
    raise UserError(f"{path} is damaged. Export the metric again.") from None
  for name, about in found.items():
    file = folder / name
    if files.size(file) is None:
      raise UserError(f"{file} is missing. Export the metric again.")
    if _of(file) != about:
      raise UserError(f"{file} is damaged: it does not match {FILE}. Export the metric again.")


def _of(path):
  return {"bytes": files.size(path), "sha256": files.sha256(path)}
