"""Values and gradients of distances: extremes, slopes, XLA, other backends."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual.metrics import distances
from tests.metrics import readings

NORMALISING = [name for name in readings.NAMES if name != "l2"]


@pytest.fixture
def pair():
  return readings.pair()


def without_ties(features):
  """No two activations of a channel are equal: sorting has a kink where they are."""
  noise = np.random.default_rng(7).uniform(0.01, 0.02, features.shape)
  return (features + noise).astype("float32")


def value_and_gradients(name, features_0, features_1):
  features_0, features_1 = tf.constant(features_0), tf.constant(features_1)
  with tf.GradientTape() as tape:
    tape.watch([features_0, features_1])
    value = distances.get(name)(features_0, features_1)
  gradients = tape.gradient(value, [features_0, features_1])
  return value.numpy(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("name", readings.NAMES)
def test_identical_features_are_at_exactly_zero_with_zero_gradient(name, pair):
  value, gradients = value_and_gradients(name, pair[0], pair[0].copy())
  np.testing.assert_array_equal(value, 0.0)
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0.0)


def extremes():
  """Pairs of features on which a careless norm overflows, underflows or has no slope."""
  ordinary = readings.relu_features((2, 3, 3, 40), 5) + 0.1
  zero = np.zeros_like(ordinary)
  lone = zero.copy()
  lone[:, 1, 1, 3] = 1.0
  mixed = ordinary * np.logspace(-44, 18, 40).astype("float32")
  return {
      "zero and zero": (zero, zero),
      "zero and ordinary": (zero, ordinary),
      "ordinary and zero": (ordinary, zero),
      "lone and ordinary": (lone, ordinary),
      "lone and zero": (lone, zero),
      "constant images": (zero + 3.0, zero + 5.0),
      "identical": (ordinary, ordinary.copy()),
      "tiny": (ordinary * 1e-20, ordinary[::-1] * 1e-20),
      "tiny and zero": (ordinary * 1e-20, zero),
      "near epsilon": (ordinary * 1e-10, ordinary[::-1] * 3e-10),
      "denormal": (zero + 1e-40, zero + 3e-42),
      "denormal and ordinary": (zero + 1e-40, ordinary),
      "huge": (ordinary * 1e18, ordinary[::-1] * 1e18),
      "huger": (ordinary * 1e30, ordinary[::-1] * 1e30),
      "huge and tiny": (ordinary * 1e18, ordinary * 1e-20),
      "of all sizes": (mixed, mixed[:, ::-1]),
      "negative": (-ordinary, ordinary),
      "a 1x1 map": (ordinary[:, :1, :1], ordinary[:, 1:2, :1]),
      "a 1x1 map of zero": (zero[:, :1, :1], ordinary[:, :1, :1]),
      "one channel": (ordinary[..., :1], lone[..., :1]),
  }


@pytest.mark.parametrize("extreme", extremes())
def test_values_and_gradients_in_extremes(extreme):
  features_0, features_1 = extremes()[extreme]
  for name in NORMALISING:
    value, gradients = value_and_gradients(name, features_0, features_1)
    # Denormals may count as zero on some devices: both are nothing beside EPSILON.
    np.testing.assert_allclose(
        value, readings.reading(name, features_0, features_1), rtol=1e-5, atol=1e-7, err_msg=name)
    for gradient in gradients:
      assert np.isfinite(gradient).all(), name


@pytest.mark.parametrize("name", readings.NAMES)
def test_gradients_are_the_slopes_of_the_reading(name, pair):
  direction = np.random.default_rng(6).normal(size=pair[0].shape)
  step = 1e-5
  features = without_ties(pair[0])
  shifted = [readings.reading(name, features + sign * step * direction, pair[1])
             for sign in (1, -1)]
  slope = (shifted[0] - shifted[1]) / (2 * step)
  _, (gradient, _) = value_and_gradients(name, features, pair[1])
  np.testing.assert_allclose(
      np.sum(gradient * direction, axis=(1, 2, 3)), slope, rtol=1e-3, atol=1e-5)


def test_gradient_at_a_zero_vector_is_that_of_the_listing():
  zero, one = np.zeros((1, 1, 1, 2), "float32"), np.array([[[[1.0, 0.0]]]], "float32")
  # d = |u - v|^2 with u = x / (|x| + 1e-10): its slope at x = 0 is -2 v / 1e-10.
  _, (gradient, _) = value_and_gradients("local", zero, one)
  np.testing.assert_allclose(gradient.ravel(), [-2e10, 0.0], rtol=1e-6)


@pytest.mark.parametrize("name", readings.NAMES)
def test_gradients_are_finite_and_equal_under_xla(name):
  features_0 = np.concatenate([np.zeros((1, 2, 2, 4)), readings.relu_features((1, 2, 2, 4), 8)])
  features_0, features_1 = features_0.astype("float32"), readings.relu_features((2, 2, 2, 4), 9)

  @tf.function(jit_compile=True)
  def gradient(a, b):
    return tf.gradients(distances.get(name)(a, b), a)[0]

  result = gradient(tf.constant(features_0), tf.constant(features_1)).numpy()
  _, (eager, _) = value_and_gradients(name, features_0, features_1)
  assert np.isfinite(result).all()
  np.testing.assert_allclose(result, eager, rtol=1e-4, atol=1e-6)


def test_not_a_number_is_not_hidden(pair):
  for culprit in (np.nan, np.inf):
    features = pair[0].copy()
    features[1, 0, 0, 0] = culprit
    for name in readings.NAMES:
      result = distances.get(name)(features, pair[1]).numpy()
      assert np.isfinite(result).tolist() == [True, False, True], name


# Prints nothing: reads features, and writes values and gradients on the backend of its process.
OTHER_BACKEND = """
import sys
import keras
import numpy as np
from keras import ops
from perceptual.metrics import distances

features = np.load(sys.argv[1])
pair = features["features_0"], features["features_1"]


def gradient(function):
  if keras.backend.backend() == "jax":
    import jax
    return jax.grad(function)(ops.convert_to_tensor(pair[0]), ops.convert_to_tensor(pair[1]))
  import torch
  tensor = ops.convert_to_tensor(pair[0]).requires_grad_()
  function(tensor, ops.convert_to_tensor(pair[1])).backward()
  return tensor.grad


results = {"map": distances.spatial_map_at({"tap": pair[0]}, {"tap": pair[1]}, (9, 6))}
for name in sys.argv[3:]:
  distance = distances.get(name)
  results["value " + name] = distance(*pair)
  results["gradient " + name] = gradient(lambda a, b: ops.sum(distance(a, b)))
np.savez(sys.argv[2], **{key: ops.convert_to_numpy(value) for key, value in results.items()})
"""


def test_other_backends_give_the_same(on_another_backend, pair, tmp_path):
  zero = np.zeros_like(pair[0][:1])
  pair = np.concatenate([without_ties(pair[0]), zero]), pair[1][[0, 1, 2, 0]]
  np.savez(tmp_path / "features.npz", features_0=pair[0], features_1=pair[1])
  on_another_backend(OTHER_BACKEND, tmp_path / "features.npz", tmp_path / "results.npz",
                     *readings.NAMES)
  results = np.load(tmp_path / "results.npz")
  for name in readings.NAMES:
    value, (gradient, _) = value_and_gradients(name, *pair)
    np.testing.assert_allclose(results[f"value {name}"], value, rtol=1e-5, atol=1e-7)
    other = results[f"gradient {name}"]
    assert np.isfinite(other).all()
    np.testing.assert_allclose(other[:3], gradient[:3], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
      results["map"], distances.spatial_map_at({"tap": pair[0]}, {"tap": pair[1]}, (9, 6)),
      rtol=1e-5, atol=1e-6)
