"""One pass over a judged set: every distance at every tap, each image encoded once.

`measures` says what is computed of a batch, `graph_steps` how TensorFlow does it and `array_steps`
how the other backends do.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from perceptual.common import precision
from perceptual.data.judged import judged_sets
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
  """Computes distances for judged sets; may hold a compiled step, so reuse it."""

  def __init__(self, metric, *, distances, batch_size=64, strategy=None, jit_compile=False):
    """Makes the pass.

    Args:
      metric: any metric that `loading.load_metric` returns.
      distances: names of the distances to compute between the features of its network, as
        `FeatureMetric.at_taps` takes them; None to call the metric as it is, with a network or
        without.
      batch_size: triplets (or pairs) a batch, over all replicas.
      strategy: `tf.distribute.Strategy`; None for the current one, and on other backends.
      jit_compile: on TensorFlow, whether XLA compiles the step: the way on GPU and TPU, slow on
        CPU.

    Raises:
      UserError: if the batch size is not a multiple of the number of replicas.
    """
    self.metric = metric
    self._measure = (measures.Whole(metric) if distances is None
                     else measures.OfFeatures(metric, distances))
    self.distances = self._measure.distances
    self._steps = _steps()(
        self._measure, batch_size=batch_size, strategy=strategy, jit_compile=jit_compile)

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
    candidates = len(judged_sets.IMAGE_KEYS[kind]) - 1
    values = np.full([subset.size, candidates, len(self.distances), len(taps) or 1], np.nan)
    with precision.full_float32():
      for index, found in self._steps(subset):
        values[index] = found
        if progress is not None:
          progress(len(index))
    self._check_distances(values, subset)
    if taps:
      values = np.concatenate([values, values.sum(axis=-1, keepdims=True)], axis=-1)
    return Distances(self.distances, (*taps, SUM), values)

  def replica_step(self, subset):
    """Returns what one replica runs in a step, a `tf.function`, and the spec of its batch.

    On TensorFlow alone.
    """
    return self._steps.of_replica(subset)

  def _check_weights(self):
    # Distances do not tell: some kernels of ReLU make 0 of NaN.
    weights = list(self._measure.weights)
    if not weights:
      return
    # Found out on the device, from which one value of each weight comes.
    finite = ops.convert_to_numpy(
        ops.stack([ops.all(ops.isfinite(weight.value)) for weight in weights]))
    if not finite.all():
      raise UserError(
          f"Weight {weights[int(np.argmin(finite))].path} of {self.metric.name} is not finite: the "
          "weights are not fit for use (did training diverge?).")

  def _check_distances(self, values, subset):
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
      example, _, distance, tap = bad[0]
      what = f"{self.distances[distance]} distance".lstrip()
      where = f" at {self._measure.taps[tap]}" if self._measure.taps else ""
      raise UserError(
          f"The {what}{where} of {self.metric.name} is not finite for example {example} of "
          f"{subset.name}: the weights are not fit for use (did training diverge?).")


def _steps():
  if keras.backend.backend() == "tensorflow":
    from perceptual.evaluation.graph_steps import GraphSteps

    return GraphSteps
  from perceptual.evaluation.array_steps import ArraySteps

  return ArraySteps
