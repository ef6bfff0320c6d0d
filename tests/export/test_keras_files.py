"""An export as a metric in Keras: all of it comes back, on every backend, or a clear error."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import models
from perceptual.errors import UserError
from perceptual.export import keras_files, keras_metric
from perceptual.metrics import classical
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing, taps


def _written(metric, folder):
  """Writes what there is for Keras of an export."""
  folder.mkdir(parents=True)
  keras_files.write(metric, json.dumps(metric.fingerprint), folder)
  return folder


@pytest.fixture
def learned_folder(learned, tmp_path):
  return _written(learned, tmp_path / "learned")


# All of it comes back.


def _resnet():
  keras.utils.set_random_seed(1)
  options = {"width": 0.0625, "num_classes": 3}
  return FeatureMetric(
      models.build("resnet4", **options), name="resnet4", options=options,
      taps=["reduction_1", "reduction_2"], distance="style",
      preprocess=preprocessing.Preprocessing(float_range=(-1.0, 1.0)))


def _assert_same(found, metric, images):
  assert type(found) is type(metric)
  assert found.fingerprint == metric.fingerprint
  np.testing.assert_array_equal(found(*images[:2]), metric(*images[:2]))
  np.testing.assert_array_equal(found.two_afc(*images), metric.two_afc(*images))


@pytest.mark.parametrize("make", [_resnet, perceptual.load_metric])
def test_a_network_comes_back_with_all_that_it_is(make, images, tmp_path):
  metric = make()
  found = keras_metric(_written(metric, tmp_path / "m"))
  _assert_same(found, metric, images(33, 40, count=3))
  assert found.taps == metric.taps and found.trunk.trainable_variables == []


@pytest.mark.parametrize("name, options", [
    ("vit_b8", {"width": 1 / 16, "depth": 1 / 12, "image_size": 32}), ("squeezenet1_1", {})])
def test_layers_of_our_own_come_back(name, options, images, tmp_path):
  metric = FeatureMetric(models.build(name, num_classes=2, **options), name=name)
  found = keras_metric(_written(metric, tmp_path / "m"))
  np.testing.assert_array_equal(found(*images(32, 32)), metric(*images(32, 32)))


def test_learned_channel_weights_come_back(learned, learned_folder, images):
  found = keras_metric(str(learned_folder))
  pair = images(12, 15)
  _assert_same(found, learned, images(12, 15, count=3))
  assert found.fingerprint["distance"] == "lin"
  np.testing.assert_array_equal(found.spatial_map(*pair), learned.spatial_map(*pair))
  assert np.all(np.abs(found(*pair) - FeatureMetric(learned.trunk, name="n")(*pair)) > 0.05)


@pytest.mark.parametrize("name, options", [
    *((name, {}) for name in classical.METRICS if name != "ms-ssim"),
    ("ms-ssim", {"scales": 2, "channels": "rgb"})])
def test_a_classical_metric_comes_back_with_its_options(name, options, images, tmp_path):
  metric = classical.build(name, float_range=(0.0, 255.0), **options)
  found = keras_metric(_written(metric, tmp_path / "m"))
  _assert_same(found, metric, images(24, 31, count=3).astype("float32"))


def test_layers_of_the_users_own_come_back_once_registered(tmp_path, images):
  @keras.saving.register_keras_serializable("of_this_test")
  class Doubled(keras.layers.Layer):
    def call(self, inputs):
      return 2 * inputs

  image = keras.Input([None, None, 3])
  model = keras.Model(image, {"x": taps.Tap(stride=1, name="x")(Doubled()(image))})
  folder = _written(FeatureMetric(model, name="mine", distance="l2"), tmp_path / "m")
  found = keras_metric(folder)
  np.testing.assert_array_equal(found(*images(4, 5)), FeatureMetric(
      model, name="mine", distance="l2")(*images(4, 5)))
  del keras.saving.get_custom_objects()["of_this_test>Doubled"]
  message = _refusal(folder)
  assert "trunk.json is not a network that Keras can load" in message and "Doubled" in message


# What it refuses.


def _refusal(folder):
  with pytest.raises(UserError) as caught:
    keras_metric(folder)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_what_is_missing_is_named(learned_folder, tmp_path):
  assert _refusal(tmp_path / "nothing") == (
      f"{tmp_path / 'nothing'} is not an exported metric: fingerprint.json cannot be read: "
      "No such file or directory.")
  for name, message in [("trunk.json", "has no trunk.json: it was exported by an earlier version"),
                        ("metric.weights.h5", "has no metric.weights.h5"),
                        ("channel_weights.npz", "channel_weights.npz cannot be used: ")]:
    copy = tmp_path / name
    shutil.copytree(learned_folder, copy)
    (copy / name).unlink()
    assert message in _refusal(copy)


@pytest.mark.parametrize("name", [
    "fingerprint.json", "trunk.json", "metric.weights.h5", "channel_weights.npz"])
@pytest.mark.parametrize("damage", [lambda data: data[:len(data) // 2], lambda data: b"",
                                    lambda data: b"[1, 2]"])
def test_damaged_files_are_named(name, damage, learned_folder):
  path = learned_folder / name
  path.write_bytes(damage(path.read_bytes()))
  assert name in _refusal(learned_folder)


def test_weights_of_another_metric_are_refused(learned, learned_folder, small, tmp_path):
  heavier = {tap: 2 * weights for tap, weights in learned.channel_weights.items()}
  other = small(channel_weights=heavier)
  other.trunk.set_weights([weights + 1 for weights in other.trunk.get_weights()])
  elsewhere = _written(other, tmp_path / "other")
  for name in ("metric.weights.h5", "channel_weights.npz"):
    copy = tmp_path / f"with_other_{name}"
    shutil.copytree(learned_folder, copy)
    shutil.copy(elsewhere / name, copy)
    assert _refusal(copy).endswith("its weights do not match fingerprint.json. "
                                   "Export the metric again.")


def test_a_network_that_cannot_describe_itself_is_no_export(tmp_path):
  class Secretive(keras.layers.Layer):
    def __init__(self, function):
      super().__init__()
      self.function = function

    def call(self, inputs):
      return self.function(inputs)

  image = keras.Input([None, None, 3])
  model = keras.Model(image, {"x": taps.Tap(stride=1, name="x")(Secretive(lambda x: 2 * x)(image))})
  with pytest.raises(UserError, match="secret cannot be exported: ") as caught:
    _written(FeatureMetric(model, name="secret"), tmp_path / "m")
  assert "\n" not in str(caught.value)


# On the other backends of Keras.


_ELSEWHERE = """
import os
import sys
import keras
import numpy as np

pair, results = dict(np.load("pair.npz")), {}
snippet = {"jax": sys.argv[1], "torch": sys.argv[2]}[keras.backend.backend()]
for folder in sys.argv[3:]:
  os.chdir(folder)
  names = dict(pair)
  exec(snippet, names)
  os.chdir("..")
  for name in ("distance", "gradient"):
    results[f"{folder} {name}"] = keras.ops.convert_to_numpy(names[name])
np.savez("found.npz", **results)
"""


def test_value_and_gradient_are_those_of_tensorflow(
    on_another_backend, documented, learned, images, tmp_path, monkeypatch):
  metrics_by_name = {
      "box": perceptual.load_metric(), "learned": learned, "ssim": classical.build("ssim")}
  reference, candidate = (images(40, 33) / 255).astype("float32")
  np.savez(tmp_path / "pair.npz", reference=reference, candidate=candidate)
  for name, metric in metrics_by_name.items():
    _written(metric, tmp_path / name / "exports" / "mine")
  monkeypatch.chdir(tmp_path)
  on_another_backend(_ELSEWHERE, documented("needs KERAS_BACKEND=jax"),
                     documented("needs KERAS_BACKEND=torch"), *metrics_by_name)
  found = np.load("found.npz")
  for name, metric in metrics_by_name.items():
    variable = tf.constant(candidate)
    with tf.GradientTape() as tape:
      tape.watch(variable)
      value = metric(reference, variable)
    gradient = tape.gradient(value, variable).numpy()
    np.testing.assert_allclose(found[f"{name} distance"], value, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[f"{name} gradient"], gradient, rtol=0,
                               atol=1e-5 * np.abs(gradient).max())
