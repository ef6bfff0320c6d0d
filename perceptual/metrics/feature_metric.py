"""A perceptual metric: preprocessing, a network's feature taps, and a distance between features.

`distance(x, y) = sum over taps of d(features_tap(x), features_tap(y))`, as in Zhang et al. 2018 and
Kumar et al. 2022. Everything here is `keras.ops`; nothing is trained.
"""

import copy
import functools
import hashlib

import keras
import numpy as np
from keras import ops

from perceptual import models
from perceptual.errors import UserError
from perceptual.metrics import base, distances, masks, networks
from perceptual.metrics.versions import versions
from perceptual.models import preprocessing
from perceptual.models import taps as feature_taps


class FeatureMetric(base.Metric):
  """A distance between images; lower is better. It keeps the contract of `base.Metric`.

  Attributes:
    trunk: a Keras model from normalised images to `{tap: features}`.
    taps: names of the taps, in network order.
    distance: `distances.Distance`.
    channel_weights: `{tap: [channels] float32}`, the learned weights of LPIPS; None without.
    learned: how they were learned, plain data; None if that is not known.
    tap_distances: `{tap: distances.Distance}`: `distance`, or `lin` with the tap's weights.
  """

  has_taps = True
  has_map = True

  def __init__(self, model, *, name, options=None, taps=None, distance="local",
               channel_weights=None, learned=None, preprocess=preprocessing.IMAGENET,
               required_side=1, trained=None):
    """Makes a metric of a model.

    Args:
      model: a Keras functional model with feature taps.
      name: what the metric is called: of a network that `models.build` knows, its name there.
      options: the options the network was built with, for the fingerprint.
      taps: names of the taps to use; None for all.
      distance: name of the distance, or of a sum as `local+sort`.
      channel_weights: `{tap: [channels]}`, learned weights for the channels of every tap, not
        negative, which make of the distance `local` the `lin` of LPIPS; None for no weights.
      learned: how they were learned, for the fingerprint.
      preprocess: `preprocessing.Preprocessing` of the images.
      required_side: the least side of an image in pixels, where smaller ones are refused though the
        network could take them.
      trained: the checkpoint and step of a run directory's weights; see `base.Metric`.

    Raises:
      UserError: if a tap or the distance is unknown, or the weights do not fit.
    """
    super().__init__(name, options=options or {}, lower_is_better=True, preprocess=preprocess,
                     trained=trained)
    self.trunk = feature_taps.select_taps(model, taps)
    used = [tap for tap in feature_taps.list_taps(model) if tap.name in self.trunk.output]
    self.taps = tuple(tap.name for tap in used)
    self.distance = distances.get(distance)
    self.channel_weights = channel_weights and _fitting(channel_weights, used, self.distance)
    self.learned = learned
    self.tap_distances = {
        tap: distances.linear(self.channel_weights[tap]) if channel_weights else self.distance
        for tap in self.taps}
    self.required_side = required_side

  @functools.cached_property
  def smallest_side(self):
    """The least height and width of the images, in pixels, that the taps of this network need."""
    return max(self.required_side, networks.smallest_side(self.trunk))

  def at_taps(self, name):
    """Returns `{tap: distances.Distance}` of a distance between this metric's features.

    Args:
      name: the name of any distance, or `lin` if the metric has weights for its channels.

    Raises:
      UserError: there is none of that name.
    """
    if name == self.distance_name:
      return self.tap_distances
    return dict.fromkeys(self.taps, distances.get(name))

  @property
  def distance_name(self):
    """The name of the distance at the taps: `lin` if the channels have weights."""
    return self.tap_distances[self.taps[0]].name

  def __call__(self, reference, candidate, mask=None):
    """Returns the distance `[batch]` float32 between images `[batch, height, width, 3]`.

    Args:
      reference: the images, or `[batch, height, width, 1]` for greyscale; uint8 or float.
      candidate: the same shape and dtype.
      mask: `[batch, height, width]`, 1 where a pixel counts and 0 where it does not: differences
        there play no part (see `masks`). None if all count. For distances that keep places apart:
        local, lin, correlation and l2.

    Raises:
      UserError: as for any metric, if the mask does not fit these images or counts no pixel, or if
        the distance cannot be masked.
    """
    if mask is None:
      return super().__call__(reference, candidate)
    return self._total(self.per_tap(reference, candidate, mask))

  def per_tap(self, reference, candidate, mask=None):
    """Returns `{tap: [batch] float32}`, terms whose sum is the distance. Arguments: a call's."""
    if mask is None:
      return super().per_tap(reference, candidate)
    if any(distance.by_place is None for distance in self.tap_distances.values()):
      raise UserError("A mask goes with the distances local, lin, correlation and l2, not with "
                      f"{self.distance_name}, which does not keep places apart.")
    return self._run(self._masked_per_tap, {"reference": reference, "candidate": candidate},
                     mask=mask)

  @property
  def trunk_key(self):
    """A hashable: metrics of equal ones have equal features of equal images."""
    return self.name, weights_hash(self.trunk), self.taps, self.preprocessing

  def from_features(self, reference, candidate):
    """Returns the distance `[batch]` float32 between images of which `features` were computed."""
    return distances.summed(self.tap_distances, reference, candidate)

  def terms_from_features(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is `from_features`."""
    return distances.per_tap(self.tap_distances, reference, candidate)

  def with_tap_distances(self, tap_distances):
    """Returns this metric with other distances at its taps: `{tap: distances.Distance}`."""
    metric = copy.copy(self)
    metric.tap_distances = tap_distances
    return metric

  def loaded_from(self, source):
    """Returns this metric with the arguments that load it again, and with its network frozen.

    PyTorch would otherwise compute gradients for the network's weights, and accumulate them.
    """
    self.trunk.trainable = False
    return super().loaded_from(source)

  @property
  def fingerprint(self):
    """What makes this metric this metric, as plain data for JSON."""
    return {
        "name": self.name,
        "options": self.options,
        "weights_sha256": weights_hash(self.trunk, self.channel_weights),
        "taps": list(self.taps),
        "distance": self.distance_name,
        **({"learned": self.learned} if self.learned else {}),
        "lower_is_better": True,
        "dtype": networks.dtype_of(self.trunk),
        "preprocessing": {
            "mean": list(self.preprocessing.mean), "std": list(self.preprocessing.std),
            "uint8_range": list(preprocessing.UINT8_RANGE),
            "float_range": list(self.preprocessing.float_range),
        },
        "versions": versions(),
    }

  def _values(self, reference, candidate):
    return self._total(self._per_tap(reference, candidate))

  def _distances(self, *images):
    return tuple(distances.summed_to_reference(self.tap_distances, *self._encoded(*images)))

  def _per_tap(self, reference, candidate):
    return distances.per_tap(self.tap_distances, *self._encoded(reference, candidate))

  def _masked_per_tap(self, reference, candidate, mask):
    reference_features, candidate_features = self._encoded(
        reference, masks.filled(reference, candidate, mask))
    return {
        tap: masks.mean_inside(distances.spatial_map(
            reference_features[tap], candidate_features[tap], self.tap_distances[tap]), mask)
        for tap in self.taps}

  def _map(self, reference, candidate):
    """Maps of the taps, resized bilinearly to the images' size and summed, as LPIPS does.

    They are of the metric's own distance, or of `local` if that does not keep places apart.
    """
    return distances.spatial_map_at(
        *self._encoded(reference, candidate), ops.shape(reference)[1:3], self.tap_distances)

  def _features(self, images):
    features = self.trunk(self.preprocessing(images), training=False)
    return {tap: features[tap] for tap in self.taps}  # PyTorch's backend sorts them by name

  def _encoded(self, *images):
    """Features of several batches of images, from one pass of the network over them all."""
    return distances.split(self._features(ops.concatenate(images, axis=0)), len(images))

  def _total(self, per_tap):
    return sum(per_tap[tap] for tap in self.taps)

  def _about(self):
    taps = self.taps if len(self.taps) < 3 else (f"{self.taps[0]}..{self.taps[-1]}",)
    dtype = networks.dtype_of(self.trunk)
    return [f"taps {', '.join(taps)}", f"distance {self.distance_name}",
            *([] if dtype == "float32" else [dtype])]


def random_init(metric, seed=0):
  """Returns a metric with the network's initial weights, drawn from a seed; all else is the same.

  Keras's, NumPy's and Python's global seeds are set on the way.

  Args:
    metric: `FeatureMetric` of a network known to `models.build`.
    seed: a non-negative integer.
  """
  keras.utils.set_random_seed(seed)
  with networks.made_in(networks.dtype_of(metric.trunk)):
    model = models.build_at_random(metric.name, **metric.options)
  return FeatureMetric(
      model, name=f"{metric.name}, random init",
      options=metric.options, taps=metric.taps, distance=metric.distance.name,
      channel_weights=metric.channel_weights, preprocess=metric.preprocessing)


def weights_hash(model, channel_weights=None):
  """Returns the SHA-256 of a model's weights: names, shapes, dtypes and bytes, in network order.

  Args:
    model: a Keras model.
    channel_weights: a metric's, which follow those of the model; or None.
  """
  named = [(variable.path, ops.convert_to_numpy(variable.value)) for variable in model.weights]
  named += [(f"{tap}/channel_weights", value) for tap, value in (channel_weights or {}).items()]
  digest = hashlib.sha256()
  for name, value in named:
    digest.update(f"{name} {value.shape} {value.dtype}\n".encode())
    digest.update(np.ascontiguousarray(value).tobytes())
  return digest.hexdigest()


def _fitting(channel_weights, taps, distance):
  """Returns channel weights as float32 arrays in the order of `taps`, if they fit these."""
  if distance.name != "local":
    raise UserError(f"Channel weights go with the distance local, not with {distance.name}.")
  if set(channel_weights) != {tap.name for tap in taps}:
    raise UserError(f"Channel weights are for the taps {', '.join(channel_weights)}; those of the "
                    f"metric are {', '.join(tap.name for tap in taps)}.")
  fitting = {tap.name: np.asarray(channel_weights[tap.name], "float32") for tap in taps}
  for tap in taps:
    weights = fitting[tap.name]
    if weights.shape != (tap.channels,):
      raise UserError(f"Tap {tap.name} has {tap.channels} channels, but weights of shape "
                      f"{list(weights.shape)}.")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
      raise UserError(f"The channel weights of tap {tap.name} must be finite and not negative.")
  return fitting
