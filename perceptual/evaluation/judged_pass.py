"""One graph-compiled pass over a judged set: every distance at every tap, each image encoded once.

The three images of a triplet go through the network as one batch, and their features through each
distance's embedding; only then are pairs compared. Batches are padded to one static size, so that the
graph is traced once on any number of replicas, and results are put back in order by index.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from perceptual import distances as distance_table
from perceptual.data import classification, judged
from perceptual.errors import UserError

SUM = "sum"  # the name of all taps together, beside the taps' own names


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
      distances: names of the distances to compute.
      batch_size: triplets (or pairs) a batch, over all replicas.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles the step: the way on GPU and TPU, slow on CPU.
    """
    self.metric = metric
    self.distances = tuple(distance_table.get(name) for name in distances)
    self.strategy = strategy or tf.distribute.get_strategy()
    self.batch_size = batch_size
    replicas = self.strategy.num_replicas_in_sync
    if batch_size % replicas:
      raise UserError(f"batch_size {batch_size} is not a multiple of the {replicas} replicas.")
    self._replica_step = tf.function(self._distances, jit_compile=jit_compile or None,
                                     autograph=False)
    self._step = tf.function(self._gathered_step, autograph=False)

  def __call__(self, subset, kind, progress=None):
    """Returns the `Distances` of a `judged.Subset`.

    Args:
      subset: the subset.
      kind: `2afc` or `jnd`.
      progress: called with the number of examples done, after each batch.

    Raises:
      UserError: if a distance is NaN or infinite.
    """
    image_keys = judged.IMAGE_KEYS[kind]
    total = np.full([subset.size, len(image_keys) - 1, len(self.distances),
                     len(self.metric.taps)], np.nan)
    steps = 0
    for batch in self.strategy.distribute_datasets_from_function(
        lambda context: self._batches(subset, context)):
      index, values = (array.numpy() for array in self._step(batch))
      real = index >= 0
      total[index[real]] = values[real]
      steps += 1
      if progress is not None:
        progress(min(steps * self.batch_size, subset.size))
    self._check_finite(total, subset)
    total = np.concatenate([total, total.sum(axis=-1, keepdims=True)], axis=-1)
    return Distances(tuple(d.name for d in self.distances), (*self.metric.taps, SUM), total)

  def _batches(self, subset, context):
    return classification.padded_batches(
        subset.images, subset.size, context.get_per_replica_batch_size(self.batch_size),
        (context.input_pipeline_id, context.num_input_pipelines))

  def _gathered_step(self, batch):
    values = self.strategy.run(self._replica_step, args=(batch,))
    return (self.strategy.gather(batch["index"], axis=0), self.strategy.gather(values, axis=0))

  def _distances(self, batch):
    """Returns `[batch, candidates, distances, taps]` float32 for one replica's batch."""
    keys = [key for keys in judged.IMAGE_KEYS.values() for key in keys if key in batch]
    keys = list(dict.fromkeys(keys))
    features = self.metric.features(tf.concat([batch[key] for key in keys], axis=0))
    by_distance = []
    for distance in self.distances:
      by_tap = [_to_reference(distance, features[tap], len(keys)) for tap in self.metric.taps]
      by_distance.append(tf.stack(by_tap, axis=-1))
    return tf.stack(by_distance, axis=2)

  def _check_finite(self, values, subset):
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
      example, _, distance, tap = bad[0]
      raise UserError(
          f"The {self.distances[distance].name} distance at {self.metric.taps[tap]} of "
          f"{self.metric.network} is not finite for example {example} of {subset.name}: the weights "
          "are not fit for use (did training diverge?).")


def _to_reference(distance, features, images):
  """Distances of all candidates to the reference, `[batch, candidates]`.

  Args:
    distance: `distances.Distance`.
    features: `[images x batch, ...]`, the reference's first.
    images: number of images of an example: the reference and its candidates.
  """
  embedding = distance.embed(features)
  parts = [tf.split(part, images) for part in tf.nest.flatten(embedding)]
  each = [tf.nest.pack_sequence_as(embedding, [part[i] for part in parts]) for i in range(images)]
  return tf.stack([distance.between(each[0], candidate) for candidate in each[1:]], axis=1)
