"""Which process wrote a file, told from every other one: on other hosts, in containers, and later.

The number of a process is not enough. Containers have numbers of their own, each beginning at 1,
and may share the name of a host; and a number is used again, after a restart most likely.
"""

import dataclasses
import hashlib
import os
import pathlib
import signal
import socket

_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")  # proc(5): drawn when the kernel starts
_ID = pathlib.Path("/etc/machine-id")  # machine-id(5): drawn when the system is installed
_NAMESPACE = pathlib.Path("/proc/self/ns/pid")  # its inode names the namespace: namespaces(7)
_MACHINE = 0xEFFFFFFC  # the inode of the namespace outside of all containers: PROC_PID_INIT_INO


@dataclasses.dataclass(frozen=True)
class Process:
  """A process.

  Attributes:
    number: by which its system calls it.
    place: stands for what gave it that number: a host by its name and ID, or a container by its
      namespace, the boot and the host's name.
    life: stands for the boot and the time when it started.
  """

  number: int
  place: str
  life: str


def this():
  """Returns this `Process`."""
  number = os.getpid()
  return Process(number, _place(), _life(number) or "unknown")


def has_ended(process):
  """Whether it is certain that a `Process` runs no more.

  Of one in another place nothing is certain: not even of a container of the same name, which may
  be running beside this one. A host that has started anew has ended all that it ran before.
  """
  if process.place != _place():
    return False
  try:
    os.kill(process.number, 0)
  except (ProcessLookupError, OverflowError):
    return True
  except PermissionError:
    pass
  life = _life(process.number)
  return life is not None and life != process.life


def action_that_ends(number):
  """Returns the handler by which a signal ends this process as it ends others.

  For process 1, which the command of a container is, the kernel ignores default actions
  (pid_namespaces(7)). Its own handler runs when what TensorFlow is computing is done.

  Args:
    number: of the signal.
  """
  if os.getpid() != 1:
    return signal.SIG_DFL
  return lambda *_: os._exit(128 + number)


def _place():
  host = socket.gethostname()
  try:
    namespace = _NAMESPACE.stat().st_ino
  except OSError:  # a system without containers
    namespace = _MACHINE
  if namespace == _MACHINE:
    return _hashed(host, _text(_ID))
  return _hashed(host, _text(_BOOT), namespace)


def _life(number):
  """Returns the life of the process of a number; None where the system does not tell."""
  try:
    about = pathlib.Path(f"/proc/{number}/stat").read_bytes()
  except OSError:
    return None
  fields = about.rpartition(b")")[2].split()  # the name, in brackets, may have any character
  return _hashed(_text(_BOOT), int(fields[19]))  # from the third on; the 22nd is the start


def _text(path):
  """Returns the content of a file; nothing where the system has no such file."""
  try:
    return path.read_text().strip()
  except OSError:
    return ""


def _hashed(*facts):
  return hashlib.sha256("\n".join(map(str, facts)).encode()).hexdigest()[:8]
