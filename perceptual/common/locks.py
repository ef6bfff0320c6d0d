"""One writer for a folder: a lock that says whose it is, and that dies with its process."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket

from perceptual.errors import UserError

FILE = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of file systems that have none


@contextlib.contextmanager
def held(folder):
  """Returns a context in which this process alone writes to a folder.

  The lock is the kernel's (flock) on a file that names the process and its host, so that of a
  process that was killed is free at once. Where a file system has no such locks, the file alone
  counts: it is taken over if its process was of this host and has ended.

  Args:
    folder: it must be there.

  Raises:
    UserError: another process holds the lock; or the folder cannot be written.
  """
  path = pathlib.Path(folder) / FILE
  try:
    descriptor = _locked(path)
  except OSError as error:
    raise UserError(f"{path} cannot be written: {error.strerror}.") from None
  try:
    yield
  finally:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _locked(path):
  """Returns the descriptor of the locked file."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
      _lock(descriptor, path)
      if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
        _write_holder(descriptor)
        return descriptor
    except BaseException:
      os.close(descriptor)
      raise
    os.close(descriptor)  # who held it has removed it meanwhile


def _lock(descriptor, path):
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return
  except OSError as error:
    if not isinstance(error, BlockingIOError) and error.errno not in _NO_LOCKS:
      raise
    kernels = isinstance(error, BlockingIOError)
  holder = _holder(descriptor)
  if kernels or (holder and not (holder[1] == socket.gethostname() and has_ended(holder[0]))):
    process, host, since = holder or ("unknown", "an unknown host", "an unknown time")
    raise UserError(f"{path.parent} is being written by process {process} on {host}, since "
                    f"{since}: wait for it, or end it" + ("." if kernels else
                    f"; if it has ended, remove {path}."))


def _holder(descriptor):
  """Returns `(process, host, since)` as the file says; None if it says nothing."""
  try:
    about = json.loads(os.pread(descriptor, 4096, 0))
    return int(about["process"]), about["host"], about["since"]
  except (ValueError, KeyError, TypeError):
    return None


def has_ended(process):
  """Whether no process of this number runs on this host."""
  try:
    os.kill(process, 0)
  except (ProcessLookupError, OverflowError):
    return True
  except PermissionError:
    pass
  return False


def _write_holder(descriptor):
  about = {"process": os.getpid(), "host": socket.gethostname(),
           "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds")}
  os.ftruncate(descriptor, 0)
  os.pwrite(descriptor, json.dumps(about).encode() + b"\n", 0)
