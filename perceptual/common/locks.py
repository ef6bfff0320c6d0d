"""One writer for a folder: a lock that says whose it is, and that dies with its process.

At an address, gs://bucket/run, the file alone is the lock. Nothing there shows whether a process
of another host or container still runs, and between looking for the file and writing it another
process may do the same: the last to write holds the lock, which each finds out by reading it again.
Two processes that start within the time of these three requests can therefore both go on: the only
gap.
"""

import contextlib
import dataclasses
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
import uuid

from perceptual.common import processes, remote
from perceptual.errors import UserError

FILE = ".lock"
_MOST = 4096  # bytes that are read of the file
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of file systems that have none


@contextlib.contextmanager
def held(folder):
  """Returns a context in which this process alone writes to a folder.

  The context yields a function without arguments, which returns whether that still holds: not if
  the folder or the file was removed meanwhile.

  The lock is the kernel's (flock) on a file that names the process and its host, so that of a
  process that was killed is free at once. Where a file system has no such locks, the file alone
  counts: it is taken over if its process was of this host, or of this container, and has ended.

  Args:
    folder: it must be there, or lie at an address.

  Raises:
    UserError: another process holds the lock; or the folder cannot be written.
  """
  if remote.is_remote(folder):
    with _held_by_file_alone(folder / FILE) as is_held:
      yield is_held
    return
  path = pathlib.Path(folder) / FILE
  try:
    descriptor = _locked(path)
  except OSError as error:
    raise UserError(f"{path} cannot be written: {error.strerror}.") from None
  try:
    yield lambda: _lies_at(path, descriptor)
  finally:
    if _lies_at(path, descriptor):
      path.unlink(missing_ok=True)
    os.close(descriptor)


def _locked(path):
  """Returns the descriptor of the locked file."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
      _lock(descriptor, path)
      if _lies_at(path, descriptor):
        _write_holder(descriptor)
        return descriptor
    except BaseException:
      os.close(descriptor)
      raise
    os.close(descriptor)  # who held it has removed it meanwhile


def _lies_at(path, descriptor):
  """Whether the file that was opened is still that of its name."""
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _lock(descriptor, path):
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return
  except OSError as error:
    if not isinstance(error, BlockingIOError) and error.errno not in _NO_LOCKS:
      raise
    kernels = isinstance(error, BlockingIOError)
  holder = _holder(os.pread(descriptor, _MOST, 0))
  if kernels:
    raise UserError(_held_by(path, holder) + ".")
  _refuse_other(path, holder)


@contextlib.contextmanager
def _held_by_file_alone(path):
  """Returns a context in which the file at an address names this process."""
  _refuse_other(path, _holder(_read(path)))
  ours = json.dumps({**_about_this_process(), "lock": uuid.uuid4().hex}).encode() + b"\n"
  path.write_bytes(ours)
  found = _read(path)
  if found != ours:
    _refuse_other(path, _holder(found))
  try:
    yield lambda: _read(path) == ours
  finally:
    if _read(path) == ours:  # else it was removed, as messages say, and another process has it
      path.unlink(missing_ok=True)


def _read(path):
  """Returns the content of the file at an address; empty where there is none."""
  try:
    with path.open("rb") as file:
      return file.read(_MOST)  # by number: a size may be remembered from before
  except FileNotFoundError:
    return b""


def _refuse_other(path, holder):
  """Raises `UserError` unless the holder that a file names, or None, is known to have ended."""
  if holder and not processes.has_ended(holder.process):
    raise UserError(f"{_held_by(path, holder)}; if it has ended, remove {path}.")


def _held_by(path, holder):
  process, host, since = ("unknown", "an unknown host", "an unknown time") if holder is None else (
      holder.process.number, holder.host, holder.since)
  return (f"{path.parent} is being written by process {process} on {host}, since {since}: wait for "
          "it, or end it")


@dataclasses.dataclass(frozen=True)
class _Holder:
  """Who holds a lock: a `processes.Process`, and for people its host and since when."""

  process: processes.Process
  host: str
  since: str


def _holder(content):
  """Returns the `_Holder` that the content of a file names; None if it names none."""
  try:
    about = json.loads(content)
    process = processes.Process(int(about["process"]), about.get("place"), about.get("life"))
    return _Holder(process, about["host"], about["since"])
  except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
    return None


def _write_holder(descriptor):
  os.ftruncate(descriptor, 0)
  os.pwrite(descriptor, json.dumps(_about_this_process()).encode() + b"\n", 0)


def _about_this_process():
  process = processes.this()
  return {"process": process.number, "place": process.place, "life": process.life,
          "host": socket.gethostname(),
          "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds")}
