"""Images that anyone can make again: the patterns of published values, and packaged photographs."""

import numpy as np
import pytest

from perceptual.data.labelled import demo


def _patterns(width, height):
  """Five integer patterns [height, width]; the last is constant."""
  x, y = np.meshgrid(np.arange(width), np.arange(height))
  first = (37 * x + 91 * y + x * y) % 256
  second = (((17 * x) ^ (29 * y)) + 3 * x + 5 * y) % 256
  patch = (x >= 20) & (x < 40) & (y >= 10) & (y < 30)
  return (first, second, (x + 2 * y) % 256, np.where(patch, second, first),
          np.full((height, width), 128))


@pytest.fixture(scope="session")
def grey_pattern():
  """(number 1 to 5, width, height) -> uint8 [1, height, width, 3], three equal colours."""
  def make(number, width, height):
    pattern = _patterns(width, height)[number - 1]
    return np.repeat(pattern[np.newaxis, :, :, np.newaxis], 3, axis=-1).astype(np.uint8)
  return make


@pytest.fixture(scope="session")
def colour_pattern():
  """(number, width, height) -> uint8 [1, height, width, 3], of a pattern and the next two."""
  def make(number, width, height):
    patterns = _patterns(width, height)
    colours = [patterns[number - 1], patterns[number % 5], patterns[(number + 1) % 5]]
    return np.stack(colours, axis=-1)[np.newaxis].astype(np.uint8)
  return make


@pytest.fixture(scope="session")
def photograph():
  """(name, rows, columns) -> that part of a photograph of scikit-image, uint8 [1, h, w, 3]."""
  def load(name, rows=slice(None), columns=slice(None)):
    image = np.asarray(demo.load(demo.PHOTOGRAPHS[demo.CLASS_NAMES.index(name)]))
    return image[np.newaxis, rows, columns]
  return load


def _add_noise(image):
  y, x, colour = np.indices(image.shape[1:])
  noise = (7919 * y + 104729 * x + 1299709 * colour) % 61 - 30
  return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def distortions():
  """{name: function of an image}; nothing in them is random."""
  return {
      "noise": _add_noise,
      "quantised": lambda image: image // 32 * 32 + 16,
      "shift": lambda image: np.roll(image, 2, axis=2),
  }
