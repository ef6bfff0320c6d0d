"""Distortions: shape and range, strength, determinism, edges, and what each one leaves alone."""

import numpy as np
import pytest

from perceptual.data import distortions

TABLES = {**distortions.FAMILIES, **distortions.HARMLESS, **distortions.DAMAGE}
PHOTOMETRIC_AND_NOISE = [
    name for name, family in distortions.FAMILIES.items()
    if family.group in ("photometric", "noise")]
SPATIAL = [name for name, family in TABLES.items() if family.group == "spatial"]


@pytest.fixture(scope="module")
def image():
  """A colourful, mid-grey image with both smooth and sharp parts, away from black and white."""
  rng = np.random.default_rng(0)
  rows, columns = np.indices((64, 64))
  waves = 20 * np.sin(rows / 9.0 + columns / 17.0)[..., np.newaxis] * [1.0, -0.5, 0.8]
  squares = 25 * ((rows // 16 + columns // 16) % 2)[..., np.newaxis]
  return (110 + waves + squares + rng.normal(size=(64, 64, 3)) * 5).astype(np.uint8)


def apply(name, image, position, seed=0):
  family = TABLES[name]
  return family.apply(image, family.strength(position), np.random.default_rng(seed))


def difference(image, other):
  return np.mean((other.astype(float) - image) ** 2)


def test_the_groups_are_those_of_bapps():
  groups = {family.group for family in distortions.FAMILIES.values()}
  assert groups == {"photometric", "noise", "blur", "spatial", "compression"}


@pytest.mark.parametrize("name", TABLES)
def test_gives_a_changed_image_of_the_same_kind_and_leaves_its_input(name, image):
  before = image.copy()
  for position in (0.0, 1.0):
    changed = apply(name, image, position)
    assert changed.dtype == np.uint8
    assert changed.shape == image.shape
    assert not np.array_equal(changed, image)
  np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", TABLES)
def test_the_same_generator_state_gives_the_same_image(name, image):
  np.testing.assert_array_equal(apply(name, image, 0.5, seed=7), apply(name, image, 0.5, seed=7))


@pytest.mark.parametrize("name", TABLES)
def test_takes_other_sizes_and_shapes(name, image):
  for shape in ((32, 32), (48, 33)):
    part = image[:shape[0], :shape[1]]
    assert apply(name, part, 1.0).shape == part.shape


@pytest.mark.parametrize("name", PHOTOMETRIC_AND_NOISE)
def test_more_strength_is_more_difference(name, image):
  differences = [difference(image, apply(name, image, p)) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
  assert differences == sorted(differences)
  assert differences[0] < differences[-1] / 4


@pytest.mark.parametrize("name", ["gaussian_blur", "jpeg", "quantization", "median_blur"])
def test_stronger_blur_and_compression_differ_more(name, image):
  assert difference(image, apply(name, image, 0.0)) < difference(image, apply(name, image, 1.0))


@pytest.mark.parametrize("name", SPATIAL)
def test_warps_bring_no_border(name):
  white = np.full((64, 64, 3), 255, np.uint8)
  np.testing.assert_array_equal(apply(name, white, 1.0), white)


@pytest.mark.parametrize("name", ["gaussian_noise", "uniform_noise", "pink_noise", "blue_noise"])
def test_noise_has_the_standard_deviation_it_is_asked_for(name):
  grey = np.full((64, 64, 3), 128, np.uint8)
  noisy = TABLES[name].apply(grey, 20.0, np.random.default_rng(0))
  assert noisy.astype(float).std() == pytest.approx(20.0, rel=0.03)


def test_pink_noise_is_smoother_than_blue():
  grey = np.full((64, 64, 3), 128, np.uint8)

  def neighbour_correlation(name):
    noise = TABLES[name].apply(grey, 20.0, np.random.default_rng(0))[..., 0] - 128.0
    return np.mean(noise[:, 1:] * noise[:, :-1]) / np.mean(noise**2)

  assert neighbour_correlation("pink_noise") > 0.2
  assert neighbour_correlation("blue_noise") < -0.05


def test_salt_and_pepper_turns_the_fraction_it_is_asked_for(image):
  noisy = distortions.salt_and_pepper(image, 0.2, np.random.default_rng(0))
  turned = np.all((noisy == 0) | (noisy == 255), axis=-1)
  assert turned.mean() == pytest.approx(0.2, abs=0.02)
  np.testing.assert_array_equal(noisy[~turned], image[~turned])


def test_closed_forms(image):
  rng = np.random.default_rng(0)
  np.testing.assert_array_equal(distortions.brighten(image, 10, rng), image + 10)
  assert np.ptp(distortions.flatten(image, 1.0, rng)) == 0
  grey_levels = np.unique(distortions.quantization(image, 3, rng))
  assert set(grey_levels) <= {0, 128, 255}
  np.testing.assert_array_equal(distortions.quantization(image, 256, rng), image)


def test_shift_moves_by_whole_pixels_and_reflects(image):
  class Downwards:
    def uniform(self, low, high):
      return np.pi / 2

  moved = distortions.shift(image, 2, Downwards())
  np.testing.assert_array_equal(moved[2:], image[:-2])
  np.testing.assert_array_equal(moved[:2], image[2:0:-1])


def test_rotation_there_and_back_is_nearly_the_image(image):
  class Sign:
    def __init__(self, sign):
      self.sign = sign

    def choice(self, _):
      return self.sign

  smooth = distortions.gaussian_blur(image, 2, None)
  turned = distortions.rotation(smooth, 5, Sign(1.0))
  back = distortions.rotation(turned, 5, Sign(-1.0))
  inner = np.s_[12:-12, 12:-12]
  assert difference(smooth[inner], back[inner]) < 1.0 < difference(smooth[inner], turned[inner])


def test_saturation_and_color_shift_keep_the_luma(image):
  luma = np.array([0.299, 0.587, 0.114])
  for name in ("saturation", "color_shift"):
    changed = apply(name, image, 0.3)
    assert not np.array_equal(changed, image)
    np.testing.assert_allclose(changed @ luma, image @ luma, atol=0.6)


def test_saturation_leaves_grey_alone(image):
  grey = np.repeat(image[..., :1], 3, axis=-1)
  np.testing.assert_array_equal(apply("saturation", grey, 1.0), grey)


def test_blur_keeps_the_mean_and_takes_the_detail(image):
  blurred = distortions.gaussian_blur(image, 3, None)
  assert blurred.mean() == pytest.approx(image.mean(), abs=0.5)
  assert np.abs(np.diff(blurred.astype(float), axis=0)).mean() < 0.3 * np.abs(
      np.diff(image.astype(float), axis=0)).mean()


def test_strength_runs_geometrically_from_weakest_to_strongest():
  family = distortions.FAMILIES["jpeg"]
  assert family.strength(0.0) == family.weakest > family.strength(1.0)
  assert family.strength(1.0) == pytest.approx(family.strongest)
  assert family.strength(0.5) == pytest.approx(np.sqrt(family.weakest * family.strongest))
