"""Stacked k-means: centred and scaled layer by layer, deterministic, and better than chance."""

import keras
import numpy as np
import pytest
import threadpoolctl

from perceptual import models
from perceptual.data.judged import graded
from perceptual.data.labelled import demo
from perceptual.errors import UserError
from perceptual.evaluation import scores
from perceptual.metrics.fixed_features import kmeans
from perceptual.metrics.fixed_features.kmeans import fit
from perceptual.models import preprocessing

_WIDTH = 1 / 16  # 4 to 24 filters


def _fitted(images, seed=0):
  model = models.build("alexnet", width=_WIDTH, num_classes=0)
  fit(model, np.asarray(preprocessing.IMAGENET(images)), seed=seed)
  return model


@pytest.fixture(scope="module")
def images():
  return demo.crops("train", per_photograph=8)[0]


@pytest.fixture(scope="module")
def model(images):
  return _fitted(images)


def _convolutions(model):
  return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


def test_every_channel_has_zero_mean_and_unit_variance_before_its_relu(model, images):
  seen = np.asarray(preprocessing.IMAGENET(images))
  for layer in _convolutions(model):
    outputs = np.asarray(keras.Model(model.input, layer.output)(seen))
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(outputs.std(axis=(0, 1, 2)), 1, rtol=1e-4)


def test_no_filter_is_like_another(model):
  for layer in _convolutions(model):
    kernels = np.asarray(layer.kernel).reshape(-1, layer.filters)
    kernels = kernels / np.linalg.norm(kernels, axis=0)
    alike = kernels.T @ kernels - np.eye(layer.filters)
    assert np.abs(alike).max() < 0.99


def test_centroids_are_of_what_the_images_hold():
  """Two kinds of image, plain but for their colour and brightness: each has its own filter."""
  rng = np.random.default_rng(0)
  red, blue = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
  images = np.stack([(red, blue)[i % 2] * rng.uniform(0.5, 1) for i in range(64)])
  images = np.broadcast_to(images[:, None, None], [64, 9, 9, 3]).astype(np.float32)
  image = keras.Input([None, None, 3])
  model = keras.Model(image, keras.layers.Conv2D(2, 3, name="conv")(image))
  fit(model, images)
  outputs = np.asarray(model(images)).mean(axis=(1, 2))
  assert set(outputs[::2].argmax(axis=1)) != set(outputs[1::2].argmax(axis=1))
  assert len(set(outputs[::2].argmax(axis=1))) == len(set(outputs[1::2].argmax(axis=1))) == 1


def test_a_seed_decides_all_whatever_the_number_of_threads(model, images):
  with threadpoolctl.threadpool_limits(1):
    again = _fitted(images)
  for ours, theirs in zip(model.weights, again.weights):
    np.testing.assert_array_equal(ours, theirs)
  other = _fitted(images, seed=1)
  assert not np.allclose(other.weights[0], model.weights[0])


@pytest.fixture(scope="module")
def metric(images):
  return kmeans(images=images)


def test_it_is_a_metric_of_all_taps_that_says_what_it_saw(metric, images):
  pair = images[:4], images[4:8]
  per_tap = metric.per_tap(*pair)
  assert list(per_tap) == [f"relu{i}" for i in range(1, 6)] == list(metric.taps)
  np.testing.assert_allclose(metric(*pair), sum(per_tap.values()), rtol=1e-6)
  fingerprint = metric.fingerprint
  assert fingerprint["name"] == "kmeans-alexnet" and fingerprint["options"]["seed"] == 0
  assert len(fingerprint["options"]["images"]) == 64, "their hash"


def test_it_tells_a_harmless_change_from_damage_far_better_than_chance(metric):
  crops, _ = demo.crops("validation", per_photograph=6)
  triplets = list(graded.triplets(crops, "nuisance", seed=0, per_image=1))
  columns = {key: np.stack([t[key] for t in triplets])
             for key in ("reference", "candidate_0", "candidate_1")}
  judge = np.array([t["judge"] for t in triplets])
  assert scores.two_afc_score(*metric.two_afc(*columns.values()), judge) > 70
  assert not np.asarray(metric(columns["reference"], columns["reference"])).any()


@pytest.mark.parametrize(("options", "message"), [
    ({"network": "vgg16"}, "Unknown network of k-means 'vgg16'. Available: alexnet"),
    ({"seed": 0.5}, "seed must be a whole number of at least 0, not 0.5"),
    ({"distance": "far"}, "Unknown distance 'far'"),
    ({"taps": ["relu6"]}, "Unknown tap 'relu6'. Available: relu1"),
    ({"images": np.zeros([2, 64, 64], np.uint8)}, r"images: shape \[2, 64, 64\]"),
    ({"images": np.full([2, 64, 64, 3], 3.0)}, "images: values from 3 to 3; the declared range"),
    ({"images": np.zeros([300, 64, 64, 3], np.uint8)}, "The images are of one colour"),
    ({"images": np.random.default_rng(0).integers(0, 256, [2, 31, 31, 3]).astype(np.uint8)},
     "The images have 18 patches for conv2, which needs at least 192, as many as it has filters"),
])
def test_mistakes_are_one_line(options, message):
  with pytest.raises(UserError, match=message) as caught:
    kmeans(**options)
  assert "\n" not in str(caught.value)
