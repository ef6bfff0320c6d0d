"""Image distortions: pure functions of an image, a strength and a random generator.

Five groups after BAPPS's traditional distortions (Zhang et al. 2018, table 2: photometric, noise,
blur, spatial, compression) in `FAMILIES`, and two smaller tables whose members no viewer would
confuse: `HARMLESS` changes, which viewers do not mind, and plain `DAMAGE`. The kinds are BAPPS's;
the formulas and strengths are this module's own.

Every distortion has the signature `(image, strength, rng) -> image` with

* `image`: uint8 `[height, width, 3]`, at least `MIN_SIDE` pixels a side, never modified;
* `strength`: a float in the unit that the function names; strengths in pixels suit images of
  about 64x64;
* `rng`: a `numpy.random.Generator` for signs, directions and patterns. The same generator state
  at two strengths gives the same sign, direction or pattern, more or less of it.

What moves beyond an edge is filled by reflection, so that no black border betrays the change.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

MIN_SIDE = 32

# JPEG's luma of (R, G, B), and the (R, G, B) of its two chroma axes Cb and Cr.
_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA = np.array([[0.0, -0.344136, 1.772], [1.402, -0.714136, 0.0]])


def _to_uint8(values):
  return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _luma(image):
  return (image @ _LUMA)[..., np.newaxis]


def _sign(rng):
  return rng.choice([-1.0, 1.0])


def _direction(rng):
  """Returns a random unit vector (y, x)."""
  angle = rng.uniform(0, 2 * np.pi)
  return np.array([np.sin(angle), np.cos(angle)])


# Photometric.


def brighten(image, levels, rng):
  """Adds `levels` (of 255) to every channel."""
  del rng
  return _to_uint8(image + float(levels))


def brightness(image, levels, rng):
  """Adds or takes away `levels` (of 255)."""
  return _to_uint8(image + _sign(rng) * levels)


def flatten(image, fraction, rng):
  """Takes away a fraction (0 to 1) of the contrast about the mean luma."""
  del rng
  mean = _luma(image).mean()
  return _to_uint8(mean + (1.0 - fraction) * (image - mean))


def contrast(image, stops, rng):
  """Multiplies the contrast about the mean luma by 2**stops or 2**-stops."""
  return flatten(image, 1.0 - 2.0 ** (_sign(rng) * stops), rng)


def saturation(image, fraction, rng):
  """Raises or lowers every pixel's distance from its own grey by a fraction (0 to 1)."""
  grey = _luma(image)
  return _to_uint8(grey + (1.0 + _sign(rng) * fraction) * (image - grey))


def color_shift(image, levels, rng):
  """Adds one tint, `levels` long (of 255) in a random direction of JPEG's (Cb, Cr) plane."""
  return _to_uint8(image + levels * _direction(rng) @ _CHROMA)


def gamma(image, stops, rng):
  """Raises values in [0, 1] to the power 2**stops or 2**-stops."""
  return _to_uint8(255.0 * (image / 255.0) ** 2.0 ** (_sign(rng) * stops))


# Noise: the strength is the standard deviation in levels (of 255), unless it says otherwise.


def gaussian_noise(image, levels, rng):
  """Adds white Gaussian noise, independent in the three channels."""
  return _to_uint8(image + levels * rng.normal(size=image.shape))


def uniform_noise(image, levels, rng):
  """Adds white uniform noise, the same in the three channels."""
  half_width = np.sqrt(3.0) * levels
  return _to_uint8(image + half_width * rng.uniform(-1.0, 1.0, size=(*image.shape[:2], 1)))


def _power_law_noise(image, levels, exponent, rng):
  """Adds grey Gaussian noise whose power spectrum is frequency**exponent."""
  height, width, _ = image.shape
  frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
  frequency[0, 0] = 1.0  # Any value: the mean, which this would scale, is taken away below.
  spectrum = np.fft.rfft2(rng.normal(size=(height, width))) * frequency ** (exponent / 2.0)
  noise = np.fft.irfft2(spectrum, s=(height, width))
  noise = (noise - noise.mean()) / noise.std()
  return _to_uint8(image + levels * noise[..., np.newaxis])


def pink_noise(image, levels, rng):
  """Adds blotchy grey noise, of power 1 / frequency."""
  return _power_law_noise(image, levels, -1.0, rng)


def blue_noise(image, levels, rng):
  """Adds fine-grained grey noise, of power proportional to frequency."""
  return _power_law_noise(image, levels, 1.0, rng)


def salt_and_pepper(image, fraction, rng):
  """Turns a fraction (0 to 1) of the pixels black or white."""
  draw = rng.random(image.shape[:2])
  noisy = image.copy()
  noisy[draw < fraction / 2.0] = 0
  noisy[draw > 1.0 - fraction / 2.0] = 255
  return noisy


def checkerboard(image, levels, rng):
  """Adds a checkerboard of +-levels with cells of 2x2 pixels, as poor upsampling leaves."""
  rows, columns = np.indices(image.shape[:2]) // 2
  sides = _sign(rng) * (1.0 - 2.0 * ((rows + columns) % 2))
  return _to_uint8(image + levels * sides[..., np.newaxis])


# Blur.


def gaussian_blur(image, sigma, rng):
  """Gaussian blur, `sigma` in pixels."""
  from scipy import ndimage

  del rng
  return _to_uint8(ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror"))


def median_blur(image, radius, rng):
  """Median of each channel over a square window of 2 radius + 1 whole pixels a side."""
  del rng
  size = 2 * round(radius) + 1
  return np.array(Image.fromarray(image).filter(ImageFilter.MedianFilter(size)))


# Spatial warps.


def _resample(image, coordinates):
  """Samples [h, w, 3] at (row, column) coordinates [2, h, w]: cubic splines keep it sharp."""
  from scipy import ndimage

  channels = [
      ndimage.map_coordinates(image[..., channel].astype(float), coordinates, mode="mirror")
      for channel in range(3)
  ]
  return _to_uint8(np.stack(channels, axis=-1))


def _about_centre(image, matrix):
  """Resamples with the 2x2 `matrix` applied to coordinates about the image's centre."""
  coordinates = np.indices(image.shape[:2]).astype(float)
  centre = (np.array(image.shape[:2]) - 1.0)[:, np.newaxis, np.newaxis] / 2.0
  return _resample(image, np.einsum("ij,jhw->ihw", matrix, coordinates - centre) + centre)


def shift(image, pixels, rng):
  """Moves the image by `pixels` in a random direction, to the nearest whole pixel."""
  rows, columns = np.rint(pixels * _direction(rng)).astype(int)
  padding = ((abs(rows), abs(rows)), (abs(columns), abs(columns)), (0, 0))
  padded = np.pad(image, padding, mode="reflect")
  height, width, _ = image.shape
  top, left = abs(rows) - rows, abs(columns) - columns
  return padded[top:top + height, left:left + width]


def rotation(image, degrees, rng):
  """Rotates about the centre, either way."""
  angle = np.deg2rad(_sign(rng) * degrees)
  return _about_centre(image, np.array([
      [np.cos(angle), -np.sin(angle)],
      [np.sin(angle), np.cos(angle)],
  ]))


def affine(image, fraction, rng):
  """Scales and shears about the centre: identity + fraction x a random matrix of unit norm."""
  matrix = rng.normal(size=(2, 2))
  return _about_centre(image, np.eye(2) + fraction * matrix / np.linalg.norm(matrix))


def smooth_warp(image, pixels, rng):
  """Displaces pixels by a smooth random field of root mean square length `pixels`."""
  from scipy import ndimage

  height, width, _ = image.shape
  field = rng.normal(size=(2, height, width))
  field = ndimage.gaussian_filter(field, (0, height / 10.0, width / 10.0), mode="mirror")
  field /= np.sqrt(np.mean(np.sum(field**2, axis=0)))
  return _resample(image, np.indices((height, width)) + pixels * field)


def chromatic_aberration(image, pixels, rng):
  """Moves red one way and blue the other, by `pixels` each."""
  from scipy import ndimage

  step = pixels * _direction(rng)
  moved = [
      ndimage.shift(image[..., channel].astype(float), side * step, mode="mirror")
      for channel, side in enumerate((1.0, 0.0, -1.0))
  ]
  return _to_uint8(np.stack(moved, axis=-1))


# Compression.


def jpeg(image, quality, rng):
  """Compresses as JPEG at Pillow's `quality` (1 to 95, lower is worse), and decompresses."""
  del rng
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "JPEG", quality=round(quality))
  return np.array(Image.open(buffer))


def quantization(image, levels, rng):
  """Keeps `levels` (at least 2, lower is worse) evenly spaced values per channel."""
  del rng
  top = round(levels) - 1
  return _to_uint8(np.rint(image / 255.0 * top) * 255.0 / top)


class Family(NamedTuple):
  """A distortion with the range of strengths in which it is used.

  Attributes:
    group: the kind of distortion, as in BAPPS: photometric, noise, blur, spatial, compression.
    apply: `(image, strength, rng) -> image`.
    weakest: the strength that changes least.
    strongest: the strength that changes most; below `weakest` where lower is worse.
  """

  group: str
  apply: Callable
  weakest: float
  strongest: float

  def strength(self, position):
    """Returns the strength at a position from 0 (weakest) to 1 (strongest), geometrically.

    Equal steps of `position` are equal ratios, which is nearer to equal visible steps than
    equal differences are (Weber).
    """
    return self.weakest * (self.strongest / self.weakest) ** position


# Ranges chosen by eye on 64x64 photographs: from what shows side by side to what spoils the image.
FAMILIES = {
    "brightness": Family("photometric", brightness, 10, 90),
    "contrast": Family("photometric", contrast, 0.2, 1.6),
    "saturation": Family("photometric", saturation, 0.2, 1.0),
    "color_shift": Family("photometric", color_shift, 8, 70),
    "gamma": Family("photometric", gamma, 0.2, 1.5),
    "gaussian_noise": Family("noise", gaussian_noise, 6, 50),
    "uniform_noise": Family("noise", uniform_noise, 6, 50),
    "pink_noise": Family("noise", pink_noise, 6, 50),
    "blue_noise": Family("noise", blue_noise, 6, 50),
    "salt_and_pepper": Family("noise", salt_and_pepper, 0.01, 0.15),
    "checkerboard": Family("noise", checkerboard, 5, 40),
    "gaussian_blur": Family("blur", gaussian_blur, 0.6, 4),
    "median_blur": Family("blur", median_blur, 1, 6),
    "shift": Family("spatial", shift, 1.5, 16),
    "rotation": Family("spatial", rotation, 3, 30),
    "affine": Family("spatial", affine, 0.06, 0.5),
    "smooth_warp": Family("spatial", smooth_warp, 0.8, 6),
    "chromatic_aberration": Family("spatial", chromatic_aberration, 0.7, 5),
    "jpeg": Family("compression", jpeg, 50, 5),
    "quantization": Family("compression", quantization, 16, 3),
}

# Changes no viewer minds. Brighter and flatter one way only: darker and harsher hide detail sooner.
HARMLESS = {
    "small_shift": Family("spatial", shift, 1, 2),
    "small_rotation": Family("spatial", rotation, 1.5, 3),
    "brighter": Family("photometric", brighten, 8, 16),
    "flatter": Family("photometric", flatten, 0.1, 0.2),
}

# Plain damage, at its weakest too.
DAMAGE = {
    "strong_blur": Family("blur", gaussian_blur, 1.5, 3),
    "strong_jpeg": Family("compression", jpeg, 14, 6),
    "coarse_quantization": Family("compression", quantization, 5, 3),
    "heavy_noise": Family("noise", gaussian_noise, 20, 40),
}
