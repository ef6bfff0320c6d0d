"""A study run: failures, kills, changes and left-overs, and the same collected table after all."""

import csv
import gc
import json
import shutil
import signal
import types
from unittest import mock

import pytest

from perceptual import errors
from perceptual.errors import UserError
from perceptual.studies import (
  collecting,
  definition,
  execution,
  plan_text,
  planning,
  status,
  study_dir,
)
from perceptual.studies.devices import DEVICES
from perceptual.training import outer_loop, records, stopping

from .conftest import STUDY


@pytest.fixture(autouse=True, scope="module")
def _thaw():
  """What `execute` has frozen is searched for garbage again after these tests."""
  yield
  gc.unfreeze()


def _folder(path, study):
  folder = study_dir.StudyDir(path, study)
  folder.open()
  return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A study that ran without interruption, collected: (file, folder, table)."""
  place = tmp_path_factory.mktemp("whole")
  from . import conftest
  (place / "base.gin").write_text(conftest.BASE)
  file = place / "study.gin"
  file.write_text(STUDY.replace("BASE", str(place / "base.gin")))
  study = definition.read(str(file))
  folder = _folder(place / "study", study)
  states = execution.execute(folder, study.runs)
  assert [state.state for state in states.values()] == ["finished", "finished"]
  collecting.collect(study, folder)
  return str(file), folder, (folder.path / "collected.csv").read_text()


def test_the_table_has_every_score_of_every_run(whole):
  rows = list(csv.DictReader(whole[2].splitlines()))
  assert list(rows[0]) == [
      "study", "run", "index", "binding.network.width", "varied", "network", "seed", "state",
      "step", "epoch", "learning_rate", "accuracy", "judged_set", "subset", "distance", "tap",
      "score", "low", "high"]
  assert {(row["run"], row["binding.network.width"], row["varied"]) for row in rows} == {
      ("resnet2-seed0", "0.1", ""), ("resnet2-width0.2-seed0", "0.2", "network.width")}
  assert {row["step"] for row in rows} == {"0", "1", "2"}
  assert {(row["subset"], row["tap"]) for row in rows} == {
      (subset, tap) for subset in ("nuisance", "mean", "pooled") for tap in ("stem", "sum")}
  assert len(rows) == 2 * 3 * 6
  metrics = records.read_metrics(whole[1].path / "runs" / "resnet2-seed0" / "metrics.csv")
  for line in metrics:
    row = next(r for r in rows if r["run"] == "resnet2-seed0" and r["step"] == str(line["step"])
               and (r["subset"], r["tap"]) == ("mean", "sum"))
    assert float(row["score"]) == pytest.approx(line["score/local"], abs=1e-4)
    assert float(row["accuracy"]) == pytest.approx(line["validation_accuracy"], abs=1e-4)


def test_parquet_has_the_same_table(whole):
  parquet = pytest.importorskip("pyarrow.parquet")
  table = parquet.read_table(whole[1].path / "collected.parquet").to_pylist()
  rows = list(csv.DictReader(whole[2].splitlines()))
  assert [list(row) for row in table[:1]] == [list(rows[0])]
  assert [(row["run"], row["step"], row["score"]) for row in table] == [
      (row["run"], int(row["step"]), float(row["score"])) for row in rows]


def test_finished_runs_are_passed_over(whole, capsys):
  file, folder, _ = whole
  study = definition.read(file)
  before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
  states = execution.execute(folder, study.runs)
  assert status.all_finished(states)
  assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
  planned = planning.plan(study, folder=folder.path)
  text = plan_text.check(planned, folder, "cpu", DEVICES["cpu"])
  assert text.startswith("Checked: 2 finished runs trained at ")


class _Killed(BaseException):
  pass


def test_a_study_killed_again_and_again_ends_with_the_same_table(whole, tmp_path, monkeypatch):
  file, _, expected = whole
  study = definition.read(file)
  moments = ["evaluate", "report", "evaluate", "report"]
  real = {"report": records.Progress.report, "evaluate": outer_loop.OuterLoop._after_evaluation}

  def killing(name):
    def call(self, *args):
      if moments and moments[0] == name:
        moments.pop(0)
        raise _Killed
      return real[name](self, *args)
    return call

  monkeypatch.setattr(records.Progress, "report", killing("report"))
  monkeypatch.setattr(outer_loop.OuterLoop, "_after_evaluation", killing("evaluate"))
  kills = 0
  while True:
    folder = _folder(tmp_path / "killed", study)
    try:
      states = execution.execute(folder, study.runs)
      break
    except _Killed:
      kills += 1
      states = [folder.state(run).state for run in study.runs]
      assert "started" in states, states
      assert "failed" not in states, states
  assert kills == 4
  assert status.all_finished(states)
  collecting.collect(study, folder)
  assert (folder.path / "collected.csv").read_text() == expected


def test_a_run_that_fails_is_named_and_the_others_go_on(write, tmp_path):
  study = definition.read(write(STUDY.replace("[0.1, 0.2]", "[-1, 0.2]")))
  folder = _folder(tmp_path / "study", study)
  states = execution.execute(folder, study.runs)
  assert [state.state for state in states.values()] == ["failed", "finished"]
  assert "width must be a number > 0" in states["resnet2-width-1-seed0"].note
  assert "Failed: resnet2-width-1-seed0: width must be" in status.table(study, folder)
  paths, states = collecting.collect(study, folder)
  assert {row["run"] for row in csv.DictReader(paths[0].read_text().splitlines())} == {
      "resnet2-width0.2-seed0"}
  assert "1 failed, 1 finished, of 2 runs" in status.summary(study, folder, states)


def test_a_bug_leaves_its_traceback_and_the_run_is_tried_again(write, tmp_path, monkeypatch):
  study = definition.read(write())
  folder = _folder(tmp_path / "study", study)
  with monkeypatch.context() as patch:
    patch.setattr(outer_loop.OuterLoop, "train", lambda self, config: 1 / 0)
    states = execution.execute(folder, study.runs[:1])
  assert states["resnet2-seed0"].note.startswith("ZeroDivisionError: division by zero (see ")
  failure = folder.path / "runs/resnet2-seed0/failure.txt"
  assert "Traceback" in failure.read_text()

  def fail(*_):
    raise OSError(28, "No space left on device", "a/file")

  with monkeypatch.context() as patch:
    patch.setattr(execution, "_train", fail)
    states = execution.execute(folder, study.runs[:1])
  assert states["resnet2-seed0"].note.startswith("a/file: No space left on device. What was")
  assert not failure.exists()
  states = execution.execute(folder, study.runs[:1])
  assert status.all_finished(states)


def test_a_study_that_is_asked_to_stop_starts_no_further_run(write, tmp_path, monkeypatch, capsys):
  """In the last stretch of a run, which then ends; and where there is nothing to save."""
  monkeypatch.setattr(stopping, "ONE_OCCASION", 0)
  study = definition.read(write())
  folder = _folder(tmp_path / "study", study)

  def last_stretch(folder, run, *_):
    with stopping.StopRequest():
      signal.raise_signal(signal.SIGTERM)
    folder.write_state(run, study_dir.FINISHED)

  for train, states in ((last_stretch, ["finished", "not started"]),
                        (lambda *_: signal.raise_signal(signal.SIGTERM), ["finished", "started"])):
    monkeypatch.setattr(execution, "_train", train)
    with pytest.raises(errors.Stopped):
      execution.execute(folder, study.runs)
    assert [folder.state(run).state for run in study.runs] == states
    assert capsys.readouterr().err.endswith("give the same command again to go on\n")


def test_a_task_that_was_trained_is_not_tested_after_a_request(monkeypatch):
  request, tested = stopping.EndOnRequest(print), []
  training = types.SimpleNamespace(steps=1, task=None, train=lambda config: request.note())
  monkeypatch.setattr(execution.experiments, "task", lambda path, **_: training)
  monkeypatch.setattr(execution.experiments, "configuration", dict)
  monkeypatch.setattr(execution.evaluation, "evaluate", lambda *_, **__: tested.append(1))
  with pytest.raises(errors.Stopped):
    execution._train_for_task(mock.Mock(), mock.Mock(), {}, request)
  assert tested == []


def test_what_a_study_is_is_written_once(write, tmp_path, monkeypatch):
  """Tasks that start together on a shared disk would otherwise all write it."""
  study = definition.read(write())
  folder = _folder(tmp_path / "study", study)
  monkeypatch.setattr(study_dir.model_dir, "write_json", None)
  folder.open()
  monkeypatch.undo()
  (folder.path / "study.json").write_text('{"study": "micro", "runs": []}')
  folder.open()
  assert len(json.loads((folder.path / "study.json").read_text())["runs"]) == 2


def test_runs_that_have_changed_are_listed_and_left_alone(whole, tmp_path, write):
  file, folder, _ = whole
  changed = definition.read(write(STUDY.replace("[0.1, 0.2]", "[0.1, 0.3]").replace(
      "[1]}", "[1], 'train.weight_decay': 0.5}").replace("BASE", f"{file[:-9]}base.gin")))
  again = study_dir.StudyDir(folder.path, changed)
  text = status.table(changed, again)
  assert ("Changed: resnet2-seed0: nothing before, train.weight_decay = 0.5 now") in text
  assert "Not started: resnet2-width0.3-seed0" in text
  assert "no longer in the study (left as they are): resnet2-width0.2-seed0" in text
  before = folder.state(changed.run("resnet2-seed0"))
  assert before.state == "changed"
  states = execution.execute(again, [changed.run("resnet2-seed0")])
  assert states["resnet2-seed0"] == before


def test_the_folder_of_another_study_is_refused(whole, write, tmp_path):
  _, folder, _ = whole
  other = definition.read(write(STUDY.replace("'micro'", "'other'")))
  with pytest.raises(UserError, match="holds the study 'micro', not 'other': choose another"):
    study_dir.StudyDir(folder.path, other)
  mine = _folder(tmp_path / "mine", other)
  run = other.runs[0]
  path = mine.model_dir(run).path
  path.mkdir(parents=True)
  (path / "study.json").write_text(json.dumps({"study": "micro"}))
  with pytest.raises(UserError, match=r"holds a run of the study 'micro', not of 'other'"):
    mine.state(run)
  (path / "study.json").unlink()
  (path / "run.json").write_text("{}")
  with pytest.raises(UserError, match="holds a run that is not of a study: move it away"):
    mine.state(run)
  assert execution.execute(mine, [run])[run.name].state == "failed", "and the others go on"


def test_scores_that_are_lost_are_told_and_runs_in_training_are_collected_on_demand(
    whole, tmp_path):
  study = definition.read(whole[0])
  shutil.copytree(whole[1].path, tmp_path / "study")
  folder = study_dir.StudyDir(tmp_path / "study", study)
  first, second = study.runs
  folder.model_dir(first).scores.unlink()
  folder.write_state(second, study_dir.STARTED)
  with pytest.warns(UserWarning, match=r"scores.csv is missing .* scores of resnet2-seed0 are not"):
    paths, _ = collecting.collect(study, folder)
  assert len(paths[0].read_text().splitlines()) == 1
  metrics = folder.model_dir(second).metrics
  metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
  with pytest.warns(UserWarning):
    paths, _ = collecting.collect(study, folder, unfinished=True)
  rows = list(csv.DictReader(paths[0].read_text().splitlines()))
  assert {row["run"] for row in rows} == {second.name}
  assert {row["step"] for row in rows} == {"0", "1"}, "scores of step 2 are just being written"
  first_row, last_row = rows[0], rows[-1]
  assert first_row["learning_rate"] == "" and float(last_row["learning_rate"]) > 0


def test_nothing_to_collect_is_said(write, tmp_path):
  study = definition.read(write())
  with pytest.raises(UserError, match=r"No run of the study micro in .* has finished"):
    collecting.collect(study, study_dir.StudyDir(tmp_path / "empty", study))
