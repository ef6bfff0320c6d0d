"""What is computed of a batch of a judged set: distances between features, or a metric as it is.

Everything here is `keras.ops`.
"""

import keras
import numpy as np
from keras import ops

from perceptual.metrics import distances

# Bytes that the embeddings of one slice of a batch may take. Style's are channels x channels an
# image, 16 MB at 2048 channels: where a batch's would take more, it is compared in slices.
SLICE_BYTES = 2**28


class OfFeatures:
  """Distances between the features of one network at every tap, each image encoded once.

  Attributes:
    distances: names of the distances.
    taps: names of the taps.
  """

  def __init__(self, metric, names):
    """Takes a `feature_metric.FeatureMetric` and names of distances as its `at_taps` takes them."""
    self._metric = metric
    self._at_taps = [metric.at_taps(name) for name in names]
    self.distances = tuple(at_taps[metric.taps[0]].name for at_taps in self._at_taps)
    self.taps = metric.taps

  @property
  def weights(self):
    return self._metric.trunk.weights

  def __call__(self, images):
    """Returns `[batch, candidates, distances, taps]` float32.

    Args:
      images: of the reference and of each candidate, `[batch, height, width, 3]`.
    """
    # The images of an example lie one after another, so that a slice holds whole examples.
    together = ops.reshape(ops.stack(images, axis=1), [-1, *images[0].shape[1:]])
    features = self._metric.features(together)
    return ops.stack([
        ops.stack([_to_reference(at_taps[tap], features[tap], len(images)) for tap in self.taps],
                  axis=-1)
        for at_taps in self._at_taps], axis=2)


class Whole:
  """A metric as it is called, with a network or without.

  Attributes:
    distances: the name of its distance alone; of a metric that is named by itself, empty.
    taps: none.
    weights: none that can be looked at.
  """

  taps = ()
  weights = ()

  def __init__(self, metric):
    """Takes any metric that `loading.load_metric` returns."""
    self._metric = metric
    self.distances = (metric.fingerprint.get("distance", ""),)

  def __call__(self, images):
    """Returns distances `[batch, candidates, 1, 1]` float32; arguments as `OfFeatures` has them.

    Those of a similarity are its values with their sign changed. An infinite value, as the PSNR of
    equal images, is the largest of float32: scores ask only which distance is the larger.
    """
    reference, *candidates = images
    if len(candidates) == 2:
      values = ops.stack(self._metric.two_afc(reference, *candidates), axis=1)
    else:
      sign = 1.0 if self._metric.lower_is_better else -1.0
      values = sign * ops.stack([self._metric(reference, image) for image in candidates], axis=1)
    largest = np.finfo(np.float32).max
    return ops.clip(values, -largest, largest)[:, :, None, None]


def _to_reference(distance, features, images):
  """Distances of all candidates to the reference, `[batch, candidates]` float32.

  Args:
    distance: `distances.Distance`.
    features: `[batch x images, ...]`, the images of an example one after another, the reference's
      first.
    images: number of images of an example: the reference and its candidates.
  """
  def compare(features):
    # Not `features[i::images]`: TensorFlow copies by strides element by element.
    examples = ops.reshape(features, [-1, images, *features.shape[1:]])
    each = [ops.squeeze(part, axis=1) for part in ops.split(examples, images, axis=1)]
    return ops.stack(distances.to_reference(distance, *each), axis=1)

  slices = _slices(distance, features, images)
  if slices == 1:
    return compare(features)
  def following(before, part):
    del before  # of what the one before it gave, only the shape is needed
    found = compare(part)
    return found, found

  # One slice after another, where `ops.map` lets TensorFlow have several in memory.
  parts = ops.reshape(features, [slices, -1, *features.shape[1:]])
  nothing = ops.zeros([parts.shape[1] // images, images - 1], "float32")
  _, found = ops.scan(following, nothing, parts)
  return ops.reshape(found, [-1, images - 1])


def _slices(distance, features, images):
  """Into how many equal slices to cut a batch so that each one's embeddings fit `SLICE_BYTES`."""
  batch = features.shape[0] // images
  # In a graph this computes nothing: only the shape of one image's embedding is used.
  image_bytes = sum(int(np.prod(part.shape)) * np.dtype(keras.backend.standardize_dtype(
      part.dtype)).itemsize for part in keras.tree.flatten(distance.embed(features[:1])))
  fitting = max(1, SLICE_BYTES // (image_bytes * images))
  return next(n for n in range(1, batch + 1) if batch % n == 0 and batch // n <= fitting)
