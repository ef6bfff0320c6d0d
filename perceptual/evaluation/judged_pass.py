"""One graph-compiled pass over a judged set: every distance at every tap, each image encoded once.

The images of a batch's triplets go through the network together, and their features through each
distance's embedding; only then are pairs compared. Batches are padded to one static size, so that
the graph is traced once on any number of replicas, and results are put back in order by index.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from perceptual.data import classification, judged
from perceptual.errors import UserError

SUM = "sum"  # the name of all taps together, beside the taps' own names

# Bytes that the embeddings of one slice of a batch may take. Style's are channels x channels an
# image, 16 MB at 2048 channels: where a batch's would take more, it is compared in slices.
SLICE_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class Distances:
  """The distances of one metric's trunk on one subset.

  Attributes:
    distances: names of the distances.
    taps: names of the taps, then `SUM`.
    values: `[examples, candidates, distances, taps]` float64; two candidates for 2AFC, one for JND.
  """

  distances: tuple[str, ...]
  taps: tuple[str, ...]
  values: np.ndarray

  def at(self, distance, tap=SUM):
    """Returns `[examples, candidates]`: one distance at one tap, or summed over taps."""
    return self.values[:, :, self.distances.index(distance), self.taps.index(tap)]


class JudgedPass:
  """Computes distances for judged sets; holds the compiled step, so reuse it."""

  def __init__(self, metric, *, distances, batch_size=64, strategy=None, jit_compile=False):
    """Makes the pass.

    Args:
      metric: `metric.Metric`; its trunk, taps and preprocessing are used.
      distances: names of the distances to compute, as `Metric.at_taps` takes them.
      batch_size: triplets (or pairs) a batch, over all replicas.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles the step: the way on GPU and TPU, slow on CPU.
    """
    self.metric = metric
    self._at_taps = [metric.at_taps(name) for name in distances]
    self.distances = tuple(at_taps[metric.taps[0]].name for at_taps in self._at_taps)
    self.strategy = strategy or tf.distribute.get_strategy()
    self.batch_size = batch_size
    replicas = self.strategy.num_replicas_in_sync
    if batch_size % replicas:
      raise UserError(f"batch_size {batch_size} is not a multiple of the {replicas} replicas.")
    replica_step = tf.function(self._distances, jit_compile=jit_compile or None, autograph=False)
    self._step = tf.function(
        lambda batch: self.strategy.run(replica_step, args=(batch,)), autograph=False)

  def __call__(self, subset, kind, progress=None):
    """Returns the `Distances` of a `judged.Subset`.

    Args:
      subset: the subset.
      kind: `2afc` or `jnd`.
      progress: called after each batch with the number of examples in it.

    Raises:
      UserError: if a weight or a distance is NaN or infinite.
    """
    self._check_weights()
    values = np.full([subset.size, len(judged.IMAGE_KEYS[kind]) - 1, len(self.distances),
                      len(self.metric.taps)], np.nan)
    batches = self.strategy.distribute_datasets_from_function(
        lambda context: self._batches(subset, context))
    for batch in batches:
      index, found = self._gathered(batch["index"]), self._gathered(self._step(batch))
      real = index >= 0
      values[index[real]] = found[real]
      if progress is not None:
        progress(int(real.sum()))
    self._check_distances(values, subset)
    values = np.concatenate([values, values.sum(axis=-1, keepdims=True)], axis=-1)
    return Distances(self.distances, (*self.metric.taps, SUM), values)

  def _batches(self, subset, context):
    return classification.padded_batches(
        subset.images, subset.size, context.get_per_replica_batch_size(self.batch_size),
        shard=(context.input_pipeline_id, context.num_input_pipelines),
        replicas=context.num_replicas_in_sync // context.num_input_pipelines)

  def _gathered(self, values):
    """The values of all replicas as one NumPy array."""
    local = self.strategy.experimental_local_results(values)
    if len(local) < self.strategy.num_replicas_in_sync:  # other hosts have the rest
      return self.strategy.gather(values, axis=0).numpy()
    return np.concatenate([value.numpy() for value in local])

  def _distances(self, batch):
    """Returns `[batch, candidates, distances, taps]` float32 for one replica's batch."""
    keys = next(keys for keys in judged.IMAGE_KEYS.values() if set(keys) < set(batch))
    images = tf.stack([batch[key] for key in keys], axis=1)
    features = self.metric.features(tf.reshape(images, [-1, *images.shape[2:]]))
    return tf.stack([
        tf.stack([_to_reference(at_taps[tap], features[tap], len(keys))
                  for tap in self.metric.taps], axis=-1)
        for at_taps in self._at_taps], axis=2)

  def _check_weights(self):
    # Distances do not tell: some kernels of ReLU make 0 of NaN.
    for weight in self.metric.trunk.weights:
      if not np.isfinite(weight.numpy()).all():
        raise UserError(f"Weight {weight.path} of {self.metric.network} is not finite: the weights "
                        "are not fit for use (did training diverge?).")

  def _check_distances(self, values, subset):
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
      example, _, distance, tap = bad[0]
      raise UserError(
          f"The {self.distances[distance]} distance at {self.metric.taps[tap]} of "
          f"{self.metric.network} is not finite for example {example} of {subset.name}: the "
          "weights are not fit for use (did training diverge?).")


def _to_reference(distance, features, images):
  """Distances of all candidates to the reference, `[batch, candidates]` float32.

  Args:
    distance: `distances.Distance`.
    features: `[batch x images, ...]`, the images of an example one after another, the reference's
      first.
    images: number of images of an example: the reference and its candidates.
  """
  def compare(features):
    embedding = distance.embed(features)
    each = [tf.nest.map_structure(lambda part: part[i::images], embedding)  # noqa: B023
            for i in range(images)]
    return tf.stack([distance.between(each[0], candidate) for candidate in each[1:]], axis=1)

  slices = _slices(distance, features, images)
  if slices == 1:
    return compare(features)
  parts = tf.reshape(features, [slices, -1, *features.shape[1:]])
  found = tf.map_fn(compare, parts, fn_output_signature=tf.float32, parallel_iterations=1)
  return tf.reshape(found, [-1, images - 1])


def _slices(distance, features, images):
  """Into how many equal slices to cut a batch so that each one's embeddings fit `SLICE_BYTES`."""
  batch = features.shape[0] // images
  # In a graph this computes nothing: only the shape of one image's embedding is looked at.
  image_bytes = sum(part.shape.num_elements() * part.dtype.size
                    for part in tf.nest.flatten(distance.embed(features[:1])))
  fitting = max(1, SLICE_BYTES // (image_bytes * images))
  return next(n for n in range(1, batch + 1) if batch % n == 0 and batch // n <= fitting)
