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
from tests import leftovers


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


@pytest.mark.parametrize(("about", "is_free"), [
    ({}, True), ({"process": os.getpid()}, True), (None, False),
    ({"place": "another"}, False), ({"place": None}, False)],
    ids=["ended", "number used again", "alive", "elsewhere", "earlier version"])
def test_without_locks_the_file_counts(tmp_path, no_flock, about, is_free):
  holder = leftovers.holder(host="a", **(about or {}))
  if about is None:
    holder = {**locks._about_this_process(), "since": holder["since"]}
  (tmp_path / locks.FILE).write_text(json.dumps(holder))
  if is_free:
    with locks.held(tmp_path):
      pass
    return
  with pytest.raises(UserError, match=r"since 2020-01-01: .* if it has ended, remove .*lock\."), \
       locks.held(tmp_path):
    pass


@pytest.mark.parametrize("content", [
    "{", "[1]", "1", '{"process": 1e400, "host": "a", "since": ""}', "[" * 4000])
def test_what_is_not_a_lock_of_ours_is_taken_over(tmp_path, no_flock, content):
  (tmp_path / locks.FILE).write_text(content)
  with locks.held(tmp_path):
    pass


def test_without_locks_that_of_another_stays(tmp_path, no_flock):
  """Who thinks a process dead, and removes its lock as the message says, may take its place."""
  with locks.held(tmp_path) as is_held:
    assert is_held()
    (tmp_path / locks.FILE).unlink()
    assert not is_held()
    (tmp_path / locks.FILE).write_text("another's")
    assert not is_held()
  assert (tmp_path / locks.FILE).read_text() == "another's"


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
  with pytest.raises(UserError, match=r"\.lock cannot be written: No such file"), \
       locks.held(tmp_path / "none"):
    pass
