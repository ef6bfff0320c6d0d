"""The learned distance of LPIPS: channels weighed by numbers of their own."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.metrics import distances
from tests.metrics import readings

WEIGHTS = np.random.default_rng(5).uniform(0.0, 2.0, 7).astype("float32")


@pytest.fixture
def pair():
  return readings.pair()


def read_linear(image_0, image_1, weights):
  differences = [readings.normalised(u) - readings.normalised(v) for u, v in zip(image_0, image_1)]
  return np.mean([np.sum(weights * difference**2) for difference in differences])


@pytest.mark.parametrize("layout", ["map", "tokens", "vector"])
def test_linear_equals_its_reading(layout):
  features_0, features_1 = (
      readings.relu_features(readings.SHAPES[layout], seed) for seed in (2, 3))
  result = distances.linear(WEIGHTS)(features_0, features_1)
  flat = [features.reshape(len(features), -1, 7).astype("float64")
          for features in (features_0, features_1)]
  assert result.dtype == "float32"
  np.testing.assert_allclose(
      result, [read_linear(*images, WEIGHTS) for images in zip(*flat)], rtol=2e-6)


def test_linear_with_weights_of_one_is_local_and_of_zero_is_zero(pair):
  np.testing.assert_allclose(
      distances.linear(np.ones(7))(*pair), distances.get("local")(*pair), rtol=1e-6)
  np.testing.assert_array_equal(distances.linear(np.zeros(7))(*pair), 0.0)


def test_what_dropout_leaves_of_the_squared_differences_is_weighted(pair):
  seen = []

  def dropping(differences):
    seen.append(differences.shape)
    return differences * np.arange(7.0)

  np.testing.assert_allclose(distances.linear(WEIGHTS, dropping)(*pair),
                             distances.linear(WEIGHTS * np.arange(7.0))(*pair), rtol=1e-5)
  assert len(seen) == 1 and seen[0][-1] == 7 and len(seen[0]) == 3


def test_linear_sees_only_the_channels_that_it_weighs(pair):
  only = np.eye(7)[3]
  pair = [features + 0.1 for features in pair]  # no vector is zero
  unit = [features / np.linalg.norm(features, axis=-1, keepdims=True) for features in pair]
  expected = np.mean((unit[0] - unit[1])[..., 3]**2, axis=(1, 2))
  np.testing.assert_allclose(distances.linear(only)(*pair), expected, rtol=1e-5)


def test_gradients_reach_the_weights_of_linear_at_zero_too(pair):
  weights = tf.Variable(np.zeros(7, "float32"))
  with tf.GradientTape() as tape:
    value = tf.reduce_sum(distances.linear(weights)(*pair))
  # Linear in the weights: its gradient is the distance with each channel weighed alone.
  alone = [np.sum(distances.linear(channel)(*pair)) for channel in np.eye(7)]
  np.testing.assert_allclose(tape.gradient(value, weights), alone, rtol=1e-5)


def test_each_tap_can_have_its_own_distance(pair):
  features = [{"stage1": features, "stage2": features[:, :2]} for features in pair]
  own = {"stage1": distances.linear(WEIGHTS), "stage2": distances.get("mean_pool")}
  by_tap = distances.per_tap(own, *features)
  np.testing.assert_array_equal(by_tap["stage1"], own["stage1"](*pair))
  np.testing.assert_array_equal(
      by_tap["stage2"], own["stage2"](*(features["stage2"] for features in features)))
  np.testing.assert_allclose(
      distances.summed(own, *features), by_tap["stage1"] + by_tap["stage2"], rtol=1e-6)
  with pytest.raises(errors.UserError, match=r"Unknown tap 'stage2'\. Available: stage1"):
    distances.per_tap({"stage1": own["stage1"]}, *features)


def test_the_mean_of_a_weighted_map_is_the_linear_distance(pair):
  np.testing.assert_allclose(
      np.mean(distances.spatial_map(*pair, distances.linear(WEIGHTS)), axis=(1, 2)),
      distances.linear(WEIGHTS)(*pair), rtol=1e-6)
  at = distances.spatial_map_at(
      {"tap": pair[0]}, {"tap": pair[1]}, (4, 5), {"tap": distances.linear(WEIGHTS)})
  np.testing.assert_allclose(
      at, distances.spatial_map(*pair, distances.linear(WEIGHTS)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (1, 7), ()])
def test_weights_that_do_not_fit_the_channels_are_refused(shape, pair):
  linear = distances.linear(np.ones(shape))
  for call in (linear, lambda *pair: distances.spatial_map(*pair, linear)):
    with pytest.raises(errors.UserError, match=r"7 channels need weights of shape \[7\]") as error:
      call(*pair)
    assert "\n" not in str(error.value)
