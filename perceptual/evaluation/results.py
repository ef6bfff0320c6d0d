"""The folder of an evaluation's results: refused early where it cannot be one, written whole."""

import os

from perceptual import errors
from perceptual.common import files
from perceptual.errors import UserError


def require_folder(path):
  """Returns a path, as `files.place` does, that is a folder or can become one; makes nothing.

  Raises:
    UserError: if it is a file or lies below one, or may not be written.
  """
  folder = files.place(path)
  if files.is_remote(folder):
    if folder.is_file():
      raise UserError(f"Results cannot be written to {path}: it is a file.")
    return folder
  nearest = next(place for place in (folder.absolute(), *folder.absolute().parents)
                 if place.exists())
  if not nearest.is_dir():
    raise UserError(f"Results cannot be written to {path}: {nearest} is not a directory.")
  if not os.access(nearest, os.W_OK | os.X_OK):
    raise UserError(f"Results cannot be written to {path}: {nearest} is not writable.")
  return folder


def write(path, texts):
  """Writes text files, `{name: text}`, into a folder, which is made if it is not there.

  Raises:
    UserError: if the folder or a file cannot be written.
  """
  folder = require_folder(path)
  try:
    for name, text in texts.items():
      files.write_text(folder / name, text)
  except OSError as error:
    raise UserError(f"Results cannot be written to {path}: {errors.reason(error)}.") from None
