"""Metrics as pure functions of JAX arrays: the numbers of the Keras metrics, transformations."""

import json
import pathlib

import numpy as np
import pytest

import perceptual

# Each test takes what one process of JAX printed.
pytestmark = pytest.mark.parametrize(
    "on_another_backend", ["jax"], indirect=True, scope="session")

_SOURCE = "gaussian-resnet2"  # that of the program
_PROGRAM = pathlib.Path(__file__).with_name("in_jax.py")


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).random([2, 2, 32, 32, 3], np.float32)


@pytest.fixture(scope="module")
def found(on_another_backend, images, tmp_path_factory):
  path = tmp_path_factory.mktemp("jax") / "images.npy"
  np.save(path, images)
  return json.loads(on_another_backend(_PROGRAM.read_text("utf-8"), path).splitlines()[-1])


@pytest.mark.parametrize("function", ["call", "per_tap", "map", "mask"])
def test_values_are_those_of_the_keras_metric(function, found):
  np.testing.assert_allclose(*found[function], rtol=1e-6, atol=1e-7)


def test_values_are_those_of_another_backend(found, images):
  np.testing.assert_allclose(found["call"][0], perceptual.load_metric(_SOURCE)(*images), rtol=1e-4)


def test_a_range_is_declared_and_uint8_needs_none(found, images):
  expected = np.mean((images[0] - images[1]) ** 2, axis=(1, 2, 3))
  for values in found["ranges"]:  # truncation to uint8 moves the values a little
    np.testing.assert_allclose(values, expected, rtol=0.02)


def test_the_import_chooses_the_backend(found):
  assert found["backend"] == "jax"


def test_a_function_says_what_it_is(found):
  assert found["lower_is_better"] and found["float_range"] == [0, 1]
  assert found["name"] == _SOURCE
  assert found["repr"].startswith(f"perceptual.jax.Metric({_SOURCE}: ")
  assert "distance local" in found["repr"] and found["repr"].endswith("lower is better)")


def test_transformations_give_the_same(found):
  for values in found["jit"]:
    np.testing.assert_allclose(values, found["call"][0], rtol=1e-5)
  np.testing.assert_allclose(*found["vmap"], rtol=1e-5)


def test_the_weights_are_an_argument(found):
  np.testing.assert_array_equal(found["zeroed"], [0, 0])


def test_gradients_are_those_of_the_definition(found, images):
  reference, candidate = images
  expected = 2 * (candidate - reference) / reference[0].size
  np.testing.assert_allclose(found["gradient"], expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(("wrong", "part"), [
    ("candidate", "to 2; the declared range of float images is 0 to 1."),
    ("reference", "the declared range of float images is 0 to 1."),
    ("reference of a loss", "the declared range of float images is 0 to 1."),
    ("mask of ssim", "mask: ssim takes none"),
    ("taps", "ssim has no taps."),
    ("options", "crop: a metric that is made already takes no options."),
])
def test_refusals_name_the_culprit(wrong, part, found):
  assert part in found["refused"][wrong]
  assert "\n" not in found["refused"][wrong]


def test_under_jit_values_out_of_range_give_nan(found):
  assert found["hidden"][0] == pytest.approx(found["call"][0][0], rel=1e-5)
  assert np.isnan(found["hidden"][1])


def test_the_candidate_of_a_loss_may_overshoot_and_its_reference_not(found):
  eager, jitted = found["overshoot"]
  assert np.isfinite(eager).all()
  np.testing.assert_allclose(jitted, eager, rtol=1e-5)
  assert list(np.isnan(found["hidden reference"])) == [False, True]
