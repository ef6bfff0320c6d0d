"""Folders at an address, gs://bucket/run: how they are reached, and what replaces a disk there.

A path is an `etils.epath.Path`, as TensorFlow Datasets has it: the names of pathlib over the file
systems of TensorFlow, which reads and writes. TensorFlow is imported with the first address.

A store of objects has no renames, no appending and no locks. A file appears there whole, when its
upload ends, so it needs none beside it; what is appended to is kept on this machine and uploaded as
a whole; `locks` says what stands for a lock. Nothing has to be synced.
"""

import contextlib
import errno
import functools
import io
import pathlib
import re
import tempfile
import time

from perceptual import errors
from perceptual.common import in_order, packages, progress
from perceptual.errors import UserError

SCHEMES = ("gs", "s3", "az", "hf")  # of etils.epath; which of them work, TensorFlow says
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(.+)")  # two letters at least: C:/ is a drive
_UPLOAD_SECONDS = 30.0


def is_address(text):
  """Whether a text is an address and no path; pathlib's `gs:/bucket` is one too."""
  return _ADDRESS.match(text) is not None


def require_two_slashes(text):
  """Raises `UserError` for the text of an address with a single slash, as `gs:/bucket`."""
  scheme, rest = _ADDRESS.match(text).groups()
  if not rest.startswith("/"):
    raise UserError(f"{text}: an address has two slashes, {scheme}://{rest}, and a folder of this "
                    f"machine with that name is written ./{text}.")


def is_remote(path):
  """Whether a path is that of an address."""
  return isinstance(path, pathlib.PurePath) and not isinstance(path, pathlib.Path)


def path(text):
  """Returns the `etils.epath.Path` of an address.

  Raises:
    UserError: if TensorFlow or TFDS is not installed, TensorFlow has no file system for the
      address, or cannot reach it.
  """
  scheme, rest = _ADDRESS.match(text).groups()
  rest = rest.strip("/")
  address = f"{scheme}://{rest}"
  packages.require("tensorflow", "tensorflow_datasets", extra="train",
                   purpose=f"The address {address}")
  import tensorflow as tf
  from etils import epath

  known = [name for name in SCHEMES if name in tf.io.gfile.get_registered_schemes()]
  if scheme not in known:
    raise UserError(f"{text}: of addresses, only {packages.listed(_with_slashes(known), 'and')} "
                    "can be read and written. Mount the folder, or copy it.")
  if not rest:
    raise UserError(f"{text} names no bucket.")
  _require_reachable(f"{scheme}://{rest.partition('/')[0]}")
  return epath.Path(address)


@functools.cache
def _require_reachable(bucket):
  """Asks for a bucket once, so that missing credentials are told before any work."""
  import tensorflow as tf

  try:
    tf.io.gfile.exists(f"{bucket}/perceptual")
  except tf.errors.OpError as error:
    raise UserError(f"{bucket} cannot be reached: {errors.first_line(error)}") from None


def names(folder):
  """Returns the names of what lies in a folder; none where there is no such folder."""
  import tensorflow as tf

  try:
    return [found.name for found in folder.iterdir()]
  except tf.errors.NotFoundError:
    return []


def size(path):
  """Returns the size of a file in bytes, None where there is no such file."""
  try:
    status = path.stat()
  except FileNotFoundError:
    return None
  return None if status.is_directory else status.length


@contextlib.contextmanager
def uploaded(path):
  """Yields a file on this machine to write to, which is uploaded when the block succeeds."""
  with tempfile.TemporaryDirectory(prefix="perceptual-") as folder:
    local = pathlib.Path(folder, path.name)
    yield local
    upload(local, path)


@contextlib.contextmanager
def downloaded(path):
  """Yields a copy of a file on this machine, which is gone after the block.

  Raises:
    OSError: the file is not there, or cannot be read.
  """
  with tempfile.TemporaryDirectory(prefix="perceptual-") as folder:
    local = pathlib.Path(folder, path.name)
    _copy(path, local, told=path)
    yield local


def upload(local, path):
  """Copies a file of this machine to an address, where it takes the place of another one.

  Raises:
    OSError: it cannot be written.
  """
  _copy(local, path, told=path)


def upload_folder(local, folder, *, first=None, last):
  """Copies a folder of this machine to an address, in the place of what lies there.

  That does not happen in one step: the file `last`, without which the folder does not count, goes
  before all others and comes after them.

  Args:
    local: `pathlib.Path`.
    folder: the address.
    first: the name of the file that comes first, or None.
    last: the name of the file that comes last.

  Raises:
    OSError: a file cannot be written.
  """
  found = sorted(file.relative_to(local).as_posix() for file in local.rglob("*") if file.is_file())
  (folder / last).unlink(missing_ok=True)
  for old in _files_in(folder) - set(found):
    (folder / old).unlink(missing_ok=True)
  between = [name for name in found if name not in (first, last)]

  def put(name):
    upload(local / name, folder / name)

  if first is not None:
    put(first)
  with progress.progress(in_order.map_in_order(put, between), description="uploading",
                         total=len(between), unit="file") as bar:
    for _ in bar:
      pass
  put(last)


class AppendedFile(io.FileIO):
  """A file at an address that is appended to: one on this machine, open for reading and appending.

  It is uploaded as a whole, at most twice a minute and when it is closed.
  """

  def __init__(self, path):
    """Takes the address; the file need not be there."""
    self._path = path
    self._folder = tempfile.TemporaryDirectory(prefix="perceptual-")
    local = pathlib.Path(self._folder.name, path.name)
    if path.exists():
      _copy(path, local, told=path)
    super().__init__(local, "a+")
    self._local = local
    self._uploaded_at = time.monotonic()
    self._has_changed = False

  def write(self, data):
    """Appends data; returns how many bytes of them."""
    written = super().write(data)
    self._has_changed = True
    if time.monotonic() - self._uploaded_at >= _UPLOAD_SECONDS:
      self._upload()
    return written

  def truncate(self, size=None):
    """Cuts the file; returns its size."""
    self._has_changed = True
    return super().truncate(size)

  def discard(self):
    """Has what has changed not uploaded."""
    self._has_changed = False

  def close(self):
    """Uploads the file and closes it."""
    if self.closed:
      return
    super().close()
    try:
      self._upload()
    finally:
      self._folder.cleanup()

  def _upload(self):
    if self._has_changed:
      upload(self._local, self._path)
    self._has_changed = False
    self._uploaded_at = time.monotonic()


def _files_in(folder):
  """Returns the names of the files in a folder and those inside it, a set."""
  start = len(str(folder)) + 1
  return {f"{str(place).rstrip('/')}/{name}"[start:]
          for place, _, names in folder.walk() for name in names}


def _copy(source, target, *, told):
  import tensorflow as tf

  try:
    tf.io.gfile.copy(str(source), str(target), overwrite=True)
  except tf.errors.NotFoundError as error:
    raise FileNotFoundError(errno.ENOENT, errors.first_line(error), str(told)) from None
  except tf.errors.OpError as error:
    raise OSError(errno.EIO, errors.first_line(error), str(told)) from None


def _with_slashes(schemes):
  return [f"{name}://" for name in schemes] or ["none"]
