"""Locks of folders: one holder, named; free when it ends, however it ends."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from perceptual.common import locks
from perceptual.errors import UserError


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path):
  with locks.held(tmp_path):
    with pytest.raises(UserError) as caught, locks.held(tmp_path):
      pass
    assert str(caught.value).startswith(
        f"{tmp_path} is being written by process {os.getpid()} on {socket.gethostname()}, since ")
    assert "\n" not in str(caught.value)
  with locks.held(tmp_path):
    pass
  assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
  code = f"""
from perceptual.common import locks
with locks.held({str(tmp_path)!r}):
  print("held", flush=True)
  input()
"""
  process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
  assert process.stdout.readline() == b"held\n"
  with pytest.raises(UserError, match=f"by process {process.pid} on"), locks.held(tmp_path):
    pass
  process.send_signal(signal.SIGKILL)
  process.communicate()
  assert json.loads((tmp_path / locks.FILE).read_text())["process"] == process.pid
  with locks.held(tmp_path):
    assert json.loads((tmp_path / locks.FILE).read_text())["process"] == os.getpid()


@pytest.fixture
def no_flock(monkeypatch):
  """A file system that has no locks."""
  def refuse(*args):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(locks.fcntl, "flock", refuse)


@pytest.mark.parametrize(("process", "host", "is_free"), [
    (2**22 + 1, None, True), (os.getpid(), None, False), (2**22 + 1, "another", False)],
    ids=["ended", "alive", "elsewhere"])
def test_without_locks_the_file_counts(tmp_path, no_flock, process, host, is_free):
  (tmp_path / locks.FILE).write_text(json.dumps(
      {"process": process, "host": host or socket.gethostname(), "since": "2020-01-01"}))
  if is_free:
    with locks.held(tmp_path):
      pass
    return
  with pytest.raises(UserError, match=r"since 2020-01-01: .* if it has ended, remove .*lock\."), \
       locks.held(tmp_path):
    pass


def test_what_is_not_a_lock_of_ours_is_taken_over(tmp_path, no_flock):
  (tmp_path / locks.FILE).write_text("{")
  with locks.held(tmp_path):
    pass


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
  with pytest.raises(UserError, match=r"\.lock cannot be written: No such file"), \
       locks.held(tmp_path / "none"):
    pass
