"""The contract that every metric keeps, whatever it is made of."""

import copy
import json
import pathlib
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import perceptual
from perceptual.errors import UserError
from perceptual.export import saved_model
from perceptual.metrics import base
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing, taps

_NAMES = ("perceptual", "mse", "psnr:channels=luma,crop=2", "ssim", "ms-ssim:scales=2", "fsim",
          "fsimc", "gaussian-resnet2:distance=mean_pool+sort")
_RNG = np.random.default_rng(0)
_IMAGES = _RNG.integers(0, 256, [3, 2, 33, 40, 3], np.uint8)


def _lin():
  """A metric with learned weights, as LPIPS and runs of `perceptual learn` have."""
  keras.utils.set_random_seed(0)
  image = keras.Input([None, None, 3])
  x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(image)
  model = keras.Model(image, {"map": taps.Tap(stride=2, name="map")(x)})
  return FeatureMetric(model, name="lin", channel_weights={"map": [0.0, 1.0, 3.0, 0.5]},
                       trained={"checkpoint": "last", "step": 3})


@pytest.fixture(scope="module", params=[*_NAMES, "lin", "export of lin"])
def metric(request, tmp_path_factory):
  name = request.param
  if name == "lin":
    return _lin()
  if name != "export of lin":
    return perceptual.load_metric(name)
  folder = tmp_path_factory.mktemp("exports") / "m"
  saved_model.export(_lin(), folder)
  return perceptual.load_metric(folder)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(
    pickle.dumps(m))], ids=["copy", "deepcopy", "pickle"])
def test_copies_and_pickles_are_the_same_metric(metric, again):
  found = again(metric)
  assert (type(found), repr(found)) == (type(metric), repr(metric))
  assert (found.fingerprint, found.source) == (metric.fingerprint, metric.source)
  np.testing.assert_array_equal(found(*_IMAGES[:2]), metric(*_IMAGES[:2]))
  np.testing.assert_array_equal(found.two_afc(*_IMAGES), metric.two_afc(*_IMAGES))


def test_it_tells_what_it_is_and_can_do(metric):
  assert isinstance(metric, base.Metric)
  assert json.loads(json.dumps(metric.fingerprint)) == metric.fingerprint
  assert metric.fingerprint["name"] == metric.name
  text = repr(metric)
  direction = "lower" if metric.lower_is_better else "higher"
  assert text.startswith(f"<Metric {metric.name}: ")
  assert text.endswith(f"float images 0 to 1, {direction} is better>") and "\n" not in text
  assert metric.smallest_side >= 1
  reference, candidate, _ = _IMAGES
  values = np.asarray(metric(reference, candidate))
  assert values.shape == (2,) and values.dtype == np.float32
  if metric.has_map:
    assert metric.spatial_map(reference, candidate).shape == reference.shape[:3]
  else:
    with pytest.raises(UserError, match=f"{metric.name} has no spatial map"):
      metric.spatial_map(reference, candidate)


def test_taps_are_all_there_or_not_at_all(metric):
  reference, candidate, _ = _IMAGES
  if not metric.has_taps:
    assert metric.trunk_key is None
    for call in (lambda: metric.features(reference), lambda: metric.per_tap(reference, candidate),
                 lambda: metric.from_features({}, {}), lambda: metric.terms_from_features({}, {})):
      with pytest.raises(UserError, match=f"{metric.name} has no taps"):
        call()
    return
  hash(metric.trunk_key)
  features = [metric.features(images) for images in (reference, candidate)]
  assert list(features[0]) == list(metric.per_tap(reference, candidate)) == list(metric.taps)
  expected = metric(reference, candidate)
  np.testing.assert_allclose(metric.from_features(*features), expected, rtol=1e-5)
  joined = metric.joined({"a": metric, "b": metric})(*features)
  np.testing.assert_allclose(joined["b"], expected, rtol=1e-5)
  terms = metric.joined({"a": metric}, per_tap=True)(*features)
  assert list(terms) == ["a", *(f"a/{tap}" for tap in metric.taps)]
  np.testing.assert_allclose(terms["a"], expected, rtol=1e-5)
  np.testing.assert_allclose(sum(terms[f"a/{tap}"] for tap in metric.taps), expected, rtol=1e-5)


def test_both_candidates_are_measured_as_distances(metric):
  reference, *candidates = _IMAGES
  sign = 1 if metric.lower_is_better else -1
  for found, candidate in zip(metric.two_afc(*_IMAGES), candidates):
    np.testing.assert_allclose(found, sign * metric(reference, candidate), rtol=1e-5, atol=1e-6)


def test_predictions_may_overshoot_and_targets_may_not(metric):
  target, prediction = (_IMAGES[:2] / 255).astype(np.float32)
  np.testing.assert_allclose(
      metric.compare_prediction(target, prediction), metric(target, prediction), rtol=1e-5)
  variable = tf.constant(prediction * 3 - 1)
  with tf.GradientTape() as tape:
    tape.watch(variable)
    value = metric.compare_prediction(target, variable)
  assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, variable)).all()
  with pytest.raises(UserError, match="y_true: values from"):
    metric.compare_prediction(target * 3 - 1, prediction)


def test_a_metric_tells_its_name_taps_distance_range_and_direction():
  assert repr(_lin()) == (
      "<Metric lin: taps map, distance lin, float images 0 to 1, lower is better>")
  assert repr(perceptual.load_metric("psnr:channels=luma,crop=4,float_range=-1,1")) == (
      "<Metric psnr: channels luma, crop 4, float images -1 to 1, higher is better>")
  assert repr(perceptual.load_metric()) == (
      "<Metric perceptual-resnet6: taps reduction_1..reduction_4, distance correlation, float "
      "images 0 to 1, lower is better>")


def test_a_pickle_is_read_in_a_process_of_its_own(tmp_path):
  metric = _lin()
  (tmp_path / "metric").write_bytes(pickle.dumps(metric))
  np.save(tmp_path / "images.npy", _IMAGES)
  code = ("import pickle, sys, numpy as np; "
          "metric = pickle.load(open(sys.argv[1] + '/metric', 'rb')); "
          "print(*metric(*np.load(sys.argv[1] + '/images.npy')[:2]).numpy().tolist())")
  root = pathlib.Path(perceptual.__file__).parents[1]
  process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=True,
                           capture_output=True, text=True)
  np.testing.assert_allclose(
      list(map(float, process.stdout.split())), metric(*_IMAGES[:2]), rtol=1e-6)


def test_files_are_images_too(tmp_path):
  for name, image in zip("ab", _IMAGES[:, 0]):
    Image.fromarray(image).save(tmp_path / f"{name}.png")
  metric = perceptual.load_metric("psnr", float_range="-1,1")
  expected = metric(*_IMAGES[:2, :1])
  for kind in (str, pathlib.Path):
    np.testing.assert_array_equal(
        metric(kind(tmp_path / "a.png"), kind(tmp_path / "b.png")), expected)
  np.testing.assert_array_equal(metric(tmp_path / "a.png", _IMAGES[1, :1]), expected)
  floats = (_IMAGES[1, :1] / 127.5 - 1).astype(np.float32)
  np.testing.assert_allclose(metric(tmp_path / "a.png", floats), expected, rtol=1e-5)


def test_a_file_of_16_bits_is_read_in_the_declared_range(tmp_path):
  deep = (257 * _IMAGES[0, 0, :, :, 0].astype(np.int32) + 3).clip(max=65535).astype(np.uint16)
  Image.fromarray(deep).save(tmp_path / "deep.png")
  Image.fromarray(_IMAGES[0, 0, :, :, 0]).save(tmp_path / "flat.png")
  expected = ((deep / 65535 - _IMAGES[0, 0, :, :, 0] / 255)**2).mean()
  for float_range in ("0,1", "-1,1", "0,255"):
    metric = perceptual.load_metric("mse", float_range=float_range)
    found = metric(tmp_path / "deep.png", tmp_path / "flat.png")
    np.testing.assert_allclose(found, [expected], rtol=0.02)


def test_a_list_of_files_is_a_batch_of_one_size(tmp_path):
  for name, image in zip("abcd", [*_IMAGES[:2, 0], *_IMAGES[:2, 1]]):
    Image.fromarray(image).save(tmp_path / f"{name}.png")
  a, b, c, d = (tmp_path / f"{name}.png" for name in "abcd")
  metric = perceptual.load_metric("psnr")
  np.testing.assert_array_equal(metric([a, c], (str(b), d)), metric(*_IMAGES[:2, :2]))
  Image.fromarray(_IMAGES[0, 0][:-1]).save(c)
  with pytest.raises(UserError, match=f"reference: {c} has .* {a} .* one size"):
    metric([a, c], [b, d])


def test_a_file_that_is_no_image_is_named(tmp_path):
  (tmp_path / "x.png").write_text("no image")
  for wrong in ("x.png", "nothing.png"):
    with pytest.raises(UserError, match=wrong) as caught:
      perceptual.load_metric("mse")(tmp_path / wrong, tmp_path / wrong)
    assert "\n" not in str(caught.value)


def test_another_distance_at_the_taps_is_another_metric():
  metric = _lin()
  other = metric.with_tap_distances({"map": FeatureMetric(metric.trunk, name="x").distance})
  assert (metric.distance_name, other.distance_name) == ("lin", "local")
  assert np.all(other(*_IMAGES[:2]) != metric(*_IMAGES[:2]))


def test_the_contract_is_abstract():
  with pytest.raises(TypeError, match="abstract"):
    base.Metric("x", options={}, lower_is_better=True, preprocess=preprocessing.IMAGENET)
