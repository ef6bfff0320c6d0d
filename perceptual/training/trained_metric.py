"""The way back from a run directory to a metric: of a network, or a learned one."""

import keras

from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing
from perceptual.training import learned_distance, model_dir, trunks

LEARNED = "lin"  # the distance with the weights that were learned


def load(path, checkpoint="best_score", *, distance=None, taps=None,
         preprocess=preprocessing.IMAGENET):
  """Returns the metric of a run directory, and the step of its weights: `(Metric, step)`.

  Args:
    path: a folder of `perceptual train` or `perceptual learn`.
    checkpoint: one of `model_dir.CHECKPOINTS`.
    distance: name of the distance. None for `lin` where channel weights were learned, and for
      `local` elsewhere. Of a learned metric another one leaves out its weights.
    taps: names of the taps; None for all that there are.
    preprocess: `preprocessing.Preprocessing`.

  Raises:
    UserError: if there is no such folder, checkpoint, tap or distance, or its weights do not fit.
  """
  about = model_dir.ModelDir(path).read_learned()
  if about is None:
    model, network, options, step = model_dir.load_network(path, checkpoint)
    return FeatureMetric(model, network=network, options=options, taps=taps,
                  distance=distance or "local", preprocess=preprocess), step
  model, network, options, step = _load_learned(path, checkpoint, about)
  taps = list(model.channel_weights) if taps is None else taps
  parts = {"network": network, "options": options, "taps": taps, "preprocess": preprocess}
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
