"""An export as ONNX and as LiteRT: the values of the metric, in images of any size and both dtypes.

Neither has assertions: there illegal images give NaN. Neither has gradients.
"""

import os
import shlex
import sys

import numpy as np
import pytest
import tensorflow as tf

from perceptual.export import saved_model
from perceptual.metrics import classical

_SIZES = [(24, 31, 2), (64, 64, 1), (17, 90, 3)]


@pytest.fixture(scope="module")
def place(learned, tmp_path_factory):
  """A folder that holds the export which the page speaks of."""
  path = tmp_path_factory.mktemp("place")
  saved_model.export(learned, path / "exports" / "mine")
  return path


def _floats(images):
  return (images / 255).astype(np.float32)


def _assert_values(run, metric, images, given=lambda images: images):
  """Checks a function {name: image} -> distance against the metric, at several sizes."""
  for size in _SIZES:
    pair = images(*size)
    reference, candidate = map(given, pair)
    np.testing.assert_allclose(
        run({"reference": reference, "candidate": candidate}), metric(*pair), rtol=1e-6)
    np.testing.assert_array_equal(run({"reference": reference, "candidate": reference}), 0)


def _assert_illegal_images_give_nan(run, images):
  legal = _floats(images(24, 31)[0])
  for factor in (255, -1, np.nan):
    for name, other in (("reference", "candidate"), ("candidate", "reference")):
      assert np.isnan(run({name: factor * legal, other: legal})).all()


# ONNX


@pytest.fixture
def onnx(documented, monkeypatch):
  """(place, signature) -> a function of named images: an export converted and run as documented."""
  reason = "it is not installed: ONNX is not tried (tools/test.sh --all)"
  pytest.importorskip("onnxruntime", reason=reason)
  convert = pytest.importorskip("tf2onnx.convert", reason=reason)
  command, snippet = documented("python -m tf2onnx"), documented("needs onnxruntime")

  def make(place, signature):
    arguments = shlex.split(command.replace("serving_default_uint8", signature))[2:]
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", arguments)
    convert.main()

    def run(images):
      names = dict(images)
      exec(snippet, names)
      return names["distance"]

    return run

  return make


def test_onnx_gives_the_distance_of_uint8(onnx, place, learned, images):
  _assert_values(onnx(place, "serving_default_uint8"), learned, images)


def test_onnx_gives_the_distance_of_floats_and_nan_for_illegal_ones(onnx, place, learned, images):
  run = onnx(place, "serving_default")
  _assert_values(run, learned, images, _floats)
  _assert_illegal_images_give_nan(run, images)


def test_onnx_draws_a_map(onnx, place, learned, images):
  run = onnx(place, "spatial_map_uint8")
  for size in _SIZES:
    reference, candidate = images(*size)
    np.testing.assert_allclose(
        run({"reference": reference, "candidate": candidate}),
        learned.spatial_map(reference, candidate), rtol=1e-5, atol=1e-6)


def test_onnx_knows_a_metric_without_a_network(onnx, images, tmp_path):
  metric = classical.build("ssim")
  saved_model.export(metric, tmp_path / "exports" / "mine")
  run = onnx(tmp_path, "serving_default")
  for size in _SIZES:
    reference, candidate = images(*size)
    np.testing.assert_allclose(
        run({"reference": _floats(reference), "candidate": _floats(candidate)}),
        metric(reference, candidate), rtol=1e-5, atol=1e-6)


# LiteRT


@pytest.fixture(scope="module")
def litert(documented, place):
  """The interpreter of a file with several signatures, made as documented; its names."""
  pytest.importorskip("ai_edge_litert.interpreter",
                      reason="LiteRT is not installed: it is not tried (tools/test.sh --all)")
  snippet = documented("needs ai-edge-litert").replace(
      '"serving_default", "serving_default_uint8"',
      '"serving_default", "serving_default_uint8", "per_tap", "features"')
  reference = np.zeros([1, 8, 8, 3], np.uint8)
  names = {"tf": tf, "reference": reference, "candidate": reference}
  before = os.getcwd()
  os.chdir(place)
  try:
    exec(snippet, names)
  finally:
    os.chdir(before)
  assert names["distance"] == 0
  return names["Interpreter"](str(place / "metric.tflite"))


def _distance(litert, signature):
  runner = litert.get_signature_runner(signature)
  return lambda images: runner(**images)["distance"]


def test_litert_gives_the_distance_of_uint8(litert, learned, images):
  _assert_values(_distance(litert, "serving_default_uint8"), learned, images)


def test_litert_gives_the_distance_of_floats_and_nan_for_illegal_ones(litert, learned, images):
  run = _distance(litert, "serving_default")
  _assert_values(run, learned, images, _floats)
  _assert_illegal_images_give_nan(run, images)


def test_litert_gives_every_term_and_feature(litert, learned, images):
  pair = _floats(images(24, 31))
  per_tap = litert.get_signature_runner("per_tap")(reference=pair[0], candidate=pair[1])
  features = litert.get_signature_runner("features")(image=pair[0])
  for tap in learned.taps:
    np.testing.assert_allclose(per_tap[tap], learned.per_tap(*pair)[tap], rtol=1e-6)
    np.testing.assert_allclose(
        features[tap], learned.features(pair[0])[tap], rtol=1e-5, atol=1e-6)
