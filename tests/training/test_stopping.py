"""SIGTERM in contexts inside one another: who answers, what is left to the one around, the second.

`test_resuming` has a run that is asked to stop.
"""

import contextlib
import signal
from unittest import mock

import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.training import stopping


def _ask():
  signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("context", [stopping.StopRequest, lambda: stopping.EndOnRequest(print)])
def test_signals_of_one_occasion_are_one(context, monkeypatch):
  """As `timeout` sends them: to the process and to its group."""
  monkeypatch.setattr(stopping.time, "sleep", lambda seconds: _ask())
  with contextlib.suppress(errors.Stopped), context() as request:
    _ask()
  assert request.received


def test_the_second_request_ends_the_process_and_the_handler_from_before_comes_back():
  before = signal.getsignal(signal.SIGTERM)
  with stopping.StopRequest() as request:
    assert not request.received
    _ask()
    assert request.received
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
  assert signal.getsignal(signal.SIGTERM) == before


def test_what_a_run_could_not_act_on_is_left_to_the_study():
  """SIGTERM in the last stretch of a run: it ends, and the next one does not start."""
  said = []
  with pytest.raises(errors.Stopped), stopping.EndOnRequest(said.append) as study:
    study.check()
    with stopping.StopRequest() as run:
      _ask()
    assert run.received
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "the second request still ends it"
    assert said == []
    study.check()
  assert said == ["stopped on request; give the same command again to go on"]


def test_a_run_that_has_answered_is_all_that_is_said():
  said = []
  with pytest.raises(errors.Stopped), stopping.EndOnRequest(said.append), stopping.StopRequest():
    _ask()
    raise errors.Stopped  # as `OuterLoop` does, having said what it has saved
  assert said == []


def test_a_run_that_fails_leaves_the_request_to_the_study():
  with stopping.EndOnRequest(print) as study:
    with pytest.raises(ZeroDivisionError), stopping.StopRequest():
      _ask()
      raise ZeroDivisionError
    assert study.received


def test_what_has_nothing_to_save_ends_at_once():
  before, said = signal.getsignal(signal.SIGTERM), []
  with pytest.raises(errors.Stopped) as caught, stopping.EndOnRequest(said.append):
    _ask()
    said.append("went on")
  assert caught.value.code == 75
  assert said == ["stopped on request; give the same command again to go on"]
  assert signal.getsignal(signal.SIGTERM) == before


def test_a_request_that_comes_while_workers_agree_is_not_lost():
  strategy = mock.Mock(spec=tf.distribute.MultiWorkerMirroredStrategy)
  strategy.run.side_effect = lambda function: function()
  strategy.reduce.side_effect = lambda operation, asked, axis: (_ask(), asked)[1]
  with stopping.StopRequest() as request:
    assert not request.of_any_worker(strategy), "the others do not know of it yet"
    assert request.received
    strategy.reduce.side_effect = lambda operation, asked, axis: asked
    assert request.of_any_worker(strategy)


def test_what_another_worker_was_asked_for_is_noted():
  strategy = mock.Mock(spec=tf.distribute.MultiWorkerMirroredStrategy)
  strategy.reduce.return_value = 1
  with stopping.StopRequest() as request:
    assert request.of_any_worker(strategy) and request.received
