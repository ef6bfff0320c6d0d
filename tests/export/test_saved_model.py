"""An exported metric: the same numbers wherever it is loaded, and nothing half-written."""

import json
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf import saved_model_pb2

from perceptual import models
from perceptual.data.judged import judged_sets
from perceptual.evaluation import judged_pass
from perceptual.export import keras_files, saved_model
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing, taps
from perceptual.training import loop

_OPTIONS = {"width": 0.0625, "num_classes": 3}
_INVALID = tf.errors.InvalidArgumentError
# Where TensorFlow optimises a graph for sizes it knows, its own check may come before ours.
_ONE_SHAPE = "must have one shape|must be equal: shape"


@pytest.fixture(scope="module")
def metric():
  keras.utils.set_random_seed(1)
  model = models.build("resnet4", **_OPTIONS)
  for layer in model.layers:  # as trained: statistics that are not 0 and 1
    if isinstance(layer, keras.layers.BatchNormalization):
      layer.moving_mean.assign(np.random.default_rng(0).normal(size=layer.moving_mean.shape))
  return FeatureMetric(model, name="resnet4", options=_OPTIONS,
                       trained={"checkpoint": "last", "step": 7})


@pytest.fixture(scope="module")
def folder(metric, tmp_path_factory):
  path = tmp_path_factory.mktemp("export") / "metric"
  saved_model.export(metric, path)
  return path


@pytest.fixture(scope="module")
def loaded(folder):
  return tf.saved_model.load(str(folder))


def _pair(batch=2, height=24, width=31):
  return np.random.default_rng(batch).integers(0, 256, [2, batch, height, width, 3], np.uint8)


def _floats(pair):
  return (pair / 255).astype(np.float32)


def _pixels():
  """A metric whose features are what the network sees."""
  image = keras.Input([None, None, 3], name="image")
  model = keras.Model(image, {"pixels": taps.Tap(stride=1, name="pixels")(image)})
  return FeatureMetric(model, name="pixels", distance="l2")


# -- The same numbers everywhere


_ELSEWHERE = """
import json, sys
import numpy as np, tensorflow as tf, tensorflow_hub as hub  # hub asks Keras for its version
for name in list(sys.modules):
  if name.partition(".")[0] in ("keras", "tf_keras"):
    del sys.modules[name]
for name in ("perceptual", "keras", "tf_keras"):
  sys.modules[name] = None  # importing it raises
pair = np.load(sys.argv[2])
floats = (pair / 255).astype(np.float32)
metric = tf.saved_model.load(sys.argv[1])
result = {
    "uint8": metric(*pair), "float32": metric(*floats), "float64": metric(*(pair / 255)),
    "list": metric([tf.constant(images) for images in pair]),
    "dictionary": metric({"reference": floats[0], "candidate": floats[1]}),
    "signature": metric.signatures["serving_default_uint8"](
        reference=tf.constant(pair[0]), candidate=tf.constant(pair[1]))["distance"],
    "sum": sum(metric.per_tap(*pair).values()),
    "hub": hub.load(sys.argv[1])(*pair)}
print(json.dumps({name: value.numpy().tolist() for name, value in result.items()}))
print(metric.fingerprint().numpy().decode())
"""


def test_it_loads_without_this_package_and_without_keras(folder, metric, tmp_path):
  pair = _pair()
  np.save(tmp_path / "pair.npy", pair)
  process = subprocess.run(
      [sys.executable, "-c", _ELSEWHERE, str(folder), "pair.npy"], cwd=tmp_path,
      env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
  assert process.returncode == 0, process.stderr
  distances, _, fingerprint = process.stdout.partition("\n")
  distances = json.loads(distances)
  assert len(distances) == 8
  for name, distance in distances.items():
    np.testing.assert_allclose(distance, metric(*pair), rtol=1e-6, atol=1e-6, err_msg=name)
  assert fingerprint.strip() == (folder / "fingerprint.json").read_text().strip()


def test_it_is_a_layer_of_tf_keras_by_hub(folder, metric):
  pair = _pair()
  layer = hub.KerasLayer(str(folder))
  assert layer.trainable_variables == []
  expected = metric(*pair)
  np.testing.assert_allclose(layer([tf.constant(p) for p in pair]), expected, rtol=1e-6)
  named = dict(zip(("reference", "candidate"), map(tf.constant, _floats(pair))))
  np.testing.assert_allclose(layer(named), expected, rtol=1e-6)


def test_it_is_a_layer_of_keras_3(folder, metric):
  layer = keras.layers.TFSMLayer(folder, call_endpoint="__call__", trainable=False)
  inputs = {name: keras.Input([None, None, 3], name=name) for name in ("reference", "candidate")}
  pair = _pair()
  images = [tf.constant(p) for p in _floats(pair)]
  for structure, given in ((inputs, dict(zip(inputs, images))), (list(inputs.values()), images)):
    model = keras.Model(structure, layer(structure))
    np.testing.assert_allclose(model(given), metric(*pair), rtol=1e-6)
    assert model.trainable_variables == []


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 33, 47), (2, 1, 5), (1, 100, 8)])
def test_every_size_and_batch_gives_the_eager_distance(loaded, metric, shape):
  pair = _pair(*shape)
  expected = metric(*pair)
  for images in (pair, _floats(pair), pair / 255):
    distance = loaded(*images)
    assert distance.dtype == tf.float32 and distance.shape == shape[:1]
    np.testing.assert_allclose(distance, expected, rtol=1e-6, atol=1e-6)


def test_per_tap_map_and_features_are_the_eager_ones(loaded, metric):
  pair = _pair()
  for images in (pair, _floats(pair)):
    per_tap = loaded.per_tap(*images)
    assert set(per_tap) == set(metric.taps)
    for tap, values in metric.per_tap(*images).items():
      np.testing.assert_allclose(per_tap[tap], values, rtol=2e-6)
    np.testing.assert_array_equal(sum(per_tap[tap] for tap in metric.taps), loaded(*images))
    np.testing.assert_allclose(
        loaded.spatial_map(*images), metric.spatial_map(*images), atol=5e-6)
    features = loaded.features(images[0])
    for tap, values in metric.features(images[0]).items():
      np.testing.assert_allclose(features[tap], values, rtol=1e-4, atol=1e-5)


def test_signatures_have_named_inputs_and_outputs(loaded, metric):
  outputs = {"serving_default": {"distance"}, "per_tap": set(metric.taps),
             "spatial_map": {"spatial_map"}, "features": set(metric.taps)}
  pair = _pair()
  for suffix, images in (("", _floats(pair)), ("_uint8", pair)):
    for name, expected in outputs.items():
      signature = loaded.signatures[name + suffix]
      names = ["image"] if name == "features" else ["reference", "candidate"]
      _, inputs = signature.structured_input_signature
      assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in inputs.items()} == {
          key: (tf.as_dtype(images.dtype), [None, None, None, 3]) for key in names}
      result = signature(**dict(zip(names, map(tf.constant, images))))
      assert set(result) == expected
      if name == "serving_default":
        np.testing.assert_allclose(result["distance"], metric(*pair), rtol=1e-6, atol=1e-6)
  assert len(loaded.signatures) == 10


def test_two_candidates_are_compared_with_one_reference(loaded, metric):
  images = np.random.default_rng(5).integers(0, 256, [3, 2, 24, 31, 3], np.uint8)
  expected = metric.two_afc(*images)
  names = ("reference", "candidate_0", "candidate_1")
  for suffix, given in (("", _floats(images)), ("_uint8", images)):
    np.testing.assert_allclose(loaded.two_afc(*given), expected, rtol=1e-6, atol=1e-6)
    signature = loaded.signatures["two_afc" + suffix](**dict(zip(names, map(tf.constant, given))))
    for i in (0, 1):
      np.testing.assert_allclose(signature[f"distance_{i}"], expected[i], rtol=1e-6, atol=1e-6)
  for bad, message in [(_floats(images)[2, :, :20], _ONE_SHAPE),
                       (_floats(images)[2] * 255, "candidate_1 has values outside")]:
    with pytest.raises(_INVALID, match=message):
      loaded.two_afc(*_floats(images)[:2], bad)


@pytest.mark.parametrize("distance", ["style", "local+sort"])
def test_other_distances_and_vectors_export_too(tmp_path, small, distance):
  metric = small(distance=distance)
  saved_model.export(metric, tmp_path / "m")
  loaded = tf.saved_model.load(str(tmp_path / "m"))
  pair = _pair()
  np.testing.assert_allclose(loaded(*pair), metric(*pair), rtol=1e-6, atol=1e-6)
  assert loaded.spatial_map(*pair).shape == pair.shape[1:4]


def test_one_preprocessing_serves_training_evaluation_and_export(tmp_path):
  metric = _pixels()
  saved_model.export(metric, tmp_path / "m")
  loaded = tf.saved_model.load(str(tmp_path / "m"))
  pair = _pair(batch=3)
  seen = [preprocessing.IMAGENET(images).numpy() for images in pair]
  for images in (pair[0], _floats(pair)[0]):
    for features in (metric.features(images), loaded.features(images)):
      np.testing.assert_allclose(features["pixels"], seen[0], atol=1e-6)
  expected = np.mean((seen[0] - seen[1])**2, axis=(1, 2, 3))
  dataset = tf.data.Dataset.from_tensor_slices(dict(zip(("reference", "candidate"), pair)))
  run = judged_pass.JudgedPass(metric, distances=["l2"], batch_size=2)
  evaluated = run(judged_sets.Subset("pixels", dataset, np.zeros(3)), "jnd").at("l2")[:, 0]
  for distances in (metric(*pair), loaded(*pair), evaluated):
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
  assert loop.IMAGENET is preprocessing.IMAGENET == metric.preprocessing


# -- Gradients


def _gradient(function, reference, candidate):
  candidate = tf.constant(candidate)
  with tf.GradientTape() as tape:
    tape.watch(candidate)
    distance = function(tf.constant(reference), candidate)
  return tape.gradient(distance, candidate).numpy()


def test_the_gradient_is_the_eager_one(loaded, metric):
  pair = _floats(_pair(3, 33, 20))
  expected = _gradient(metric, *pair)
  np.testing.assert_allclose(_gradient(loaded, *pair), expected, rtol=0,
                             atol=2e-6 * np.abs(expected).max())
  graph = tf.function(lambda *images: _graph_gradient(loaded, *images), autograph=False)
  np.testing.assert_allclose(graph(*pair), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def _as_pair(layer):
  return lambda reference, candidate: layer([reference, candidate])


_LOADERS = {
    "hub.load": hub.load,
    "hub.KerasLayer": lambda folder: _as_pair(hub.KerasLayer(folder)),
    "TFSMLayer": lambda folder: _as_pair(keras.layers.TFSMLayer(
        folder, call_endpoint="__call__", trainable=False)),
}


@pytest.mark.parametrize("load", _LOADERS.values(), ids=_LOADERS)
def test_every_loader_gives_the_gradient_and_takes_uint8(load, folder, metric):
  function, pair = load(str(folder)), _pair(2, 33, 20)
  np.testing.assert_allclose(function(*map(tf.constant, pair)), metric(*pair), rtol=1e-6)
  expected = _gradient(metric, *_floats(pair))
  np.testing.assert_allclose(_gradient(function, *_floats(pair)), expected, rtol=0,
                             atol=2e-6 * np.abs(expected).max())
  with pytest.raises(_INVALID, match="candidate has values outside"):
    function(*map(tf.constant, (_floats(pair)[0], 255 * _floats(pair)[1])))


def _graph_gradient(function, reference, candidate):
  with tf.GradientTape() as tape:
    tape.watch(candidate)
    distance = function(reference, candidate)
  return tape.gradient(distance, candidate)


@pytest.mark.parametrize("value", [None, 0.0, 0.5])
def test_the_gradient_of_identical_images_is_zero(loaded, value):
  images = _floats(_pair())[0] if value is None else np.full([1, 16, 16, 3], value, np.float32)
  gradient = _gradient(loaded, images, images)
  assert np.isfinite(gradient).all() and not gradient.any()


# -- What it refuses


def _bad_images():
  nan = np.full([2, 8, 8, 3], 0.5, np.float32)
  nan[1, 3, 3, 1] = np.nan
  return {"0 to 255": np.full([2, 8, 8, 3], 200, np.float32),
          "-1 to 1": np.linspace(-1, 1, 384, dtype=np.float32).reshape(2, 8, 8, 3), "NaN": nan,
          "infinite": np.full([2, 8, 8, 3], np.inf, np.float32)}


@pytest.mark.parametrize("name", ["0 to 255", "-1 to 1", "NaN", "infinite"])
def test_values_outside_the_declared_range_raise(loaded, name):
  good, bad = np.full([2, 8, 8, 3], 0.5, np.float32), _bad_images()[name]
  for call in (loaded, loaded.per_tap, loaded.spatial_map):
    with pytest.raises(_INVALID, match=r"reference has values outside the declared range of float "
                                       r"images, 0 to 1, or NaN"):
      call(bad, good)
    with pytest.raises(_INVALID, match="candidate has values outside the declared range"):
      call(good.astype(np.float64), bad.astype(np.float64))
  with pytest.raises(_INVALID, match="images has values outside the declared range"):
    loaded.features(bad)
  with pytest.raises(_INVALID, match="candidate has values outside the declared range"):
    loaded.signatures["serving_default"](reference=tf.constant(good), candidate=tf.constant(bad))


def test_the_declared_range_is_the_metrics(tmp_path, small):
  declared = preprocessing.Preprocessing(float_range=(-1.0, 1.0))
  metric = small(preprocess=declared, distance="mean_pool")
  saved_model.export(metric, tmp_path / "m")
  loaded = tf.saved_model.load(str(tmp_path / "m"))
  pair = _pair()
  scaled = (pair / 127.5 - 1).astype(np.float32)
  np.testing.assert_allclose(loaded(*scaled), loaded(*pair), rtol=1e-5)
  np.testing.assert_allclose(loaded(*(1.009 * scaled)), metric(*(1.009 * scaled)), rtol=1e-5)
  with pytest.raises(_INVALID, match="declared range of float images, -1 to 1"):
    loaded(*(1.03 * scaled))
  assert json.loads(loaded.fingerprint().numpy())["preprocessing"]["float_range"] == [-1.0, 1.0]


@pytest.mark.parametrize("name", ["0 to 255", "NaN"])
def test_where_xla_leaves_no_assertions_the_result_of_a_wrong_image_is_nan(loaded, name):
  good, bad = np.full([2, 8, 8, 3], 0.5, np.float32), _bad_images()[name]
  compiled = tf.function(lambda *pair: loaded(*pair), jit_compile=True, autograph=False)
  wrong = ~((bad >= 0) & (bad <= 1)).all(axis=(1, 2, 3))
  assert wrong.any()
  for pair in ((good, bad), (bad, good)):
    np.testing.assert_array_equal(np.isnan(compiled(*pair)), wrong)
  np.testing.assert_array_equal(compiled(good, good), 0)


@pytest.mark.parametrize("other", [(2, 24, 20), (2, 20, 31), (1, 24, 31), (4, 24, 31)])
def test_two_shapes_raise(loaded, other):
  reference, candidate = _pair()[0], _pair(*other)[1]
  for images in ((reference, candidate), (candidate / 255, reference / 255)):
    for call in (loaded, loaded.per_tap, loaded.spatial_map):
      with pytest.raises(_INVALID, match=_ONE_SHAPE):
        call(*images)
  with pytest.raises(_INVALID, match="reference and candidate must have one shape"):
    loaded.signatures["serving_default_uint8"](
        reference=tf.constant(reference), candidate=tf.constant(candidate))


# -- What lies in the folder


def test_the_fingerprint_is_the_metrics_and_stands_in_both_places(folder, loaded, metric):
  expected = {**metric.fingerprint, "smallest_side": 1, "checkpoint": "last", "step": 7}
  assert json.loads((folder / keras_files.FINGERPRINT).read_text()) == expected
  assert json.loads(loaded.fingerprint().numpy()) == expected
  assert {"name", "options", "weights_sha256", "taps", "distance", "lower_is_better",
          "preprocessing", "versions"} < set(expected)


def test_only_the_weights_of_the_taps_selected_are_exported(tmp_path, metric):
  part = FeatureMetric(models.build("resnet4", **_OPTIONS), name="resnet4", options=_OPTIONS,
                taps=["reduction_1"])
  saved_model.export(part, tmp_path / "m")
  loaded = tf.saved_model.load(str(tmp_path / "m"))
  assert set(loaded.per_tap(*_pair())) == {"reduction_1"}
  assert len(loaded.weights) == len(part.trunk.weights) < len(metric.trunk.weights)


def test_weights_are_stored_once_and_the_network_twice_at_most(folder, metric):
  [data] = (folder / "variables").glob("*.data*")
  assert data.stat().st_size < 4 * metric.trunk.count_params() + 20_000
  saved = saved_model_pb2.SavedModel()
  saved.ParseFromString((folder / "saved_model.pb").read_bytes())
  graph = saved.meta_graphs[0].graph_def
  nodes = [node for function in graph.library.function for node in function.node_def]
  convolutions = [layer for layer in metric.trunk.layers
                  if isinstance(layer, keras.layers.Conv2D)]
  # One for calls and one for signatures: TensorFlow traces again when it saves.
  assert sum(node.op == "Conv2D" for node in nodes) <= 2 * len(convolutions)


def test_the_documentation_names_what_is_offered():
  for name in ("__call__", "per_tap", "spatial_map", "features", "fingerprint", "_uint8"):
    assert name in textwrap.dedent(saved_model.export.__doc__)
