"""An export of a metric without a network: what it has, and nothing else."""

import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual.errors import UserError
from perceptual.export import saved_model
from perceptual.metrics import classical


def _gradient(function, reference, candidate):
  candidate = tf.constant(candidate)
  with tf.GradientTape() as tape:
    tape.watch(candidate)
    values = function(tf.constant(reference), candidate)
  return tape.gradient(values, candidate).numpy()


@pytest.fixture(scope="module", params=["ssim", "psnr"])
def exported(request, tmp_path_factory):
  """A metric, and the folder of its export."""
  metric = classical.build(request.param)
  folder = tmp_path_factory.mktemp("exported") / "m"
  saved_model.export(metric, folder)
  return metric, folder


def test_value_and_gradient_are_the_eager_ones(exported, images):
  metric, folder = exported
  assert sorted(path.name for path in folder.glob("*.[jhn]*")) == [
      "checksums.json", "fingerprint.json"]
  loaded = perceptual.load_metric(folder)
  assert loaded.fingerprint == {**metric.fingerprint, "smallest_side": metric.smallest_side}
  assert not loaded.has_taps and loaded.has_map == metric.has_map
  assert repr(loaded) == repr(metric)
  assert loaded.lower_is_better is metric.lower_is_better is False
  triplet = images(24, 31, count=3)
  np.testing.assert_allclose(loaded(*triplet[:2]), metric(*triplet[:2]), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(loaded.two_afc(*triplet), metric.two_afc(*triplet), rtol=1e-5,
                             atol=1e-6)
  floats = (triplet[:2] / 255).astype(np.float32)
  expected = _gradient(metric, *floats)
  np.testing.assert_allclose(_gradient(loaded, *floats), expected, rtol=0,
                             atol=1e-5 * np.abs(expected).max())


def test_what_it_does_not_have_is_not_there(exported, images):
  metric, folder = exported
  names = ["serving_default", "two_afc"] + ["spatial_map"] * (metric.name == "ssim")
  signatures = tf.saved_model.load(str(folder)).signatures
  assert set(signatures) == {name + suffix for name in names for suffix in ("", "_uint8")}
  assert list(signatures["serving_default"].structured_outputs) == ["similarity"]
  loaded = perceptual.load_metric(folder)
  for name, what in {"spatial_map": "spatial map", "per_tap": "taps"}.items():
    if name not in names:
      with pytest.raises(UserError, match=f"{metric.name} has no {what}"):
        getattr(loaded, name)(*images(24, 31))


def test_images_too_small_are_refused(exported, images):
  metric, folder = exported
  least = metric.index.smallest_side
  loaded = perceptual.load_metric(folder)
  loaded(*images(least, least))
  if least > 1:
    with pytest.raises(tf.errors.InvalidArgumentError,
                       match=f"{metric.name} needs at least {least} pixels a side"):
      loaded(*images(least - 1, 40))


def test_a_function_is_traced_once_for_each_dtype(monkeypatch, tmp_path):
  metric, traced = classical.build("mse"), []
  two_afc = type(metric).two_afc

  def counted(self, reference, *candidates):
    traced.append(reference.dtype)
    return two_afc(self, reference, *candidates)

  monkeypatch.setattr(type(metric), "two_afc", counted)
  saved_model.export(metric, tmp_path / "m")
  assert traced == [tf.float32, tf.uint8, tf.float64]
