"""The loss of a task: a weighted sum of pixel terms and of one metric's distance.

The metric is any that `load_metric` returns: features of any network at any of its taps, by any
distance, LPIPS, or a metric without a network such as SSIM. That of Pihlgren et al. is the mean
squared difference of raw features at one tap, `distance="l2"`.

A loss network is frozen and always in inference mode. The study's code put it into training mode
in two of its tasks, by calling `train()` on all it held: batch normalisation then normalised the
features by the batch's own statistics, the features of a target depended on what else was in its
batch, and the network's statistics drifted while it served as the yardstick.
"""

import copy
import dataclasses

import keras
from keras import ops

from perceptual import errors
from perceptual.errors import UserError
from perceptual.loading import load_metric, options_of
from perceptual.metrics.feature_metric import FeatureMetric, weights_hash


@dataclasses.dataclass(frozen=True)
class Settings:
  """What a loss is made of, checked as soon as it is given; `make` loads the metric.

  Attributes:
    metric: what `load_metric` takes: a name, an export or a run directory; None for pixels alone.
    taps: names of the taps; None for all, whose distances are summed. One for the losses of the
      study.
    distance: the distance between features; None for the metric's own. `l2` for the study's.
    normalised: whether the loss network sees images normalised as the metric declares. The study
      normalised for delineation alone; elsewhere its networks saw images in [0, 1].
    checkpoint: of a run directory, whose weights; None for those at the best score.
    weight: of the metric's distance.
    mse: weight of the mean squared error of pixels.
    mae: weight of their mean absolute error.
    bce: weight of the binary cross entropy of pixels, for masks.
  """

  metric: str | None = None
  taps: tuple[str, ...] | None = None
  distance: str | None = None
  normalised: bool = True
  checkpoint: str | None = None
  weight: float = 1.0
  mse: float = 0.0
  mae: float = 0.0
  bce: float = 0.0

  def __post_init__(self):
    for name in ("weight", *_PIXEL_TERMS):
      errors.require_number(f"loss.{name}", getattr(self, name), at_least=0)
    errors.require_bool("loss.normalised", self.normalised)
    if self.metric is not None and not isinstance(self.metric, str):
      raise UserError(f"loss.metric must be the name of a metric, or the path of a folder, not "
                      f"{errors.shown(self.metric)}.")
    if self.taps is not None and (
        not isinstance(self.taps, (tuple, list))
        or not all(isinstance(tap, str) for tap in self.taps)):
      raise UserError(f"loss.taps must be a list of names, not {errors.shown(self.taps)}.")
    if self.metric is None:
      given = [name for name in ("taps", "distance", "checkpoint") if getattr(self, name)]
      if given:
        raise UserError(f"loss.{given[0]} is of a metric: give loss.metric, or set "
                        f"{_unset(given)}.")
    if not any(self.pixels.values()) and (self.metric is None or not self.weight):
      raise UserError("The loss has no term: give loss.metric, loss.mse, loss.mae or loss.bce."
                      if self.metric is None else "The loss has no term: loss.weight, of "
                      f"{self.metric}, is 0, and so are loss.mse, loss.mae and loss.bce.")

  @property
  def pixels(self):
    """The pixel terms: name -> weight."""
    return {name: getattr(self, name) for name in _PIXEL_TERMS}

  def make(self, weights_dir=None):
    """Returns the `Loss`.

    Args:
      weights_dir: the folder of converted weights; None for the default one.

    Raises:
      UserError: as `load_metric`, the metric has no features and taps or a distance are given, or
        it was learned of normalised images and is to see others.
    """
    metric = self._metric(weights_dir)
    if not self.normalised and isinstance(metric, FeatureMetric) and metric.channel_weights:
      raise UserError(f"{self.metric} was learned of images normalised as its network was trained; "
                      "those in [0, 1] it cannot judge: set loss.normalised = True.")
    return Loss(metric, weight=self.weight, pixels=self.pixels, normalised=self.normalised)

  def _metric(self, weights_dir):
    if self.metric is None or not self.weight:
      return None
    given = {"taps": self.taps and list(self.taps), "distance": self.distance,
             "checkpoint": self.checkpoint}
    given = {name: value for name, value in given.items() if value is not None}
    options = options_of(self.metric)
    if unfit := [name for name in given if name not in options]:
      raise UserError(f"loss.{unfit[0]}: the metric {self.metric} has no option {unfit[0]}: set "
                      f"{_unset(unfit)}.")
    if weights_dir is not None and "weights" in options:
      given["weights"] = weights_dir
    return load_metric(self.metric, **given)


class Loss:
  """A loss between targets and outputs, `[batch, height, width, channels]` in [0, 1].

  Attributes:
    metric: the `metrics.base.Metric`, None for pixels alone.
    normalised: whether a network sees images normalised as it was trained.
  """

  def __init__(self, metric=None, *, weight=1.0, pixels=None, normalised=True):
    """Makes the loss; a metric's network is frozen.

    Args:
      metric: a `metrics.base.Metric`; None for pixels alone.
      weight: of its distance.
      pixels: `{"mse", "mae" or "bce": weight}`; None for none.
      normalised: as of `Settings`.
    """
    self.metric = metric if metric is None or normalised else _of_raw_images(metric)
    self._has_network = isinstance(metric, FeatureMetric)
    self.normalised = normalised or not self._has_network
    self._weight = weight
    self._pixels = {name: value for name, value in (pixels or {}).items() if value}
    if self._has_network:
      metric.trunk.trainable = False

  @property
  def name(self):
    """What the loss is called, on one line: `vgg16 relu2_2 by l2 + 0.1 mse`."""
    terms = [f"{value:g} {name}" for name, value in self._pixels.items()]
    if self.metric is not None:
      taps = f" {'+'.join(self.metric.taps)} by {self.metric.distance_name}" if (
          self._has_network) else ""
      factor = f"{self._weight:g} " if self._weight != 1 else ""
      terms.insert(0, f"{factor}{self.metric.name}{taps}")
    return " + ".join(terms)

  def as_data(self):
    """Returns what makes this loss this loss, as plain data."""
    data = {"name": self.name, "weight": self._weight, **self._pixels}
    if self.metric is not None:
      data["preprocessing"] = dataclasses.asdict(self.metric.preprocessing)
    if self._has_network:
      data["weights_sha256"] = weights_hash(self.metric.trunk, self.metric.channel_weights)
    return data

  def require_fits(self, task, size):
    """Raises `UserError` unless targets of a size are large enough for the metric.

    Args:
      task: what the targets are of, for the message.
      size: their height and width in pixels.
    """
    if self.metric is None:
      return
    least = self.metric.smallest_side
    if min(size) < least:
      taps = f" at {', '.join(self.metric.taps)}" if self._has_network else ""
      advice = "; choose an earlier tap" if self._has_network else ""
      raise UserError(f"The loss {self.metric.name}{taps} needs images of at least {least} pixels "
                      f"a side; those of {task} have {size[1]}x{size[0]}{advice}.")

  def of_target(self, target):
    """Returns what `__call__` needs of targets: call it outside the tape, once a batch.

    Of the targets' features no gradient is ever needed, nor are they computed with the outputs'.
    """
    if not self._has_network:
      return target, None
    return target, keras.tree.map_structure(ops.stop_gradient, _features(self.metric, target))

  def __call__(self, of_target, output):
    """Returns the loss of each example, `[batch]` float32.

    Args:
      of_target: what `of_target` returned.
      output: the outputs.
    """
    target, features = of_target
    losses = sum(weight * _PIXEL_TERMS[name](target, output)
                 for name, weight in self._pixels.items())
    if self._has_network:
      losses += self._weight * self.metric.from_features(features, _features(self.metric, output))
    elif self.metric is not None:
      sign = 1.0 if self.metric.lower_is_better else -1.0
      losses += sign * self._weight * self.metric.compare_prediction(target, output)
    return losses


def _unset(names):
  """Returns the bindings that take options away, which a gin file may have set."""
  return ", ".join(f"loss.{name} = None" for name in names)


def _features(metric, images):
  """Returns `{tap: features}` of images whose values may overshoot the declared range."""
  features = metric.trunk(metric.preprocessing(images), training=False)
  return {tap: features[tap] for tap in metric.taps}


def _of_raw_images(metric):
  """Returns a metric whose network sees images in [0, 1]."""
  raw = copy.copy(metric)
  raw.preprocessing = dataclasses.replace(
      metric.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
  return raw


def _by_example(values):
  return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=1)


def _mse(target, output):
  return _by_example(ops.square(target - output))


def _mae(target, output):
  return _by_example(ops.absolute(target - output))


def _bce(target, output):
  return _by_example(keras.losses.binary_crossentropy(target, output))


_PIXEL_TERMS = {"mse": _mse, "mae": _mae, "bce": _bce}
