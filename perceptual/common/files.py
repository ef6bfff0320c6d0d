"""Writing files whole: beside, then renamed, so that none is ever seen half-written.

What was renamed is on the disk: the file is synced before, its folder after.
"""

import contextlib
import csv
import ctypes
import errno
import functools
import io
import os
import pathlib
import re
import shutil

from perceptual.common import locks
from perceptual.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: C:/ is a drive
_TEMPORARY = re.compile(r"\.(.+)\.(\d+)(\.[^.]+|)")  # the process stands before the suffix
_GLOBBED = "*?[\\"  # TensorFlow takes the name of a checkpoint for a pattern
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # what file systems say that have no fsync


def expanded(path):
  """Returns a path with a leading `~` or `~user` replaced by the home directory.

  Raises:
    UserError: if there is no such user, and no file of that name either; or if it is an address,
      as gs://bucket/folder, which is not read or written.
  """
  if _ADDRESS.match(os.fspath(path)) and not os.path.lexists(pathlib.Path(path).parts[0]):
    raise UserError(f"{path} is not a path on this machine: only those are read and written. "
                    "Mount the remote folder, or copy it.")
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError:
    if os.path.lexists(path):
      return pathlib.Path(path)
    user = pathlib.Path(path).parts[0]
    raise UserError(f"{path}: no user {user}; the name of a file is written ./{path}.") from None
  except ValueError:
    raise UserError(f"{os.fspath(path)!r} has a zero byte, which no path may have.") from None


def folder_for_tensorflow(path):
  """Returns `expanded(path)`, of a folder in which TensorFlow writes and finds tensors.

  Raises:
    UserError: as `expanded`, or if TensorFlow would take the path for a pattern: it would write
      there, but not find again what it wrote.
  """
  found = expanded(path)
  if any(character in os.fspath(found) for character in _GLOBBED):
    raise UserError(f"{found} cannot hold what TensorFlow writes, which takes "
                    f"{' '.join(_GLOBBED)} for a pattern: choose a path without them.")
  return found


def sync(path):
  """Returns once a file's content, or the names in a folder, are on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  except OSError as error:
    if error.errno not in _NO_SYNC:
      raise
  finally:
    os.close(descriptor)


def put(temporary, path):
  """Renames a file to its place, for good: even after a power failure it is whole there."""
  sync(temporary)
  os.replace(temporary, path)
  sync(os.path.dirname(path) or ".")


def sync_folder(folder):
  """Returns once all files of a folder and of those inside it are on the disk."""
  for path, _, names in os.walk(folder):
    for name in names:
      sync(os.path.join(path, name))
    sync(path)


def exchanged(one, other):
  """Exchanges two files or folders of one disk in a single step; returns whether that is possible.

  Linux can (renameat2, RENAME_EXCHANGE) on most of its file systems.
  """
  here = -100  # AT_FDCWD: relative paths start from the working directory
  exchange = 2  # RENAME_EXCHANGE
  renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
  if renameat2 is None or renameat2(
      here, os.fsencode(one), here, os.fsencode(other), exchange) != 0:
    return False
  sync(os.path.dirname(other) or ".")
  return True


@contextlib.contextmanager
def beside(path):
  """Yields a path beside `path` to write to, which takes its place when the block succeeds.

  Args:
    path: the file to write; its folder is made if it is not there.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  for leftover in _leftovers(path.parent.absolute()).pop(path.name, ()):
    remove(leftover)
  # The suffix stays last, since some writers choose the format by it.
  temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
  try:
    yield temporary
    put(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


@functools.cache  # listed once: a folder may get thousands of files, one by one
def _leftovers(folder):
  """Returns name of a file -> what killed processes of this machine have left of `beside` of it."""
  found = {}
  for path in folder.iterdir():
    match = _TEMPORARY.fullmatch(path.name)
    if match and locks.has_ended(int(match[2])):
      found.setdefault(match[1] + match[3], []).append(path)
  return found


def remove_leftovers(folder, names):
  """Removes what killed processes of this machine have left of `beside`.

  Args:
    folder: the folder; it need not be there.
    names: the names of the files that are written there.
  """
  temporary = re.compile("|".join(
      rf"\.{re.escape(path.stem)}\.(\d+){re.escape(path.suffix)}"
      for path in map(pathlib.Path, names)))
  for path in pathlib.Path(folder).glob(".*"):
    match = temporary.fullmatch(path.name)
    if match and locks.has_ended(int(match[match.lastindex])):
      remove(path)


def remove(path):
  """Removes a file, or a folder with all that is in it; nothing where there is none."""
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)


def write_text(path, text):
  """Writes a text file in UTF-8."""
  with beside(path) as temporary:
    temporary.write_text(text, "utf-8")


def write_csv(path, head, rows):
  """Writes a CSV file: the names of the columns, then the rows, each a list."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(head)
  writer.writerows(rows)
  write_text(path, text.getvalue())
