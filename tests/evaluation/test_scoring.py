"""A network scored beside its baselines, and the files that are left."""

import csv
import dataclasses
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import models
from perceptual.common import files, progress
from perceptual.data.judged import judged_sets
from perceptual.errors import UserError
from perceptual.evaluation import results, scores, scoring, tables
from perceptual.export import saved_model
from perceptual.metrics import classical
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import taps

_OPTIONS = {"width": 0.0625, "num_classes": 3}
_SETTINGS = scoring.Settings(distances=("local", "spatial+mean"), batch_size=4, resamples=10)


def _metric(strategy=None, **options):
  keras.utils.set_random_seed(7)
  with (strategy or tf.distribute.get_strategy()).scope():
    return FeatureMetric(models.build("resnet4", **_OPTIONS), name="resnet4", options=_OPTIONS,
                  **options)


def _judged_set(by_people=True):
  """Two subsets; candidate 0 is a slightly, candidate 1 a very noisy reference."""
  rng = np.random.default_rng(0)
  subsets = []
  for name, size in (("traditional", 5), ("cnn", 6)):
    reference, noise = rng.integers(0, 256, [2, size, 16, 16, 3])
    images = {"reference": reference, "candidate_0": 0.9 * reference + 0.1 * noise,
              "candidate_1": noise}
    images = {key: value.astype(np.uint8) for key, value in images.items()}
    subsets.append(judged_sets.Subset(
        name, tf.data.Dataset.from_tensor_slices(images), rng.integers(0, 6, size) / 5))
  return judged_sets.JudgedSet("bapps/2afc", "2afc", "a note", tuple(subsets), by_people)


@pytest.fixture(scope="module")
def evaluated():
  judged_set = _judged_set()
  return judged_set, *scoring.evaluate(_metric(), judged_set, _SETTINGS)


def test_the_network_its_initialisation_and_mse_are_scored_beside_the_ceilings(evaluated):
  _, rows, fingerprints = evaluated
  names = list(dict.fromkeys((r.metric, r.distance) for r in rows))
  assert names == [
      ("resnet4", "local"), ("resnet4", "local+mean_pool"), ("resnet4, random init", "local"),
      ("resnet4, random init", "local+mean_pool"), ("mse", ""), ("human ceiling", ""),
      ("oracle", "")]
  assert list(fingerprints) == ["resnet4", "resnet4, random init", "mse"]
  assert fingerprints["resnet4"] == {**_metric().fingerprint,
                                     "distance": ["local", "local+mean_pool"]}
  assert fingerprints["resnet4"]["weights_sha256"] != (
      fingerprints["resnet4, random init"]["weights_sha256"])
  assert fingerprints["mse"] == classical.build("mse").fingerprint


def test_scores_are_those_of_the_metrics_called_on_the_images(evaluated):
  judged_set, rows, _ = evaluated
  for subset in judged_set.subsets:
    images = {key: np.stack([e[key] for e in subset.images.as_numpy_iterator()])
              for key in judged_sets.IMAGE_KEYS["2afc"]}
    for metric, name, distance in ((_metric(), "resnet4", "local"), (None, "mse", "")):
      measure = metric or (lambda a, b: np.mean(((a / 255.0) - b / 255.0)**2, axis=(1, 2, 3)))
      pair = [measure(images["reference"], images[f"candidate_{i}"]) for i in (0, 1)]
      expected = scores.two_afc_score(*pair, subset.answers)
      [row] = [r for r in rows if (r.metric, r.distance, r.tap, r.subset)
               == (name, distance, "sum", subset.name)]
      assert row.score == pytest.approx(expected)


def test_baselines_see_what_the_network_sees():
  metric = _metric(taps=["reduction_2"])
  rows, fingerprints = scoring.evaluate(metric, _judged_set(), _SETTINGS)
  assert fingerprints["resnet4, random init"]["taps"] == ["reduction_2"]
  assert {r.tap for r in rows if r.metric != "mse"} == {"reduction_2", "sum", ""}


def _images(subset, kind="2afc"):
  return [np.stack([e[key] for e in subset.images.as_numpy_iterator()])
          for key in judged_sets.IMAGE_KEYS[kind]]


def test_learned_weights_are_scored_as_themselves_beside_distances_without_them():
  plain, rng = _metric(), np.random.default_rng(0)
  learned = _metric(channel_weights={
      tap.name: rng.random(tap.channels) for tap in taps.list_taps(plain.trunk)})
  judged_set = _judged_set()
  rows, fingerprints = scoring.evaluate(
      learned, judged_set, dataclasses.replace(_SETTINGS, baselines=()))
  assert fingerprints["resnet4"]["distance"] == ["lin", "local", "local+mean_pool"]
  subset = judged_set.subsets[0]
  reference, *candidates = _images(subset)
  for name, metric in (("lin", learned), ("local", plain)):
    terms = [metric.per_tap(reference, candidate) for candidate in candidates]
    terms = [{**term, "sum": sum(term.values())} for term in terms]
    found = {r.tap: r.score for r in rows if r.distance == name and r.subset == subset.name}
    assert found == pytest.approx({
        tap: scores.two_afc_score(terms[0][tap], terms[1][tap], subset.answers)
        for tap in terms[0]})


@pytest.mark.parametrize("name", ["ssim", "psnr", "mse"])
def test_a_metric_without_a_network_is_one_row_of_its_own_values(name):
  metric, judged_set = classical.build(name), _judged_set()
  rows, fingerprints = scoring.evaluate(metric, judged_set, _SETTINGS)
  others = () if name == "mse" else ("mse",)
  assert list(fingerprints) == [name, *others] and fingerprints[name] == metric.fingerprint
  for subset in judged_set.subsets:
    [row] = [r for r in rows if r.metric == name and r.subset == subset.name]
    assert (row.distance, row.tap) == ("", "sum")
    assert row.score == pytest.approx(
        scores.two_afc_score(*metric.two_afc(*_images(subset)), subset.answers))
  summary, *_, weights = _texts(rows, judged_set, fingerprints)
  assert any(line.startswith(f"{name}  ") for line in summary.splitlines())
  assert name not in weights


def _texts(rows, judged_set, fingerprints):
  return (tables.summary(rows, judged_set), tables.every_tap(rows, judged_set),
          *tables.parts(rows, judged_set), tables.fingerprints(fingerprints))


def test_a_similarity_of_equal_images_ranks_them_closest_even_if_it_is_infinite():
  images = np.random.default_rng(0).integers(0, 200, [4, 16, 16, 3]).astype(np.uint8)
  candidates = images + np.array([0, 1, 0, 40], np.uint8)[:, None, None, None]
  pairs = {"reference": images, "candidate": candidates}
  same = np.array([1.0, 0.5, 1.0, 0.0])
  subset = judged_sets.Subset("cnn", tf.data.Dataset.from_tensor_slices(pairs), same)
  judged_set = judged_sets.JudgedSet("bapps/jnd", "jnd", "a note", (subset,), False)
  rows, _ = scoring.evaluate(classical.build("psnr"), judged_set, _SETTINGS)
  assert {r.metric: r.score for r in rows} == pytest.approx(
      {name: scores.jnd_map([0, 1, 0, 40], same) for name in ("psnr", "mse")})


def test_an_export_scores_as_what_was_exported(evaluated, tmp_path):
  judged_set, rows, _ = evaluated
  saved_model.export(_metric(), tmp_path / "metric")
  exported, fingerprints = scoring.evaluate(
      perceptual.load_metric(tmp_path / "metric"), judged_set, _SETTINGS)
  assert list(fingerprints) == ["resnet4", "mse"]
  assert [r.score for r in exported if r.metric == "resnet4"] == pytest.approx(
      [r.score for r in rows if (r.metric, r.distance, r.tap) == ("resnet4", "local", "sum")])


def test_random_weights_are_no_baseline_of_what_is_built_otherwise():
  metric = _metric()
  assert scoring.baselines_of(metric, _SETTINGS) == scoring.BASELINES
  metric.name = "lpips-alex"
  assert scoring.baselines_of(metric, _SETTINGS) == ("mse",)


def test_baselines_can_be_left_out():
  settings = scoring.Settings(distances=("local",), baselines=(), batch_size=16, resamples=2)
  rows, fingerprints = scoring.evaluate(_metric(), _judged_set(by_people=False), settings)
  assert {r.metric for r in rows} == set(fingerprints) == {"resnet4"}


def test_two_replicas_score_as_one(evaluated, two_cpus):
  strategy = tf.distribute.MirroredStrategy(two_cpus)
  rows, fingerprints = scoring.evaluate(_metric(strategy), _judged_set(), _SETTINGS,
                                        strategy=strategy)
  assert rows == evaluated[1]
  assert fingerprints == evaluated[2]


def test_progress_is_on_stderr_one_bar_a_metric(capsys, monkeypatch):
  monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
  scoring.evaluate(_metric(), _judged_set(), _SETTINGS)
  out, err = capsys.readouterr()
  assert out == ""
  ends = err.splitlines()
  assert [end.partition(":")[0] for end in ends] == [
      "scoring resnet4", "scoring resnet4, random init", "scoring mse"]
  assert all(" 11 of 11 triplets" in end for end in ends)


def test_results_are_a_table_a_csv_and_a_json_with_the_note_in_each(evaluated, tmp_path):
  judged_set, rows, fingerprints = evaluated
  folder = tmp_path / "new" / "results"
  summary = scoring.write(folder, rows, judged_set, fingerprints=fingerprints,
                          settings={"step": 3})
  assert sorted(p.name for p in folder.iterdir()) == ["scores.csv", "scores.json", "scores.txt"]
  for file in folder.iterdir():
    assert "a note" in file.read_text("utf-8")
  text = (folder / "scores.txt").read_text("utf-8")
  assert text.startswith(summary)
  assert "every tap alone" in text and fingerprints["resnet4"]["weights_sha256"] in text
  result = json.loads((folder / "scores.json").read_text())
  assert result["fingerprints"] == fingerprints and result["settings"] == {"step": 3}
  with (folder / "scores.csv").open(newline="") as file:
    assert len(list(csv.DictReader(file))) == len(result["scores"]) == len(rows)


@pytest.mark.parametrize(("settings", "message"), [
    ({"distances": ("local", "l3")}, r"Unknown distance 'l3'. Available: local, "),
    ({"distances": "local"}, "distances must be a list of names, not 'local'"),
    ({"distances": ()}, r"No distance to score. Available: local, "),
    ({"distances": ("local", "spatial")}, "distances has 'local' twice"),
    ({"taps": "reduction_1"}, "taps must be a list of names, not 'reduction_1'"),
    ({"baselines": ("mse", "ssim3")}, r"Unknown baseline 'ssim3'. Available: random_init, mse"),
    ({"baselines": ("mse", "mse")}, "baselines has 'mse' twice"),
    ({"baselines": "mse"}, "baselines must be a list of names"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
    ({"resamples": 2.5}, "resamples must be a whole number"),
    ({"image_size": "64"}, "image_size must be a whole number of at least 1, not '64'"),
    ({"limit": 0}, "limit must be a whole number of at least 1, not 0"),
    ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
])
def test_illegal_settings_are_named_with_the_legal_ones(settings, message):
  with pytest.raises(UserError, match=message) as caught:
    scoring.Settings(**settings)
  assert "\n" not in str(caught.value)


def test_a_folder_that_is_there_or_can_be_made_is_fine_and_is_not_made_yet(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert results.require_folder(tmp_path) == tmp_path
  assert results.require_folder("~/a/b") == tmp_path / "a" / "b"
  monkeypatch.chdir(tmp_path)
  results.require_folder("c")
  assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_refused(tmp_path, monkeypatch):
  file = tmp_path / "file"
  file.touch()
  for path in (file, file / "below" / "it"):
    with pytest.raises(UserError, match=f"cannot be written to {path}: {file} is not a directory"):
      results.write(path, {"a.txt": "a"})
  monkeypatch.setattr(os, "access", lambda *args: False)
  with pytest.raises(UserError, match=f"{tmp_path} is not writable"):
    results.require_folder(tmp_path / "new")


def test_a_full_disk_is_one_line_and_leaves_the_old_result(tmp_path, monkeypatch):
  results.write(tmp_path, {"a.txt": "old"})

  def fails(path, text):
    with files.beside(path) as temporary:
      temporary.write_text(text[:1])
      raise OSError(28, "No space left on device")

  monkeypatch.setattr(files, "write_text", fails)
  with pytest.raises(UserError, match="No space left on device"):
    results.write(tmp_path, {"a.txt": "new"})
  assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
  assert (tmp_path / "a.txt").read_text() == "old"
