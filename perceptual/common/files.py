"""Writing files whole, so that none is ever seen half-written, on this machine or at an address.

On this machine they are written beside their place, then renamed. What was renamed is on the disk:
the file is synced before, its folder after. Folders that users name may lie at an address, as
gs://bucket/run: `place` returns the path of either, and what takes a path here takes both, unless
it says otherwise. `remote` has what differs.
"""

import contextlib
import csv
import ctypes
import errno
import functools
import hashlib
import io
import itertools
import os
import pathlib
import re
import shutil
import tempfile

from perceptual.common import processes, remote
from perceptual.common.remote import is_remote
from perceptual.errors import UserError

# The process and a count of its own stand before the suffix.
_TEMPORARY = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)-(\w+)-\d+\.(tmp|old)(\.[^.]+|)", re.DOTALL)
_COUNT = itertools.count()
_MOST_OF_NAME = 150  # bytes of a file's name in that of its temporary, which may have 255 in all
_BLOCK = 2**20  # bytes
_GLOBBED = "*?[\\"  # TensorFlow takes the name of a checkpoint for a pattern
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # what file systems say that have no fsync


def expanded(path):
  """Returns a path on this machine, with a leading `~` or `~user` replaced by the home directory.

  Raises:
    UserError: if there is no such user, and no file of that name either; or if it is an address,
      such as gs://bucket/folder.
  """
  path = os.fspath(path)  # pathlib would take the parts of another path for those of its own
  if _is_address(path):
    raise UserError(f"{path} is not a path on this machine, which is needed here: copy it.")
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError:
    if os.path.lexists(path):
      return pathlib.Path(path)
    user = pathlib.Path(path).parts[0]
    raise UserError(f"{path}: no user {user}; the name of a file is written ./{path}.") from None
  except ValueError:
    raise UserError(f"{os.fspath(path)!r} has a zero byte, which no path may have.") from None


def place(path):
  """Returns a path as `expanded` does, or the `etils.epath.Path` of an address.

  Raises:
    UserError: as `expanded` of a path, as `remote.path` of an address, or if the text of an address
      has a single slash.
  """
  text = os.fspath(path)
  if not _is_address(text):
    return expanded(path)
  if isinstance(path, str):  # pathlib makes one slash of two
    remote.require_two_slashes(text)
  return remote.path(text)


def absolute(path):
  """Returns `place(path)`; one on this machine starts at its root."""
  found = place(path)
  return found if is_remote(found) else found.absolute()


def resolved(path):
  """Returns `place(path)`; one on this machine is absolute, with its links followed."""
  found = place(path)
  return found if is_remote(found) else found.resolve()


def folder_for_tensorflow(path):
  """Returns `place(path)`, of a folder in which TensorFlow writes and finds tensors.

  Raises:
    UserError: as `place`, or if TensorFlow would take the path for a pattern: it would write
      there, but not find again what it wrote.
  """
  found = place(path)
  if any(character in os.fspath(found) for character in _GLOBBED):
    raise UserError(f"{found} cannot hold what TensorFlow writes, which takes "
                    f"{' '.join(_GLOBBED)} for a pattern: choose a path without them.")
  return found


def names(folder):
  """Returns the names of what lies in a folder, a list; none where there is no such folder."""
  if is_remote(folder):
    return remote.names(folder)
  try:
    return os.listdir(folder)
  except (FileNotFoundError, NotADirectoryError):
    return []


def size(path):
  """Returns the size of a file in bytes; None where there is no such file."""
  if is_remote(path):
    return remote.size(path)
  return path.stat().st_size if path.is_file() else None


def sha256(path):
  """Returns the SHA-256 of a file's content, in hexadecimal digits."""
  digest = hashlib.sha256()
  with path.open("rb") as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()


def csv_lines(path):
  """Returns an iterable of the lines of a CSV file in UTF-8, for `csv.reader` and the like."""
  return io.StringIO(path.read_bytes().decode("utf-8"), newline="")


@contextlib.contextmanager
def local_copy(path):
  """Yields a path on this machine with the content of a file, for libraries that need one.

  It is the file itself, or a copy that is gone after the block.

  Raises:
    OSError: it lies at an address, and cannot be read.
  """
  if not is_remote(path):
    yield path
    return
  with remote.downloaded(path) as local:
    yield local


@contextlib.contextmanager
def staging(path):
  """Yields a folder on this machine in which files are made that `move` puts in their places.

  Args:
    path: where it lies if that is on this machine, beside these places; otherwise it lies among the
      temporary files. It is made by who writes there, and gone after the block.
  """
  if is_remote(path):
    with tempfile.TemporaryDirectory(prefix="perceptual-") as folder:
      yield pathlib.Path(folder)
    return
  try:
    yield path
  finally:
    remove(path)


def sync(path):
  """Returns once a file's content, or the names in a folder, are on the disk of this machine."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  except OSError as error:
    if error.errno not in _NO_SYNC:
      raise
  finally:
    os.close(descriptor)


def move(temporary, path):
  """Moves a file of this machine to its place; on the disk its content is synced, its name not."""
  if is_remote(path):
    remote.upload(temporary, path)
    return
  sync(temporary)
  os.replace(temporary, path)


def put(temporary, path):
  """Renames a file to its place, for good: even after a power failure it is whole there.

  Both are on this machine.
  """
  move(temporary, path)
  sync(os.path.dirname(path) or ".")


def sync_folder(folder):
  """Returns once all files of a folder of this machine, and of those inside it, are on the disk."""
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
  """Yields a path on this machine to write to, which takes its place when the block succeeds.

  Args:
    path: the file to write; its folder is made if it is not there.
  """
  if is_remote(path):
    with remote.uploaded(path) as writing:
      yield writing
    return
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  for leftover in _left_at_first(path.parent.absolute()).pop((_called(path), "tmp"), ()):
    remove(leftover)
  writing = temporary(path)
  try:
    yield writing
    put(writing, path)
  finally:
    writing.unlink(missing_ok=True)


def temporary(path, kind="tmp"):
  """Returns a hidden path beside that of a file or folder, which no other process or call returns.

  Args:
    path: the file or folder.
    kind: `tmp` of what will take its place, `old` of what gives it up.
  """
  process = processes.this()
  # The suffix stays last, since some writers choose the format by it.
  return path.with_name(
      f".{_stem(path)}.{process.place}-{process.number}-{process.life}-{next(_COUNT)}.{kind}"
      f"{path.suffix}")


def left_of(path, kind="tmp"):
  """Returns what processes that have ended have left of `temporary` of a path, a list."""
  return _left(path.parent).get((_called(path), kind), [])


def remove_leftovers(folder, names):
  """Removes what processes that have ended have left of `beside`.

  Args:
    folder: the folder; it need not be there.
    names: the names of the files that are written there.
  """
  if is_remote(folder):  # where nothing is written beside its place
    return
  folder = pathlib.Path(folder)
  found = _left(folder) if folder.is_dir() else {}
  for name in names:
    for path in found.get((_called(folder / name), "tmp"), ()):
      remove(path)


def _left(folder):
  """Returns (name of a file, kind) -> what processes that have ended have left of `temporary`."""
  found = {}
  for path in folder.iterdir():
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
      continue
    stem, place, number, life, kind, suffix = match.groups()
    if processes.has_ended(processes.Process(int(number), place, life)):
      found.setdefault((stem + suffix, kind), []).append(path)
  return found


_left_at_first = functools.cache(_left)  # once: a folder may get thousands of files, one by one


def _called(path):
  """Returns the name of a file as that of its temporary has it."""
  return _stem(path) + path.suffix


def _stem(path):
  return os.fsdecode(os.fsencode(path.stem)[:_MOST_OF_NAME])


def remove(path):
  """Removes a file, or a folder with all that is in it; nothing where there is none."""
  if is_remote(path):
    path.rmtree(missing_ok=True) if path.is_dir() else path.unlink(missing_ok=True)
    return
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


def _is_address(text):
  """Whether a path is an address, and not below a folder here with a colon in its name."""
  return remote.is_address(text) and not os.path.lexists(pathlib.Path(text).parts[0])
