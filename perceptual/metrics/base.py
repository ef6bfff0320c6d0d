"""The contract that every metric keeps.

    distance = metric(reference, candidate)     # [batch, height, width, 3] each -> [batch]
    distance_0, distance_1 = metric.two_afc(reference, candidate_0, candidate_1)

What only some metrics can do has an attribute that says so: `has_taps`, `has_map`.
"""

import abc
import copy
import functools
import os

import numpy as np

from perceptual.common import tensors
from perceptual.errors import UserError
from perceptual.metrics import guards
from perceptual.models import preprocessing


class Metric(abc.ABC):
  """What compares two images.

  Images are `[batch, height, width, 3]`, or 1 channel for greyscale: uint8 (0 to 255), or float in
  the declared range. They may also be the path of a file, a string or `os.PathLike`, which is a
  batch of one; or a list of paths of images of one size. `guards` says what is refused, and how.
  Everything is computed in float32, unless a metric was made with another `dtype`.

  A metric pickles and copies. Its networks' weights go with it; an exported metric is loaded again
  from where it was.

  Attributes:
    name: what the metric is called, for instance `lpips-alex`.
    options: what it was made with, plain data.
    lower_is_better: True for a distance, False for a similarity.
    preprocessing: `preprocessing.Preprocessing`, which declares the range of float images.
    source: the arguments with which `load_metric` makes it again; None if it did not make it.
    trained: `{"checkpoint": name, "step": number}` of a run directory's weights; None of others.
    has_taps: whether there are features at named taps. Then a metric has `taps`, `per_tap`,
      `features`, `from_features` and `trunk_key`.
    has_map: whether there is a `spatial_map`.
    required_side: the least height and width in pixels that a call asks for, before what a network
      asks for itself.
    size_note: what follows that number in the message about it.
  """

  has_taps = False
  has_map = False
  required_side = 1
  size_note = ""

  def __init__(self, name, *, options, lower_is_better, preprocess, source=None, trained=None):
    self.name = name
    self.options = dict(options)
    self.lower_is_better = lower_is_better
    self.preprocessing = preprocess
    self.source = source
    self.trained = trained

  # What a metric defines.

  @property
  @abc.abstractmethod
  def fingerprint(self):
    """What makes this metric this metric, as plain data for JSON."""

  @property
  def smallest_side(self):
    """The least height and width of the images, in pixels."""
    return self.required_side

  @abc.abstractmethod
  def _values(self, reference, candidate):
    """Returns the value of each pair, `[batch]` float32, of images that were let in."""

  @abc.abstractmethod
  def _distances(self, reference, *candidates):
    """Returns the distance of each candidate, a tuple of `[batch]` float32; lower is better."""

  def _map(self, reference, candidate):
    """Returns `[batch, height, width]` float32; of a metric that `has_map`."""
    raise NotImplementedError

  def _per_tap(self, reference, candidate):
    """Returns `{tap: [batch] float32}`; of a metric that `has_taps`."""
    raise NotImplementedError

  def _features(self, images):
    """Returns `{tap: features}`; of a metric that `has_taps`."""
    raise NotImplementedError

  def _about(self):
    """Returns what `repr` shows beside the name, the range and the direction: a list of text."""
    return [f"{name} {value}" for name, value in self.options.items()]

  # What a metric does.

  def __call__(self, reference, candidate):
    """Returns the value of each pair, `[batch]` float32, in the metric's unit and direction.

    Raises:
      UserError: not images of one shape and dtype in the declared range, or too small ones.
    """
    return self._run(self._values, {"reference": reference, "candidate": candidate})

  def two_afc(self, reference, candidate_0, candidate_1):
    """Returns the distances of two candidates, a tuple of `[batch]` float32, for `scores`.

    Lower is better here for every metric: the values of a similarity come with their sign changed.
    The reference is encoded once.

    Raises:
      UserError: as a call.
    """
    return self._run(self._distances, {
        "reference": reference, "candidate_0": candidate_0, "candidate_1": candidate_1})

  def compare_prediction(self, y_true, y_pred):
    """Returns what a call does, without checking the values of the prediction.

    A model may overshoot the range while it learns; the result for a sample with values that are
    not finite is NaN. The target's values are checked as in a call; where only NaN can tell that
    they are wrong, the prediction's gradient is zero rather than NaN.

    Args:
      y_true: the target, the reference.
      y_pred: the prediction, the candidate.

    Raises:
      UserError: as a call.
    """
    return self._run(self._values, {"y_true": y_true, "y_pred": y_pred}, predictions=("y_pred",))

  def spatial_map(self, reference, candidate):
    """Returns where two images differ, `[batch, height, width]` float32, in the metric's direction.

    Raises:
      UserError: the metric has no map; or as a call.
    """
    self._require("has_map", "spatial map")
    return self._run(self._map, {"reference": reference, "candidate": candidate})

  def per_tap(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the distance.

    Raises:
      UserError: the metric has no taps; or as a call.
    """
    self._require("has_taps", "taps")
    return self._run(self._per_tap, {"reference": reference, "candidate": candidate})

  def features(self, images):
    """Returns `{tap: features}` of images, `[batch, ...]` each.

    Raises:
      UserError: the metric has no taps; or as a call.
    """
    self._require("has_taps", "taps")
    return self._run(self._features, {"images": images})

  def from_features(self, reference, candidate):
    """Returns the distance `[batch]` float32 between images of which `features` were computed."""
    raise UserError(f"{self.name} has no taps.")

  @property
  def trunk_key(self):
    """A hashable: metrics of equal ones have equal features of equal images. None without taps."""
    return None

  def terms_from_features(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is `from_features`."""
    raise UserError(f"{self.name} has no taps.")

  def joined(self, metrics, *, per_tap=False):
    """Returns the `from_features` of several metrics of one trunk as one function.

    Args:
      metrics: `{label: metric}`, of one `trunk_key`.
      per_tap: whether the terms of each tap are returned too.

    Returns:
      A function of the features of references and of candidates, to `{label: [batch]}` and, with
      `per_tap`, `{label/tap: [batch]}`.
    """
    return functools.partial(_joined, metrics=metrics, per_tap=per_tap)

  def loaded_from(self, source):
    """Returns this metric, knowing what loads it again: for `load_metric`.

    Args:
      source: the arguments of `load_metric`, a dict.
    """
    metric = copy.copy(self)
    metric.source = source
    return metric

  def __repr__(self):
    low, high = self.preprocessing.float_range
    about = [*self._about(), f"float images {low:g} to {high:g}",
             f"{'lower' if self.lower_is_better else 'higher'} is better"]
    return f"<Metric {self.name}: {', '.join(about)}>"

  def _run(self, function, images, *, mask=None, predictions=()):
    """Returns what a function of images gives for those let in."""
    images = with_files_read(images, self.preprocessing.float_range)
    admitted = guards.admit(images, self, mask=mask, predictions=predictions)
    with tensors.computed_in_float32(*admitted.images):
      return admitted.guard(function(*admitted.images))

  def _require(self, capability, what):
    if not getattr(self, capability):
      raise UserError(f"{self.name} has no {what}.")


def _joined(reference, candidate, *, metrics, per_tap):
  if not per_tap:
    return {label: metric.from_features(reference, candidate) for label, metric in metrics.items()}
  found = {}
  for label, metric in metrics.items():
    terms = metric.terms_from_features(reference, candidate)
    found |= {label: sum(terms.values()),
              **{f"{label}/{tap}": value for tap, value in terms.items()}}
  return found


def with_files_read(images, float_range):
  """Returns `{name: images}` with files in place of their paths.

  What a file holds in more than 8 bits comes as floats in the declared range, and so does all that
  is read for a call which has floats.
  """
  paths = {name: found for name, given in images.items() if (found := _paths(given))}
  if not paths:
    return images
  read = {name: _batch_of_files(files, name) for name, files in paths.items()}
  others = [image for image in {**images, **read}.values()
            if hasattr(image, "dtype") and preprocessing.dtype_name(image) != "uint8"]
  if others:
    low, high = float_range
    read = {name: np.float32(low + (high - low) * _unit(image)) for name, image in read.items()}
  return {name: read.get(name, image) for name, image in images.items()}


def _paths(images):
  """Returns the paths that images are given as, a list; an empty one for images themselves."""
  if isinstance(images, (str, os.PathLike)):
    return [images]
  named = isinstance(images, (list, tuple)) and all(
      isinstance(image, (str, os.PathLike)) for image in images)
  return list(images) if named else []


def _batch_of_files(paths, name):
  """Returns what files hold, `[batch, height, width, 3]`: uint8, or float32 in [0, 1]."""
  from perceptual.data.images import loading

  images = [loading.load_image(path) for path in paths]
  for path, image in zip(paths, images, strict=True):
    if image.shape != images[0].shape:
      raise UserError(
          f"{name}: {path} has {image.shape[1]}x{image.shape[0]} pixels, {paths[0]} "
          f"{images[0].shape[1]}x{images[0].shape[0]}; the images of one call need one size.")
  if any(image.dtype != np.uint8 for image in images):
    images = [np.float32(_unit(image)) for image in images]
  return np.stack(images)


def _unit(image):
  return image / np.float32(255) if image.dtype == np.uint8 else image
