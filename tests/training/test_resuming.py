"""A run that goes on in its folder: prolonged, killed, stopped, damaged; and what is refused."""

import dataclasses
import shutil
import signal

import numpy as np
import pytest

from perceptual import errors
from perceptual.common import locks
from perceptual.errors import UserError
from perceptual.training import model_dir, records
from tests import leftovers
from tests.training import weights


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory, make_in):
  """The folder of a run that is complete after 4 steps; not to be changed."""
  run = make_in(tmp_path_factory.mktemp("four") / "run", train_steps=4)
  run.train()
  return run.folder.path


@pytest.fixture
def trained(tmp_path, four_steps):
  """A copy of it, which `make()` finds."""
  return shutil.copytree(four_steps, tmp_path / "run")


def _without_speed(rows):
  return [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]


def _contents(folder):
  """Every file, with its bytes and the time of its last change."""
  return {path: (path.read_bytes(), path.stat().st_mtime_ns)
          for path in folder.rglob("*") if path.is_file()}


class _Killed(Exception):
  pass


def _kill(run, step):
  """Trains until the loop that ends at a step or later, and stops there as by a kill."""
  report = records.Progress.report

  def until(self, now, means):
    if now >= step:
      raise _Killed
    return report(self, now, means)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(records.Progress, "report", until)
    with pytest.raises(_Killed):
      run.train()


DROPOUT = {"network": ("resnet2", {"width": 0.1, "dropout": 0.4}), "checkpoint_interval": 3,
           "score_steps": (1, 7), "keep_checkpoints": (1, 5)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_in):
  """A run that was never interrupted."""
  run = make_in(tmp_path_factory.mktemp("whole") / "run", **DROPOUT)
  run.train()
  return run


@pytest.mark.parametrize(("killed_at", "resumed_at"), [(1, 0), (6, 5), (11, 9)])
def test_a_resumed_run_ends_as_the_uninterrupted_one(make, whole, killed_at, resumed_at):
  """Bit for bit, with dropout and augmentation; saved at 1, 3, 4, 5, 6, 7, 8, 9 and 12."""
  _kill(make(**DROPOUT), killed_at)
  resumed = make(**DROPOUT)
  assert resumed.first_step == resumed_at
  assert ("resuming at step" in resumed.description()) == bool(resumed_at)
  assert "changed" not in resumed.description()
  rows = resumed.train()
  assert _without_speed(rows) == _without_speed(records.read_metrics(whole.folder.metrics))
  weights.assert_same(weights.of(resumed), weights.of(whole))
  assert resumed.folder.scores.read_text() == whole.folder.scores.read_text()
  assert resumed.folder.class_accuracy.read_text() == whole.folder.class_accuracy.read_text()
  for name in (*model_dir.CHECKPOINTS, "step-1", "step-5"):
    models = [model_dir.load_network(run.folder.path, name) for run in (whole, resumed)]
    assert models[0][-1] == models[1][-1]
    for first, second in zip(models[0][0].weights, models[1][0].weights):
      np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_a_complete_run_says_so_and_changes_nothing(make, trained, capsys):
  run = make(train_steps=4)
  before = _contents(run.folder.path)
  capsys.readouterr()
  assert run.is_complete
  assert "complete at step 4" in run.description()
  rows = run.train(config={"config.gin": "new"})
  assert _contents(run.folder.path) == before
  assert rows == records.read_metrics(run.folder.metrics)
  assert "at step 4" in run.summary()
  assert capsys.readouterr() == ("", "")


def test_a_run_may_be_prolonged_and_ends_as_if_it_had_been_meant_so(make, trained):
  prolonged, whole = make(train_steps=8), make("whole", train_steps=8)
  assert "changed   train.train_steps: 4 before, 8 now" in prolonged.description()
  assert _without_speed(prolonged.train()) == _without_speed(whole.train())
  weights.assert_same(weights.of(prolonged), weights.of(whole))


def test_a_changed_recipe_is_told_before_it_is_gone_on_with(make, trained):
  run = make(train_steps=4, weight_decay=0.01, seed=3, learning_rate=0.5)
  assert [line for line in run.description().splitlines() if line.startswith("changed")] == [
      "changed   train.optimizer.schedule.learning_rate: 1.0 before, 0.5 now",
      "changed   train.weight_decay: 0.0001 before, 0.01 now",
      "changed   train.seed: 0 before, 3 now"]


@pytest.mark.parametrize(("change", "culprit"), [
    (lambda i, j: {"network": ("resnet3", {"width": 0.1})},
     "network.name: resnet2 before, resnet3 now"),
    (lambda i, j: {"network": ("resnet2", {"width": 0.2})}, "network.width: 0.1 before, 0.2 now"),
    (lambda i, j: {"images": dataclasses.replace(i, num_classes=4)},
     "network.num_classes: 3 before, 4 now"),
    (lambda i, j: {"images": dataclasses.replace(i, classes=(2, 0, 1))},
     "images.classes: None before, "),
    (lambda i, j: {"judged_set": dataclasses.replace(j, subsets=j.subsets[:1])},
     "score.triplets: 10 before, 6 now"),
    (lambda i, j: {"score_by": "style"}, "score.distance: local before, style now"),
    (lambda i, j: {"score_subset": "second"}, "score.subset: None before, second now"),
])
def test_a_folder_of_another_run_is_refused(make, trained, images, judged_set, change, culprit):
  before = _contents(trained)
  with pytest.raises(UserError) as caught:
    make(train_steps=8, **change(images, judged_set))
  assert culprit in str(caught.value)
  assert "choose another --model_dir" in str(caught.value)
  assert "\n" not in str(caught.value)
  assert _contents(trained) == before


def test_without_the_description_the_weights_still_have_to_fit(make, trained):
  (trained / "run.json").write_text('{"network": ')
  with pytest.raises(UserError, match=r"run.json cannot be read: .* move it away: training goes"):
    make(train_steps=4)
  (trained / "run.json").unlink()
  assert make(train_steps=4).is_complete
  with pytest.raises(UserError, match=r"step-4 does not fit resnet2: weight stem_conv/kernel has"):
    make(network=("resnet2", {"width": 0.2}))


def test_divergence_stops_at_the_last_good_checkpoint(make, trained):
  run = make(train_steps=12, learning_rate=1e30)
  before = records.read_metrics(run.folder.metrics)
  with pytest.raises(UserError) as caught:
    run.train()
  assert str(caught.value).startswith("Training diverged by step 6: the loss is ")
  assert f"the last good checkpoint is {run.folder.checkpoint('last')}/step-4." in str(caught.value)
  assert "\n" not in str(caught.value)
  assert records.read_metrics(run.folder.metrics) == before
  for name in model_dir.CHECKPOINTS:
    model, *_, step = model_dir.load_network(run.folder.path, name)
    assert step == 4
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)


def _asked_to_stop(run, step):
  """Trains a run that gets SIGTERM when it has reported a step; returns the exit status."""
  report_ = run._after_loop

  def after_loop(means):
    if run._step == step:
      signal.raise_signal(signal.SIGTERM)
    return report_(means)

  run._after_loop = after_loop
  with pytest.raises(errors.Stopped) as caught:
    run.train()
  return caught.value.code


@pytest.mark.parametrize("step", [11, 8])
def test_a_run_that_is_asked_to_stop_saves_and_ends_as_the_uninterrupted_one(
    make, whole, capsys, step):
  """In the middle of an interval, at 11, and before an evaluation, at 8."""
  handler = signal.getsignal(signal.SIGTERM)
  assert _asked_to_stop(make(**DROPOUT), step) == 75
  assert f"stopped on request: saved at step {step}; give the same" in capsys.readouterr().err
  assert signal.getsignal(signal.SIGTERM) == handler
  resumed = make(**DROPOUT)
  assert resumed.first_step == step
  assert [path.name for path in resumed.folder.path.iterdir() if path.name.startswith(".")] == []
  assert _without_speed(resumed.train()) == _without_speed(
      records.read_metrics(whole.folder.metrics))
  weights.assert_same(weights.of(resumed), weights.of(whole))


def test_a_second_writer_is_refused(make, trained):
  run = make(train_steps=8)
  before = _contents(trained)
  with locks.held(trained), pytest.raises(UserError, match="is being written by process"):
    run.train()
  assert _contents(trained) == before


@pytest.mark.parametrize("during", ["_after_loop", "_judged_pass"])
def test_a_run_whose_folder_was_removed_writes_nothing_to_the_one_in_its_place(make, during):
  """As after `rm -r`, and the same command again, while the first still trains or scores."""
  run = make(train_steps=8)
  go_on, place = getattr(run, during), run.folder.path

  def removed_and_made_anew(*args):
    if place.exists() and run._step:
      shutil.rmtree(place)
      place.mkdir()
      (place / "of another").touch()
    return go_on(*args)

  setattr(run, during, removed_and_made_anew)
  with pytest.raises(UserError, match=r"was removed, or another process has taken it over: this o"):
    run.train()
  assert [path.name for path in place.iterdir() if path.name != "tensorboard"] == ["of another"]


def test_a_run_that_another_process_has_gone_on_with_is_not_overwritten(make, trained):
  late = make(train_steps=8)
  make(train_steps=8).train()
  before = _contents(trained)
  with pytest.raises(UserError, match=r"Another process has trained in .* meanwhile: give"):
    late.train()
  assert _contents(trained) == before


@pytest.mark.parametrize("steps, tells", [
    (4, "progress.json names 'checkpoints/last/step-4'"), (8, "metrics.csv has step 8")])
@pytest.mark.parametrize("lost", ["*", "*[!1]"])
def test_a_lost_last_checkpoint_is_not_started_over(make, trained, steps, tells, lost):
  """Also not after one evaluation, or where its data alone are left, as of a save cut short."""
  make(train_steps=steps).train()
  for path in (trained / "checkpoints" / "last").glob(lost):
    path.unlink()
  before = _contents(trained)
  with pytest.raises(UserError, match=f"has lost checkpoints/last: {tells}"):
    make(train_steps=12)
  assert _contents(trained) == before


def test_best_weights_that_are_lost_are_kept_again_or_told(make, trained):
  make(train_steps=8).train()
  rows = records.read_metrics(trained / "metrics.csv")
  assert records.peak(rows, "validation_accuracy")["step"] == 4
  assert records.peak(rows, "score/local")["step"] == 8
  for name in ("best_score", "best_accuracy"):
    shutil.rmtree(trained / "checkpoints" / name)
  with pytest.warns(UserWarning) as warned:
    run = make(train_steps=8)
  lost = "the weights of the best evaluation, of step {}, are lost; none are kept."
  assert [str(one.message).partition(": ")[2] for one in warned] == [
      f"{lost.format(8)} They are those of the last checkpoint, and will be kept again.",
      f"{lost.format(4)} If training goes on, the best from here on is kept."]
  run.train()
  assert run.lost_weights() == [f"{trained}/checkpoints/best_accuracy: {lost.format(4)}"]
  assert run.folder.latest("best_score").endswith("step-8")


def test_a_damaged_newer_checkpoint_costs_an_interval_and_nothing_else(make):
  run, whole = make(train_steps=8), make("whole", train_steps=12)
  run.train()
  last = run.folder.checkpoint("last") / "step-8.data-00000-of-00001"
  last.write_bytes(last.read_bytes()[:-1])
  with pytest.warns(UserWarning, match="step-8 is damaged: .* resumed from step 4 instead"):
    resumed = make(train_steps=12)
  assert _without_speed(resumed.train()) == _without_speed(whole.train())
  weights.assert_same(weights.of(resumed), weights.of(whole))


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(), lambda path: path.write_text("step\n0\n"),
    lambda path: path.write_text(path.read_text().replace("4,1.0,", "4,7.0,")),
    lambda path: path.write_text("damaged\n1\n")])
@pytest.mark.parametrize("steps", [4, 8])
def test_lines_of_metrics_that_are_lost_or_changed_are_put_right(make, trained, damage, steps):
  rows = records.read_metrics(trained / "metrics.csv")
  damage(trained / "metrics.csv")
  with pytest.warns(UserWarning, match="metrics.csv is not as it was written: step .*4 missing"):
    run = make(train_steps=steps)
  assert run.train()[:2] == rows
  assert records.read_metrics(trained / "metrics.csv")[:2] == rows


def test_a_damaged_file_of_scores_is_told(make, trained):
  path = trained / "scores.csv"
  text = path.read_text()
  for damaged in (text.replace("low", "lower"), text + "4,tiny\n", text + "x" + "," * 7, ""):
    path.write_text(damaged)
    with pytest.raises(UserError, match=r"scores.csv is damaged: its columns must be step, judged"):
      make(train_steps=8)


def test_lost_lines_of_scores_are_said(make, trained):
  path = trained / "scores.csv"
  head, *lines = path.read_text().splitlines()
  path.write_text("\n".join([head, *lines[:-3]]))
  with pytest.warns(UserWarning, match=rf"scores.csv has lost 3 of its {len(lines)} lines up to"):
    make(train_steps=8)


def test_changed_scores_are_said(make, trained):
  path = trained / "scores.csv"
  head, first, *lines = path.read_text().splitlines()
  digit = "4" if first[-1] != "4" else "5"
  path.write_text("\n".join([head, first[:-1] + digit, *lines]))
  with pytest.warns(UserWarning, match="scores.csv has changed since it was written: its"):
    make(train_steps=8)


def test_a_run_that_was_killed_after_its_last_step_is_tidied(make, trained):
  before = {path.relative_to(trained) for path in trained.rglob("*")}
  last = trained / "checkpoints" / "last"
  (last / "step-4.json").rename(leftovers.temporary(last / "step-4.json"))
  (trained / ".lock").write_text("{}")
  run = make(train_steps=4)
  assert run.is_complete
  run.train()
  assert {path.relative_to(trained) for path in trained.rglob("*")} == before
  assert make(train_steps=4)._checkpoints.notes()["metrics"] == run._metrics.rows


def test_leftovers_of_killed_runs_go_and_others_stay(make, trained):
  for path in (*map(leftovers.temporary, (trained / "metrics.csv", trained / "training.png")),
               trained / ".mine.csv"):
    path.touch()
  (trained / "checkpoints" / "best_score" / "step-8_temp").mkdir()
  make(train_steps=8).train()
  assert sorted(path.name for path in trained.rglob(".*")) == [".mine.csv"]
  assert not list(trained.rglob("*_temp"))
