"""A whole training run in its folder: what it writes, keeps and refuses, and on which devices."""

import csv
import dataclasses
import json
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.compat.proto import event_pb2

from perceptual.data.labelled import classification
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass, report
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models.preprocessing import IMAGENET
from perceptual.training import classifier, judged_loop, model_dir, records
from tests.training import weights


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
  assert set(rows[1]) - set(rows[0]) == {"loss", "accuracy", "learning_rate", "images_per_second"}
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
  weights.assert_same(weights.of(runs[1]), weights.of(runs[0]))
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
  for path, value in weights.of(runs[1]).items():
    np.testing.assert_allclose(weights.of(runs[0])[path], value, atol=1e-4, err_msg=path)
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
  for path, value in weights.of(whole).items():
    np.testing.assert_allclose(weights.of(mixed)[path], value, atol=1e-4, err_msg=path)
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
  weights.assert_same(weights.of(again), weights.of(first))
  assert (weights.of(other)["stem_conv/kernel"] != weights.of(first)["stem_conv/kernel"]).all()


@pytest.mark.parametrize(("change", "culprit"), [
    (lambda i, j: {"judged_set": dataclasses.replace(j, kind="jnd")}, "is of kind jnd"),
    (lambda i, j: {"score_subset": "third"},
     "Unknown subset of tiny judgements 'third'. Available: first, second, mean, pooled"),
    (lambda i, j: {"images": dataclasses.replace(i, sizes={"train": 36, "validation": 0})},
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
  text = make(images=dataclasses.replace(images, note="a note on images")).description()
  for part in ("resnet2 width=0.1 num_classes=3: ", "tap", "stem", "tiny: 36 to train, 10 to",
               "a note on images", "made for a test", "tiny judgements (mean), 10 triplets",
               "best by local", "12 of 8 images (4 an epoch), evaluated every 4; from the start"):
    assert part in text, part
