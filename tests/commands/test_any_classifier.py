"""What docs/any-classifier.md says of the commands: from a user's file to a metric."""

import json
import re

import keras
import numpy as np
import pytest

import perceptual
from perceptual.commands import cli
from perceptual.data.images import image_files
from perceptual.data.judged import prepare_graded
from tools import build_files

_GIN = re.findall(r"^```gin\n(.*?)^```$",
                  (build_files.ROOT / "docs" / "any-classifier.md").read_text("utf-8"),
                  re.MULTILINE | re.DOTALL)

_TINY = ["images.train_per_photograph = 2", "images.validation_per_photograph = 1",
         "judged.limit = 4", "train.batch_size = 4", "train.eval_batch_size = 8",
         "train.train_steps = 2", "train.score_distances = ('local',)"]


@pytest.fixture
def run(run):
  """Runs a command that must succeed; returns its output."""
  def call(*arguments):
    status, out, err = run(*arguments)
    assert not status, err
    return out
  return call


def _save_classifier(path):
  """Saves a classifier of seven classes: none of the demo's number."""
  keras.utils.set_random_seed(0)
  x = image = keras.Input((32, 32, 3))
  for number in (1, 2, 3):
    x = keras.layers.Conv2D(4 * number, 3, strides=2, padding="same", name=f"conv{number}")(x)
    x = keras.layers.BatchNormalization(name=f"bn{number}")(x)
    x = keras.layers.ReLU(name=f"relu{number}")(x)
  x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
  model = keras.Model(image, keras.layers.Dense(7, "softmax")(x), name="users")
  model.save(path)
  return model


def _params(*bindings):
  return [f"--gin_param={binding}" for binding in bindings]


def test_a_file_trains_scores_exports_compares_and_loads_again(run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  model = _save_classifier(tmp_path / "mine.keras")
  (tmp_path / "mine.gin").write_text(_GIN[0])
  prepare_graded.prepare("demo", tmp_path / "data", limit=4, image_size=32)

  train = ["train", "--gin_file=mine.gin", "--model_dir=runs/mine", "--nodeterministic"]
  out = run(*train, *_params(*_TINY))
  assert "network   keras_file path=mine.keras" in out and "taps conv2, conv3" in out
  again = run(*train, "--dry_run", *_params(*_TINY, "train.train_steps = 3"))
  assert "resuming at step 2" in again

  quick = _params("evaluate.distances = ('local',)", "evaluate.resamples = 5")
  run("evaluate", "--model_dir=runs/mine", "--checkpoint=last", "--dataset=graded/nuisance",
      "--data_dir=data", "--output_dir=scores", *quick)
  result = json.loads((tmp_path / "scores/scores.json").read_text())
  prints = result["fingerprints"]
  assert set(prints) >= {"keras_file", "keras_file, random init"}
  trained, untrained = prints["keras_file"], prints["keras_file, random init"]
  assert trained["weights_sha256"] != untrained["weights_sha256"]

  run("export", "--model_dir=runs/mine", "--checkpoint=last", "--export_dir=exported")
  (tmp_path / "mine.keras").rename(tmp_path / "moved.keras")
  pixels = np.random.default_rng(0).integers(0, 256, [2, 40, 24, 3], np.uint8)
  for name, image in zip(("a.png", "b.png"), pixels):
    (tmp_path / name).write_bytes(image_files.encode_png(image))
  out = run("compare", "--metric=exported", "a.png", "b.png")
  exported = perceptual.load_metric(tmp_path / "exported")
  distance = float(exported(pixels[:1], pixels[1:])[0])
  assert f"{distance:.4f}" in out

  (tmp_path / "moved.keras").rename(tmp_path / "mine.keras")
  trained = perceptual.load_metric(tmp_path / "runs/mine", checkpoint="last")
  assert float(trained(pixels[:1], pixels[1:])[0]) == pytest.approx(distance, rel=1e-5)
  started = perceptual.models.wrap(model, ["conv2"], preprocessing="-1,1")
  moved = trained.trunk.get_layer("wrapped_conv1").kernel - started.get_layer(
      "wrapped_conv1").kernel
  assert 0 < np.abs(moved).max() < 0.2  # two steps from the user's weights


def test_one_of_keras_s_own_is_trained_from_its_gin(run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "mine.gin").write_text(_GIN[1])
  out = run("train", "--gin_file=mine.gin", "--model_dir=mine", "--nodeterministic", "--dry_run",
            *_params(*_TINY))
  assert "network   keras_applications model=MobileNetV3Small" in out
  assert "taps expanded_conv_project, expanded_conv_3_project" in out


def test_mistakes_in_gin_are_one_line_with_what_is_right(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  _save_classifier(tmp_path / "mine.keras")
  (tmp_path / "mine.gin").write_text(_GIN[0])
  for binding, message in (
      ("network.taps = ('convx',)", "Unknown layer of users 'convx'. Available: conv3, conv2, "),
      ("network.taps = 'conv1'", "taps must be a list of names of layers of users, not 'conv1'."),
      ("network.path = 'yours.keras'", "path: there is no file yours.keras (from "),
      ("network.preprocessing = '0,2'", "preprocessing must be one of imagenet; 0,1; -1,1; "),
      ("network.tap = 'conv1'", "Unknown option of keras_file 'tap'. Available: path, taps, "),
      ("network.name = None", "network.name is not given. Available: resnet2, ")):
    with pytest.raises(SystemExit) as caught:
      cli.main(["train", "--gin_file=mine.gin", "--model_dir=mine", "--nodeterministic",
                *_params(*_TINY, binding)])
    assert caught.value.code == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
  assert not (tmp_path / "mine").exists()
