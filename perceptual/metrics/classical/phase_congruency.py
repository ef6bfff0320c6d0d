"""Phase congruency: how far the frequencies at a pixel agree in phase, whatever the contrast.

Kovesi, "Image features from phase congruency" (Videre 1999), in the form and with the constants
that FSIM uses (Zhang et al., IEEE TIP 2011, and the authors' FeatureSIM.m): log-Gabor filters of
four orientations and four scales, applied in the frequency domain.
"""

import math

from keras import ops

ORIENTATIONS = 4
WAVELENGTHS = (6, 12, 24, 48)  # of the four scales, in pixels

# Standard deviations of a filter's two Gaussians: over the logarithm of the frequency, and over the
# angle in radians.
_LOG_BANDWIDTH = math.log(0.55)
_ANGULAR_BANDWIDTH = math.pi / ORIENTATIONS / 1.2

# All filters fall off before the corners of the frequency plane (a Butterworth low-pass).
_CUTOFF, _STEEPNESS = 0.45, 15

# The noise of an orientation follows a Rayleigh distribution of some scale tau. Energy counts above
# its mean plus two standard deviations, times an empirical factor.
_THRESHOLD = (math.sqrt(math.pi / 2) + 2 * math.sqrt(2 - math.pi / 2)) / 1.7

# Added to the energy that phases are divided by, as in the authors' code; pixels are 0 to 255.
_EPSILON = 1e-4

# Added under a root, whose slope at zero is infinite, and to a divisor that is zero for a constant
# image. It alters no other value.
_TINY = 1e-30


def phase_congruency(planes):
  """Returns the phase congruency at each pixel, 0 to 1; 0 throughout for constant images.

  Args:
    planes: [batch, height, width] float32, 0 to 255; 2 pixels a side at least.

  Returns:
    [batch, height, width] float32.
  """
  # The filters drop the mean. Taken out beforehand, it does not cost the rest its digits.
  planes = planes - ops.mean(planes, axis=(1, 2), keepdims=True)
  spectrum = ops.fft2((planes, ops.zeros_like(planes)))
  total_energy, total_amplitude = 0.0, 0.0
  for filters in log_gabor_filters(*ops.shape(planes)[1:]):
    even, odd = ops.ifft2(tuple(ops.expand_dims(part, 1) * filters for part in spectrum))
    amplitudes = _magnitude(even, odd)
    energy = _energy(even, odd) - _noise_threshold(amplitudes[:, 0], filters)
    total_energy += ops.relu(energy)
    total_amplitude += ops.sum(amplitudes, axis=1)
  return total_energy / (total_amplitude + _TINY)


def log_gabor_filters(height, width):
  """Returns the filters' transfer functions, the zero frequency first.

  Each filter is one-sided, so that the real part of its response is that of an even and the
  imaginary part that of an odd filter.

  Args:
    height: of the images, in pixels.
    width: likewise.

  Returns:
    A list of `ORIENTATIONS` tensors [scales, height, width] float32.
  """
  x = ops.expand_dims(_frequencies(width), 0)
  y = ops.expand_dims(_frequencies(height), 1)
  radius = ops.sqrt(ops.square(x) + ops.square(y))
  not_constant = radius > 0
  log_radius = ops.log(ops.where(not_constant, radius, 1.0))
  low_pass = 1.0 / (1.0 + ops.power(radius / _CUTOFF, 2 * _STEEPNESS))
  envelope = ops.where(not_constant, low_pass, 0.0)
  radial = ops.stack([
      envelope * _gaussian(log_radius + math.log(wavelength), _LOG_BANDWIDTH)
      for wavelength in WAVELENGTHS])
  angle = ops.arctan2(-y, x)
  return [radial * _gaussian(_angle_between(angle, orientation * math.pi / ORIENTATIONS),
                             _ANGULAR_BANDWIDTH)
          for orientation in range(ORIENTATIONS)]


def _frequencies(length):
  """Frequencies of a discrete Fourier transform, in cycles a pixel, [length] float32.

  The highest of an odd length is 1/2 as well, as in Kovesi's code.
  """
  half = length // 2
  cycles = (ops.arange(length) + half) % length - half
  return ops.cast(cycles, "float32") / ops.cast(length - length % 2, "float32")


def _gaussian(x, sigma):
  return ops.exp(-ops.square(x) / (2 * sigma**2))


def _angle_between(angle, other):
  """The difference of two angles, without its whole turns, in -pi to pi."""
  return ops.arctan2(ops.sin(angle - other), ops.cos(angle - other))


def _magnitude(even, odd):
  return ops.sqrt(ops.square(even) + ops.square(odd) + _TINY)


def _energy(even, odd):
  """The scales' amplitudes times `cos(deviation) - |sin(deviation)|` from their mean phase.

  Args:
    even: real parts of the responses, [batch, scales, height, width].
    odd: imaginary parts.

  Returns:
    The sum over scales, [batch, height, width].
  """
  mean_even = ops.sum(even, axis=1, keepdims=True)
  mean_odd = ops.sum(odd, axis=1, keepdims=True)
  length = _magnitude(mean_even, mean_odd) + _EPSILON
  mean_even, mean_odd = mean_even / length, mean_odd / length
  along = even * mean_even + odd * mean_odd
  across = even * mean_odd - odd * mean_even
  return ops.sum(along - ops.absolute(across), axis=1)


def _noise_threshold(finest, filters):
  """Returns the energy that noise alone explains at an orientation, [batch, 1, 1].

  The finest scale is taken to be mostly noise. The median of its squared amplitudes, which follow
  an exponential distribution, gives the power of the noise; the sum of the filters says how much of
  it they let through together.

  Args:
    finest: amplitudes of the responses at the finest scale, [batch, height, width].
    filters: [scales, height, width].
  """
  batch, height, width = ops.shape(finest)
  median = ops.median(ops.reshape(ops.square(finest), (batch, height * width)), axis=1)
  power = median / math.log(2) / ops.sum(ops.square(filters[0]))
  impulse, _ = ops.ifft2((ops.sum(filters, axis=0), ops.zeros_like(filters[0])))
  gain = ops.sum(ops.square(impulse)) * ops.cast(height * width, "float32")
  return ops.reshape(_THRESHOLD * ops.sqrt(power * gain + _TINY), (batch, 1, 1))
