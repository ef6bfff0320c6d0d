"""Telling a process from others: of its number, of its host's name, of the container beside it."""

import dataclasses
import os
import pathlib
import signal
import types

import pytest

from perceptual.common import processes

ENDED = 2**22 + 1  # above the largest number that Linux gives a process


@pytest.fixture
def system(monkeypatch):
  """What the system says of itself, to be changed: a host outside of containers."""
  said = types.SimpleNamespace(
      host="a", id="i", namespace=processes._MACHINE, boot="1", number=os.getpid())
  monkeypatch.setattr(processes.socket, "gethostname", lambda: said.host)
  monkeypatch.setattr(processes.os, "getpid", lambda: said.number)
  monkeypatch.setattr(
      processes, "_text", lambda path: said.boot if path == processes._BOOT else said.id)
  monkeypatch.setattr(processes, "_NAMESPACE", types.SimpleNamespace(
      stat=lambda: types.SimpleNamespace(st_ino=said.namespace)))
  return said


def _ended(system, **changed):
  """Whether this process, by its number and by one that has ended, counts as ended after that."""
  alive = processes.this()
  others = [alive, dataclasses.replace(alive, number=ENDED)]
  vars(system).update(changed)
  return [processes.has_ended(other) for other in others]


def test_a_process_that_runs_is_told_from_one_that_has_ended(system):
  assert _ended(system) == [False, True]
  assert processes.has_ended(dataclasses.replace(processes.this(), number=10**30))


def test_a_number_that_is_used_again_is_another_process(system):
  assert processes.has_ended(dataclasses.replace(processes.this(), life="of-another"))


@pytest.mark.parametrize(("begins", "changed", "ended"), [
    ({}, {"host": "b"}, [False, False]),
    ({}, {"id": "j", "boot": "2"}, [False, False]),  # another host of that name
    ({}, {"boot": "2"}, [True, True]),  # the host has started anew
    ({}, {"namespace": 5}, [False, False]),  # a container of the host's name
    ({"namespace": 5}, {"namespace": 6}, [False, False]),  # two containers of one name
    ({"namespace": 5}, {"boot": "2"}, [False, False]),  # they may be on two machines
    ({"namespace": 5}, {}, [False, True]),
], ids=["another host", "a namesake", "restart", "into a container", "two containers",
        "two machines", "same"])
def test_of_a_process_elsewhere_nothing_is_certain(system, begins, changed, ended):
  vars(system).update(begins)
  assert _ended(system, **changed) == ended


def test_where_the_system_tells_no_start_the_number_decides(system, monkeypatch):
  monkeypatch.setattr(processes, "_life", lambda number: None)
  assert _ended(system) == [False, True]
  assert not processes.has_ended(dataclasses.replace(processes.this(), life="of-another"))


def test_the_name_of_a_process_may_have_any_character():
  before, name = processes.this(), pathlib.Path("/proc/self/comm")
  if not name.exists():
    pytest.skip("needs /proc")
  called = name.read_text()
  try:
    name.write_text("a) b (c 1 2")
    assert processes.this() == before
  finally:
    name.write_text(called)


def test_process_1_of_a_container_ends_too(system, monkeypatch):
  assert processes.action_that_ends(signal.SIGTERM) == signal.SIG_DFL
  system.number, statuses = 1, []
  monkeypatch.setattr(processes.os, "_exit", statuses.append)
  processes.action_that_ends(signal.SIGTERM)(signal.SIGTERM, None)
  assert statuses == [143]
