"""Metrics as pure functions of their weights and of images, for other frameworks than Keras."""

import keras
from keras import ops

from perceptual.errors import UserError


class PureMetric:
  """A metric whose weights are arguments of every call.

  Nothing in it changes, so that a deep copy is the object itself.

  Attributes:
    metric: the `base.Metric`.
    variables: the Keras variables that the weights of a call stand for; none without a network.
  """

  def __init__(self, metric, *, check_candidate=True):
    """Wraps a metric.

    Args:
      metric: a `base.Metric` in Keras.
      check_candidate: whether a call refuses values of the candidate outside the declared range, as
        it does those of the reference.
    """
    self.metric = metric
    self.variables = list(metric.trunk.variables) if metric.has_taps else []
    self._check_candidate = check_candidate

  def __deepcopy__(self, memo):
    return self

  def described(self):
    """Returns what the metric is, as one line of text: what its `repr` shows."""
    return repr(self.metric)[len("<Metric "):-len(">")]

  def __call__(self, weights, reference, candidate, mask=None):
    """Returns the metric of each pair, `[batch]` float32.

    Args:
      weights: a tensor for each of `variables`.
      reference: `[batch, height, width, 3]`, or 1 for greyscale; uint8, or float in the declared
        range.
      candidate: the same shape. If the dtypes differ, both are taken as float32.
      mask: `[batch, height, width]`, 1 where a pixel counts and 0 where it does not; None if all
        count. For a metric that takes one.

    Raises:
      UserError: as the metric.
    """
    if mask is None:
      function = self.metric if self._check_candidate else self.metric.compare_prediction
      return self._run(function, weights, reference, candidate)
    if not self._check_candidate:
      raise UserError("mask: goes with check_candidate=True. Clip the candidate to the range.")
    if not self.metric.has_taps:
      raise UserError(f"mask: {self.metric.name} takes none; metrics with taps do.")
    return self._run(self.metric, weights, reference, candidate, mask)

  def per_tap(self, weights, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the distance. Arguments: a call's.

    Raises:
      UserError: the metric has no taps; or as a call.
    """
    return self._run(self.metric.per_tap, weights, reference, candidate)

  def spatial_map(self, weights, reference, candidate):
    """Returns where two images differ, `[batch, height, width]` float32. Arguments: a call's.

    Raises:
      UserError: the metric has no map; or as a call.
    """
    return self._run(self.metric.spatial_map, weights, reference, candidate)

  def _run(self, function, weights, reference, candidate, *mask):
    if reference.dtype != candidate.dtype:
      reference, candidate = floats(self.metric, reference), floats(self.metric, candidate)
    with keras.StatelessScope(list(zip(self.variables, weights))):
      return function(reference, candidate, *mask)


def floats(metric, images):
  """Returns images as float32 in the metric's declared range; uint8 is 0 to 255."""
  images = ops.convert_to_tensor(images)
  values = ops.cast(images, "float32")
  if keras.backend.standardize_dtype(images.dtype) != "uint8":
    return values
  low, high = metric.preprocessing.float_range
  return low + (high - low) / 255 * values
