"""The example of training in JAX: its steps are those of `perceptual train`, to rounding."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.models.preprocessing import IMAGENET
from perceptual.training import classifier, optimizers, schedules

pytestmark = pytest.mark.parametrize(
    "on_another_backend", ["jax"], indirect=True, scope="session")

_PROGRAM = pathlib.Path(__file__).with_name("in_jax_training.py")
_BATCH, _SEED = 4, 3
_PARAMS = ("network.name = 'resnet2'", "network.width = 0.25", "train.batch_size = 4",
           "train.train_steps = 3", "train.weight_decay = 0.01", "train.label_smoothing = 0.1",
           "step_decay.warmup_epochs = 1")


@pytest.fixture(scope="module")
def data():
  rng = np.random.default_rng(0)
  return {"images": rng.integers(0, 256, [12, 32, 32, 3], np.uint8),
          "labels": rng.integers(0, 4, 12)}


def _run(on_another_backend, data, folder, *params):
  """Returns what the program prints, numbers."""
  np.savez(folder / "photographs.npz", **data)
  printed = on_another_backend(_PROGRAM.read_text("utf-8"), folder, *_PARAMS, *params)
  return [float(line) for line in printed.splitlines()]


def _model(path):
  model = models.build("resnet2", width=0.25, num_classes=4)
  model.load_weights(path)
  return model


def test_its_steps_are_those_of_train(on_another_backend, data, tmp_path):
  loss, accuracy, rate = _run(on_another_backend, data, tmp_path,
                              "augmentation.crop = 'none'", "augmentation.flip = False")
  model = _model(tmp_path / "first.weights.h5")
  order = np.random.default_rng([_SEED, 0]).permutation(12)
  dataset = tf.data.Dataset.from_tensor_slices(
      {"image": data["images"][order], "label": data["labels"][order]}).batch(_BATCH)
  schedule = schedules.StepDecay(warmup_epochs=1, decay_epochs=(10, 20, 26.67))
  trainer = classifier.ClassifierTrainer(
      model, optimizers.Sgd(schedule).keras(_BATCH, 3, 3), dataset,
      strategy=tf.distribute.get_strategy(), batch_size=_BATCH, preprocess=IMAGENET,
      label_smoothing=0.1, weight_decay=0.01)
  found = trainer.train(tf.constant(3))

  assert loss == pytest.approx(float(found["loss"]), rel=1e-5)
  trained = _model(tmp_path / "last.weights.h5")
  untrained = _model(tmp_path / "first.weights.h5")
  for expected, value, before in zip(model.weights, trained.weights, untrained.weights):
    assert not np.array_equal(value, before), value.path
    np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-5, err_msg=value.path)
  logits = model(IMAGENET(data["images"]))["logits"].numpy()
  assert accuracy == pytest.approx(100 * np.mean(logits.argmax(-1) == data["labels"]))
  assert rate == pytest.approx(0.1 * _BATCH / 256 * 2 / 3)  # of the third step of a rise of three


def test_images_are_crops_of_themselves_within_black_borders(on_another_backend, data, tmp_path):
  _run(on_another_backend, data, tmp_path)
  varied = np.load(tmp_path / "varied.npy")
  padded = np.pad(data["images"], [(0, 0), (4, 4), (4, 4), (0, 0)])
  corners, flips = set(), set()
  for image, wide in zip(varied, padded):
    [(row, column, turn)] = [
        (row, column, turn) for row in range(9) for column in range(9) for turn in (1, -1)
        if np.array_equal(image, wide[row:row + 32, column:column + 32][:, ::turn])]
    corners.add((row, column))
    flips.add(turn)
  assert len(corners) > 6 and len(flips) == 2
