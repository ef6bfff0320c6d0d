"""Image files and metrics whose values are known beforehand."""

import numpy as np
import pytest

from perceptual.comparison import run
from perceptual.data.images import image_files
from perceptual.errors import UserError


class Difference:
  """The mean absolute difference of pixels, 0 to 1, which knows what it was called with."""

  lower_is_better = True

  def __init__(self, network="difference", smallest=1):
    self.fingerprint = {"network": network, "taps": ["low", "high"]}
    self.shapes = []
    self._smallest = smallest

  def __call__(self, reference, candidate):
    assert reference.dtype == candidate.dtype == np.uint8
    self.shapes.append(reference.shape)
    if reference.shape[1] < self._smallest:
      raise UserError(f"reference is too small, {self._smallest} pixels are needed")
    return np.abs(np.float32(reference) - candidate).mean((1, 2, 3)) / 255

  def spatial_map(self, reference, candidate):
    return np.abs(np.float32(reference) - candidate).mean(-1) / 255


class Tapped(Difference):
  """With terms by tap: a quarter and three quarters of the difference."""

  def per_tap(self, reference, candidate):
    value = self(reference, candidate)
    return {"high": 0.75 * value, "low": 0.25 * value}


class Featured(Difference):
  """With features, of which it counts the images."""

  def __init__(self, network="featured", trunk_key="trunk", power=1):
    super().__init__(network)
    self.trunk_key = trunk_key
    self.images = 0
    self._power = power

  def features(self, images):
    self.images += len(images)
    return {"pixels": np.float32(images) / 255}

  def from_features(self, reference, candidate):
    difference = np.abs(reference["pixels"] - candidate["pixels"])
    return (difference ** self._power).mean((1, 2, 3))


class Likeness(Difference):
  """A similarity: infinite for the same image, and without a map."""

  lower_is_better = False
  spatial_map = None

  def __call__(self, reference, candidate):
    with np.errstate(divide="ignore"):
      return 1 / super().__call__(reference, candidate)


@pytest.fixture
def difference():
  return Difference


@pytest.fixture
def tapped():
  return Tapped


@pytest.fixture
def featured():
  return Featured


@pytest.fixture
def likeness():
  return Likeness


@pytest.fixture
def write_grey():
  """Writes `[*size, 3]` PNG files of one grey value each: `write_grey(folder, name=value, ...)`."""

  def write(folder, values, size=(8, 8)):
    for name, value in values.items():
      path = folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(image_files.encode_png(np.full((*size, 3), value, np.uint8)))
    return folder

  return write


@pytest.fixture
def compare():
  """`run.compare`, with the metric's network as its label."""

  def compare_by(found, *metrics, **options):
    by_label = {metric.fingerprint["network"]: metric for metric in metrics}
    return run.compare(run.inspect(found), by_label, **options)

  return compare_by
