"""A whole training run in its folder: what it writes, keeps, resumes and refuses."""

import csv
import dataclasses
import json
import math
import re
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto import event_pb2

from perceptual import errors
from perceptual.common import locks
from perceptual.data.labelled import classification
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass, report
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models.preprocessing import IMAGENET
from perceptual.training import classifier, judged_loop, model_dir, records

SPEED = "images_per_second"


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


def _weights(run):
  return {variable.path: variable.numpy() for variable in run.model.weights}


def _assert_same(found, expected):
  assert found.keys() == expected.keys()
  for path, value in expected.items():
    np.testing.assert_array_equal(found[path], value, err_msg=path)


def _without_speed(rows):
  return [{key: value for key, value in row.items() if key != SPEED} for row in rows]


def _contents(folder):
  """Every file, with its bytes and the time of its last change."""
  return {path: (path.read_bytes(), path.stat().st_mtime_ns)
          for path in folder.rglob("*") if path.is_file()}


def test_a_run_writes_all_that_the_folder_is_said_to_hold(make, capsys):
  run = make()
  assert not run.folder.path.exists(), "nothing is written before training"
  rows = run.train(config={"config.gin": "a = 1\n", "operative_config.gin": "b = 2\n"})
  folder = run.folder.path
  assert {path.name for path in folder.iterdir()} == {
      "network.json", "run.json", "config.gin", "operative_config.gin", "metrics.csv",
      "scores.csv", "class_accuracy.csv", "training.png", "progress.json", "tensorboard",
      "checkpoints"}
  assert run.folder.read_network() == ("resnet2", run.network[1])
  assert run.network[1]["num_classes"] == 3
  assert run.network[1]["dropout"] == 0.0, "defaults too: they may change one day"
  assert (folder / "config.gin").read_text() == "a = 1\n"
  assert (folder / "operative_config.gin").read_text() == "b = 2\n"
  about = json.loads(run.folder.run.read_text())
  assert about["images"] == {"name": "tiny", "classes": None, "train": 36, "validation": 10}
  assert about["score"]["judged_set"] == "tiny judgements"
  assert about["train"]["optimizer"]["schedule"]["warmup_epochs"] == 0.5
  assert records.read_metrics(run.folder.metrics) == rows
  progress = json.loads(run.folder.progress.read_text())
  assert [progress[key] for key in ("state", "step", "steps", "last_checkpoint")] == [
      "complete", 12, 12, "checkpoints/last/step-12"]
  with Image.open(run.folder.plot) as image:
    assert min(image.size) > 300
  out, err = capsys.readouterr()
  assert out == ""
  lines = err.splitlines()
  assert [line.partition("/")[0] for line in lines if line.startswith("step")] == [
      f"step {step:>2}" for step in (2, 4, 6, 8, 10, 12)]
  assert [line.partition(":")[0] for line in lines if "evaluation" in line] == [
      f"  evaluation at step {step}" for step in (0, 4, 8, 12)]
  assert all(line.startswith(("step", "  evaluation at step", "  evaluating", "  warning: "))
             for line in lines)


def test_scores_are_said_with_their_intervals_and_a_small_set_is_warned_of_once(make, capsys):
  rows = make().train()
  lines = capsys.readouterr().err.splitlines()
  said = [re.search(r": local (\d+\.\d) ±(\d+\.\d)  style (\d+\.\d) ±\d+\.\d", line)
          for line in lines if "evaluation at step" in line]
  assert [(line[1], line[3]) for line in said] == [
      (f"{row['score/local']:.1f}", f"{row['score/style']:.1f}") for row in rows]
  assert [line for line in lines if "warning" in line] == [
      f"  warning: with 10 triplets a score is known to ±{said[0][2]} points (95% interval): "
      "smaller differences between steps may be chance"]


def test_a_set_that_tells_scores_apart_is_not_warned_of(make, monkeypatch, capsys):
  monkeypatch.setattr(judged_loop, "WIDE", 50.0)
  make(train_steps=1).train()
  assert "warning" not in capsys.readouterr().err


def test_a_line_of_metrics_an_evaluation(make):
  rows = make().train()
  assert [row["step"] for row in rows] == [0, 4, 8, 12]
  assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
  assert list(rows[0]) == ["step", "epoch", "validation_loss", "validation_accuracy", "score/local",
                           "score/style"]
  assert set(rows[1]) - set(rows[0]) == {"loss", "accuracy", "learning_rate", SPEED}
  assert all(math.isfinite(value) for row in rows for value in row.values())
  peak = 1.0 * 8 / 256
  np.testing.assert_allclose([row["learning_rate"] for row in rows[1:]],
                             [peak, 0.1 * peak, 0.1 * peak], rtol=1e-6)
  assert rows[0]["validation_loss"] == pytest.approx(math.log(3), abs=0.1)
  assert rows[-1]["validation_accuracy"] > rows[0]["validation_accuracy"]


def test_tensorboard_gets_the_same_numbers(make):
  run = make(train_steps=4)
  rows = run.train()
  found = {}
  for path in run.folder.tensorboard.iterdir():
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      event = event_pb2.Event.FromString(record)
      for value in event.summary.value:
        found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
  for tag in ("validation_accuracy", "score/local", "loss", "learning_rate"):
    assert found[tag, 4] == pytest.approx(rows[-1][tag], rel=1e-5)
  assert ("loss", 2) in found


def test_the_kept_checkpoints_are_what_they_were_kept_for(make, images, judged_set):
  """Scored and evaluated again from the folder alone."""
  run = make(train_steps=16, eval_interval=2)
  rows = run.train()
  for name, column in (("best_score", "score/local"),
                       ("best_accuracy", "validation_accuracy")):
    model, network, _, step = model_dir.load_network(run.folder.path, name)
    best = records.peak(rows, column)
    assert step == best["step"], "the first of the highest"
    scored = judged_pass.JudgedPass(
        FeatureMetric(model, name=network), distances=("local",), batch_size=4)
    distances = {subset.name: scored(subset, "2afc") for subset in judged_set.subsets}
    assert report.summed_score(judged_set, distances, "local") == best["score/local"]
    evaluator = classifier.ClassifierEvaluator(
        model, classification.validation_batches(images, batch_size=4),
        strategy=tf.distribute.get_strategy(), preprocess=IMAGENET)
    accuracy = evaluator.evaluate(tf.constant(-1))["validation_accuracy"]
    assert accuracy == best["validation_accuracy"]
  assert model_dir.load_network(run.folder.path, "last")[-1] == 16
  assert len({row["score/local"] for row in rows}) > 1, "there is something to choose"


def test_the_untrained_network_is_recorded_but_never_kept(make):
  run = make(train_steps=4, eval_interval=100, learning_rate=1e-9)
  rows = run.train()
  assert [row["step"] for row in rows] == [0, 4], "the last step is always evaluated"
  assert rows[0]["score/local"] == rows[1]["score/local"]
  assert model_dir.load_network(run.folder.path)[-1] == 4
  assert f"at step 4, with {rows[1]['validation_accuracy']:.1f}% accuracy" in run.summary()


def _scores(run):
  with run.folder.scores.open(newline="") as file:
    return list(csv.DictReader(file))


def test_the_network_is_scored_at_chosen_steps_too(make):
  run = make(score_steps=(0, 1, 6, 99), steps_per_loop=5)
  assert [row["step"] for row in run.train()] == [0, 1, 4, 6, 8, 12]
  assert list(dict.fromkeys(row["step"] for row in _scores(run))) == ["0", "1", "4", "6", "8", "12"]


def test_every_score_is_recorded_with_its_interval(make, judged_set):
  run = make(train_steps=4, network=("resnet3", {"width": 0.1}))
  rows = run.train()
  found = {tuple(row[key] for key in ("step", "subset", "distance", "tap")): row
           for row in _scores(run)}
  assert {row["judged_set"] for row in found.values()} == {judged_set.name}
  assert set(found) == {
      (str(step), subset, distance, tap) for step in (0, 4)
      for subset in ("first", "second", "mean", "pooled") for distance in ("local", "style")
      for tap in ("reduction_1", "sum")}
  assert float(found["4", "mean", "local", "sum"]["score"]) == pytest.approx(
      rows[-1]["score/local"], abs=1e-4)
  for row in found.values():
    assert 0 <= float(row["low"]) <= float(row["score"]) <= float(row["high"]) <= 100


def test_a_damaged_file_of_scores_is_told(make, trained):
  path = trained / "scores.csv"
  text = path.read_text()
  for damaged in (text.replace("low", "lower"), text + "4,tiny\n", text + "x" + "," * 7, ""):
    path.write_text(damaged)
    with pytest.raises(UserError, match=r"scores.csv is damaged: its columns must be step, judged"):
      make(train_steps=8)


def test_taps_are_chosen(make):
  run = make(train_steps=2, network=("resnet4", {"width": 0.1}), score_taps=("reduction_2",))
  run.train()
  assert {row["tap"] for row in _scores(run)} == {"reduction_2", "sum"}
  with pytest.raises(UserError, match=r"tap in score_taps 'stem'. Available: reduction_1"):
    make("other", network=("resnet4", {"width": 0.1}), score_taps=("stem",))


def test_several_sets_are_scored_and_one_keeps_the_best(make, judged_set):
  other = dataclasses.replace(judged_set, name="others", subsets=judged_set.subsets[:1])
  run = make(train_steps=4, further_sets=(other,), best_by="others")
  assert "besides   tiny judgements, 10 triplets" in run.description()
  row = run.train()[-1]
  scores = {(r["judged_set"], r["subset"]): float(r["score"]) for r in _scores(run)
            if (r["step"], r["distance"], r["tap"]) == ("4", "local", "sum")}
  assert set(scores) == {*((judged_set.name, name) for name in (
      "first", "second", "mean", "pooled")), *(("others", name) for name in (
          "first", "mean", "pooled"))}
  assert scores["others", "mean"] == scores[judged_set.name, "first"]
  assert row["score/local"] == pytest.approx(scores["others", "mean"], abs=1e-4)
  assert "changed" not in make(train_steps=4, further_sets=(other,), best_by="others").description()
  with pytest.raises(UserError, match="holds another run"):
    make(train_steps=4, further_sets=(other,))
  with pytest.raises(UserError, match=r"best_by 'third'. Available: tiny judgements, others"):
    make("third", further_sets=(other,), best_by="third")
  with pytest.raises(UserError, match="A judged set is named twice: tiny judgements, tiny"):
    make("twice", further_sets=(judged_set,))


def test_weights_of_chosen_steps_are_kept_for_good(make):
  run = make(train_steps=6, keep_checkpoints=(0, 3, 6, 99))
  run.train()
  assert run.folder.kept() == ["step-0", "step-3", "step-6"]
  for step in (0, 3, 6):
    assert model_dir.load_network(run.folder.path, f"step-{step}")[-1] == step
  kept, last = (model_dir.load_network(run.folder.path, name)[0] for name in ("step-6", "last"))
  for first, second in zip(kept.weights, last.weights):
    np.testing.assert_array_equal(first.numpy(), second.numpy())
  with pytest.raises(UserError, match=r"no checkpoint 'step-4'. Available: .*step-0, step-3"):
    model_dir.load_network(run.folder.path, "step-4")


def test_all_evaluated_weights_are_kept(make):
  run = make(train_steps=6, keep_checkpoints="all", score_steps=(1,))
  run.train()
  assert run.folder.kept() == ["step-0", "step-1", "step-4", "step-6"]


def test_accuracy_by_class_is_that_of_the_last_evaluation(make, images):
  run = make(images=dataclasses.replace(images, classes=(7, 2, 5)))
  row = run.train()[-1]
  with run.folder.class_accuracy.open(newline="") as file:
    found = list(csv.DictReader(file))
  assert [(r["label"], r["images"]) for r in found] == [("7", "4"), ("2", "3"), ("5", "3")]
  right = sum(float(r["accuracy"]) * int(r["images"]) for r in found) / 10
  assert right == pytest.approx(row["validation_accuracy"], abs=1e-3)


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
  _assert_same(_weights(resumed), _weights(whole))
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
  _assert_same(_weights(prolonged), _weights(whole))


def test_a_changed_recipe_is_told_before_it_is_gone_on_with(make, trained):
  run = make(train_steps=4, weight_decay=0.01, seed=3, learning_rate=0.5)
  assert [line for line in run.description().splitlines() if line.startswith("changed")] == [
      "changed   train.optimizer.schedule.learning_rate: 1.0 before, 0.5 now",
      "changed   train.weight_decay: 0.0001 before, 0.01 now",
      "changed   train.seed: 0 before, 3 now"]


def _renamed(images, **changes):
  return dataclasses.replace(images, **changes)


@pytest.mark.parametrize(("change", "culprit"), [
    (lambda i, j: {"network": ("resnet3", {"width": 0.1})},
     "network.name: resnet2 before, resnet3 now"),
    (lambda i, j: {"network": ("resnet2", {"width": 0.2})}, "network.width: 0.1 before, 0.2 now"),
    (lambda i, j: {"images": _renamed(i, num_classes=4)}, "network.num_classes: 3 before, 4 now"),
    (lambda i, j: {"images": _renamed(i, classes=(2, 0, 1))}, "images.classes: None before, "),
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


def test_weights_that_diverge_in_the_last_step_of_a_loop_are_not_kept(make, monkeypatch):
  """The losses of the loop were finite, but the weights it leaves are not."""
  run = make(train_steps=4)

  def spoil(self, *args):
    run.model.weights[-1].assign([np.nan] * 3)
    return 1.0

  monkeypatch.setattr(records.Progress, "report", spoil)
  with pytest.raises(UserError, match=r"Training diverged by step 4: .* no checkpoint had been"):
    run.train()
  assert not (run.folder.path / "checkpoints").exists()


def test_steps_per_loop_changes_lines_of_progress_alone(make):
  runs = [make(str(n), steps_per_loop=n) for n in (1, 5)]
  rows = [run.train() for run in runs]
  _assert_same(_weights(runs[1]), _weights(runs[0]))
  for name in ("validation_loss", "score/local", "score/style", "step"):
    assert [row[name] for row in rows[1]] == [row[name] for row in rows[0]]


def _users_classifier(path):
  """Saves a classifier of somebody's; returns the options of the network that it is."""
  keras.utils.set_random_seed(0)
  x = image = keras.Input((None, None, 3))
  x = keras.layers.Conv2D(8, 3, strides=4, name="conv")(x)
  x = keras.layers.ReLU()(keras.layers.BatchNormalization(synchronized=True)(x))
  keras.Model(image, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))).save(path)
  return {"path": str(path), "taps": ["conv"], "preprocessing": "-1,1"}


@pytest.mark.parametrize("name", ["resnet2", "keras_file"])
def test_two_replicas_train_and_evaluate_as_one_device(
    name, make, mirrored, one_device, tmp_path):
  """With synchronised batch normalisation; 10 images and triplets fill no whole batch of 8."""
  network = ("resnet2", {"width": 0.1, "synchronized_batch_norm": True})
  if name == "keras_file":
    network = ("keras_file", _users_classifier(tmp_path / "users.keras"))
  runs = [make(name, network=network, strategy=strategy, train_steps=4, eval_batch_size=8)
          for name, strategy in (("two", mirrored), ("one", one_device))]
  rows = [run.train()[-1] for run in runs]
  for path, value in _weights(runs[1]).items():
    np.testing.assert_allclose(_weights(runs[0])[path], value, atol=1e-4, err_msg=path)
  for name in ("loss", "validation_loss", "validation_accuracy", "score/local", "score/style"):
    assert rows[0][name] == pytest.approx(rows[1][name], rel=1e-3), name
  assert "MirroredStrategy, 2 replicas" in runs[0].description()
  assert "OneDeviceStrategy, 1 replica, float32" in runs[1].description()


def test_a_run_on_two_replicas_goes_on_on_one(make, mirrored, one_device):
  """What is seen at a step depends on the seed and the step, not on the devices."""
  network = ("resnet2", {"width": 0.1, "synchronized_batch_norm": True})
  make("mixed", network=network, strategy=mirrored, train_steps=4).train()
  mixed = make("mixed", network=network, strategy=one_device, train_steps=8)
  whole = make("whole", network=network, strategy=one_device, train_steps=8)
  assert mixed.first_step == 4
  rows = [run.train()[-1] for run in (mixed, whole)]
  for path, value in _weights(whole).items():
    np.testing.assert_allclose(_weights(mixed)[path], value, atol=1e-4, err_msg=path)
  assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-3)


def test_bfloat16_is_for_activations_alone(make):
  run = make(train_steps=2, precision="bfloat16")
  rows = run.train()
  assert math.isfinite(rows[-1]["loss"])
  assert run.model.get_layer("stem_conv").compute_dtype == "bfloat16"
  assert {variable.dtype for variable in run.model.weights} == {"float32"}
  assert run.model.output["logits"].dtype == "float32"
  assert keras.config.dtype_policy().name == "float32", "put back"
  model, *_ = model_dir.load_network(run.folder.path)
  assert model.get_layer("stem_conv").compute_dtype == "float32"


def test_graphs_are_traced_once_however_often_they_run(make, monkeypatch):
  traced = {"loss": 0, "features": 0}

  def counted(name, function):
    def call(*args, **kwargs):
      traced[name] += 1
      return function(*args, **kwargs)
    return call

  monkeypatch.setattr(classifier, "cross_entropy", counted("loss", classifier.cross_entropy))
  monkeypatch.setattr(FeatureMetric, "features", counted("features", FeatureMetric.features))
  make(train_steps=12, eval_interval=2).train()
  assert traced == {"loss": 2, "features": 1}, "training and evaluation; the judged set"


def test_an_evaluation_counts_every_image_and_triplet(make, monkeypatch, capsys):
  monkeypatch.setattr(records, "EVALUATION_SECONDS", 0.0)
  make(train_steps=1).train()
  lines = [line for line in capsys.readouterr().err.splitlines() if "evaluating" in line]
  assert lines[:6] == [f"  evaluating: {share}%" for share in (20, 40, 60, 80, 90, 100)]


def test_networks_are_as_different_as_their_seeds(make):
  first, again, other = (make(name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
  _assert_same(_weights(again), _weights(first))
  assert (_weights(other)["stem_conv/kernel"] != _weights(first)["stem_conv/kernel"]).all()


@pytest.mark.parametrize(("change", "culprit"), [
    (lambda i, j: {"judged_set": dataclasses.replace(j, kind="jnd")}, "is of kind jnd"),
    (lambda i, j: {"score_subset": "third"},
     "Unknown subset of tiny judgements 'third'. Available: first, second, mean, pooled"),
    (lambda i, j: {"images": _renamed(i, sizes={"train": 36, "validation": 0})},
     "tiny needs training and validation images"),
    (lambda i, j: {"network": ("resnet9", {})}, "Unknown network 'resnet9'"),
    (lambda i, j: {"network": ("resnet2", {"width": "wide"})}, "width must be"),
    (lambda i, j: {"network": ("resnet2", {"image_size": 32})},
     "resnet2 does not take the images of tiny, 16x16 pixels: "),
    (lambda i, j: {"score_distances": ("local", "psnr")}, "distance 'psnr'"),
])
def test_parts_that_do_not_fit_are_refused(make, images, judged_set, change, culprit):
  with pytest.raises(UserError) as caught:
    make(**change(images, judged_set))
  assert culprit in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["batch_size", "eval_batch_size"])
def test_batches_must_divide_among_replicas(make, mirrored, name):
  with pytest.raises(UserError, match=f"^{name} 9 is not a multiple of the 2 replicas"):
    make(strategy=mirrored, **{name: 9})


def test_the_description_is_for_people(make, images):
  text = make(images=_renamed(images, note="a note on images")).description()
  for part in ("resnet2 width=0.1 num_classes=3: ", "tap", "stem", "tiny: 36 to train, 10 to",
               "a note on images", "made for a test", "tiny judgements (mean), 10 triplets",
               "best by local", "12 of 8 images (4 an epoch), evaluated every 4; from the start"):
    assert part in text, part


# Being stopped, and folders that have lost something.


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
  _assert_same(_weights(resumed), _weights(whole))


def test_a_second_writer_is_refused(make, trained):
  run = make(train_steps=8)
  before = _contents(trained)
  with locks.held(trained), pytest.raises(UserError, match="is being written by process"):
    run.train()
  assert _contents(trained) == before


def test_a_run_that_another_process_has_gone_on_with_is_not_overwritten(make, trained):
  late = make(train_steps=8)
  make(train_steps=8).train()
  before = _contents(trained)
  with pytest.raises(UserError, match=r"Another process has trained in .* meanwhile: give"):
    late.train()
  assert _contents(trained) == before


def test_a_lost_last_checkpoint_is_not_started_over(make, trained):
  make(train_steps=8).train()
  shutil.rmtree(trained / "checkpoints" / "last")
  before = _contents(trained)
  with pytest.raises(UserError, match=r"has lost checkpoints/last: metrics.csv has step 8"):
    make(train_steps=12)
  assert _contents(trained) == before


def test_a_damaged_newer_checkpoint_costs_an_interval_and_nothing_else(make):
  run, whole = make(train_steps=8), make("whole", train_steps=12)
  run.train()
  last = run.folder.checkpoint("last") / "step-8.data-00000-of-00001"
  last.write_bytes(last.read_bytes()[:-1])
  with pytest.warns(UserWarning, match="step-8 is damaged: .* resumed from step 4 instead"):
    resumed = make(train_steps=12)
  assert _without_speed(resumed.train()) == _without_speed(whole.train())
  _assert_same(_weights(resumed), _weights(whole))


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
  (last / "step-4.json").rename(last / ".step-4.4194305.json")
  (trained / ".lock").write_text("{}")
  run = make(train_steps=4)
  assert run.is_complete
  run.train()
  assert {path.relative_to(trained) for path in trained.rglob("*")} == before
  assert make(train_steps=4)._checkpoints.notes()["metrics"] == run._metrics.rows


def test_leftovers_of_killed_runs_go_and_others_stay(make, trained):
  for name in (".metrics.4194305.csv", ".training.4194305.png", ".mine.csv"):
    (trained / name).touch()
  (trained / "checkpoints" / "best_score" / "step-8_temp").mkdir()
  make(train_steps=8).train()
  assert sorted(path.name for path in trained.rglob(".*")) == [".mine.csv"]
  assert not list(trained.rglob("*_temp"))
