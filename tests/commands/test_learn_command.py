"""`perceptual learn` as a user runs it, from judgements to a metric in use; its run files."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from perceptual import models
from perceptual.data.judged import bapps, judged_sets, prepare_teacher
from perceptual.experiments import config
from perceptual.training import learning, model_dir, records, trunks

pytestmark = pytest.mark.filterwarnings("ignore:bapps/")  # of counts that are not as published

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNS = sorted((ROOT / "gin" / "runs").glob("lpips_*.gin"))
SIDE = 32
SCRATCH = """
network.name = 'resnet3'
network.width = 0.1
triplets.name = 'teacher'
judged.name = 'teacher'
learn.mode = 'scratch'
learn.batch_size = 4
learn.train_steps = 2
learn.eval_batch_size = 4
"""


class Teacher:
  """Finds the candidate closer whose mean is nearer to the reference's."""

  name = "mean-difference"
  lower_is_better = True
  fingerprint = {"name": "mean-difference"}  # noqa: RUF012

  def __call__(self, reference, candidate):
    return np.abs(reference.mean(axis=(1, 2, 3)) - candidate.mean(axis=(1, 2, 3)))


@pytest.fixture(autouse=True)
def kernels_as_they_are(monkeypatch):
  """The command would change this process for other tests."""
  monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Both parts of a teacher set."""
  folder = tmp_path_factory.mktemp("data")
  for split in ("val", "train"):
    prepare_teacher.prepare("demo", folder, Teacher(), split=split, limit=12, image_size=SIDE)
  return folder


@pytest.fixture(scope="module")
def gin_file(tmp_path_factory):
  path = tmp_path_factory.mktemp("gin") / "scratch.gin"
  path.write_text(SCRATCH)
  return path


@pytest.fixture(scope="module")
def learned(tmp_path_factory, data_dir, gin_file):
  """A folder of a metric learned from scratch."""
  folder = tmp_path_factory.mktemp("learned") / "run"
  config.parse([gin_file])
  settings = config.learn_settings()
  learning.Run(folder, trunk=lambda taps: trunks.at_random(*config.network(), taps),
               train_set=config.triplets(data_dir), judged_set=config.all_judged_sets(data_dir)[0],
               settings=settings).train()
  config.gin.clear_config()
  return folder


def test_learns_and_says_what_from(run, tmp_path, data_dir, gin_file):
  code, out, _ = run("learn", f"--gin_file={gin_file}", f"--data_dir={data_dir}",
                     f"--model_dir={tmp_path / 'run'}")
  assert code == 0
  for part in ("trunk     resnet3, at random: ", "learns    scratch: ",
               "from      teacher (train), ", "judged by mean-difference, a stand-in for people",
               "score     teacher, ", "Best score: ", "the same features without weights "):
    assert part in out
  assert {path.name for path in (tmp_path / "run").iterdir()} >= {
      "network.json", "learned.json", "run.json", "config.gin", "operative_config.gin",
      "metrics.csv", "training.png", "checkpoints"}
  code, out, _ = run("learn", f"--gin_file={gin_file}", f"--data_dir={data_dir}",
                     f"--model_dir={tmp_path / 'run'}")
  assert (code, "This run is complete" in out) == (0, True)


def test_evaluate_scores_the_weights_beside_the_features_without(
    run, tmp_path, data_dir, learned):
  code, out, _ = run(
      "evaluate", f"--model_dir={learned}", "--dataset=teacher", f"--data_dir={data_dir}",
      f"--output_dir={tmp_path}", "--gin_param=evaluate.distances = ('local',)",
      "--gin_param=evaluate.resamples = 20", "--gin_param=evaluate.batch_size = 4")
  assert code == 0
  assert [line.split()[:2] for line in out.splitlines() if line.startswith("resnet3")] == [
      ["resnet3", "lin"], ["resnet3", "local"], ["resnet3,", "random"]]
  results = json.loads((tmp_path / "scores.json").read_text())
  found = {row["distance"]: row["score"] for row in results["scores"]
           if row["metric"] == "resnet3" and row["tap"] == "sum" and not row["part"]}
  best = records.peak(records.read_metrics(learned / "metrics.csv"), "score/lin")
  assert found == {name: pytest.approx(best[f"score/{name}"]) for name in ("lin", "local")}
  assert results["fingerprints"]["resnet3"]["learned"]["mode"] == "scratch"


def test_export_and_compare_use_the_learned_metric(run, tmp_path, learned):
  for name in ("a", "b"):
    pixels = np.random.default_rng(ord(name)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"{name}.png")
  code, out, _ = run("export", f"--model_dir={learned}", f"--export_dir={tmp_path / 'out'}")
  assert (code, "lin" in out) == (0, True)
  distances = []
  for metric in (learned, tmp_path / "out"):
    code, out, _ = run("compare", f"--metric={metric}", tmp_path / "a.png", tmp_path / "b.png")
    assert code == 0
    distances.append([float(number) for number in re.findall(r"\d+\.\d+", out)])
  assert distances[0] == pytest.approx(distances[1], abs=1e-5) and distances[0]
  loaded = tf.saved_model.load(str(tmp_path / "out"))
  fingerprint = json.loads(loaded.fingerprint().numpy())
  assert (fingerprint["distance"], fingerprint["learned"]["mode"]) == ("lin", "scratch")


def test_bapps_in_small_on_a_trained_trunk(run, tmp_path):
  """Two subsets to learn from, two to score by; `lin` on what `perceptual train` left."""
  rng = np.random.default_rng(0)
  for subset in ("train/traditional", "train/mix", "val/cnn", "val/superres"):
    folder = tmp_path / "files" / "2afc" / subset
    for part in ("ref", "p0", "p1", "judge"):
      (folder / part).mkdir(parents=True)
    for i in range(4):
      for part in ("ref", "p0", "p1"):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / part / f"{i:06d}.png")
      np.save(folder / "judge" / f"{i:06d}.npy", np.float32(i % 3 / 2))
  bapps.prepare(tmp_path / "files", tmp_path / "data")
  train_set = judged_sets.load(
      "bapps/2afc", data_dir=tmp_path / "data", image_size=16, split="train")
  assert (train_set.name, train_set.size) == ("bapps/2afc (train)", 8)
  assert train_set.note == "judged by people (BAPPS training); without cnn"
  _save_network(tmp_path / "trunk")
  code, out, err = run(
      "learn", "--gin_file=gin/recipes/lpips.gin", f"--trunk_dir={tmp_path / 'trunk'}",
      f"--data_dir={tmp_path / 'data'}", f"--model_dir={tmp_path / 'run'}",
      *(f"--gin_param={binding}" for binding in (
          "triplets.name = 'bapps/2afc'", "triplets.image_size = 16", "judged.name = 'bapps/2afc'",
          "judged.image_size = 16", "learn.batch_size = 4", "learn.train_steps = 2",
          "learn.eval_batch_size = 4")))
  assert code == 0, err
  assert "trunk     resnet2, trained, best_score at step 7: " in out
  assert "learns    lin: " in out and "score     bapps/2afc (mean), 8 triplets" in out


def _save_network(path):
  folder = model_dir.ModelDir(path)
  folder.write_network("resnet2", {"width": 0.1, "num_classes": 3})
  keras.utils.set_random_seed(0)
  model = models.build("resnet2", width=0.1, num_classes=3)
  tf.train.CheckpointManager(
      tf.train.Checkpoint(weights=model_dir.keyed_by_path(model.weights),
                          step=tf.Variable(7, dtype=tf.int64)),
      str(folder.checkpoint("best_score")), max_to_keep=1, checkpoint_name="step").save(7)


@pytest.mark.parametrize(("flags", "culprit"), [
    (["--gin_param=learn.mode = 'all'"], "Unknown mode of learning 'all'. Available: lin, tune, "),
    (["--gin_param=learn.taps = ('relu1',)"], "Unknown tap 'relu1'. Available: reduct"),
    (["--gin_param=learn.mode = 'tune'"], "Published weights are of resnet3 as it is: "),
    (["--trunk_dir=nowhere"], "learn.mode 'scratch' starts from random weights: leave out"),
    (["--trunk_dir=nowhere", "--gin_param=learn.mode = 'lin'"], "nowhere is not a run directory: "),
    (["--gin_param=triplets.name = 'graded'"],
     "Unknown judged set to learn from 'graded'. Available: bapps/2afc, teacher."),
    (["--gin_param=judged.name = 'bapps/jnd'"], "No data set in "),
    (["--gin_param=train.epochs = 3", "--gin_param=learn.epoch = 3"], "'epoch'"),
    # Before the data set, which is not there.
    (["--trunk_dir=hdfs://host/run", "--gin_param=judged.name = 'bapps/jnd'"],
     "hdfs://host/run: of addresses, only "),
    (["--model_dir=hdfs://host/run", "--gin_param=judged.name = 'bapps/jnd'"],
     "hdfs://host/run: of addresses, only "),
])
def test_a_mistake_is_one_line(run, tmp_path, data_dir, gin_file, flags, culprit):
  code, _, err = run("learn", f"--gin_file={gin_file}", f"--data_dir={data_dir}",
                     f"--model_dir={tmp_path / 'run'}", *flags)
  assert code == 1 and culprit in err and err.startswith("error: ")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_run_file_learns_two_steps_of_a_tiny_version(path, tmp_path, data_dir):
  """On its own network at random, narrow, and the teacher set."""
  config.parse([str(path)], [
      "triplets.name = 'teacher'", "judged.name = 'teacher'", "judged.limit = 4",
      "learn.batch_size = 4", "learn.train_steps = 2", "learn.eval_batch_size = 4",
      *([] if "gin/models/" in path.read_text() else ["network.name = 'resnet2'"])])
  name, options = config.network()
  settings = config.learn_settings()
  learned = learning.Run(
      tmp_path, trunk=lambda taps: trunks.at_random(name, {**options, "width": 0.1}, taps),
      train_set=config.triplets(data_dir), judged_set=config.all_judged_sets(data_dir)[0],
      settings=settings)
  config.check_used(config.LEARNING)
  assert [row["step"] for row in learned.train()] == [0, 2]
