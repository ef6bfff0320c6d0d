"""Perceptual metrics as a Keras loss and a Keras metric, for `compile` and `fit` on any backend.

  model.compile(optimizer="adam", loss=perceptual.PerceptualLoss(),
                metrics=[perceptual.PerceptualDistance()])

`y_true` is the reference and `y_pred` the candidate, `[batch, height, width, 3]`, or 1 for
greyscale: floats in the metric's declared range, [0, 1] unless said otherwise; `y_true` may be
uint8. The range of `y_true` is checked: eagerly a value outside it is a `UserError`, in a graph of
TensorFlow, as in `fit`, a `tf.errors.InvalidArgumentError`. Where XLA compiles the graph, as on
JAX, nothing can raise, and the result is NaN. The range of `y_pred` is never checked, so that a
model may overshoot while it learns.
"""

import keras
from keras import ops

from perceptual import errors
from perceptual.errors import UserError
from perceptual.loading import ExportedMetric, load_metric
from perceptual.metrics import functional

_REDUCTION = "sum_over_batch_size"


@keras.saving.register_keras_serializable("perceptual")
class PerceptualLoss(keras.losses.Loss):
  """The perceptual distance of the output to the target, reduced as Keras losses are.

  A similarity such as `ssim` counts with its sign changed, so that lower is always better. The
  metric itself is not trained.

  Attributes:
    metric: the metric.
  """

  def __init__(self, metric=None, *, reduction=_REDUCTION, name="perceptual_loss"):
    """Makes the loss.

    Args:
      metric: a metric, or what `load_metric` takes; None for the built-in metric.
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
    """Returns the loss, a scalar, or `[batch]` without reduction.

    Args:
      y_true: the targets, as above.
      y_pred: the outputs, float, of the same shape.
      sample_weight: `[batch]`, a number for each image; None for 1.

    Raises:
      UserError: as a call of the metric, or weights of another shape.
    """
    _check_sample_weight(sample_weight, y_pred)
    # Before Keras casts it to float, when uint8 can no longer be told.
    y_true = functional.floats(self.metric, y_true)
    return super().__call__(y_true, y_pred, sample_weight)

  def call(self, y_true, y_pred):
    """Returns the loss of each sample, `[batch]`."""
    values = self.metric.compare_prediction(y_true, y_pred)
    return values if self.metric.lower_is_better else -values

  def get_config(self):
    """Returns the configuration; `UserError` for a metric that `load_metric` did not make."""
    return {**super().get_config(), "metric": _source(self.metric)}

  @classmethod
  def from_config(cls, config):
    """Returns the loss; its metric is loaded again from where it was loaded."""
    return cls(**{**config, "metric": load_metric(**config["metric"])})


@keras.saving.register_keras_serializable("perceptual")
class WeightedSum(keras.losses.Loss):
  """A weighted sum of losses, which Keras saves and loads with a model.

      WeightedSum({"mean_absolute_error": 1.0, perceptual.PerceptualLoss(): 0.1})

  Each loss is averaged over all axes but the batch, the sum is taken for each sample, and then
  reduced.

  Attributes:
    losses: the losses, as they were given.
    weights: their weights.
  """

  def __init__(self, losses, *, reduction=_REDUCTION, name="weighted_sum"):
    """Makes the loss.

    Args:
      losses: `{loss: weight}`. A loss is a `keras.losses.Loss` of the default reduction, the name
        of a loss of Keras, or a function `(y_true, y_pred) -> [batch, ...]`; a weight is a number.
      reduction: as in `keras.losses.Loss`.
      name: as in `keras.losses.Loss`.

    Raises:
      UserError: there is no loss or an unknown one, a weight is not a number, a loss has a
        reduction of its own, or two perceptual losses declare different ranges of images.
    """
    super().__init__(reduction=reduction, name=name)
    if not isinstance(losses, dict) or not losses:
      raise UserError(f"losses must be a dict of at least one loss: weight, not {losses!r}.")
    self.losses = list(losses)
    self.weights = list(losses.values())
    self._terms = [_term(loss) for loss in self.losses]
    for loss, weight in losses.items():
      errors.require_number(f"The weight of {_label(loss)}", weight)
    self._perceptual = _of_one_range(self.losses)

  def __call__(self, y_true, y_pred, sample_weight=None):
    """Returns the loss, a scalar, or `[batch]` without reduction.

    Beside a perceptual loss, uint8 targets are converted to floats in its declared range for all
    losses.

    Args:
      y_true: the targets.
      y_pred: the outputs, float, of the same shape.
      sample_weight: `[batch]`, a number for each sample; None for 1.

    Raises:
      UserError: as the losses, or weights of another shape.
    """
    _check_sample_weight(sample_weight, y_pred)
    if self._perceptual is not None:
      y_true = functional.floats(self._perceptual.metric, y_true)
    return super().__call__(y_true, y_pred, sample_weight)

  def call(self, y_true, y_pred):
    """Returns the sum of each sample, `[batch]`."""
    return sum(weight * _by_sample(term(y_true, y_pred), loss)
               for loss, term, weight in zip(self.losses, self._terms, self.weights))

  def get_config(self):
    """Returns the configuration; `UserError` as that of a loss in it."""
    return {**super().get_config(), "losses": [
        {"loss": keras.saving.serialize_keras_object(loss), "weight": weight}
        for loss, weight in zip(self.losses, self.weights)]}

  @classmethod
  def from_config(cls, config):
    """Returns the sum of the losses, each made from its own configuration."""
    losses = {keras.saving.deserialize_keras_object(each["loss"]): each["weight"]
              for each in config["losses"]}
    return cls(**{**config, "losses": losses})


@keras.saving.register_keras_serializable("perceptual")
class PerceptualDistance(keras.metrics.Mean):
  """The mean of a perceptual metric between targets and outputs, in the metric's own direction.

  Attributes:
    metric: the metric.
  """

  def __init__(self, metric=None, *, name="perceptual_distance", dtype=None):
    """Makes the metric; `metric` is as in `PerceptualLoss`, the rest as in `keras.metrics.Mean`."""
    super().__init__(name=name, dtype=dtype)
    self.metric = _metric(metric)
    self._direction = "down" if self.metric.lower_is_better else "up"

  def update_state(self, y_true, y_pred, sample_weight=None):
    """Adds a batch of pairs.

    Args:
      y_true: the targets, as above.
      y_pred: the outputs, float, or uint8, of the same shape.
      sample_weight: `[batch]`, a number for each image; None for 1.

    Raises:
      UserError: as a call of the metric, or weights of another shape.
    """
    _check_sample_weight(sample_weight, y_pred)
    pair = (functional.floats(self.metric, images) for images in (y_true, y_pred))
    super().update_state(self.metric.compare_prediction(*pair), sample_weight=sample_weight)

  def get_config(self):
    """Returns the configuration; `UserError` for a metric that `load_metric` did not make."""
    return {**super().get_config(), "metric": _source(self.metric)}

  @classmethod
  def from_config(cls, config):
    """Returns the metric; its own metric is loaded again from where it was loaded."""
    return cls(**{**config, "metric": load_metric(**config["metric"])})


def _check_sample_weight(sample_weight, y_pred):
  """Raises `UserError` unless weights are a number, `[batch]` or `[batch, 1]`."""
  if sample_weight is None:
    return
  shape = list(ops.shape(ops.convert_to_tensor(sample_weight)))
  batch = ops.shape(ops.convert_to_tensor(y_pred))[0]
  one_a_sample = len(shape) < 2 or (len(shape) == 2 and shape[1] == 1)
  known = all(isinstance(size, int) for size in (*shape[:1], batch))
  if not one_a_sample or (known and shape and shape[0] != batch):
    raise UserError(
        f"sample_weight: shape {shape}; expected [batch], a number for each image. For a weight "
        "of each pixel, give the metric itself a mask.")


def _term(loss):
  """Returns the function of a loss of a `WeightedSum`: (y_true, y_pred) -> [batch, ...]."""
  if isinstance(loss, str):
    try:
      loss = keras.losses.get(loss)
    except ValueError:
      raise UserError(f"Unknown loss {loss!r}: name one of keras.losses.") from None
  if not isinstance(loss, keras.losses.Loss):
    if not callable(loss):
      raise UserError(f"{loss!r} is not a loss: give a keras.losses.Loss, a name or a function.")
    return loss
  if loss.reduction != _REDUCTION:
    raise UserError(f"{loss.name} has the reduction {loss.reduction!r}: give that to the sum.")
  return loss.call


def _label(loss):
  return getattr(loss, "name", getattr(loss, "__name__", loss))


def _by_sample(values, loss):
  """Returns values `[batch, ...]` averaged over all axes but the first, `[batch]` float32."""
  if len(values.shape) == 0:
    raise UserError(f"{_label(loss)} gives one value for a batch; a sum needs one for each sample.")
  by_sample = ops.reshape(ops.cast(values, "float32"), (ops.shape(values)[0], -1))
  return ops.mean(by_sample, axis=1)


def _of_one_range(losses):
  """Returns a perceptual loss among some, or None; `UserError` if their images have two ranges."""
  perceptual = [loss for loss in losses if isinstance(loss, PerceptualLoss)]
  ranges = {loss.metric.preprocessing.float_range for loss in perceptual}
  if len(ranges) > 1:
    listed = " and ".join(f"{low:g} to {high:g}" for low, high in sorted(ranges))
    raise UserError(f"The perceptual losses of a sum declare two ranges of images, {listed}.")
  return perceptual[0] if perceptual else None


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
