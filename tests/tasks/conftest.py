"""Photographs, tiles and labelled images small enough to train on in a test."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from perceptual import models
from perceptual.data.labelled import classification
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.tasks import loss, run, settings
from perceptual.tasks.autoencoding import make as autoencoding
from perceptual.tasks.delineation import make as delineation
from perceptual.tasks.super_resolution import make as super_resolution

SIDE = 48  # of targets: what the second layer of every loss network of the study takes


def _photograph(seed, height, width):
  """Noise on a slope: something to restore."""
  rows, columns = np.mgrid[:height, :width]
  slope = 40 + 120 * rows[..., None] / height + 40 * np.sin(columns[..., None] / (2 + seed))
  noise = np.random.default_rng(seed).integers(0, 30, (height, width, 3))
  return np.clip(slope + noise, 0, 255).astype(np.uint8)


def _save(path, image):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(image).save(path)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
  """A folder with `photographs`, and with `roads` of four tiles, one of them blank."""
  folder = tmp_path_factory.mktemp("data")
  for number in range(6):
    _save(folder / "photographs" / f"{number}.png", _photograph(number, SIDE + number, 60))
  for number in range(4):
    tile = _photograph(number, 80, 112)
    tile[:, 100 if number else 0:] = 255
    mask = np.zeros((80, 112), np.uint8)
    mask[30:34] = 255
    mask[:, 50:53] = 255
    _save(folder / "roads" / "images" / f"{number}.png", tile)
    _save(folder / "roads" / "masks" / f"{number}.png", mask)
  return folder


@pytest.fixture(scope="session")
def labelled():
  """20 + 8 images of 32 pixels, of two classes that differ in brightness."""
  rng = np.random.default_rng(0)
  arrays = {}
  for part, count in (("train", 20), ("validation", 8)):
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 60, (count, 32, 32, 3)) + 150 * labels[:, None, None, None]
    arrays[part] = pixels.astype(np.uint8), labels.astype(np.int64)
  return classification.of_arrays(
      arrays, name="tiny", note="", class_names=["dark", "bright"])


@pytest.fixture(scope="session")
def tasks(data_dir, labelled):
  """Name -> the smallest version of each task."""
  return {
      "super_resolution": super_resolution(
          data_dir, train="photographs", held_out=2, side=SIDE, channels=4,
          tests=["photographs"], metrics=[]),
      "delineation": delineation(
          data_dir, train="roads", held_out=1, side=SIDE, crops_per_tile=2, refinements=2,
          tests=["roads"]),
      "autoencoding": autoencoding(data_dir, images=labelled, code=4, probe_epochs=2),
  }


@functools.cache
def _network(name):
  return models.build_at_random(name, width=0.05, num_classes=0)


@pytest.fixture(scope="session")
def tiny_metric():
  """(network, taps, distance) -> its metric, at random and narrow."""
  def make(name="alexnet", taps=("relu2",), distance="l2"):
    return FeatureMetric(_network(name), name=name, taps=list(taps), distance=distance)
  return make


@pytest.fixture
def make_run(tmp_path, tasks, tiny_metric):
  """Makes a run of a task in the folder `name` of this test."""
  def make(task="super_resolution", name="run", *, metric=None, strategy=None, **options):
    made = tasks[task] if isinstance(task, str) else task
    return run.Run(
        tmp_path / name, task=made, strategy=strategy,
        loss=lambda: loss.Loss(metric or tiny_metric(), pixels={"mse": 1.0}),
        settings=settings.Settings(**{
            "batch_size": 2, "eval_batch_size": 2, "train_steps": 4, "steps_per_loop": 2,
            "eval_interval": 2, **options}))
  return make


@pytest.fixture(scope="session")
def one_device():
  return tf.distribute.OneDeviceStrategy("/cpu:0")
