"""Metrics as graphs: the same values for images of any size, from one graph, and the errors."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.comparison import compiled, pairing, run, scoring
from perceptual.errors import UserError
from perceptual.metrics import classical, feature_metric
from perceptual.metrics.feature_metric import FeatureMetric


@pytest.fixture(scope="module")
def metric():
  keras.utils.set_random_seed(0)
  return FeatureMetric(models.build("alexnet", width=0.1, num_classes=0), name="alexnet")


def _images(size, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (2, 3, *size, 3), np.uint8)


def test_values_are_those_of_the_metric_from_one_graph(metric, monkeypatch):
  traced = []
  original = FeatureMetric.__call__
  monkeypatch.setattr(FeatureMetric, "__call__", lambda *args: traced.append(1) or original(*args))
  graph = compiled.Compiled(metric)
  for size in ((40, 48), (64, 33)):
    images = _images(size)
    expected = original(metric, *images)
    np.testing.assert_allclose(graph(*images), expected, rtol=1e-4)
    np.testing.assert_allclose(graph.spatial_map(*images), metric.spatial_map(*images), atol=1e-4)
    np.testing.assert_allclose(sum(graph.per_tap(*images).values()), expected, rtol=1e-4)
    features = map(graph.features, images)
    np.testing.assert_allclose(graph.from_features(*features), expected, rtol=1e-4)
  assert len(traced) == 1
  assert graph.trunk_key == metric.trunk_key and graph.lower_is_better


def test_the_weights_of_a_single_metric_are_hashed_once(metric, monkeypatch):
  hashed = []
  monkeypatch.setattr(feature_metric, "weights_hash", lambda *args: hashed.append(args) or "hash")
  scoring.Scorer({"alexnet": compiled.Compiled(metric)})
  assert len(hashed) == 1, "for the fingerprint"


def test_too_small_images_are_the_users_error(metric):
  images = _images((16, 64))
  with pytest.raises(UserError) as eager:
    metric(*images)
  graph = compiled.Compiled(metric)
  for call in (lambda: graph(*images), lambda: graph.features(images[0])):
    with pytest.raises(UserError) as compiled_error:
      call()
    assert str(compiled_error.value) == str(eager.value)


def test_other_failures_of_a_graph_are_one_line(metric):
  failing = copy.copy(metric)
  failing.spatial_map = lambda reference, candidate: tf.reshape(reference, [7])
  graph = compiled.Compiled(failing)
  with pytest.raises(UserError, match="shape has 7") as caught:
    graph.spatial_map(*_images((4, 4)))
  assert "\n" not in str(caught.value)


def test_a_metric_that_lacks_something_lacks_it_still():
  graph = compiled.Compiled(classical.build("psnr"))
  assert (graph.name, graph.has_taps, graph.has_map, graph.trunk_key) == (
      "psnr", False, False, None)
  assert not graph.lower_is_better
  with pytest.raises(UserError, match="psnr has no spatial map"):
    graph.spatial_map(*_images((4, 4)))


def test_metrics_of_one_trunk_in_one_graph_have_their_own_values(metric):
  style = FeatureMetric(models.build("alexnet", width=0.1, num_classes=0), name="style",
                 distance="style")
  metrics = {"local": compiled.Compiled(metric), "style": compiled.Compiled(style)}
  features = [metric.features(images) for images in _images((40, 48))]
  values = metrics["local"].joined(metrics)(*features)
  assert list(values) == ["local", "style"]
  for label, found in values.items():
    np.testing.assert_allclose(found, metrics[label].from_features(*features), rtol=1e-5)


def test_all_pairs_of_real_features(metric, tmp_path, write_grey):
  """Kept features, stacked and padded, give what the whole metric gives."""
  write_grey(tmp_path, {f"{i}.png": 40 * i for i in range(5)}, size=(32, 40))
  found = pairing.every_pair(tmp_path)
  graph = compiled.Compiled(metric)
  result = run.compare(run.inspect(found), {"d": graph}, batch_size=4)
  assert result.values.shape == (10, 1)
  graph.has_taps = False
  again = run.compare(run.inspect(found), {"d": graph}, batch_size=4)
  np.testing.assert_allclose(result.values, again.values, rtol=1e-4, atol=1e-6)
