"""Random networks: a seed gives the same weights everywhere, of the variance that is stated."""

import keras
import numpy as np
import pytest

from perceptual import models
from perceptual.errors import UserError
from perceptual.metrics.fixed_features import gaussian
from perceptual.metrics.fixed_features.gaussian import draw


@pytest.fixture(scope="module")
def pair():
  return np.random.default_rng(0).integers(0, 256, [2, 2, 64, 64, 3], np.uint8)


@pytest.fixture(scope="module")
def metric():
  return gaussian("alexnet")


def test_it_is_a_metric_of_all_taps(metric, pair):
  per_tap = metric.per_tap(*pair)
  assert list(per_tap) == [f"relu{i}" for i in range(1, 6)] == list(metric.taps)
  np.testing.assert_allclose(metric(*pair), sum(per_tap.values()), rtol=1e-6)
  assert np.all(metric(*pair) > 0) and np.all(np.asarray(metric(pair[0], pair[0])) == 0)
  assert metric.fingerprint["name"] == "gaussian-alexnet"
  assert metric.fingerprint["options"] == {"seed": 0}


def test_the_variance_is_two_over_the_fan_in(metric):
  for layer in metric.trunk.layers:
    if layer.weights:
      kernel, bias = (weight.numpy() for weight in layer.weights)
      fan_in = np.prod(kernel.shape[:-1])
      assert kernel.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.02)
      assert abs(kernel.mean()) < 4 * kernel.std() / np.sqrt(kernel.size)
      assert not bias.any()


def test_a_depthwise_kernel_has_the_fan_in_of_one_channel():
  image = keras.Input([8, 8, 500])
  model = keras.Model(image, keras.layers.DepthwiseConv2D(3)(image))
  draw(model, 0)
  assert model.weights[0].numpy().std() == pytest.approx(np.sqrt(2 / 9), rel=0.05)


def test_the_variance_plays_no_part_where_relus_alone_follow_convolutions(metric, pair):
  other = gaussian("alexnet")
  for layer in other.trunk.layers:
    for weight in layer.weights:
      weight.assign(3 * weight)
  np.testing.assert_allclose(other(*pair), metric(*pair), rtol=1e-4)


def test_a_seed_decides_all_and_taps_change_no_weight(metric, pair):
  assert gaussian("alexnet", seed=1).fingerprint != metric.fingerprint
  np.testing.assert_array_equal(gaussian("alexnet")(*pair), metric(*pair))
  two = gaussian("alexnet", taps=["relu2", "relu4"], distance="mean_pool")
  assert two.taps == ("relu2", "relu4") and two.distance.name == "mean_pool"
  np.testing.assert_allclose(two.features(pair[0])["relu4"], metric.features(pair[0])["relu4"])


def test_weights_are_numpys_whatever_the_backend_draws(metric):
  keras.utils.set_random_seed(5)
  again = gaussian("alexnet")
  assert again.fingerprint == metric.fingerprint
  first = np.random.default_rng(0).standard_normal([11, 11, 3, 64], np.float32)
  np.testing.assert_allclose(
      again.trunk.get_layer("conv1").kernel, first * np.sqrt(2 / 363), rtol=1e-6)


def test_what_a_network_has_besides_kernels_stays_as_it_begins(pair):
  metric = gaussian("resnet4")
  fresh = models.build("resnet4", num_classes=0)
  for ours, begun in zip(metric.trunk.weights, fresh.weights):
    assert ours.path == begun.path
    if len(ours.shape) == 1:
      np.testing.assert_array_equal(ours, begun)
  assert np.all(np.isfinite(metric(*pair)))


@pytest.mark.parametrize(("network", "options", "message"), [
    ("alex", {}, "Unknown network 'alex'. Available: resnet2, "),
    ("alexnet", {"seed": -1}, "seed must be a whole number of at least 0, not -1"),
    ("alexnet", {"seed": "1"}, "seed must be a whole number of at least 0, not '1'"),
    ("alexnet", {"distance": "far"}, "Unknown distance 'far'"),
    ("alexnet", {"taps": ["relu6"]}, "Unknown tap 'relu6'. Available: relu1"),
])
def test_mistakes_are_one_line(network, options, message):
  with pytest.raises(UserError, match=message) as caught:
    gaussian(network, **options)
  assert "\n" not in str(caught.value)
