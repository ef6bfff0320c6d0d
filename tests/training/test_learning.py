"""Metrics learned from judgements: what learns, what stays, and what the folder then gives."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import models
from perceptual.data.judged import judged_sets
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass, report, scores
from perceptual.metrics import distances
from perceptual.metrics.feature_metric import FeatureMetric, weights_hash
from perceptual.models import taps
from perceptual.models.preprocessing import IMAGENET
from perceptual.training import (
  learned_distance,
  learning,
  model_dir,
  optimizers,
  ranking,
  records,
  schedules,
  trained_metric,
  trunks,
)
from perceptual.training.learning_settings import Settings

SIZE = 16
NETWORK = ("resnet2", {"width": 0.1})
RED = np.array([1.0, 0.0, 0.0], np.float32)


def _pixels(names):
  """The network without layers: its features are the pixels."""
  image = keras.Input((None, None, 3), name="image")
  model = keras.Model(image, {"pixels": taps.Tap(stride=1, name="pixels")(image)}, name="pixels")
  return trunks.Trunk(taps.select_taps(model, names), "pixels", {}, "as they are")


def _resnet(names):
  return trunks.at_random(*NETWORK, names)


def _triplets(count, seed):
  """Noise about grey: every channel of a candidate is changed by an amount of its own."""
  rng = np.random.default_rng(seed)
  reference = rng.integers(90, 160, (count, SIZE, SIZE, 3))
  amounts = rng.integers(2, 60, (2, count, 1, 1, 3))
  candidates = reference + rng.integers(-1, 2, (2, count, SIZE, SIZE, 3)) * amounts
  images = dict(zip(judged_sets.IMAGE_KEYS["2afc"], (reference, *candidates)))
  return {key: value.clip(0, 255).astype(np.uint8) for key, value in images.items()}


def _red_judge(images):
  """1 where candidate 1 is closer by the distance in which red alone counts."""
  metric = FeatureMetric(_pixels(None).model, name="pixels", channel_weights={"pixels": RED})
  return (np.diff(np.stack(metric.two_afc(*images.values())), axis=0)[0] < 0).astype(float)


def _set(name, *sizes):
  subsets = []
  for number, size in enumerate(sizes):
    images = _triplets(size, seed=[len(name), number])
    subsets.append(judged_sets.Subset(
        f"part{number}", tf.data.Dataset.from_tensor_slices(images), _red_judge(images)))
  return judged_sets.JudgedSet(name=name, kind="2afc", note="red alone counts",
                               subsets=tuple(subsets), by_people=False)


@pytest.fixture(scope="module")
def train_set():
  return _set("red (train)", 64, 32)


@pytest.fixture(scope="module")
def judged_set():
  return _set("red", 60)


@pytest.fixture(scope="module")
def make_in(train_set, judged_set):
  """Makes a run in a folder."""
  def make(folder, *, trunk=_resnet, train_set=train_set, judged_set=judged_set, strategy=None,
           learning_rate=1e-3, **options):
    adam = optimizers.Adam(schedules.LinearDecay(learning_rate), beta_1=0.5, weight_decay=0.0)
    settings = Settings(**{
        "optimizer": adam, "batch_size": 16, "train_steps": 6, "steps_per_loop": 2,
        "eval_interval": 3, "eval_batch_size": 20, **options})
    return learning.Run(folder, trunk=trunk, train_set=train_set, judged_set=judged_set,
                        settings=settings, strategy=strategy)
  return make


@pytest.fixture
def make(tmp_path, make_in):
  return lambda name="run", **options: make_in(tmp_path / name, **options)


@pytest.fixture(scope="module")
def red(tmp_path_factory, make_in):
  """A complete run on pixels, long enough to find out that red alone counts."""
  run = make_in(tmp_path_factory.mktemp("red") / "run", trunk=_pixels, learning_rate=0.02,
                train_steps=120, steps_per_loop=40, eval_interval=40)
  run.train()
  return run


def _values(variables):
  return {variable.path: variable.numpy() for variable in variables}


def _assert_same(found, expected):
  assert found.keys() == expected.keys()
  for path, value in expected.items():
    np.testing.assert_array_equal(found[path], value, err_msg=path)


def test_the_channel_that_counts_is_found_and_scores_better_than_no_weights(red):
  rows = records.read_metrics(red.folder.metrics)
  assert [row["step"] for row in rows] == [0, 40, 80, 120]
  assert {row["score/local"] for row in rows} == {rows[0]["score/local"]}, "a constant"
  best = records.peak(rows, "score/lin")
  assert best["score/local"] < 85 < 95 < best["score/lin"] <= 100, "100 with red alone"
  weights = red.model.channel_weights["pixels"].numpy()
  assert weights[0] > 10 * weights[1:].max() and weights.min() >= 0
  assert rows[-1]["loss"] < rows[1]["loss"] < np.log(2)
  assert f"{best['score/lin']:.1f} on red" in red.summary()


def test_weights_are_not_negative_after_any_step(train_set):
  """By large steps, so that they would be: clipped, some come to lie on zero exactly."""
  keras.utils.set_random_seed(0)
  trunk = _resnet(None)
  trunk.model.trainable = False
  trainer = _trainer(trunk, keras.optimizers.Adam(0.05), train_set, dropout=0.5)
  weights = trainer.model.channel_weights["stem"]
  assert weights.numpy().min() == 0, "from the start"
  zeros = set()
  for _ in range(12):
    trainer.train(tf.constant(1))
    assert weights.numpy().min() >= 0
    zeros.add(int((weights.numpy() == 0).sum()))
  assert len(zeros) > 1, "they reach zero, and may leave it"


def _trainer(trunk, optimizer, train_set, *, dropout=0.0):
  trainer = ranking.RankingTrainer(
      learned_distance.LearnedDistance(trunk.model, dropout=dropout),
      learned_distance.judge_network(), optimizer, strategy=tf.distribute.get_strategy(),
      batch_size=8, preprocess=IMAGENET)
  subset = train_set.subsets[0]
  judge = tf.data.Dataset.from_tensor_slices(subset.answers.astype(np.float32))
  trainer.train_dataset = tf.data.Dataset.zip(subset.images, judge).map(
      lambda images, judge: {**images, "judge": judge}).batch(8).repeat()
  return trainer


def test_the_first_step_is_that_of_the_formulas(train_set):
  """Loss and agreement, computed once more by NumPy."""
  keras.utils.set_random_seed(1)
  trainer = _trainer(_pixels(None), keras.optimizers.SGD(0.0), train_set)
  means = trainer.train(tf.constant(1))
  images = next(train_set.subsets[0].images.batch(8).as_numpy_iterator())
  judge = train_set.subsets[0].answers[:8]
  weights = {"pixels": trainer.model.channel_weights["pixels"].numpy()}
  metric = FeatureMetric(_pixels(None).model, name="pixels", channel_weights=weights)
  d0, d1 = (d.numpy() for d in metric.two_afc(*(images[k] for k in judged_sets.IMAGE_KEYS["2afc"])))
  x = np.stack([d0, d1, d0 - d1, d0 / (d1 + 0.1), d1 / (d0 + 0.1)], axis=1)
  *hidden, (kernel, bias) = [layer.get_weights() for layer in trainer.judge.layers
                             if layer.get_weights()]
  for layer_kernel, layer_bias in hidden:
    x = x @ layer_kernel + layer_bias
    x = np.where(x > 0, x, 0.2 * x)
  guess = 1 / (1 + np.exp(-(x @ kernel + bias)[:, 0]))
  loss = -np.mean(judge * np.log(guess) + (1 - judge) * np.log(1 - guess))
  assert means["loss"] == pytest.approx(loss, rel=1e-5)
  assert means["accuracy"] == pytest.approx(scores.two_afc_score(d0, d1, judge))


def test_agreement_is_that_of_the_scores():
  judge = np.array([0.0, 0.25, 1.0, 0.5, 0.75], np.float32)
  d0, d1 = np.array([[1, 2, 3, 4, 5], [2, 1, 3, 0, 6]], np.float32)
  np.testing.assert_allclose(ranking.agreement(judge, d0, d1),
                             scores.two_afc_agreement(d0, d1, judge))


def test_the_judge_network_is_that_of_lpips():
  judge = learned_distance.judge_network()
  assert judge.count_params() == 5 * 32 + 32 + 32 * 32 + 32 + 32 + 1
  for variable in judge.weights:
    limit = (5 if "hidden1" in variable.path else 32) ** -0.5
    assert 0.01 * limit < np.abs(variable.numpy()).max() <= limit


@pytest.mark.parametrize(("mode", "learns", "statistics_move"), [
    ("lin", False, False), ("tune", True, False), ("scratch", True, True)])
def test_what_each_mode_trains(make, mode, learns, statistics_move):
  run = make(mode=mode, train_steps=2)
  trunk = run.trunk.model
  before, judge = _values(trunk.weights), _values(run._trainer.judge.weights)
  channel_weights = run.model.channel_weights["stem"].numpy()
  run.train()
  for path, value in _values(trunk.weights).items():
    moves = statistics_move if "moving_" in path else learns
    assert (not np.array_equal(value, before[path])) == moves, path
  assert (run.model.channel_weights["stem"].numpy() != channel_weights).any()
  assert all((value != judge[path]).any()
             for path, value in _values(run._trainer.judge.weights).items())


class _Killed(Exception):
  pass


@pytest.mark.parametrize("mode", ["lin", "scratch"])
def test_a_resumed_run_ends_as_the_uninterrupted_one(make, monkeypatch, mode):
  """Bit for bit, with dropout; saved at 2, 3 and 4 before it is killed at 5."""
  options = {"mode": mode, "checkpoint_interval": 2, "steps_per_loop": 1}
  whole = make("whole", **options)
  whole.train()
  report = records.Progress.report
  with monkeypatch.context() as patch:
    def until(self, step, means):
      if step >= 5:
        raise _Killed
      return report(self, step, means)

    patch.setattr(records.Progress, "report", until)
    with pytest.raises(_Killed):
      make(**options).train()
  resumed = make(**options)
  assert resumed.first_step == 4 and "resuming at step 4" in resumed.description()
  resumed.train()
  for found, expected in zip(resumed._trainer.train_state().values(),
                             whole._trainer.train_state().values()):
    if isinstance(expected, dict):
      _assert_same({k: v.numpy() for k, v in found.items()},
                   {k: v.numpy() for k, v in expected.items()})
  rows = [[{key: value for key, value in row.items() if key != "triplets_per_second"}
           for row in records.read_metrics(run.folder.metrics)] for run in (whole, resumed)]
  assert rows[0] == rows[1]


def test_two_replicas_learn_as_one_device(make, mirrored, one_device):
  """Without dropout, whose masks are a replica's own."""
  runs = [make(name, strategy=strategy, mode="tune", dropout=0.0, train_steps=3)
          for name, strategy in (("two", mirrored), ("one", one_device))]
  rows = [run.train()[-1] for run in runs]
  for path, value in _values(runs[1].model.weights).items():
    found = next(v for v in runs[0].model.weights if v.path == path).numpy()
    np.testing.assert_allclose(found, value, atol=1e-5, err_msg=path)
  for name in ("loss", "accuracy", "score/lin", "score/local"):
    assert rows[0][name] == pytest.approx(rows[1][name], rel=1e-4), name


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, make_in):
  """A complete run that tuned a trunk of two taps, one of which is in use."""
  run = make_in(tmp_path_factory.mktemp("tuned") / "run", mode="tune", taps=("reduction_1",),
                trunk=lambda names: trunks.at_random("resnet4", {"width": 0.1}, names))
  run.train()
  return run


def test_the_folder_gives_the_metric_at_its_best(tuned, judged_set):
  metric = perceptual.load_metric(tuned.folder.path)
  assert metric.taps == ("reduction_1",) and list(metric.channel_weights) == ["reduction_1"]
  best = records.peak(records.read_metrics(tuned.folder.metrics), "score/lin")
  scored = judged_pass.JudgedPass(metric, distances=("lin", "local"), batch_size=20)
  found = {subset.name: scored(subset, "2afc") for subset in judged_set.subsets}
  for distance in ("lin", "local"):
    assert report.summed_score(judged_set, found, distance) == best[f"score/{distance}"]
  last, step = trained_metric.load(tuned.folder.path, "last")
  assert step == 6
  np.testing.assert_array_equal(
      last.channel_weights["reduction_1"], tuned.model.channel_weights["reduction_1"].numpy())


def test_the_fingerprint_says_how_it_was_learned(tuned):
  metric = perceptual.load_metric(tuned.folder.path)
  fingerprint = json.loads(json.dumps(metric.fingerprint))
  assert (fingerprint["name"], fingerprint["distance"]) == ("resnet4", "lin")
  learned = fingerprint["learned"]
  assert (learned["mode"], learned["judged_set"]) == ("tune", "red (train)")
  assert learned["triplets"] == 96
  assert learned["note"] == "red alone counts" and learned["taps"] == ["reduction_1"]
  assert learned["trunk"]["origin"] == "at random"
  assert learned["trunk"]["weights_sha256"] != weights_hash(metric.trunk), "it was tuned since"


def test_another_distance_leaves_the_weights_out(tuned):
  plain = perceptual.load_metric(tuned.folder.path, distance="local")
  learned = perceptual.load_metric(tuned.folder.path, distance="lin")
  assert plain.channel_weights is None and plain.fingerprint["distance"] == "local"
  assert "learned" not in plain.fingerprint
  reference, candidate = (_triplets(2, 5)[key] for key in ("reference", "candidate_0"))
  expected = distances.linear(learned.channel_weights["reduction_1"])(
      plain.features(reference)["reduction_1"], plain.features(candidate)["reduction_1"])
  np.testing.assert_allclose(learned(reference, candidate), expected, rtol=1e-6)


def test_a_trained_network_and_published_weights_as_trunks(tmp_path, monkeypatch, make):
  """Both are taken as they are, taps chosen, and told in the description."""
  folder = model_dir.ModelDir(tmp_path / "trained")
  options = {**NETWORK[1], "num_classes": 3}
  folder.write_network(NETWORK[0], options)
  model = models.build(NETWORK[0], **options)
  tf.train.CheckpointManager(
      tf.train.Checkpoint(weights=model_dir.keyed_by_path(model.weights),
                          step=tf.Variable(7, dtype=tf.int64)),
      str(folder.checkpoint("best_score")), max_to_keep=1, checkpoint_name="step").save(7)
  run = make(trunk=lambda names: trunks.trained(folder.path, names), train_steps=2)
  assert "resnet2, trained, best_score at step 7: " in run.description()
  run.train()
  metric = perceptual.load_metric(run.folder.path)
  _assert_same(_values(metric.trunk.weights), _values(taps.select_taps(model).weights))


def test_a_keras_model_of_anybodys_as_trunk(tmp_path, make):
  image = keras.Input((None, None, 3))
  x = keras.layers.Conv2D(4, 3, activation="relu", name="early")(image)
  keras.Model(image, keras.layers.Conv2D(2, 3, name="late")(x)).save(tmp_path / "mine.keras")
  options = {"path": str(tmp_path / "mine.keras"), "taps": ("early",),
             "preprocessing": "0,1"}
  run = make(trunk=lambda names: trunks.published("keras_file", options, names), train_steps=2)
  run.train()
  metric = perceptual.load_metric(run.folder.path)
  np.testing.assert_array_equal(metric.channel_weights["early"],
                                run.model.channel_weights["early"].numpy())


@pytest.mark.parametrize(("options", "culprit"), [
    ({"mode": "linear"}, "Unknown mode of learning 'linear'. Available: lin, tune, scratch."),
    ({"taps": "stem"}, "taps must be a list of names, not 'stem'."),
    ({"dropout": 1.0}, "dropout must be a number at least 0 and below 1, not 1.0."),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0."),
    ({"optimizer": "adam"}, "optimizer must be "),
])
def test_wrong_settings(options, culprit):
  with pytest.raises(UserError) as caught:
    Settings(**options)
  assert str(caught.value).startswith(culprit)


@pytest.mark.parametrize(("change", "culprit"), [
    ({"taps": ("stem", "relu1")}, "Unknown tap 'relu1'. Available: stem."),
    ({"trunk": lambda n: trunks.at_random("resnet2", {"image_size": 32}, n)},
     "resnet2 does not take the images of red (train), 16x16 pixels: "),
    ({"trunk": lambda n: trunks.at_random("resnet9", {}, n)}, "Unknown network 'resnet9'."),
    ({"trunk": lambda n: trunks.published("squeezenet1_1", {"width": 0.5}, n)},
     "Published weights are of squeezenet1_1 as it is: they take no width."),
    ({"trunk": lambda n: trunks.published("resnet6", {}, n)},
     "There are no published weights of 'resnet6', only of alexnet, "),
    ({"trunk": lambda n: trunks.published("alexnet", {}, n, "nowhere")},
     "There are no weights of alexnet in nowhere, and nothing is downloaded "),
    ({"score_subset": "third"}, "Unknown subset of red 'third'."),
])
def test_parts_that_do_not_fit_are_refused(make, tmp_path, change, culprit):
  with pytest.raises(UserError) as caught:
    make(**change)
  assert str(caught.value).startswith(culprit) and "\n" not in str(caught.value)
  assert not (tmp_path / "run").exists()


def test_pairs_are_no_triplets(make, train_set):
  with pytest.raises(UserError, match=r"is of kind jnd; metrics are learned from a 2afc set"):
    make(train_set=dataclasses.replace(train_set, kind="jnd"))


@pytest.mark.parametrize(("change", "culprit"), [
    (lambda: {"mode": "lin"}, "learned.mode: tune before, lin now"),
    (lambda: {"taps": None}, "learned.taps: ['reduction_1'] before, "),
    (lambda: {"train_set": _set("red (train)", 20)}, "learned.triplets: 96 before, 20 now"),
    (lambda: {"judged_set": _set("other", 20)}, "score.judged_set: red before, other now"),
])
def test_a_folder_of_another_run_is_refused(tuned, make_in, change, culprit):
  options = {"mode": "tune", "taps": ("reduction_1",),
             "trunk": lambda names: trunks.at_random("resnet4", {"width": 0.1}, names), **change()}
  with pytest.raises(UserError) as caught:
    make_in(tuned.folder.path, **options)
  assert culprit in str(caught.value) and "choose another --model_dir" in str(caught.value)


def test_a_learned_metric_is_no_trained_network(tuned):
  with pytest.raises(UserError, match="holds a metric that was learned, not a network"):
    trunks.trained(tuned.folder.path, None)
