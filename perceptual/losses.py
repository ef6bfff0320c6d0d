"""Perceptual metrics as a Keras loss and a Keras metric, for `compile` and `fit` on any backend.

  model.compile(optimizer="adam", loss=perceptual.PerceptualLoss(),
                metrics=[perceptual.PerceptualDistance()])

`y_true` is the reference and `y_pred` the candidate, `[batch, height, width, 3]`, or 1 for
greyscale: floats in the metric's declared range, [0, 1] unless said otherwise; `y_true` may be
uint8. Eagerly a value outside the range is an error, as in any call of a metric. In a graph, as in
`fit`, a `y_true` outside the range raises `tf.errors.InvalidArgumentError`; where XLA compiles the
graph, as on JAX, nothing can raise, and it makes the result NaN. `y_pred` is taken as it is there,
so that a model may overshoot while it learns.
"""

import keras
from keras import ops

from perceptual.errors import UserError
from perceptual.loading import ExportedMetric, load_metric


@keras.saving.register_keras_serializable("perceptual")
class PerceptualLoss(keras.losses.Loss):
  """The perceptual distance of the output to the target, reduced as Keras losses are.

  A similarity such as `ssim` counts with its sign changed, so that less is always better. Nothing
  of the metric is trained.
  """

  def __init__(self, metric=None, *, reduction="sum_over_batch_size", name="perceptual_loss"):
    """Makes the loss.

    Args:
      metric: a metric, or what `load_metric` takes; None for the one in the box.
      reduction: as in `keras.losses.Loss`.
      name: as in `keras.losses.Loss`.

    Raises:
      UserError: if there is no such metric, or it has no gradient on this backend: an export
        outside TensorFlow.
    """
    super().__init__(reduction=reduction, name=name)
    self.metric = _metric(metric)
    if isinstance(self.metric, ExportedMetric):
      _require_tensorflow()

  def __call__(self, y_true, y_pred, sample_weight=None):
    """Returns the loss, a scalar, or `[batch]` without reduction; `sample_weight` is `[batch]`."""
    # Before Keras casts it to float, when uint8 can no longer be told.
    return super().__call__(_floats(self.metric, y_true), y_pred, sample_weight)

  def call(self, y_true, y_pred):
    """Returns the loss of each sample, `[batch]`."""
    values = _values(self.metric, y_true, y_pred)
    return values if self.metric.lower_is_better else -values

  def get_config(self):
    """Returns the configuration; `UserError` for a metric that `load_metric` did not make."""
    return {**super().get_config(), "metric": _source(self.metric)}

  @classmethod
  def from_config(cls, config):
    """Returns the loss; its metric is loaded again from where it was loaded."""
    return cls(**{**config, "metric": load_metric(**config["metric"])})


@keras.saving.register_keras_serializable("perceptual")
class PerceptualDistance(keras.metrics.Mean):
  """The mean of a perceptual metric between targets and outputs, in the metric's own direction."""

  def __init__(self, metric=None, *, name="perceptual_distance", dtype=None):
    """Makes the metric; `metric` is as in `PerceptualLoss`, the rest as in `keras.metrics.Mean`."""
    super().__init__(name=name, dtype=dtype)
    self.metric = _metric(metric)
    self._direction = "down" if self.metric.lower_is_better else "up"

  def update_state(self, y_true, y_pred, sample_weight=None):
    """Adds a batch of pairs; `sample_weight` is `[batch]`."""
    pair = _floats(self.metric, y_true), _floats(self.metric, y_pred)
    super().update_state(_values(self.metric, *pair), sample_weight=sample_weight)

  def get_config(self):
    """Returns the configuration; `UserError` for a metric that `load_metric` did not make."""
    return {**super().get_config(), "metric": _source(self.metric)}

  @classmethod
  def from_config(cls, config):
    """Returns the metric; its own metric is loaded again from where it was loaded."""
    return cls(**{**config, "metric": load_metric(**config["metric"])})


def _values(metric, y_true, y_pred):
  """Returns a metric of each sample, `[batch]`; NaN where a float `y_true` is out of its range."""
  return metric.compare_prediction(y_true, y_pred)


def _floats(metric, images):
  """Returns images as float32 in the metric's declared range; uint8 is 0 to 255."""
  images = ops.convert_to_tensor(images)
  floats = ops.cast(images, "float32")
  if keras.backend.standardize_dtype(images.dtype) != "uint8":
    return floats
  low, high = metric.preprocessing.float_range
  return low + (high - low) / 255 * floats


def _metric(metric):
  return metric if callable(metric) else load_metric(metric)


def _require_tensorflow():
  if keras.backend.backend() != "tensorflow":
    raise UserError(f"An export has no gradients on {keras.backend.backend()}: it runs on "
                    "TensorFlow. Give the loss a name or a run directory.")


def _source(metric):
  if metric.source is None:
    raise UserError("Only a metric made by perceptual.load_metric can be serialised.")
  return metric.source
