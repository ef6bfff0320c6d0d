"""The way back from a run directory to a metric: of a network, or a learned one."""

import keras

from perceptual.metrics import networks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing
from perceptual.training import learned_distance, model_dir, trunks

LEARNED = "lin"  # the distance with the weights that were learned


def load(path, checkpoint="best_score", *, distance=None, taps=None,
         preprocess=preprocessing.IMAGENET, dtype="float32"):
  """Returns the metric of a run directory, and the step of its weights: `(Metric, step)`.

  Args:
    path: a folder of `perceptual train` or `perceptual learn`.
    checkpoint: one of `model_dir.CHECKPOINTS`, or a `step-N` that was kept.
    distance: name of the distance. None for `lin` where channel weights were learned, and for
      `local` elsewhere. Of a learned metric another one leaves out its weights.
    taps: names of the taps; None for all that there are.
    preprocess: `preprocessing.Preprocessing`.
    dtype: what the network computes in, one of `networks.DTYPES`.

  Raises:
    UserError: if there is no such folder, checkpoint, tap, distance or dtype, or its weights do not
      fit.
  """
  about = model_dir.ModelDir(path).read_learned()
  with networks.made_in(dtype):
    model, network, options, step = (
        model_dir.load_network(path, checkpoint) if about is None
        else _load_learned(path, checkpoint, about))
  parts = {"name": network, "options": options, "preprocess": preprocess,
           "trained": {"checkpoint": checkpoint, "step": step}}
  if about is None:
    return FeatureMetric(model, taps=taps, distance=distance or "local", **parts), step
  parts["taps"] = taps = list(model.channel_weights) if taps is None else taps
  if distance not in (None, LEARNED):
    return FeatureMetric(model.trunk, distance=distance, **parts), step
  weights = {tap: keras.ops.convert_to_numpy(weights)
             for tap, weights in model.channel_weights.items() if tap in taps}
  return FeatureMetric(model.trunk, channel_weights=weights, learned=about, **parts), step


def _load_learned(path, checkpoint, about):
  """Returns (model, network, options, step), as `model_dir.load_network`, of a learned distance."""
  folder = model_dir.ModelDir(path)
  network, options = folder.read_network()
  latest = folder.require_latest(checkpoint)
  model = learned_distance.LearnedDistance(trunks.build(network, options, about["taps"]))
  return model, network, options, model_dir.assign_weights(model, latest)
