"""Image files and metrics whose values are known beforehand."""

import numpy as np
import pytest

from perceptual.comparison import run
from perceptual.data.images import image_files
from perceptual.errors import UserError
from perceptual.metrics import base
from perceptual.models import preprocessing


class Difference(base.Metric):
  """The mean absolute difference of pixels, 0 to 1, which knows what it was called with."""

  has_map = True
  taps = ("low", "high")
  fingerprint = _values = _distances = None  # abstract; the latter two are not asked here

  def __init__(self, name="difference", smallest=1, lower_is_better=True):
    super().__init__(name, options={}, lower_is_better=lower_is_better,
                     preprocess=preprocessing.IMAGENET)
    self.fingerprint = {"name": name, "taps": list(self.taps)}
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


class Featured(Difference):
  """With features, of which it counts the images."""

  has_taps = True
  trunk_key = None

  def __init__(self, name="featured", trunk_key="trunk", power=1):
    super().__init__(name)
    self.trunk_key = trunk_key
    self.images = 0
    self._power = power

  def features(self, images):
    self.images += len(images)
    return {"pixels": np.float32(images) / 255}

  def from_features(self, reference, candidate):
    difference = np.abs(reference["pixels"] - candidate["pixels"])
    return (difference ** self._power).mean((1, 2, 3))


class Tapped(Featured):
  """With terms by tap: a quarter and three quarters of the difference."""

  def per_tap(self, reference, candidate):
    value = self(reference, candidate)
    return {"high": 0.75 * value, "low": 0.25 * value}

  def terms_from_features(self, reference, candidate):
    value = self.from_features(reference, candidate)
    return {"high": 0.75 * value, "low": 0.25 * value}


class Likeness(Difference):
  """A similarity: infinite for the same image, and without a map."""

  has_map = False

  def __init__(self, name="likeness"):
    super().__init__(name, lower_is_better=False)

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
  """`run.compare`, with the metric's name as its label."""

  def compare_by(found, *metrics, **options):
    by_label = {metric.name: metric for metric in metrics}
    return run.compare(run.inspect(found), by_label, **options)

  return compare_by
