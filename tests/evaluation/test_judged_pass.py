"""The graph-compiled pass against `Metric` called pair by pair, on one and on two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual.data.judged import judged_sets
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass, measures
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import taps

_DISTANCES = ("local", "mean_pool", "style", "local+sort")
_SIZE = 12


def _model():
  """Two convolutions with a tap after each, and a vector at the end."""
  image = keras.Input([None, None, 3], name="image")
  outputs, x = {}, image
  for name, channels in (("first", 5), ("second", 6)):
    x = keras.layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu",
                            name=f"conv_{name}")(x)
    x = outputs[name] = taps.Tap(stride=4, name=name)(x)
  pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
  outputs["vector"] = taps.Tap(stride=None, name="vector")(pooled)
  return keras.Model(image, outputs, name="tiny")


def _metric(strategy=None):
  keras.utils.set_random_seed(1)
  with (strategy or tf.distribute.get_strategy()).scope():
    return FeatureMetric(_model(), name="tiny")


@pytest.fixture(scope="module")
def metric():
  return _metric()


def _subset(kind, size):
  rng = np.random.default_rng([size, len(kind)])
  images = {key: rng.integers(0, 256, [size, _SIZE, _SIZE, 3], np.uint8)
            for key in judged_sets.IMAGE_KEYS[kind]}
  dataset = tf.data.Dataset.from_tensor_slices(images)
  return judged_sets.Subset("blobs", dataset, rng.random(size)), images


def _pair_by_pair(metric, images, name):
  """`[examples, candidates, taps and sum]`, by the metric's own call on one pair at a time."""
  single = FeatureMetric(metric.trunk, name="tiny", distance=name)
  reference, *candidates = (images[key] for key in images)
  rows = []
  for i in range(len(reference)):
    terms = [single.per_tap(reference[i:i + 1], c[i:i + 1]) for c in candidates]
    rows.append([[*(float(term[tap][0]) for tap in metric.taps),
                  float(sum(term[tap][0] for tap in metric.taps))] for term in terms])
  return np.array(rows)


def _values(metric, kind, size, **options):
  subset, _ = _subset(kind, size)
  return judged_pass.JudgedPass(metric, distances=_DISTANCES, **options)(subset, kind).values


@pytest.mark.parametrize(("kind", "size", "batch_size"), [("2afc", 7, 4), ("jnd", 6, 6)])
def test_distances_are_those_of_the_metric_pair_by_pair(metric, kind, size, batch_size):
  subset, images = _subset(kind, size)
  run = judged_pass.JudgedPass(metric, distances=_DISTANCES, batch_size=batch_size)
  found = run(subset, kind)
  assert found.distances == _DISTANCES
  assert found.taps == ("first", "second", "vector", "sum")
  assert found.values.shape == (size, len(images) - 1, 4, 4)
  for name in _DISTANCES:
    expected = _pair_by_pair(metric, images, name)
    for i, tap in enumerate(found.taps):
      np.testing.assert_allclose(found.at(name, tap), expected[:, :, i], rtol=2e-5, atol=1e-7)
    np.testing.assert_array_equal(found.at(name), found.at(name, "sum"))


def test_names_may_be_aliases(metric):
  subset, _ = _subset("2afc", 2)
  found = judged_pass.JudgedPass(metric, distances=["spatial"], batch_size=2)(subset, "2afc")
  assert found.distances == ("local",)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_the_batch_size_changes_nothing(metric, batch_size):
  np.testing.assert_allclose(_values(metric, "2afc", 7, batch_size=batch_size),
                             _values(metric, "2afc", 7, batch_size=7), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("kind", "size"), [("2afc", 7), ("2afc", 1), ("jnd", 5)])
def test_two_replicas_give_what_one_gives(metric, two_cpus, kind, size):
  strategy = tf.distribute.MirroredStrategy(two_cpus)
  two = _values(_metric(strategy), kind, size, batch_size=4, strategy=strategy)
  np.testing.assert_allclose(two, _values(metric, kind, size, batch_size=4), rtol=1e-5, atol=1e-7)


def test_one_device_strategy_and_xla_give_the_same(metric):
  strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
  expected = _values(metric, "2afc", 5, batch_size=4)
  np.testing.assert_allclose(
      _values(_metric(strategy), "2afc", 5, batch_size=4, strategy=strategy), expected, rtol=1e-5)
  np.testing.assert_allclose(
      _values(metric, "2afc", 5, batch_size=4, jit_compile=True), expected, rtol=1e-4, atol=1e-7)


def test_embeddings_too_large_for_memory_are_compared_in_slices(metric, monkeypatch):
  whole = _values(metric, "2afc", 7, batch_size=6)
  monkeypatch.setattr(measures, "SLICE_BYTES", 3 * 2 * 6 * 6 * 4)  # two triplets of style
  calls = []
  scan = keras.ops.scan
  monkeypatch.setattr(measures.ops, "scan", lambda f, carried, parts: (
      calls.append(parts.shape), scan(f, carried, parts))[1])
  np.testing.assert_allclose(_values(metric, "2afc", 7, batch_size=6), whole, rtol=1e-5)
  assert (3, 6, 3, 3, 6) in [tuple(shape) for shape in calls], "three slices of two triplets"
  monkeypatch.setattr(measures, "SLICE_BYTES", 1)
  np.testing.assert_allclose(_values(metric, "2afc", 7, batch_size=6), whole, rtol=1e-5)


def test_the_slices_of_a_batch_are_equal_and_as_few_as_fit(monkeypatch):
  from perceptual.metrics import distances

  monkeypatch.setattr(measures, "SLICE_BYTES", 3 * 4 * 2048 * 2048 * 5)  # five triplets
  style = distances.get("style")

  @tf.function(autograph=False, input_signature=[tf.TensorSpec([3 * 12, 2, 2, 2048])])
  def slices(features):
    assert measures._slices(style, features, 3) == 3  # of four each
    assert measures._slices(distances.get("local"), features, 3) == 1
    return features

  slices.get_concrete_function()


def test_each_image_goes_through_the_network_once(metric, monkeypatch):
  rows, traced = tf.Variable(0), []
  features = metric.features

  def counted(images):
    traced.append(images.shape)
    rows.assign_add(tf.shape(images)[0])
    return features(images)

  monkeypatch.setattr(metric, "features", counted)
  _values(metric, "2afc", 8, batch_size=4)
  assert int(rows) == 3 * 8
  _values(metric, "jnd", 6, batch_size=4)
  assert int(rows) == 3 * 8 + 2 * (6 + 2), "two pairs of padding"
  assert traced == [(12, 12, 12, 3), (8, 12, 12, 3)], "one graph each, of static shape"


def test_a_pass_sees_new_weights_without_a_new_graph(metric):
  subset, _ = _subset("2afc", 3)
  run = judged_pass.JudgedPass(metric, distances=["local"], batch_size=3)
  before = run(subset, "2afc").values
  kernel = metric.trunk.get_layer("conv_first").kernel
  old = kernel.numpy()
  try:
    kernel.assign(old[::-1])
    after = run(subset, "2afc").values
  finally:
    kernel.assign(old)
  assert not np.allclose(before, after, rtol=1e-3)
  np.testing.assert_array_equal(run(subset, "2afc").values, before)
  assert run._steps._step.experimental_get_tracing_count() == 1


def test_order_is_that_of_the_subset(metric):
  images = np.zeros([9, _SIZE, _SIZE, 3], np.uint8)
  brighter = images + (np.arange(9, dtype=np.uint8) * 20)[:, None, None, None]
  subset = judged_sets.Subset("ramp", tf.data.Dataset.from_tensor_slices(
      {"reference": images, "candidate": brighter}), np.zeros(9))
  pixel = FeatureMetric(_pixels(), name="pixels")
  found = judged_pass.JudgedPass(pixel, distances=["l2"], batch_size=4)(subset, "jnd")
  values = found.at("l2")[:, 0]
  assert values[0] == 0 and np.all(np.diff(values) > 0)


def _pixels():
  image = keras.Input([None, None, 3])
  return keras.Model(image, {"pixels": taps.Tap(stride=1, name="pixels")(image)})


def test_progress_counts_every_example_once(metric):
  subset, _ = _subset("2afc", 7)
  done = []
  judged_pass.JudgedPass(metric, distances=["local"], batch_size=3)(subset, "2afc", done.append)
  assert done == [3, 3, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_an_error_that_names_one(bad):
  metric = _metric()
  metric.trunk.get_layer("conv_second").bias.assign([0, 0, 0, 0, 0, bad])
  subset, _ = _subset("2afc", 2)
  run = judged_pass.JudgedPass(metric, distances=["mean_pool"], batch_size=2)
  with pytest.raises(UserError, match="Weight conv_second/bias of tiny is not finite") as caught:
    run(subset, "2afc")
  assert "\n" not in str(caught.value)


def test_distances_that_are_not_finite_are_an_error_that_says_where():
  metric = _metric()
  kernel = metric.trunk.get_layer("conv_first").kernel
  kernel.assign(np.full(kernel.shape, 1e30))  # finite, but its square is not
  subset, images = _subset("2afc", 3)
  images["reference"][:2] = images["candidate_0"][:2] = images["candidate_1"][:2] = 0
  subset = judged_sets.Subset("blobs", tf.data.Dataset.from_tensor_slices(images), subset.answers)
  run = judged_pass.JudgedPass(metric, distances=["local", "l2"], batch_size=3)
  with pytest.raises(UserError, match="The l2 distance at first of tiny is not finite for "
                                      "example 2 of blobs") as caught:
    run(subset, "2afc")
  assert "\n" not in str(caught.value)


def test_wrong_arguments_are_named(metric, two_cpus):
  with pytest.raises(UserError, match="Unknown distance 'l3'"):
    judged_pass.JudgedPass(metric, distances=["l3"])
  with pytest.raises(UserError, match="batch_size 5 is not a multiple of the 2 replicas"):
    judged_pass.JudgedPass(metric, distances=["local"], batch_size=5,
                           strategy=tf.distribute.MirroredStrategy(two_cpus))
