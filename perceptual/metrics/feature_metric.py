"""A perceptual metric: preprocessing, a network's feature taps, and a distance between features.

`distance(x, y) = sum over taps of d(features_tap(x), features_tap(y))`, as in Zhang et al. 2018 and
Kumar et al. 2022. Everything here is `keras.ops`; nothing is trained.
"""

import hashlib
import importlib

import keras
import numpy as np
from keras import ops

from perceptual import models
from perceptual.errors import UserError
from perceptual.metrics import distances, masks
from perceptual.models import preprocessing
from perceptual.models import taps as feature_taps
from perceptual.version import __version__


class FeatureMetric:
  """A distance between images; lower is better.

  Attributes:
    network: the name of the network, or of the baseline.
    options: the options the network was built with.
    trunk: a Keras model from normalised images to `{tap: features}`.
    taps: names of the taps, in network order.
    distance: `distances.Distance`.
    channel_weights: `{tap: [channels] float32}`, the learned weights of LPIPS; None without.
    learned: how they were learned, plain data; None if that is not known.
    tap_distances: `{tap: distances.Distance}`: `distance`, or `lin` with the tap's weights.
    preprocessing: `preprocessing.Preprocessing`.
    lower_is_better: True.
  """

  lower_is_better = True

  def __init__(self, model, *, network, options=None, taps=None, distance="local",
               channel_weights=None, learned=None, preprocess=preprocessing.IMAGENET):
    """Makes a metric of a model.

    Args:
      model: a Keras functional model with feature taps.
      network: its name, for the fingerprint.
      options: the options it was built with, for the fingerprint.
      taps: names of the taps to use; None for all.
      distance: name of the distance.
      channel_weights: `{tap: [channels]}`, learned weights for the channels of every tap, not
        negative, which make of the distance `local` the `lin` of LPIPS; None for no weights.
      learned: how they were learned, for the fingerprint.
      preprocess: `preprocessing.Preprocessing` of the images.

    Raises:
      UserError: if a tap or the distance is unknown, or the weights do not fit.
    """
    self.network = network
    self.options = dict(options or {})
    self.trunk = feature_taps.select_taps(model, taps)
    used = [tap for tap in feature_taps.list_taps(model) if tap.name in self.trunk.output]
    self.taps = tuple(tap.name for tap in used)
    self.distance = distances.get(distance)
    self.channel_weights = channel_weights and _fitting(channel_weights, used, self.distance)
    self.learned = learned
    self.tap_distances = {
        tap: distances.linear(self.channel_weights[tap]) if channel_weights else self.distance
        for tap in self.taps}
    self.preprocessing = preprocess

  def at_taps(self, name):
    """Returns `{tap: distances.Distance}` of a distance between this metric's features.

    Args:
      name: the name of any distance, or `lin` if the metric has weights for its channels.

    Raises:
      UserError: there is none of that name.
    """
    if name == self.tap_distances[self.taps[0]].name:
      return self.tap_distances
    return dict.fromkeys(self.taps, distances.get(name))

  def features(self, images):
    """Returns `{tap: features}` of images `[batch, height, width, 3]`, uint8 or float.

    Raises:
      UserError: if they have another shape or dtype, or values outside the declared range (which
        only an eager call can see).
    """
    images = ops.convert_to_tensor(images)
    self.preprocessing.check(images)
    return self._features(images)

  def __call__(self, reference, candidate, mask=None):
    """Returns the distance `[batch]` float32 between images `[batch, height, width, 3]`.

    Args:
      reference: the images, or `[batch, height, width, 1]` for greyscale; uint8 or float.
      candidate: the same shape and dtype.
      mask: `[batch, height, width]`, 1 where a pixel counts and 0 where it does not: differences
        there play no part (see `masks`). None if all count. For the distances local and lin.

    Raises:
      UserError: as `features`, if the two differ in shape or dtype, if the mask is none for these
        images or counts nothing, or if the distance knows no mask.
    """
    per_tap = self.per_tap(reference, candidate, mask)
    return sum(per_tap[tap] for tap in self.taps)

  def per_tap(self, reference, candidate, mask=None):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the distance."""
    if mask is not None:
      return self._masked_per_tap(reference, candidate, mask)
    return distances.per_tap(
        self.tap_distances, *self._encode(reference=reference, candidate=candidate))

  def two_afc(self, reference, candidate_0, candidate_1):
    """Returns both candidates' distances, each `[batch]` float32, for `scores`.

    The reference is encoded and embedded once.

    Raises:
      UserError: as a call.
    """
    reference, *candidates = self._encode(
        reference=reference, candidate_0=candidate_0, candidate_1=candidate_1)
    totals = [0.0, 0.0]
    for tap, distance in self.tap_distances.items():
      embedded = distance.embed(reference[tap])
      for i, candidate in enumerate(candidates):
        totals[i] += distance.between(embedded, distance.embed(candidate[tap]))
    return tuple(totals)

  def spatial_map(self, reference, candidate):
    """Returns where two images differ: `[batch, height, width]` float32, by the local distance.

    Maps of the taps are resized bilinearly to the images' size and summed; channels are weighted if
    the metric has weights for them, as LPIPS does with `spatial=True`. Otherwise the metric's own
    distance plays no part, as most tell nothing of places.
    """
    features = self._encode(reference=reference, candidate=candidate)
    return distances.spatial_map_at(
        *features, ops.shape(reference)[1:3], self.channel_weights)

  @property
  def trunk_key(self):
    """A hashable: metrics of equal ones have equal features of equal images."""
    return self.network, weights_hash(self.trunk), self.taps, self.preprocessing

  def from_features(self, reference, candidate):
    """Returns the distance `[batch]` float32 between images of which `features` were computed."""
    return distances.summed(self.tap_distances, reference, candidate)

  def _masked_per_tap(self, reference, candidate, mask):
    if self.distance.name != "local":
      raise UserError(f"A mask goes with the distances local and lin, not with "
                      f"{self.distance.name}, which tells nothing of places.")
    reference, candidate, mask = map(ops.convert_to_tensor, (reference, candidate, mask))
    self.preprocessing.check(candidate, "candidate")  # all of it, before a part is replaced
    preprocessing.check_pair(reference, candidate)
    masks.check(mask, reference)
    reference, candidate = self._encode(
        reference=reference, candidate=masks.filled(reference, candidate, mask))
    weights = self.channel_weights or {}
    return {
        tap: masks.mean_inside(
            distances.spatial_map(reference[tap], candidate[tap], weights.get(tap)), mask)
        for tap in self.taps}

  def _encode(self, **images):
    """Features of images by their names for errors, from one pass of the network over them all."""
    images = {name: ops.convert_to_tensor(image) for name, image in images.items()}
    for name, image in images.items():
      self.preprocessing.check(image, name)
      preprocessing.check_pair(images["reference"], image)
    together = self._features(ops.concatenate(list(images.values()), axis=0))
    parts = {tap: ops.split(features, len(images), axis=0) for tap, features in together.items()}
    return [{tap: part[i] for tap, part in parts.items()} for i in range(len(images))]

  def _features(self, images):
    features = self.trunk(self.preprocessing(images), training=False)
    return {tap: features[tap] for tap in self.taps}  # PyTorch's backend sorts them by name

  @property
  def fingerprint(self):
    """What makes this metric this metric, as plain data for JSON."""
    return {
        "network": self.network,
        "options": self.options,
        "weights_sha256": weights_hash(self.trunk, self.channel_weights),
        "taps": list(self.taps),
        "distance": self.tap_distances[self.taps[0]].name,
        **({"learned": self.learned} if self.learned else {}),
        "lower_is_better": True,
        "preprocessing": {
            "mean": list(self.preprocessing.mean), "std": list(self.preprocessing.std),
            "uint8_range": list(preprocessing.UINT8_RANGE),
            "float_range": list(self.preprocessing.float_range),
        },
        "versions": {"perceptual": __version__, "keras": keras.version(),
                     keras.backend.backend(): _backend_version()},
    }


def random_init(metric, seed=0):
  """Returns a metric with the network's initial weights, drawn from a seed; all else is the same.

  Keras's, NumPy's and Python's global seeds are set on the way.

  Args:
    metric: `Metric` of a network known to `models.build`.
    seed: a non-negative integer.
  """
  keras.utils.set_random_seed(seed)
  return FeatureMetric(
      models.build_at_random(metric.network, **metric.options),
      network=f"{metric.network}, random init",
      options=metric.options, taps=metric.taps, distance=metric.distance.name,
      channel_weights=metric.channel_weights, preprocess=metric.preprocessing)


def pixel_l2():
  """Returns the baseline: mean squared difference of pixels in [0, 1], the L2 of Zhang et al."""
  image = keras.Input([None, None, 3], name="image")
  pixels = feature_taps.Tap(stride=1, name="pixels")(image)
  model = keras.Model(image, {"pixels": pixels}, name="pixels")
  as_they_are = preprocessing.Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
  return FeatureMetric(model, network="pixels", distance="l2", preprocess=as_they_are)


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


def _backend_version():
  return importlib.import_module(keras.backend.backend()).__version__
