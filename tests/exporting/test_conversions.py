"""An export as ONNX and as LiteRT: the values of the metric, in images of any size and both dtypes.

Neither has assertions: there illegal images give NaN. Neither has gradients.
"""

import sys

import numpy as np
import pytest
import tensorflow as tf

from perceptual import classical
from perceptual.exporting import saved_model

_SIZES = [(24, 31, 2), (64, 64, 1), (17, 90, 3)]
_NAN = float("nan")


@pytest.fixture(scope="module")
def folder(learned, tmp_path_factory):
  path = tmp_path_factory.mktemp("export") / "metric"
  saved_model.export(learned, path)
  return path


def _floats(pair):
  return (pair / 255).astype(np.float32)


def _assert_values(run, metric, images, dtype):
  """Checks a function {name: image} -> distance against the metric, at several sizes."""
  for size in _SIZES:
    pair = images(*size)
    given = pair if dtype == "uint8" else _floats(pair)
    found = run({"reference": given[0], "candidate": given[1]})
    np.testing.assert_allclose(found, metric(*pair), rtol=1e-6)
    np.testing.assert_array_equal(run({"reference": given[0], "candidate": given[0]}), 0)


def _assert_illegal_images_give_nan(run, images):
  legal = _floats(images(24, 31)[0])
  for factor in (255, -1, _NAN):
    for name, other in (("reference", "candidate"), ("candidate", "reference")):
      assert np.isnan(run({name: factor * legal, other: legal})).all()


# ONNX


@pytest.fixture
def onnx(monkeypatch):
  """(folder, file, signature) -> a function of named images; converted by the documented command."""
  reason = "it is not installed: ONNX is not tried (tools/test.sh --all)"
  runtime = pytest.importorskip("onnxruntime", reason=reason)
  convert = pytest.importorskip("tf2onnx.convert", reason=reason)

  def make(folder, file, signature):
    monkeypatch.setattr(sys, "argv", [
        "tf2onnx.convert", "--saved-model", str(folder), "--signature_def", signature, "--output",
        str(file)])
    convert.main()
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, images)[0]

  return make


@pytest.mark.parametrize("signature, dtype", [
    ("serving_default", "float32"), ("serving_default_uint8", "uint8")])
def test_onnx_gives_the_distance(signature, dtype, onnx, folder, learned, images, tmp_path):
  run = onnx(folder, tmp_path / "metric.onnx", signature)
  _assert_values(run, learned, images, dtype)
  if dtype == "float32":
    _assert_illegal_images_give_nan(run, images)


def test_onnx_draws_a_map(onnx, folder, learned, images, tmp_path):
  run = onnx(folder, tmp_path / "map.onnx", "spatial_map_uint8")
  for size in _SIZES:
    reference, candidate = images(*size)
    np.testing.assert_allclose(
        run({"reference": reference, "candidate": candidate}),
        learned.spatial_map(reference, candidate), rtol=1e-5, atol=1e-6)


def test_onnx_knows_a_metric_without_a_network(onnx, images, tmp_path):
  metric = classical.build("ssim")
  saved_model.export(metric, tmp_path / "m")
  run = onnx(tmp_path / "m", tmp_path / "metric.onnx", "serving_default")
  for size in _SIZES:
    reference, candidate = _floats(images(*size))
    np.testing.assert_allclose(
        run({"reference": reference, "candidate": candidate}), metric(reference, candidate),
        rtol=1e-5, atol=1e-6)


# LiteRT


@pytest.fixture
def litert():
  """(folder, signature) -> a function of named images that gives the signature's results."""
  interpreter = pytest.importorskip(
      "ai_edge_litert.interpreter",
      reason="LiteRT is not installed: it is not tried (tools/test.sh --all)")

  def make(folder, signature):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature])
    runner = interpreter.Interpreter(
        model_content=converter.convert()).get_signature_runner(signature)
    return lambda images: runner(**images)

  return make


@pytest.mark.parametrize("signature, dtype", [
    ("serving_default", "float32"), ("serving_default_uint8", "uint8")])
def test_litert_gives_the_distance(signature, dtype, litert, folder, learned, images):
  results = litert(folder, signature)
  _assert_values(lambda named: results(named)["distance"], learned, images, dtype)
  if dtype == "float32":
    _assert_illegal_images_give_nan(lambda named: results(named)["distance"], images)


def test_litert_gives_every_term_and_feature(litert, folder, learned, images):
  pair = _floats(images(24, 31))
  per_tap = litert(folder, "per_tap")({"reference": pair[0], "candidate": pair[1]})
  features = litert(folder, "features")({"image": pair[0]})
  for tap, expected in learned.per_tap(*pair).items():
    np.testing.assert_allclose(per_tap[tap], expected, rtol=1e-6)
  for tap, expected in learned.features(pair[0]).items():
    np.testing.assert_allclose(features[tap], expected, rtol=1e-5, atol=1e-6)
