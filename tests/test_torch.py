"""Metrics as PyTorch modules: the numbers of the Keras metrics, and the manners of a module."""

import json
import pathlib

import numpy as np
import pytest

import perceptual

# Each test takes what one process of PyTorch printed.
pytestmark = pytest.mark.parametrize(
    "on_another_backend", ["torch"], indirect=True, scope="session")

_SOURCE = "gaussian-resnet2"  # that of the program
_PROGRAM = pathlib.Path(__file__).with_name("in_torch.py")


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).random([2, 2, 32, 32, 3], np.float32)


@pytest.fixture(scope="module")
def found(on_another_backend, images, tmp_path_factory):
  path = tmp_path_factory.mktemp("torch") / "images.npy"
  np.save(path, images)
  return json.loads(on_another_backend(_PROGRAM.read_text("utf-8"), path).splitlines()[-1])


@pytest.mark.parametrize("function", ["call", "per_tap", "map", "mask", "similarity"])
def test_values_are_those_of_the_keras_metric(function, found):
  np.testing.assert_allclose(*found[function], rtol=1e-6, atol=1e-7)


def test_values_are_those_of_another_backend(found, images):
  metric = perceptual.load_metric(_SOURCE)
  np.testing.assert_allclose(found["call"][0], metric(*images), rtol=1e-4)
  np.testing.assert_allclose(found["grey"], metric(*images[..., :1]), rtol=1e-4)


def test_a_range_is_declared_and_uint8_needs_none(found):
  np.testing.assert_allclose(found["signed"], found["call"][0], rtol=1e-4)
  for values in found["uint8"]:  # truncation moves the values a little
    np.testing.assert_allclose(values, found["call"][0], rtol=0.05)


def test_the_import_chooses_the_backend(found):
  assert found["backend"] == "torch"


def test_precision_stays_that_of_float32(found):
  for values in found["precision"]:
    np.testing.assert_allclose(values, found["call"][0], rtol=1e-6)
  assert found["dtypes"] == ["torch.float32"]
  np.testing.assert_allclose(found["mixed"], found["call"][0], rtol=0.05)


def test_gradients_flow_by_every_road(found):
  first, *others = map(np.array, found["gradients"])
  assert np.abs(first).max() > 1e-3
  for other in others:
    np.testing.assert_allclose(other, first, rtol=1e-3, atol=1e-5 * np.abs(first).max())
  assert not found["tracked"] and not found["untracked"]


def test_no_optimizer_and_no_checkpoint_finds_weights(found):
  assert found["parameters"] == 0
  assert found["buffers"] == len(perceptual.load_metric(_SOURCE).trunk.variables)
  assert found["state"] == 0


def test_copies_replicas_and_compiled_functions_give_the_same(found):
  for values in found["copies"]:
    np.testing.assert_allclose(values, found["call"][0], rtol=1e-5)


def test_the_buffers_are_the_weights(found):
  np.testing.assert_array_equal(found["zeroed"], [0, 0])


def test_a_module_says_what_it_is(found):
  assert found["repr"].startswith(f"PerceptualMetric({_SOURCE}: ")
  for part in ("taps ", "distance local", "0 to 1", "lower is better"):
    assert part in found["repr"]
  assert found["lower_is_better"] and found["float_range"] == [0, 1]


@pytest.mark.parametrize(("wrong", "part"), [
    ("candidate", "to 2; the declared range of float images is 0 to 1."),
    ("reference", "the declared range of float images is 0 to 1."),
    ("reference of a loss", "the declared range of float images is 0 to 1."),
    ("layout", "reference: shape [2, 32, 32, 3]; expected [batch, 3, height, width]"),
    ("array", "reference: ndarray; expected a torch.Tensor."),
    ("device", "One device is needed: reference on cpu, candidate on meta, the metric on cpu."),
    ("mask", "mask: shape [2, 32, 32]; expected [batch, 1, height, width]."),
    ("mask of ssim", "mask: ssim takes none"),
    ("taps", "ssim has no taps."),
    ("options", "distance: a metric that is made already takes no options."),
])
def test_refusals_name_the_culprit(wrong, part, found):
  assert part in found["refused"][wrong]
  assert "\n" not in found["refused"][wrong]


def test_the_candidate_of_a_loss_may_overshoot(found):
  free, clipped = map(np.array, found["overshoot"])
  assert free[0] == pytest.approx(clipped[0], rel=1e-5)
  assert np.isfinite(free[1]) and free[1] != pytest.approx(clipped[1], rel=1e-5)


def test_where_vmap_hides_values_a_wrong_one_gives_nan(found):
  np.testing.assert_allclose(found["shown"], found["call"][0], rtol=1e-5)
  assert found["hidden"][0] == pytest.approx(found["call"][0][0], rel=1e-5)
  assert np.isnan(found["hidden"][1])
