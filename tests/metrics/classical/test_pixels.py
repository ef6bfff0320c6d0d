"""L2 and PSNR: closed forms, extremes, and scikit-image's PSNR."""

import numpy as np
import pytest
from skimage import metrics

from perceptual.metrics import classical
from perceptual.metrics.classical import pixels


def _value(name, reference, candidate, **options):
  """The metric of a batch of one pair, as a number."""
  return float(classical.build(name, **options)(reference, candidate)[0])


def _constant(value):
  return np.full([1, 4, 5, 3], value, np.float32)


@pytest.mark.parametrize(("name", "one_half", "opposite"), [
    ("mse", 0.25, 1.0), ("psnr", 20 * np.log10(2), 0.0)])
def test_constants_have_closed_forms(name, one_half, opposite):
  assert _value(name, _constant(0.25), _constant(0.75)) == pytest.approx(one_half, rel=1e-6)
  assert str(_value(name, _constant(0), _constant(1))) == str(opposite)  # 0.0, not -0.0


def test_both_average_over_pixels_and_colours():
  reference = np.zeros([1, 10, 10, 3], np.float32)
  candidate = reference.copy()
  candidate[0, 3, 4, 2] = 1
  assert _value("mse", reference, candidate) == pytest.approx(1 / 300)
  assert _value("psnr", reference, candidate) == pytest.approx(10 * np.log10(300))


def test_psnr_is_scikit_images(photograph, distortions):
  reference = photograph("coffee", slice(0, 101), slice(0, 120))
  for distort in distortions.values():
    candidate = distort(reference)
    expected = metrics.peak_signal_noise_ratio(reference[0], candidate[0])
    assert _value("psnr", reference, candidate) == pytest.approx(expected, abs=1e-4)


def test_psnr_of_identical_images_is_its_highest_value(photograph):
  image = photograph("coffee")
  assert _value("psnr", image, image) == pixels.HIGHEST_PSNR


@pytest.mark.parametrize(("side", "told_apart"), [(226, True), (228, False)])
def test_one_step_of_one_pixel_is_told_apart_up_to_51_000_pixels(side, told_apart):
  reference = np.zeros([1, side, side, 3], np.uint8)
  candidate = reference.copy()
  candidate[0, 7, 8, 1] = 1
  assert (_value("psnr", reference, candidate) < pixels.HIGHEST_PSNR) == told_apart


def test_the_map_of_l2_is_the_squared_difference_and_averages_to_it():
  rng = np.random.default_rng(0)
  reference, candidate = rng.random([2, 3, 7, 9, 3]).astype(np.float32)
  metric = classical.build("mse")
  maps = np.asarray(metric.spatial_map(reference, candidate))
  np.testing.assert_allclose(maps, np.mean((reference - candidate)**2, axis=-1), rtol=1e-5)
  np.testing.assert_allclose(maps.mean(axis=(1, 2)), metric(reference, candidate), rtol=1e-5)
