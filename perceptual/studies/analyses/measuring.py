"""What analyses are fed with: distances, choices and features, as arrays, of metrics and networks.

The analyses themselves are pure NumPy; all that runs a network for them is here.
"""

import keras
import numpy as np

from perceptual.common import progress
from perceptual.data.labelled import classification
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass
from perceptual.metrics import feature_metric
from perceptual.models import preprocessing
from perceptual.studies.analyses import entropy

BATCH_SIZE = 128


def tap_distances(metrics, judged_set, distance):
  """Returns the distances of metrics at each tap, on a judged set.

  Args:
    metrics: metrics of networks trained alike, whose taps have the same names.
    judged_set: `judged_sets.JudgedSet` of triplets.
    distance: name of the distance.

  Returns:
    (distances, taps): a dict from subset to `[metrics, triplets, 2, taps]` float64, and the names
    of the taps, the last being `sum`.

  Raises:
    UserError: if a metric has no taps, their names differ, or the set is not of triplets.
  """
  values, columns = all_distances(metrics, judged_set, (distance,))
  return values, tuple(tap for _, tap in columns)


def all_distances(metrics, judged_set, distances):
  """Returns several distances of metrics at each tap, on a judged set.

  Args:
    metrics: as `tap_distances` takes them.
    judged_set: `judged_sets.JudgedSet` of triplets.
    distances: names of the distances.

  Returns:
    (values, columns): a dict from subset to `[metrics, triplets, 2, columns]` float64, and the
    (distance, tap) of each column, the last tap of each distance being `sum`.

  Raises:
    UserError: as `tap_distances`.
  """
  _require_triplets(judged_set)
  for metric in metrics:
    if not isinstance(metric, feature_metric.FeatureMetric):
      raise UserError(f"{metric.name} has no taps: this analysis needs the features of a "
                      "network.")
  found = [_distances(metric, judged_set, tuple(distances)) for metric in metrics]
  taps = next(iter(found[0].values())).taps
  for metric, of_metric in zip(metrics, found):
    other = next(iter(of_metric.values())).taps
    if other != taps:
      raise UserError(f"Networks of one analysis must have the same taps. Received: "
                      f"{', '.join(taps)}; and of {metric.name}: {', '.join(other)}.")
  return ({subset.name: np.stack([of_metric[subset.name].values.reshape(subset.size, 2, -1)
                                  for of_metric in found]) for subset in judged_set.subsets},
          tuple((distance, tap) for distance in distances for tap in taps))


def whole_distances(metric, judged_set):
  """Returns the distances of a metric as it is called, over all subsets: `[triplets, 2]`."""
  _require_triplets(judged_set)
  found = _distances(metric, judged_set, None)
  return np.concatenate([found[subset.name].values[:, :, 0, -1] for subset in judged_set.subsets])


def judges(judged_set):
  """Returns the fractions preferring candidate 1: a dict from subset to `[triplets]`."""
  _require_triplets(judged_set)
  return {subset.name: subset.answers for subset in judged_set.subsets}


def validation_arrays(images, *, augmentation=None, limit=None):
  """Returns the validation images and labels of labelled images, as they are evaluated.

  Args:
    images: `classification.LabelledImages`.
    augmentation: `augment.Augmentation` of the training, which says what is evaluated.
    limit: at most this many images, the first ones; None for all.

  Returns:
    (`[images, size, size, 3]` uint8, `[images]` int64).
  """
  arrays, labels = [], []
  size = min(images.sizes["validation"], limit or images.sizes["validation"])
  for batch in classification.validation_batches(
      images, batch_size=BATCH_SIZE, augmentation=augmentation):
    real = batch["index"].numpy() >= 0
    arrays.append(batch["image"].numpy()[real])
    labels.append(batch["label"].numpy()[real])
    if sum(map(len, labels)) >= size:
      break
  return np.concatenate(arrays)[:size], np.concatenate(labels)[:size]


def classifier(model, preprocess=preprocessing.IMAGENET):
  """Returns a function from images `[images, height, width, 3]` uint8 to labels `[images]` int64.

  Args:
    model: a Keras network whose outputs hold `logits`.
    preprocess: `preprocessing.Preprocessing` of its input.
  """
  image = keras.Input(model.inputs[0].shape[1:])
  logits = keras.Model(image, model(image)["logits"])

  def classify(images):
    size = min(BATCH_SIZE, len(images))
    found = [np.argmax(logits.predict_on_batch(preprocess(_padded(batch, size))), axis=-1)
             for batch in _batches(images)]
    return np.concatenate(found)[:len(images)]

  return classify


def tap_entropies(metrics, images):
  """Returns the entropy of the features of images: (`[metrics, images, taps]` float64, taps).

  Args:
    metrics: as `tap_distances` takes them.
    images: `[images, height, width, 3]` uint8.
  """
  taps = metrics[0].taps
  with progress.progress(description="features", total=len(metrics) * len(images)) as bar:
    found = []
    for metric in metrics:
      if metric.taps != taps:
        raise UserError(f"Networks of one analysis must have the same taps. Received: "
                        f"{', '.join(taps)}; and: {', '.join(metric.taps)}.")
      of_batches = []
      for batch in _batches(images):
        features = metric.features(batch)
        of_batches.append(np.stack([
            entropy.feature_entropy(keras.ops.convert_to_numpy(features[tap])) for tap in taps],
            axis=-1))
        bar.update(len(batch))
      found.append(np.concatenate(of_batches))
  return np.stack(found), taps


def _distances(metric, judged_set, names):
  """Returns `{subset: judged_pass.Distances}`."""
  run = judged_pass.JudgedPass(metric, distances=names)
  with progress.progress(description=f"{metric.name} on {judged_set.name}",
                         total=judged_set.size, unit="triplet") as bar:
    return {subset.name: run(subset, judged_set.kind, bar.update)
            for subset in judged_set.subsets}


def _require_triplets(judged_set):
  if judged_set.kind != "2afc":
    raise UserError(f"{judged_set.name} is not a set of triplets, which this analysis needs.")


def _batches(images):
  for start in range(0, len(images), BATCH_SIZE):
    yield images[start:start + BATCH_SIZE]


def _padded(batch, size):
  """Returns a batch of one static size, so that the graph is traced once."""
  return np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)])
