"""What networks share: `perceptual.models.layers`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.models import layers


def _statistics_by_replica(layer_class, devices):
  """Trains a batch normalisation on 0 and 8 in two replicas, whose batches have means 1 and 5."""
  strategy = tf.distribute.MirroredStrategy(devices)
  with strategy.scope():
    layer = layer_class(momentum=0.5)
    layer.build((None, 1))
  batches = {0: [[0.0], [2.0]], 1: [[2.0], [8.0]]}
  inputs = strategy.experimental_distribute_values_from_function(
      lambda context: tf.constant(batches[context.replica_id_in_sync_group]))
  tf.function(lambda x: strategy.run(lambda y: layer(y, training=True), args=(x,)))(inputs)
  return [
      [float(value[0]) for value in strategy.experimental_local_results(variable.value)]
      for variable in (layer.moving_mean, layer.moving_variance)]


def test_moving_statistics_are_the_mean_over_replicas(two_cpus):
  # Means 1 and 5, variances 1 and 9, each halfway from where the statistics start: 0 and 1.
  means, variances = _statistics_by_replica(layers.BatchNormalization, two_cpus)
  assert means == pytest.approx([1.5, 1.5])
  assert variances == pytest.approx([3.0, 3.0])


def test_keras_still_lets_moving_statistics_drift_apart(two_cpus):
  # If this fails Keras has mended it, and our layer can go.
  means, variances = _statistics_by_replica(keras.layers.BatchNormalization, two_cpus)
  assert means == pytest.approx([0.5, 2.5])
  assert variances == pytest.approx([1.0, 5.0])


def test_synchronised_statistics_are_those_of_the_whole_batch(two_cpus):
  def synchronised(**options):
    return layers.BatchNormalization(synchronized=True, **options)

  batch = np.float64([0, 2, 2, 8])
  means, variances = _statistics_by_replica(synchronised, two_cpus)
  assert means == pytest.approx([batch.mean() / 2] * 2)
  assert variances == pytest.approx([0.5 + batch.var() / 2] * 2)


@pytest.mark.parametrize("shape, options, jit_compile", [
    ((4, 5, 6, 7), {}, False),
    ((4, 5, 6, 7), {}, True),
    ((2, 1, 1, 3), {}, False),
    ((1, 1, 1, 3), {}, False),
    ((8, 7), {}, False),
    ((4, 5, 6, 7), {"synchronized": True}, False),
    ((4, 5, 6, 7), {"scale": False}, False),
    ((4, 5, 6, 7), {"center": False}, False),
    ((4, 5, 6, 7), {"axis": 1}, False),
])
def test_batch_normalisation_is_that_of_keras(shape, options, jit_compile):
  rng = np.random.default_rng(0)
  images, upstream = (tf.constant(rng.normal(2.0, 3.0, size=shape), tf.float32) for _ in range(2))

  def called(layer_class, training):
    layer = layer_class(momentum=0.9, epsilon=1e-2, **options)
    layer.build(shape)
    for variable in layer.weights:
      variable.assign(np.random.default_rng(1).uniform(0.5, 1.5, variable.shape))

    @tf.function(jit_compile=jit_compile)
    def step():
      with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
      return outputs, tape.gradient(
          outputs, [images, *(v.value for v in layer.trainable_variables)], upstream)

    outputs, gradients = step()
    return [outputs, *gradients, *layer.get_weights()]

  for training in (True, False):
    for value, expected in zip(
        called(layers.BatchNormalization, training),
        called(keras.layers.BatchNormalization, training), strict=True):
      np.testing.assert_allclose(value, expected, rtol=1e-4, atol=2e-5)


def test_batch_normalisation_that_is_not_trained_leaves_its_statistics():
  layer = layers.BatchNormalization()
  layer.trainable = False
  images = np.random.default_rng(0).normal(2.0, 3.0, size=(4, 5, 6, 7)).astype("float32")
  np.testing.assert_allclose(layer(images, training=True), images / np.sqrt(1.001), rtol=1e-6)
  assert not np.any(layer.moving_mean)


@pytest.mark.parametrize("layer_class, options", [
    (layers.BatchNormalization, {"momentum": 0.8, "epsilon": 1e-4, "synchronized": True}),
    (layers.Dropout, {"rate": 0.25, "seed": 3}),
    (layers.StochasticDepth, {"rate": 0.25, "seed": 3}),
])
def test_layers_outlive_serialisation(layer_class, options):
  layer = layer_class(name="layer", **options)
  restored = keras.layers.deserialize(keras.layers.serialize(layer))
  assert type(restored) is layer_class
  assert restored.get_config() == layer.get_config()


def test_dropout_drops_its_rate_and_keeps_the_mean():
  ones = np.ones((100, 1000), "float32")
  layer = layers.Dropout(0.25, seed=0)
  np.testing.assert_array_equal(layer(ones), ones)
  dropped = np.array(layer(ones, training=True))
  assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
  assert dropped.mean() == pytest.approx(1, abs=0.01)
  assert np.any(dropped != layer(ones, training=True)), "every step draws its own mask"


def test_stochastic_depth_drops_whole_samples_at_its_rate_and_keeps_the_mean():
  samples = np.random.default_rng(0).uniform(1, 2, size=(10_000, 2, 1, 3)).astype("float32")
  layer = layers.StochasticDepth(0.2, seed=0)
  np.testing.assert_array_equal(layer(samples), samples)
  graph = tf.function(
      lambda x: layer(x, training=True),
      input_signature=[tf.TensorSpec([None, None, None, 3])])
  for call in (graph, lambda x: layer(x, training=True)):
    scale = np.array(call(samples)) / samples
    kept = scale[:, :1, :1, :1] > 0
    np.testing.assert_allclose(scale, np.where(kept, 1 / 0.8, 0) * np.ones((2, 1, 3)), rtol=1e-6)
    assert kept.mean() == pytest.approx(0.8, abs=0.02)
    assert np.any(kept != (np.array(call(samples))[:, :1, :1, :1] > 0)), "each step draws anew"


@pytest.mark.parametrize("layer_class", [layers.Dropout, layers.StochasticDepth])
def test_dropout_names_its_state_after_itself(layer_class):
  for name in ("first", "second"):
    assert [v.path for v in layer_class(0.5, name=name).variables] == [
        f"{name}/seed_generator_state"]


@pytest.mark.parametrize("image_size, shape", [
    (None, (None, None, None, 3)),
    (64, (None, 64, 64, 3)),
    ((48, 65), (None, 48, 65, 3)),
    ([1, 2], (None, 1, 2, 3)),
])
def test_the_image_has_the_size_asked_for(image_size, shape):
  image = layers.image_input(image_size)
  assert (image.name, image.dtype, image.shape) == ("image", "float32", shape)


@pytest.mark.parametrize("image_size", [0, -1, 64.0, "64", True, (64,), (64, 0), (1, 2, 3), {}])
def test_an_illegal_image_size_is_refused(image_size):
  with pytest.raises(errors.UserError, match="image_size must be an integer >= 1, a pair") as error:
    layers.image_input(image_size)
  assert "\n" not in str(error.value)
