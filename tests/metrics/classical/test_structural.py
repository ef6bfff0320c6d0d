"""SSIM and MS-SSIM: the authors' code, scikit-image, TensorFlow, Keras, and the paper's formula."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from skimage import metrics

from perceptual.errors import UserError
from perceptual.metrics import classical
from perceptual.metrics.classical import structural

# By Wang's msssim.m (five scales) under GNU Octave, as the test vectors of a Rust port give them:
# the patterns' numbers, width, height, value.
AUTHORS_MS_SSIM = [
    (1, 2, 176, 176, 0.082900040365),
    (2, 3, 256, 256, 0.027366764811),
    (1, 4, 300, 260, 0.996054775375),
    (5, 3, 512, 512, 0.139111333085),
]

# The same with the weights of the finest scales only, as they are: the number of scales comes last.
AUTHORS_FEWER_SCALES = [
    (1, 2, 64, 64, 0.041462450680, 3),
    (1, 2, 65, 63, 0.109179871636, 3),
    (4, 2, 96, 80, 0.294768220137, 3),
    (3, 2, 37, 41, 0.246766062658, 2),
    (1, 2, 48, 40, 0.405813949423, 2),
]


def _value(name, reference, candidate, **options):
  """The metric of a batch of one pair, as a number."""
  return float(classical.build(name, **options)(reference, candidate)[0])


def _scikit_image(reference, candidate, **options):
  return metrics.structural_similarity(
      reference, candidate, data_range=255, gaussian_weights=True, sigma=1.5,
      use_sample_covariance=False, **options)


def _float(image):
  return image.astype(np.float64) / 255


# The independent reading: one plane in float64, by SciPy's Gaussian.


def _read_terms(x, y):
  """Luminance term and contrast-and-structure term of planes in [0, 1], where the window fits."""
  def mean(plane):
    return ndimage.gaussian_filter(plane, 1.5, radius=5)[5:-5, 5:-5]
  c1, c2 = 0.01**2, 0.03**2
  mean_x, mean_y = mean(x), mean(y)
  variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
  covariance = mean(x * y) - mean_x * mean_y
  return ((2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1),
          (2 * covariance + c2) / (variance_x + variance_y + c2))


def _read_halved(plane):
  """MATLAB's imfilter(plane, ones(2) / 4, 'symmetric') at every second pixel."""
  padded = np.pad(plane, ((0, 1), (0, 1)), mode="symmetric")
  means = (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4
  return means[::2, ::2]


def _read_ms_ssim(reference, candidate, weights):
  by_channel = []
  for x, y in zip(np.moveaxis(_float(reference), -1, 0), np.moveaxis(_float(candidate), -1, 0)):
    product = 1.0
    for scale, weight in enumerate(weights):
      luminance, contrast = _read_terms(x, y)
      last = scale == len(weights) - 1
      product *= np.mean(luminance * contrast if last else contrast)**weight
      x, y = _read_halved(x), _read_halved(y)
    by_channel.append(product)
  return np.mean(by_channel)


@pytest.fixture(scope="module", params=["noise", "quantised", "shift"])
def pair(request, photograph, distortions):
  """Odd sides, so that every scale has an odd side too."""
  reference = photograph("chelsea", slice(20, 203), slice(100, 301))
  return reference, distortions[request.param](reference)


def test_ssim_is_scikit_images(pair):
  reference, candidate = pair
  expected, whole = _scikit_image(reference[0], candidate[0], channel_axis=-1, full=True)
  assert _value("ssim", reference, candidate) == pytest.approx(expected, abs=2e-6)
  maps = np.asarray(classical.build("ssim").spatial_map(reference, candidate))
  inside = slice(5, -5)
  np.testing.assert_allclose(
      maps[0, inside, inside], whole.mean(axis=-1)[inside, inside], atol=2e-5)


def test_the_border_of_the_map_repeats_the_nearest_value(pair):
  maps = np.asarray(classical.build("ssim").spatial_map(*pair))
  assert maps.shape == pair[0].shape[:3]
  np.testing.assert_array_equal(maps, np.pad(maps[:, 5:-5, 5:-5], ((0, 0), (5, 5), (5, 5)), "edge"))


def test_ssim_is_tensorflows_and_keras_s(pair):
  reference, candidate = (_float(image).astype(np.float32) for image in pair)
  value = _value("ssim", reference, candidate)
  # Theirs lose digits: they take the variance of the planes with their average.
  assert value == pytest.approx(float(tf.image.ssim(reference, candidate, 1.0)[0]), abs=5e-5)
  if hasattr(keras.ops.image, "ssim"):  # Keras has it from 3.15 on
    assert value == pytest.approx(float(keras.ops.image.ssim(reference, candidate)[0]), abs=5e-5)


def test_ssim_of_grey_is_that_of_one_plane(pair):
  luma = [image[0] @ [0.299, 0.587, 0.114] for image in pair]
  assert _value("ssim", *pair, channels="grey") == pytest.approx(_scikit_image(*luma), abs=2e-6)


def test_one_window_is_the_formula_of_the_paper():
  x, y = np.random.default_rng(0).random([2, 11, 11])
  offsets = np.arange(-5, 6)
  weights = np.exp(-(offsets[:, np.newaxis]**2 + offsets**2) / (2 * 1.5**2))
  weights /= weights.sum()
  mean_x, mean_y = np.sum(weights * x), np.sum(weights * y)
  variance_x = np.sum(weights * (x - mean_x)**2)
  variance_y = np.sum(weights * (y - mean_y)**2)
  covariance = np.sum(weights * (x - mean_x) * (y - mean_y))
  expected = ((2 * mean_x * mean_y + 0.01**2) * (2 * covariance + 0.03**2)
              / (mean_x**2 + mean_y**2 + 0.01**2) / (variance_x + variance_y + 0.03**2))
  images = [np.repeat(plane[np.newaxis, :, :, np.newaxis], 3, axis=-1) for plane in (x, y)]
  assert _value("ssim", *images) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.3, 0.6), (1.0, 0.99)])
def test_constants_leave_the_luminance_term(a, b):
  images = [np.full([1, 16, 13, 3], value, np.float32) for value in (a, b)]
  expected = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
  assert _value("ssim", *images) == pytest.approx(expected, abs=1e-6)


def test_a_barely_visible_difference_keeps_its_digits(photograph):
  reference = _float(photograph("chelsea", slice(0, 40), slice(100, 140)))
  candidate = reference + 1e-3 * np.random.default_rng(0).choice([-1, 1], reference.shape)
  expected = np.mean([1 - np.prod(_read_terms(reference[0, ..., i], candidate[0, ..., i]), axis=0)
                      for i in range(3)])
  value = _value("ssim", reference.astype(np.float32), candidate.astype(np.float32))
  assert 1 - value == pytest.approx(expected, rel=0.01)
  assert expected < 1e-3


def test_ssim_of_the_negative_is_negative():
  black_and_white = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), [1, 40, 40, 3])
  assert -1 <= _value("ssim", black_and_white, 255 - black_and_white) < -0.9


@pytest.mark.parametrize(("reference", "candidate", "width", "height", "expected"), AUTHORS_MS_SSIM)
def test_ms_ssim_is_that_of_the_authors_code(
    grey_pattern, reference, candidate, width, height, expected):
  pair = grey_pattern(reference, width, height), grey_pattern(candidate, width, height)
  for channels in ("rgb", "grey"):  # the same for grey
    assert _value("ms-ssim", *pair, channels=channels) == pytest.approx(expected, abs=3e-5)


@pytest.mark.parametrize(
    ("reference", "candidate", "width", "height", "expected", "scales"), AUTHORS_FEWER_SCALES)
def test_fewer_scales_are_those_of_the_authors_code_with_larger_weights(
    grey_pattern, reference, candidate, width, height, expected, scales):
  pair = grey_pattern(reference, width, height), grey_pattern(candidate, width, height)
  weights = structural.SCALE_WEIGHTS
  expected **= sum(weights) / sum(weights[:scales])
  assert _value("ms-ssim", *pair, scales=scales) == pytest.approx(expected, abs=1e-5)


def test_ms_ssim_is_composed_as_in_the_paper(pair):
  expected = _read_ms_ssim(pair[0][0], pair[1][0], structural.SCALE_WEIGHTS)
  assert _value("ms-ssim", *pair) == pytest.approx(expected, abs=5e-6)


def test_ms_ssim_is_tensorflows(pair):
  expected = float(tf.image.ssim_multiscale(*map(tf.constant, pair), 255)[0])
  assert _value("ms-ssim", *pair) == pytest.approx(expected, abs=5e-6)


def test_one_scale_is_almost_ssim(pair):
  assert _value("ms-ssim", *pair, scales=1) == pytest.approx(_value("ssim", *pair), abs=1e-3)


def test_ms_ssim_of_the_negative_is_zero_with_a_finite_gradient():
  image = np.random.default_rng(0).random([1, 64, 64, 3]).astype(np.float32)
  metric = classical.build("ms-ssim", scales=3)
  candidate = tf.constant(1 - image)
  with tf.GradientTape() as tape:
    tape.watch(candidate)
    value = metric(image, candidate)
  assert value == 0
  assert np.isfinite(tape.gradient(value, candidate)).all()


@pytest.mark.parametrize(("scales", "least"), [(5, 161), (4, 81), (3, 41), (2, 21), (1, 11)])
def test_the_smallest_side_follows_from_the_scales(scales, least):
  metric = classical.build("ms-ssim", scales=scales)
  fits = np.zeros([1, least, least, 3], np.uint8)
  assert metric(fits, fits) == 1
  with pytest.raises(UserError, match=rf"needs at least {least} a side with scales={scales}"):
    metric(fits[:, 1:], fits[:, 1:])


def test_a_patch_of_bapps_is_told_how_many_scales_fit():
  patch = np.zeros([1, 64, 64, 3], np.uint8)
  with pytest.raises(UserError, match=r"reference has 64x64 pixels; ms-ssim needs at least 161 a "
                                      r"side with scales=5, 81 as ms-ssim:scales=4, "):
    classical.build("ms-ssim")(patch, patch)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("ms-ssim", {"scales": 6}, "at most 5, not 6"),
    ("ms-ssim", {"scales": 0}, "scales"),
    ("ms-ssim", {"scales": 2.0}, "scales"),
    ("ssim", {"channels": "lab"}, "Unknown channels 'lab'. Available: rgb, grey, luma"),
    ("ms-ssim", {"channels": None}, "Unknown channels None"),
])
def test_an_illegal_option_is_refused(name, options, message):
  with pytest.raises(UserError, match=message):
    classical.build(name, **options)
