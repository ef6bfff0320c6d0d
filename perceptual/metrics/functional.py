"""Metrics as pure functions of their weights and of images, for losses and for other frameworks.

A metric refuses images outside its declared range. What a model puts out while it learns may lie
outside, so that the candidate can be exempted here; the reference never is.
"""

import copy
import dataclasses
import math

import keras
from keras import ops, tree

from perceptual.models import preprocessing


class PureMetric:
  """A metric whose weights are arguments of every call.

  Nothing in it changes, so that its copies are the object itself.

  Attributes:
    metric: the metric.
    variables: the Keras variables that the weights of a call stand for; none without a network.
  """

  def __init__(self, metric, *, check_candidate=True):
    """Wraps a metric.

    Args:
      metric: a metric.
      check_candidate: whether values of the candidate outside the declared range are refused, as
        those of the reference are.
    """
    self.metric = metric
    self.variables = list(metric.trunk.variables) if hasattr(metric, "trunk") else []
    self._check_candidate = check_candidate
    self._unchecked = unchecked(metric)

  def __deepcopy__(self, memo):
    return self

  def __call__(self, weights, reference, candidate, *, function="__call__", **options):
    """Returns what the metric gives for a pair of batches.

    Args:
      weights: a tensor for each of `variables`.
      reference: `[batch, height, width, 3]`, or 1 for greyscale; uint8, or float in the declared
        range.
      candidate: the same shape. If the dtypes differ, both are taken as float32.
      function: the name of the metric's function.
      **options: what the function takes besides.

    Returns:
      What the function returns. Where values are not known, as in a graph, a sample that is outside
      the range has NaN.

    Raises:
      UserError: as the metric.
    """
    in_range = guard(self.metric, reference, "reference")
    if self._check_candidate:
      in_range = ops.logical_and(in_range, guard(self.metric, candidate, "candidate"))
    if reference.dtype != candidate.dtype:
      reference, candidate = floats(self.metric, reference), floats(self.metric, candidate)
    with keras.StatelessScope(list(zip(self.variables, weights))):
      result = getattr(self._unchecked, function)(reference, candidate, **options)
    return tree.map_structure(lambda values: nan_unless(in_range, values), result)


def of_any_candidate(metric, reference, candidate, *, name):
  """Returns a metric of each pair, `[batch]` float32, whatever values the candidate has.

  Args:
    metric: a metric.
    reference: a float tensor in the declared range, as `guard` takes it.
    candidate: a float tensor of the same shape; of another dtype, both are taken as float32.
    name: what to call the reference in messages.

  Raises:
    UserError: as `guard` of the reference, or images of two shapes.
  """
  in_range = guard(metric, reference, name)
  if reference.dtype != candidate.dtype:
    reference, candidate = floats(metric, reference), floats(metric, candidate)
  return nan_unless(in_range, unchecked(metric)(reference, candidate))


def unchecked(metric):
  """Returns a copy of a metric that takes values outside the declared range."""
  free = copy.copy(metric)
  free.preprocessing = _any_values(metric.preprocessing)
  return free


def guard(metric, images, name):
  """Returns which images are in the metric's declared range, `[batch]` bool.

  In a graph of TensorFlow an assertion is added, which XLA leaves out.

  Args:
    metric: a metric.
    images: a tensor, `[batch, height, width, 3]`, or 1 for greyscale; uint8 or float.
    name: what to call the images in the message.

  Raises:
    UserError: they have another shape or dtype, or values that are known and outside the range.
  """
  _any_values(metric.preprocessing).check(images, name)
  if keras.backend.standardize_dtype(images.dtype) == "uint8":
    return ops.ones(ops.shape(images)[:1], "bool")
  low, high = metric.preprocessing.accepted_float_range
  in_range = ops.all(ops.logical_and(images >= low, images <= high), axis=(1, 2, 3))
  known = _known(in_range)
  if known is not None and not known.all():
    metric.preprocessing.check(ops.convert_to_numpy(images), name)
  if known is None and keras.backend.backend() == "tensorflow":
    _assert(in_range, images, name, metric.preprocessing.float_range)
  return in_range


def nan_unless(in_range, values):
  """Returns values `[batch, ...]` with NaN for the samples where `in_range` is False."""
  sizes = (-1, *(1,) * (len(values.shape) - 1))
  return ops.where(ops.reshape(in_range, sizes), values, float("nan"))


def floats(metric, images):
  """Returns images as float32 in the metric's declared range; uint8 is 0 to 255."""
  values = ops.cast(images, "float32")
  if keras.backend.standardize_dtype(images.dtype) != "uint8":
    return values
  low, high = metric.preprocessing.float_range
  return low + (high - low) / 255 * values


@dataclasses.dataclass(frozen=True)
class _AnyValues(preprocessing.Preprocessing):
  """Preprocessing that checks shapes and dtypes, but no values."""

  @property
  def accepted_float_range(self):
    return -math.inf, math.inf

  def check(self, images, name="images"):
    dtype = keras.backend.standardize_dtype(images.dtype)
    super().check(keras.KerasTensor(images.shape, dtype), name)


def _any_values(declared):
  return _AnyValues(**dataclasses.asdict(declared))


def _known(tensor):
  """Returns a tensor's values; None where there are none yet, or where they cannot be read."""
  try:
    return ops.convert_to_numpy(tensor)
  except (NotImplementedError, RuntimeError, TypeError):  # of TensorFlow, PyTorch and JAX
    return None


def _assert(in_range, images, name, declared):
  import tensorflow as tf

  tf.debugging.Assert(
      tf.reduce_all(in_range),
      [f"{name} has values outside the declared range of float images, {declared[0]:g} to "
       f"{declared[1]:g}, or NaN; lowest and highest:", ops.min(images), ops.max(images)])
