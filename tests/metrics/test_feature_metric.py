"""A metric: sums of distances at taps, of images as they are declared, with a fingerprint."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.errors import UserError
from perceptual.metrics import feature_metric
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing, taps
from perceptual.version import __version__

_OPTIONS = {"width": 0.0625, "num_classes": 3}


@pytest.fixture(scope="module")
def model():
  keras.utils.set_random_seed(1)
  return models.build("resnet4", **_OPTIONS)


@pytest.fixture(scope="module")
def metric(model):
  return FeatureMetric(model, name="resnet4", options=_OPTIONS)


@pytest.fixture(scope="module")
def pair():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, [2, 3, 20, 28, 3], np.uint8)


def _local(features_0, features_1):
  """The paper's listing, in NumPy: unit vectors over channels, squared difference."""
  unit = [f / (np.linalg.norm(f, axis=-1, keepdims=True) + 1e-10) for f in (features_0, features_1)]
  return ((unit[0] - unit[1])**2).sum(axis=-1).mean(axis=(1, 2))


def test_the_distance_is_the_sum_over_taps_of_the_features_distances(model, metric, pair):
  inputs = (pair - 255 * np.array([0.485, 0.456, 0.406])) / (255 * np.array([0.229, 0.224, 0.225]))
  features = [model.predict(images.astype(np.float32), verbose=0) for images in inputs]
  expected = {tap: _local(features[0][tap], features[1][tap])
              for tap in ("reduction_1", "reduction_2")}
  per_tap = metric.per_tap(*pair)
  assert list(per_tap) == list(metric.taps) == ["reduction_1", "reduction_2"]
  for tap, values in expected.items():
    np.testing.assert_allclose(per_tap[tap], values, rtol=1e-5)
  distance = metric(*pair)
  assert distance.dtype == tf.float32 and distance.shape == (3,)
  np.testing.assert_allclose(distance, sum(expected.values()), rtol=1e-5)


@pytest.mark.parametrize("distance", ["local", "style", "local+sort"])
def test_two_candidates_are_compared_with_one_reference_encoded_once(model, pair, distance):
  metric = FeatureMetric(model, name="resnet4", distance=distance)
  seen = []
  trunk, metric.trunk = metric.trunk, lambda images, training: (
      seen.append(len(images)) or trunk(images, training=training))
  found = metric.two_afc(pair[0], pair[1], pair[0])
  assert seen == [9]
  np.testing.assert_allclose(found, [metric(*pair), np.zeros(3)], rtol=1e-5, atol=1e-7)
  with pytest.raises(UserError, match="candidate_1: dtype"):
    metric.two_afc(pair[0], pair[1], pair[0].astype(int))


def test_taps_are_selectable_and_kept_in_network_order(model, metric, pair):
  per_tap = {tap: v.numpy() for tap, v in metric.per_tap(*pair).items()}
  last = FeatureMetric(model, name="resnet4", taps=["reduction_2"])
  np.testing.assert_allclose(last(*pair), per_tap["reduction_2"], rtol=1e-6)
  swapped = FeatureMetric(model, name="resnet4", taps=["reduction_2", "reduction_1"])
  assert swapped.taps == ("reduction_1", "reduction_2")
  np.testing.assert_array_equal(swapped(*pair), metric(*pair))


def test_lower_is_better(metric, pair):
  reference = pair[0]
  noise = pair[1].astype(int) - 128
  near, far = (np.clip(reference + share * noise, 0, 255).astype(np.uint8) for share in (0.02, 0.5))
  assert metric.lower_is_better
  assert np.all(metric(reference, near) < metric(reference, far))


def test_an_image_has_no_distance_to_itself_and_order_does_not_matter(metric, pair):
  np.testing.assert_array_equal(metric(pair[0], pair[0]), np.zeros(3))
  np.testing.assert_allclose(metric(pair[1], pair[0]), metric(*pair), rtol=1e-6)


def test_an_images_distance_does_not_depend_on_the_others_of_its_batch(metric, pair):
  alone = [metric(pair[0, i:i + 1], pair[1, i:i + 1])[0] for i in range(3)]
  np.testing.assert_allclose(metric(*pair), alone, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_uint8_and_float_images_are_alike(metric, pair, dtype):
  floats = (pair / 255).astype(dtype)
  np.testing.assert_allclose(metric(*floats), metric(*pair), rtol=1e-2 if dtype == "float16"
                             else 1e-5)


def test_nested_lists_are_images_too(metric, pair):
  floats = (pair / 255).astype(np.float32)
  np.testing.assert_array_equal(metric(floats[0].tolist(), floats[1]), metric(*floats))


def test_features_are_those_of_the_trunk(model, metric, pair):
  features = metric.features(pair[0])
  expected = model(preprocessing.IMAGENET(pair[0]), training=False)
  assert list(features) == list(metric.taps)
  for tap, values in features.items():
    np.testing.assert_allclose(values, expected[tap], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("distance", ["local", "mean_pool", "style", "sort", "local+sort"])
def test_gradients_are_finite_and_zero_where_images_are_equal(model, pair, distance):
  metric = FeatureMetric(model, name="resnet4", distance=distance)
  reference, candidate = (tf.constant(images / 255, tf.float32) for images in pair)
  for other, check in ((candidate, np.any), (reference, lambda g: not np.any(g))):
    with tf.GradientTape() as tape:
      tape.watch(other)
      distance = metric(reference, other)
    gradient = tape.gradient(distance, other).numpy()
    assert np.isfinite(gradient).all() and check(gradient)


def test_the_spatial_map_of_a_pixel_tap_is_the_local_distance_of_pixels(pair):
  image = keras.Input([None, None, 3])
  model = keras.Model(image, {"pixels": taps.Tap(stride=1, name="pixels")(image)})
  metric = FeatureMetric(model, name="pixels")
  found = metric.spatial_map(*pair)
  assert found.shape == (3, 20, 28)
  unit = [x / np.linalg.norm(x, axis=-1, keepdims=True)
          for x in (preprocessing.IMAGENET(images).numpy() for images in pair)]
  np.testing.assert_allclose(found, ((unit[0] - unit[1])**2).sum(axis=-1), atol=1e-5)
  np.testing.assert_allclose(np.mean(found, axis=(1, 2)), metric(*pair), rtol=1e-5)


def test_the_spatial_map_shows_where_images_differ(metric, pair):
  changed = pair[0].copy()
  changed[:, :, 20:] = pair[1, :, :, 20:]
  found = metric.spatial_map(pair[0], changed).numpy()
  assert found.shape == pair[0].shape[:3]
  assert found[:, :, 24:].mean() > 10 * found[:, :, :4].mean()


def test_unknown_taps_and_distances_are_named(model):
  with pytest.raises(UserError, match=r"Unknown tap 'stage9'. Available: reduction_1, reduction_2"):
    FeatureMetric(model, name="resnet4", taps=["reduction_1", "stage9"])
  with pytest.raises(UserError, match=r"Unknown distance 'l3'. Available: local, correlation"):
    FeatureMetric(model, name="resnet4", distance="l3")


@pytest.mark.parametrize("call", ["__call__", "per_tap", "spatial_map"])
def test_pairs_that_cannot_be_compared_are_refused(metric, pair, call):
  compare = getattr(metric, call)
  reference, candidate = pair
  for other, message in [
      (candidate[:, :10], "must have one size"), (candidate[:1], "must have one size"),
      (candidate / 255, "one dtype"), (candidate.astype(int), "candidate: dtype int64"),
      (candidate[0], "candidate: shape"), (candidate[..., :1], "must have one size"),
      (candidate.astype(np.float32), "candidate: values from 0 to 255")]:
    with pytest.raises(UserError, match=message):
      compare(reference, other)
  with pytest.raises(UserError, match="reference: NaN"):
    compare(np.full([1, 8, 8, 3], np.nan), np.zeros([1, 8, 8, 3]))
  with pytest.raises(UserError, match="images: values from 0 to 255"):
    metric.features(reference.astype(np.float32))


def test_a_graph_computes_the_same_and_refuses_two_sizes(metric, pair):
  graph = tf.function(metric, autograph=False)
  np.testing.assert_allclose(graph(*map(tf.constant, pair)), metric(*pair), rtol=1e-5)
  with pytest.raises(UserError, match="one size"):
    graph(tf.constant(pair[0]), tf.constant(pair[1, :, :10]))


def test_the_range_of_floats_is_the_metrics(model, pair):
  metric = FeatureMetric(model, name="resnet4",
                  preprocess=preprocessing.Preprocessing(float_range=(-1.0, 1.0)))
  np.testing.assert_allclose(metric(*(pair / 127.5 - 1)), metric(*pair), rtol=1e-5)
  with pytest.raises(UserError, match="declared range of float images is -1 to 1"):
    metric(*pair.astype(np.float32))


def test_the_initial_network_differs_in_weights_alone(model):
  trained = FeatureMetric(model, name="resnet4", options=_OPTIONS, taps=["reduction_2"],
                   distance="style", preprocess=preprocessing.Preprocessing(float_range=(0, 255)))
  initial = feature_metric.random_init(trained, seed=3)
  ours, theirs = initial.fingerprint, trained.fingerprint
  differing = {key for key in theirs if ours[key] != theirs[key]}
  assert differing == {"name", "weights_sha256"}
  assert ours["name"] == "resnet4, random init"
  assert feature_metric.random_init(trained, seed=3).fingerprint == ours
  assert feature_metric.random_init(trained, seed=4).fingerprint != ours


def test_the_fingerprint_is_complete_and_plain(metric):
  fingerprint = metric.fingerprint
  assert json.loads(json.dumps(fingerprint)) == fingerprint
  assert fingerprint == {
      "name": "resnet4", "options": _OPTIONS,
      "weights_sha256": feature_metric.weights_hash(metric.trunk),
      "taps": ["reduction_1", "reduction_2"], "distance": "local", "lower_is_better": True,
      "dtype": "float32", "preprocessing": {
          "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
          "uint8_range": [0.0, 255.0], "float_range": [0.0, 1.0]},
      "versions": {"perceptual": __version__, "keras": keras.__version__,
                   "tensorflow": tf.__version__}}


def test_the_weights_hash_is_that_of_names_shapes_and_bytes(metric):
  digest = hashlib.sha256()
  for weight in metric.trunk.weights:
    value = weight.numpy()
    digest.update(f"{weight.path} {value.shape} {value.dtype}\n".encode() + value.tobytes())
  assert feature_metric.weights_hash(metric.trunk) == digest.hexdigest()


def test_the_weights_hash_tells_one_weight_but_not_one_build_from_another(metric):
  again = models.build("resnet4", **_OPTIONS)
  trunk = taps.select_taps(again)
  trunk.set_weights(metric.trunk.get_weights())
  assert feature_metric.weights_hash(trunk) == feature_metric.weights_hash(metric.trunk)
  kernel = trunk.weights[0]
  value = kernel.numpy()
  value[0, 0, 0, 0] = np.nextafter(value[0, 0, 0, 0], 2)
  kernel.assign(value)
  assert feature_metric.weights_hash(trunk) != feature_metric.weights_hash(metric.trunk)


def test_the_weights_hash_does_not_depend_on_the_number_of_devices(two_cpus):
  def initial(strategy):
    with strategy.scope():
      keras.utils.set_random_seed(5)
      return feature_metric.weights_hash(models.build("resnet3", **_OPTIONS))

  assert initial(tf.distribute.MirroredStrategy(two_cpus)) == initial(tf.distribute.get_strategy())
