"""The files of a folder and of the folders inside it, each folder once."""

import collections
import os
import pathlib

_HIDDEN = (".", "__MACOSX")


def is_hidden(name):
  """Whether a relative name, with forward slashes, is hidden or lies in a hidden folder."""
  return any(part.startswith(_HIDDEN) for part in name.split("/"))


def files(folder):
  """Yields `(name, path)` of the files of a folder and of those inside it, which are not hidden.

  Links to folders are followed, but no folder is read twice: a real path goes before a link.

  Args:
    folder: a path.
  """
  for parts in sorted(_walk(folder)[0]):
    parent = pathlib.Path(folder, *parts)
    for entry in sorted(_entries(parent), key=lambda entry: entry.name):
      if not entry.is_dir():
        yield "/".join((*parts, entry.name)), parent / entry.name


def passed_over(folder):
  """Returns `{name: reason}` of the folders, or links to such, that `files` leaves out."""
  return _walk(folder)[1]


def _walk(folder):
  """Returns the folders, as tuples of names, and `{name: reason}` of those that are left out."""
  seen, found, left_out = {}, [], {}
  real, links = collections.deque([()]), collections.deque()
  while real or links:
    parts = (real or links).popleft()
    path = pathlib.Path(folder, *parts)
    name = "/".join(parts)
    try:
      status = path.stat()
      entries = sorted(_entries(path), key=lambda entry: entry.name)
    except OSError as error:
      left_out[name] = error.strerror or str(error)
      continue
    first = seen.setdefault((status.st_dev, status.st_ino), name)
    if first != name:
      left_out[name] = f"a link to {first or 'the folder itself'}, which is listed"
      continue
    found.append(parts)
    for entry in entries:
      if entry.is_dir():
        (links if entry.is_symlink() else real).append((*parts, entry.name))
  return found, left_out


def _entries(path):
  with os.scandir(path) as entries:
    return [entry for entry in entries if not is_hidden(entry.name)]
