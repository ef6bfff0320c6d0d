"""`perceptual analyze` as a user runs it: each analysis, on a tiny run directory; mistakes."""

import csv
import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.commands import analyze
from perceptual.data.labelled import demo
from perceptual.studies.analyses import registry
from perceptual.studies.analyses import table as tables
from perceptual.training import model_dir

_NETWORK = "resnet2"
_OPTIONS = {"width": 0.0625, "num_classes": demo.NUM_CLASSES}
_CONFIG = """
images.source = 'demo'
images.train_per_photograph = 1
images.validation_per_photograph = 1
"""


@pytest.fixture
def run(run):
  """Runs the command."""
  return functools.partial(run, "analyze")


def _save_run(path, seed, options=_OPTIONS):
  folder = model_dir.ModelDir(path)
  folder.write_network(_NETWORK, options)
  (folder.path / "config.gin").write_text(_CONFIG)
  keras.utils.set_random_seed(seed)
  model = models.build(_NETWORK, **options)
  model.get_layer("logits").set_weights(  # whatever it sees, it says class 0
      [np.zeros_like(kernel) + (np.arange(kernel.shape[-1]) == 0) * (kernel.ndim == 1)
       for kernel in model.get_layer("logits").get_weights()])
  checkpoint = tf.train.Checkpoint(weights=model_dir.keyed_by_path(model.weights),
                                   step=tf.Variable(30, dtype=tf.int64))
  tf.train.CheckpointManager(checkpoint, str(folder.checkpoint("best_score")), max_to_keep=1,
                             checkpoint_name="step").save(30)
  return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Two run directories that differ in their seeds."""
  folder = tmp_path_factory.mktemp("runs")
  return [_save_run(folder / f"seed{seed}", seed) for seed in (0, 1)]


def _read(path):
  with path.open(newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def test_help_lists_every_analysis(run):
  status, out, _ = run("--help")
  assert status == 0
  assert set(re.findall(r"^  ([a-z_]+)  +\S", out, re.MULTILINE)) == set(registry.ANALYSES)


def test_a_run_directory_keeps_its_analyses(run, runs):
  status, out, _ = run("--analysis=layers", f"--model_dir={runs[0]}", "--dataset=graded/nuisance",
                       "--limit=6")
  assert status == 0 and "layers.csv" in out
  rows = _read(runs[0] / "analyses" / "layers.csv")
  assert [row["tap"] for row in rows][-1] == "sum"
  assert {(row["run"], row["network"], row["step"], row["checkpoint"]) for row in rows} == {
      ("seed0", _NETWORK, "30", "best_score")}
  assert all(0 <= float(row["low"]) <= float(row["score"]) <= float(row["high"]) <= 100
             for row in rows)


@pytest.mark.parametrize(("analysis", "column", "expected"), [
    ("entropy", "entropy", None), ("low_pass", "normalised", 1),
    ("inverse_band_pass", "normalised", 1), ("class_accuracy", "accuracy", None)])
def test_analyses_of_images_take_those_of_the_run(
    analysis, column, expected, run, runs, tmp_path):
  one_seed = analysis == "class_accuracy"
  arguments = [f"--analysis={analysis}", f"--output_dir={tmp_path}",
               *(f"--model_dir={path}" for path in runs)]
  status, _, error = run(*arguments[:-1] if one_seed else arguments)
  assert status == 0, error
  rows = _read(tmp_path / f"{analysis}.csv")
  assert {row["run"] for row in rows} == {"seed0" if one_seed else "seed0 seed1"}
  values = [float(row[column]) for row in rows]
  if one_seed:
    assert run(*arguments)[0] == 1, "its intervals are of one network"
    assert values == [100] + [0] * (demo.NUM_CLASSES - 1) and rows[0]["label"] == "0"
  elif expected is None:
    assert all(0 < value <= 1 for value in values)
  else:  # no filter changes what the networks say
    assert values == [expected] * len(values)


def test_metrics_are_compared(run, tmp_path):
  status, _, _ = run("--analysis=agreement", "--metric=ssim", "--metric=psnr", "--limit=6",
                     "--dataset=graded/nuisance", f"--output_dir={tmp_path}")
  row, = _read(tmp_path / "agreement.csv")
  assert status == 0 and (row["metric"], row["other"]) == ("ssim", "psnr")
  assert 0 <= float(row["agreement"]) <= 100


def test_a_collected_table_is_analysed(run, tmp_path):
  path = tmp_path / "collected.csv"
  tables.write_csv(path, [
      {"run": f"r{i}", "varied": "", "network": f"net{i}", "seed": 0, "step": 5, "accuracy": 10 * i,
       "judged_set": "graded", "subset": "mean", "distance": "local", "tap": "sum",
       "score": 70 - i} for i in range(4)])
  status, out, _ = run("--analysis=correlations", f"--table={path}")
  assert status == 0 and "Written" not in out
  status, _, _ = run("--analysis=frontier", f"--table={path}", f"--output_dir={tmp_path}")
  assert [row["on_frontier"] for row in _read(tmp_path / "frontier.csv")] == ["True"] * 4
  _, _, error = run("--analysis=gains", f"--table={path}")
  assert "holds no run for the analysis gains" in error


def test_mistakes_are_one_line(run, runs, tmp_path):
  other = _save_run(tmp_path / "other", 0, {**_OPTIONS, "width": 0.125})
  for arguments, message in [
      (["--analysis=pie"], "Unknown analysis 'pie'. Available: layers"),
      (["--analysis=layers", "--metric=ssim"], "The analysis layers needs judged triplets"),
      (["--analysis=gains"], "needs the collected table of a study (--table)"),
      (["--analysis=class_accuracy"], "needs trained classifiers (--model_dir)"),
      (["--analysis=layers", "--metric=ssim", "--dataset=graded/nuisance", "--limit=2"],
       "has no taps"),
      (["--analysis=entropy", f"--model_dir={runs[0]}", f"--model_dir={other}"],
       "must hold one network"),
      (["--analysis=layers", f"--model_dir={tmp_path}"], "run directory")]:
    status, _, error = run(*arguments)
    assert status == 1 and message in error, (arguments, error)


def test_flags_are_the_commands_own():
  assert {"analysis", "model_dir", "metric", "table"} <= set(analyze.FLAGS)
