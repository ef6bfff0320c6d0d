"""The batches of a judged subset as TensorFlow measures them: graph-compiled, on several devices.

Batches are padded to one static size, so that the graph is traced once on any number of replicas.
"""

import numpy as np
import tensorflow as tf

from perceptual.data import pipelines
from perceptual.data.judged import judged_sets
from perceptual.data.labelled import classification
from perceptual.errors import UserError


class GraphSteps:
  """Gives what is measured of each batch; holds the compiled step."""

  def __init__(self, measure, *, batch_size, strategy=None, jit_compile=False):
    """Makes the steps; arguments as `judged_pass.JudgedPass` takes them.

    Raises:
      UserError: if the batch size is not a multiple of the number of replicas.
    """
    self._measure = measure
    self._strategy = strategy or tf.distribute.get_strategy()
    self._batch_size = batch_size
    replicas = self._strategy.num_replicas_in_sync
    if batch_size % replicas:
      raise UserError(f"batch_size {batch_size} is not a multiple of the {replicas} replicas.")
    self._replica_step = tf.function(
        self._of_batch, jit_compile=jit_compile or None, autograph=False)
    self._step = tf.function(
        lambda batch: self._strategy.run(self._replica_step, args=(batch,)), autograph=False)

  def __call__(self, subset):
    """Yields the places in a `judged_sets.Subset` of each batch's examples, and their measures."""
    for batch in self._distributed(subset):
      index, found = self._gathered(batch["index"]), self._gathered(self._step(batch))
      real = index >= 0
      yield index[real], found[real]

  def of_replica(self, subset):
    """Returns what one replica runs in a step, a `tf.function`, and the spec of its batch."""
    return self._replica_step, self._distributed(subset).element_spec

  def _distributed(self, subset):
    return pipelines.distributed(
        self._strategy, lambda context: self._batches(subset, context))

  def _batches(self, subset, context):
    return classification.padded_batches(
        subset.images, subset.size, context.get_per_replica_batch_size(self._batch_size),
        shard=(context.input_pipeline_id, context.num_input_pipelines),
        replicas=context.num_replicas_in_sync // context.num_input_pipelines)

  def _gathered(self, values):
    """The values of all replicas as one NumPy array."""
    local = self._strategy.experimental_local_results(values)
    if len(local) < self._strategy.num_replicas_in_sync:  # other hosts have the rest
      return self._strategy.gather(values, axis=0).numpy()
    return np.concatenate([value.numpy() for value in local])

  def _of_batch(self, batch):
    """Returns `[batch, candidates, distances, taps]` float32 for one replica's batch."""
    keys = next(keys for keys in judged_sets.IMAGE_KEYS.values() if set(keys) < set(batch))
    return self._measure([batch[key] for key in keys])
