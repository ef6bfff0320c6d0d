"""The folder that a campaign is given: it empties it, and no folder that is not its own."""

import pathlib
import shutil
import sys

HELP = "where to work: a new or an empty folder, or one of an earlier campaign, which is emptied"
_MARK = ".made_by_tools_faults"


def emptied(folder):
  """Returns a folder as an absolute path, made or emptied, and marked as that of a campaign.

  Raises:
    SystemExit: with one line, if something lies in it and no campaign has marked it, or it cannot
      be made or emptied.
  """
  try:
    return _emptied(pathlib.Path(folder).absolute())
  except OSError as error:
    sys.exit(f"error: {error.filename or folder}: {error.strerror}.")


def _emptied(folder):
  mark = folder / _MARK
  if folder.exists() and not folder.is_dir():
    sys.exit(f"error: {folder} is a file.")
  if folder.exists() and not mark.is_file() and any(folder.iterdir()):
    sys.exit(f"error: {folder} is not empty, and no campaign has made it: nothing was removed. "
             "Choose another --folder.")
  folder.mkdir(parents=True, exist_ok=True)
  mark.touch()
  for path in folder.iterdir():
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path)
    elif path != mark:
      path.unlink()
  return folder
