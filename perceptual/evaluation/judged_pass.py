"""One graph-compiled pass over a judged set: every distance at every tap, each image encoded once.

`measures` says what is computed of a batch. Batches are padded to one static size, so that the
graph is traced once on any number of replicas, and results are put back in order by index.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from perceptual.data.judged import judged_sets
from perceptual.data.labelled import classification
from perceptual.errors import UserError
from perceptual.evaluation import measures

SUM = "sum"  # the name of all taps together, beside the taps' own names


@dataclasses.dataclass(frozen=True)
class Distances:
  """The distances of one metric on one subset.

  Attributes:
    distances: names of the distances.
    taps: names of the taps, then `SUM`; `SUM` alone of a metric called as it is.
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
      metric: whatever `loading.load_metric` returns.
      distances: names of the distances to compute between the features of its network, as
        `FeatureMetric.at_taps` takes them; None to call the metric as it is, with a network or
        without.
      batch_size: triplets (or pairs) a batch, over all replicas.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles the step: the way on GPU and TPU, slow on CPU.
    """
    self.metric = metric
    self._measure = (measures.Whole(metric) if distances is None
                     else measures.OfFeatures(metric, distances))
    self.distances = self._measure.distances
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
    taps = self._measure.taps
    values = np.full([subset.size, len(judged_sets.IMAGE_KEYS[kind]) - 1, len(self.distances),
                      len(taps) or 1], np.nan)
    batches = self.strategy.distribute_datasets_from_function(
        lambda context: self._batches(subset, context))
    for batch in batches:
      index, found = self._gathered(batch["index"]), self._gathered(self._step(batch))
      real = index >= 0
      values[index[real]] = found[real]
      if progress is not None:
        progress(int(real.sum()))
    self._check_distances(values, subset)
    if taps:
      values = np.concatenate([values, values.sum(axis=-1, keepdims=True)], axis=-1)
    return Distances(self.distances, (*taps, SUM), values)

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
    keys = next(keys for keys in judged_sets.IMAGE_KEYS.values() if set(keys) < set(batch))
    return self._measure([batch[key] for key in keys])

  def _check_weights(self):
    # Distances do not tell: some kernels of ReLU make 0 of NaN.
    for weight in self._measure.weights:
      if not np.isfinite(weight.numpy()).all():
        raise UserError(f"Weight {weight.path} of {self.metric.name} is not finite: the weights "
                        "are not fit for use (did training diverge?).")

  def _check_distances(self, values, subset):
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
      example, _, distance, tap = bad[0]
      what = f"{self.distances[distance]} distance".lstrip()
      where = f" at {self._measure.taps[tap]}" if self._measure.taps else ""
      raise UserError(
          f"The {what}{where} of {self.metric.name} is not finite for example {example} of "
          f"{subset.name}: the weights are not fit for use (did training diverge?).")
