"""`progress.json`: what is known, whole, written seldom, and how the run ended."""

import json

import pytest

from perceptual import errors
from perceptual.training import progress_file


@pytest.fixture
def path(tmp_path):
  return tmp_path / "progress.json"


def _read(path):
  found = json.loads(path.read_text())
  assert found.pop("time")
  return found


def test_it_is_written_at_first_at_saves_and_otherwise_seldom(path, monkeypatch):
  progress = progress_file.ProgressFile(path, steps=40)
  progress.note(step=2)
  progress.note(step=4, loss=0.5)
  assert _read(path) == {"state": "training", "steps": 40, "step": 2}
  progress.write(last_checkpoint="checkpoints/last/step-4")
  assert _read(path) == {"state": "training", "steps": 40, "step": 4, "loss": 0.5,
                         "last_checkpoint": "checkpoints/last/step-4"}
  monkeypatch.setattr(progress_file, "SECONDS", 0.0)
  progress.note(step=6)
  assert _read(path)["step"] == 6


def test_it_says_how_a_run_ended(path):
  with progress_file.ProgressFile(path).states():
    pass
  assert _read(path) == {"state": "complete", "seconds_left": 0}
  for error, state in ((errors.Stopped, "stopped"), (errors.UserError, "failed"),
                       (KeyboardInterrupt, "stopped")):
    with pytest.raises(error), progress_file.ProgressFile(path).states():
      raise error
    assert _read(path)["state"] == state


def test_what_ended_a_run_is_not_hidden_by_what_cannot_be_written(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(errors.UserError), progress_file.ProgressFile(
      tmp_path / "file" / "progress.json").states():
    raise errors.UserError("first")


def test_other_workers_write_nothing(path):
  with progress_file.ProgressFile(path, may_write=lambda: False).states():
    pass
  assert not path.exists()
