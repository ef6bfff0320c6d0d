"""What must hold of metrics on every backend: run by tests here, and in a process for each other.

    python -c "from tests.metrics import backend_checks; backend_checks.run()"
"""

import keras
import numpy as np
from keras import ops

import perceptual
from perceptual.errors import UserError

_RNG = np.random.default_rng(0)
_SMALL = ("gaussian-resnet2", "psnr")
PAIR = _RNG.random((2, 2, 32, 35, 3), np.float32)
WRONG = {"0 to 255": 255 * PAIR[0], "NaN": np.where(PAIR[0] > 0.999, np.nan, PAIR[0]),
         "-1 to 1": 2 * PAIR[0] - 1}


def value(tensor):
  return ops.convert_to_numpy(tensor)


def refusal(function, *args, **kwargs):
  """Returns the message of the one-line `UserError` that a call raises."""
  try:
    function(*args, **kwargs)
  except UserError as error:
    assert "\n" not in str(error)
    return str(error)
  raise AssertionError(f"not refused: {function}")


def check_refused_eagerly():
  """Wrong values are errors, in arrays and in tensors, in every function of a metric."""
  for metric in map(perceptual.load_metric, _SMALL):
    for what, images in WRONG.items():
      expected = "candidate: NaN among" if what == "NaN" else "candidate: values from"
      for wrong in (images, ops.convert_to_tensor(images)):
        assert refusal(metric, PAIR[0], wrong).startswith(expected)
      assert "candidate_1" in refusal(metric.two_afc, PAIR[0], PAIR[1], images)
      if metric.has_map:
        refusal(metric.spatial_map, PAIR[0], images)
      if metric.has_taps:
        refusal(metric.per_tap, PAIR[0], images)
        refusal(metric.features, images)
      assert refusal(metric.compare_prediction, images, PAIR[0]).startswith("y_true: ")
      value(metric.compare_prediction(PAIR[0], np.nan_to_num(images)))


def check_masks_refused_eagerly():
  metric = perceptual.load_metric(_SMALL[0])
  ones = np.ones(PAIR.shape[1:4], np.float32)
  for mask in (7 * ones, ops.convert_to_tensor(7 * ones)):
    assert refusal(metric, *PAIR, mask=mask).startswith("mask: values from 7 to 7")
  assert "nothing counts in sample 0" in refusal(metric, *PAIR, mask=0 * ones)
  assert "masked array" in refusal(metric, *PAIR, mask=np.ma.masked_array(ones, ones > 0))
  np.testing.assert_allclose(value(metric(*PAIR, mask=ones)), value(metric(*PAIR)), rtol=1e-5)


def check_what_is_no_array():
  metric = perceptual.load_metric("ssim")
  for wrong, message in (
      (None, "reference: expected images"), (b"x", "reference: expected images"),
      (np.array([None]), "reference: dtype object"), ([[1.0], [2.0, 3.0]], "reference: not an arr"),
      (np.ma.masked_array(PAIR[0], PAIR[0] > 0.5), "reference: a masked array"),
      (0.5, r"reference: shape []"), (PAIR[0].astype("U3"), "reference: dtype <U3")):
    assert refusal(metric, wrong, PAIR[1]).startswith(message)


def check_dtype_policy():
  """Neither the global policy nor the default dtype has a part in a metric, but an option does."""
  expected = {name: value(perceptual.load_metric(name)(*PAIR)) for name in (*_SMALL, "fsimc")}
  keras.config.set_dtype_policy("mixed_bfloat16")
  keras.config.set_floatx("bfloat16")
  try:
    for name, values in expected.items():
      metric = perceptual.load_metric(name)
      found = metric(*PAIR)
      assert keras.backend.standardize_dtype(found.dtype) == "float32"
      np.testing.assert_array_equal(value(found), values)
      assert metric.fingerprint.get("dtype", "float32") == "float32"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
  finally:
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
  half = perceptual.load_metric(_SMALL[0], dtype="mixed_bfloat16")
  assert half.fingerprint["dtype"] == "mixed_bfloat16" and "mixed_bfloat16" in repr(half)
  difference = np.abs(value(half(*PAIR)) / expected[_SMALL[0]] - 1)
  assert (difference > 0).all() and (difference < 0.05).all()


class _Holder(keras.layers.Layer):
  """A layer that makes a metric when it is built, and applies it."""

  def build(self, shape):
    self.metric = perceptual.load_metric(_SMALL[0])

  def call(self, images):
    return self.metric(images, 1 - images)


def check_made_anywhere():
  """A metric made in a name scope or in a layer's build has the same weights and the same hash."""
  expected = perceptual.load_metric(_SMALL[0])
  with keras.name_scope("outer"):
    scoped = perceptual.load_metric(_SMALL[0])
  assert scoped.fingerprint == expected.fingerprint
  eager, symbolic = _Holder(), _Holder(dtype="mixed_bfloat16")
  images = keras.Input(PAIR.shape[2:])
  model = keras.Model(images, symbolic(images))
  for layer, call in ((eager, eager), (symbolic, model)):
    found = value(call(PAIR[0]))
    assert layer.metric.fingerprint == expected.fingerprint
    if layer is eager:
      np.testing.assert_array_equal(found, value(expected(PAIR[0], 1 - PAIR[0])))


def check_transforms():
  {"tensorflow": _check_graphs, "jax": _check_jax, "torch": _check_torch}[
      keras.backend.backend()]()


def _mixed():
  """A pair of which the second sample alone is out of range."""
  candidate = PAIR[1].copy()
  candidate[1] *= 255
  return PAIR[0], candidate


def _check_graphs():
  import tensorflow as tf

  for metric in map(perceptual.load_metric, _SMALL):
    expected = value(metric(*PAIR))
    for images in WRONG.values():
      for pair in ((PAIR[0], images), (images, PAIR[0])):
        try:
          tf.function(metric, autograph=False)(*map(tf.constant, pair))
        except tf.errors.InvalidArgumentError as error:
          assert "values outside the declared range of float images, 0 to 1" in str(error)
        else:
          raise AssertionError("not refused in a graph")
    np.testing.assert_allclose(tf.function(metric, autograph=False)(*PAIR), expected, rtol=1e-5)
    compiled = tf.function(metric, autograph=False, jit_compile=True)
    found = value(compiled(*map(tf.constant, _mixed())))
    np.testing.assert_allclose(found, [expected[0], np.nan], rtol=1e-4)
  masked = tf.function(perceptual.load_metric(_SMALL[0]), autograph=False)
  for mask in (np.full(PAIR.shape[1:4], 7, np.float32), np.zeros(PAIR.shape[1:4], np.float32)):
    try:
      masked(*PAIR, mask)
    except tf.errors.InvalidArgumentError as error:
      assert "mask" in str(error)
    else:
      raise AssertionError("a wrong mask was not refused in a graph")


def _alone(metric):
  """A metric of images without a batch."""
  return lambda reference, candidate: metric(reference[None], candidate[None])[0]


def _check_jax():
  import jax

  for metric in map(perceptual.load_metric, _SMALL):
    reference, candidate = _mixed()
    expected = [value(metric(*PAIR))[0], np.nan]
    np.testing.assert_allclose(jax.jit(metric)(reference, candidate), expected, rtol=1e-5)
    each = jax.jit(jax.vmap(_alone(metric)))
    np.testing.assert_allclose(each(reference, candidate), expected, rtol=1e-4)
    slope, training = (
        jax.jit(jax.grad(lambda b, a, function=function: function(a, b).sum()))(
            candidate, reference) for function in (metric, metric.compare_prediction))
    assert np.isfinite(slope[0]).all() and np.isnan(slope[1]).all()
    assert np.isfinite(training).all()
  mask = np.ones(PAIR.shape[1:4], np.float32)
  mask[1] = 7
  metric = perceptual.load_metric(_SMALL[0])
  found = jax.jit(lambda mask: metric(*PAIR, mask=mask))(mask)
  assert np.isfinite(found[0]) and np.isnan(found[1])


def _check_torch():
  import torch

  reference, candidate = map(torch.tensor, _mixed())
  for metric in map(perceptual.load_metric, _SMALL):
    expected = value(metric(*PAIR))
    slope = torch.func.grad(lambda b, a, metric=metric: metric(a, b).sum())(candidate, reference)
    assert torch.isfinite(slope[0]).all() and torch.isnan(slope[1]).all()
    np.testing.assert_allclose(
        value(torch.vmap(_alone(metric))(reference, candidate)), [expected[0], np.nan], rtol=1e-4)
    images = torch.tensor(PAIR[1], requires_grad=True)
    metric(reference, images).sum().backward()
    np.testing.assert_allclose(slope[0], images.grad[0], rtol=1e-3, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
      np.testing.assert_array_equal(value(metric(*PAIR)), expected)


CHECKS = (check_refused_eagerly, check_masks_refused_eagerly, check_what_is_no_array,
          check_dtype_policy, check_made_anywhere, check_transforms)


def run():
  """Runs all checks; an `AssertionError` names the first that fails."""
  for check in CHECKS:
    check()
    print(check.__name__)
