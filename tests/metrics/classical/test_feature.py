"""FSIM and FSIMc: values by the authors' code, an independent reading, piq, and properties."""

import numpy as np
import pytest
from scipy import signal

from perceptual.metrics import classical
from perceptual.metrics.classical import phase_congruency

# By the authors' FR_FSIMc.m under GNU Octave, as the test vectors of a Rust port give them: the
# patterns' numbers, width, height, FSIM. 520x400 is averaged over 2x2 pixels first.
AUTHORS_FSIM = [
    (1, 2, 64, 64, 0.726254017324),
    (1, 2, 65, 63, 0.728207119568),
    (1, 4, 64, 64, 0.792809724558),
    (3, 4, 96, 80, 0.208858441622),
    (3, 1, 32, 32, 0.184680011089),
    (2, 1, 37, 41, 0.753920819360),
    (1, 2, 300, 260, 0.722297928694),
    (1, 4, 520, 400, 0.994864017870),
]

# The same for patterns in colour: FSIM and FSIMc.
AUTHORS_FSIMC = [
    (1, 2, 64, 64, 0.810535752919, 0.775605881544),
    (4, 2, 65, 63, 0.803564620437, 0.766571972317),
]

# By piq 0.8.0 in float64: FSIM and FSIMc of parts of photographs. It rounds the matrix of YIQ less.
PIQ = {
    "astronaut": (slice(0, 256), slice(128, 384), {
        "noise": (0.8126812, 0.7865673), "quantised": (0.9150482, 0.9092260),
        "shift": (0.8199300, 0.8188373)}),
    "chelsea": (slice(20, 203), slice(100, 301), {
        "noise": (0.8895875, 0.8716908), "quantised": (0.9341975, 0.9298279),
        "shift": (0.8007591, 0.8001843)}),
    "coffee": (slice(None), slice(None), {
        "noise": (0.9593185, 0.9510713), "quantised": (0.9537111, 0.9505287),
        "shift": (0.8849606, 0.8835245)}),
}


def _value(name, reference, candidate, **options):
  """The metric of a batch of one pair, as a number."""
  return float(classical.build(name, **options)(reference, candidate)[0])


# The independent reading of Zhang et al. 2011 and Kovesi 1999: float64, an image at a time, complex
# responses and their phases, noise as sums over the filters' impulse responses.


def read_filter(height, width, wavelength, angle):
  def frequencies(length):
    if length % 2:
      return np.arange(-(length - 1) / 2, (length + 1) / 2) / (length - 1)
    return np.arange(-length / 2, length / 2) / length
  x, y = np.meshgrid(frequencies(width), frequencies(height))
  radius, theta = np.hypot(x, y), np.arctan2(-y, x)
  with np.errstate(divide="ignore"):
    radial = np.exp(-np.log(radius * wavelength)**2 / (2 * np.log(0.55)**2))
  difference = np.abs(np.mod(theta - angle + np.pi, 2 * np.pi) - np.pi)
  angular = np.exp(-difference**2 / (2 * (np.pi / 4 / 1.2)**2))
  return np.fft.ifftshift(radial * angular / (1 + (radius / 0.45)**30))


def read_phase_congruency(luma):
  height, width = luma.shape
  energy, amplitude = np.zeros_like(luma), np.zeros_like(luma)
  for angle in np.arange(4) * np.pi / 4:
    filters = [read_filter(height, width, wavelength, angle) for wavelength in (6, 12, 24, 48)]
    responses = [np.fft.ifft2(np.fft.fft2(luma) * each) for each in filters]
    mean = sum(responses)
    deviations = [np.angle(response) - np.angle(mean) for response in responses]
    in_phase = sum(
        np.abs(response) * (np.cos(deviation) - np.abs(np.sin(deviation)))
        for response, deviation in zip(responses, deviations))
    in_phase = in_phase * np.abs(mean) / (np.abs(mean) + 1e-4)
    impulses = [np.fft.ifft2(each).real * np.sqrt(height * width) for each in filters]
    noise_power = np.median(np.abs(responses[0])**2) / np.log(2) / np.sum(filters[0]**2)
    pairs = sum(np.sum(impulses[i] * impulses[j]) for i in range(4) for j in range(i + 1, 4))
    noise = 2 * noise_power * sum(np.sum(each**2) for each in impulses) + 4 * noise_power * pairs
    tau = np.sqrt(noise / 2)
    threshold = (tau * np.sqrt(np.pi / 2) + 2 * np.sqrt((2 - np.pi / 2) * tau**2)) / 1.7
    energy += np.maximum(in_phase - threshold, 0)
    amplitude += sum(np.abs(response) for response in responses)
  return energy / amplitude


def read_conv2_same(plane, kernel):
  """MATLAB's conv2(plane, kernel, 'same'), which centres a kernel of even size unlike SciPy."""
  half = len(kernel) // 2
  return signal.convolve2d(plane, kernel)[half:half + len(plane), half:half + plane.shape[1]]


def read_fsim(reference, candidate):
  """FSIM and FSIMc of uint8 [height, width, 3]."""
  to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
  step = max(1, int(np.floor(min(reference.shape[:2]) / 256 + 0.5)))
  box = np.ones((step, step)) / step**2
  scharr = np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]]) / 16
  maps = []
  for image in (reference, candidate):
    y, i, q = (read_conv2_same(image @ row, box)[::step, ::step] for row in to_yiq)
    gradient = np.hypot(read_conv2_same(y, scharr), read_conv2_same(y, scharr.T))
    maps.append((read_phase_congruency(y), gradient, i, q))
  phase, gradient, i, q = (
      (2 * a * b + constant) / (a**2 + b**2 + constant)
      for a, b, constant in zip(*maps, (0.85, 160, 200, 200)))
  weights = np.maximum(maps[0][0], maps[1][0])
  colour = ((i * q).astype(complex)**0.03).real
  return (np.sum(phase * gradient * weights) / weights.sum(),
          np.sum(phase * gradient * colour * weights) / weights.sum())


@pytest.mark.parametrize(("reference", "candidate", "width", "height", "expected"), AUTHORS_FSIM)
def test_fsim_is_that_of_the_authors_code(
    grey_pattern, reference, candidate, width, height, expected):
  pair = grey_pattern(reference, width, height), grey_pattern(candidate, width, height)
  assert _value("fsim", *pair) == pytest.approx(expected, abs=2e-6)
  assert _value("fsimc", *pair) == pytest.approx(expected, abs=2e-6)  # grey


@pytest.mark.parametrize(
    ("reference", "candidate", "width", "height", "fsim", "fsimc"), AUTHORS_FSIMC)
def test_fsimc_is_that_of_the_authors_code(
    colour_pattern, reference, candidate, width, height, fsim, fsimc):
  pair = colour_pattern(reference, width, height), colour_pattern(candidate, width, height)
  assert _value("fsim", *pair) == pytest.approx(fsim, abs=2e-6)
  assert _value("fsimc", *pair) == pytest.approx(fsimc, abs=2e-6)


@pytest.mark.parametrize("name", PIQ)
def test_both_are_piqs_on_photographs(photograph, distortions, name):
  rows, columns, values = PIQ[name]
  reference = photograph(name, rows, columns)
  for distortion, (fsim, fsimc) in values.items():
    candidate = distortions[distortion](reference)
    assert _value("fsim", reference, candidate) == pytest.approx(fsim, abs=1e-5)
    assert _value("fsimc", reference, candidate) == pytest.approx(fsimc, abs=5e-5)


@pytest.mark.parametrize(("height", "width"), [
    (64, 64), (61, 86), (6, 7), (384, 385), (640, 645)])  # the last two by 2 (1.5) and 3 (2.5)
def test_both_are_the_independent_reading(height, width):
  rng = np.random.default_rng(height)
  coarse = rng.random([height // 6 + 1, width // 6 + 1, 3])
  reference = np.kron(coarse, np.ones([6, 6, 1]))[:height, :width] * 255
  candidate = np.clip(reference + rng.normal(0, 25, reference.shape), 0, 255).astype(np.uint8)
  reference = reference.astype(np.uint8)
  expected = read_fsim(reference, candidate)
  for name, value in zip(("fsim", "fsimc"), expected):
    assert _value(name, reference[np.newaxis], candidate[np.newaxis]) == pytest.approx(
        value, abs=1e-5)


def test_opposed_colours_count_by_the_real_part_of_the_power():
  rng = np.random.default_rng(0)
  grey = rng.integers(60, 196, [40, 40, 1])
  tint = np.array([50, -20, -50])
  reference, candidate = (grey + tint).astype(np.uint8), (grey - tint).astype(np.uint8)
  _, expected = read_fsim(reference, candidate)
  value = _value("fsimc", reference[np.newaxis], candidate[np.newaxis])
  assert value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47), (6, 6)])
def test_the_filters_are_the_independent_ones(height, width):
  filters = phase_congruency.log_gabor_filters(height, width)
  for orientation, bank in enumerate(filters):
    for wavelength, each in zip(phase_congruency.WAVELENGTHS, np.asarray(bank)):
      expected = read_filter(height, width, wavelength, orientation * np.pi / 4)
      np.testing.assert_allclose(each, expected, atol=1e-6)
      assert each[0, 0] == 0


def test_phase_congruency_is_highest_on_an_edge_and_blind_to_its_contrast():
  step = np.zeros([1, 32, 64], np.float32)
  step[:, :, 20:50] = 100
  at_100 = np.asarray(phase_congruency.phase_congruency(step))
  at_200 = np.asarray(phase_congruency.phase_congruency(2 * step + 20))
  np.testing.assert_allclose(at_200, at_100, atol=1e-4)
  assert at_100.min() >= 0 and at_100.max() <= 1
  assert set(np.argsort(at_100[0, 16])[-4:]) == {19, 20, 49, 50}


def test_phase_congruency_of_a_constant_is_zero_at_every_grey():
  greys = np.broadcast_to(np.arange(256, dtype=np.float32)[:, np.newaxis, np.newaxis], (256, 9, 8))
  assert np.asarray(phase_congruency.phase_congruency(greys)).max() < 1e-6


@pytest.mark.parametrize("name", ["fsim", "fsimc"])
def test_where_there_is_no_feature_the_average_is_plain(name):
  black, white = (np.full([1, 40, 40, 3], value, np.uint8) for value in (0, 255))
  assert _value(name, black, black) == _value(name, white, white) == 1
  # Both are flat. The white one alone has a gradient, to the black beyond its border.
  assert 0.85 < _value(name, black, white) < 1 - 0.05
  photograph = np.random.default_rng(0).integers(0, 256, [1, 40, 40, 3], np.uint8)
  assert _value(name, white, photograph) < 0.5


def test_fsim_sees_no_colour_and_fsimc_does():
  grey = np.random.default_rng(0).random([1, 32, 32, 1]).astype(np.float32) * 0.5 + 0.25
  reference = np.repeat(grey, 3, axis=-1)
  candidate = reference + 0.2 * np.array([0.587, -0.299, 0.0], np.float32)  # the same luma
  assert _value("fsim", reference, candidate) == pytest.approx(1, abs=1e-5)
  assert _value("fsimc", reference, candidate) < 0.99
