"""The analyses by name, and what each needs.

An analysis is a row of `ANALYSES`: a summary, what it needs, and a function of `Inputs` that
returns rows. Adding one takes a pure function in a file of its own, and a row here.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from perceptual import errors
from perceptual.studies.analyses import (
    agreement,
    class_accuracy,
    comparisons,
    configurations,
    correlation,
    dynamic_range,
    entropy,
    filters,
    frequency,
    frontier,
    layers,
    optimum,
    over_training,
    sensitivity,
)

# What an analysis may need -> how a user gives it.
NEEDS = {
    "metrics": "metrics (--metric or --model_dir)",
    "last_metrics": "run directories (--model_dir)",
    "classifiers": "trained classifiers (--model_dir)",
    "judged_set": "judged triplets (--dataset; study analyze: --judged_set)",
    "images": "labelled images (--data_dir, or those of the run)",
    "table": "the collected table of a study (--table)",
}

DISTANCES = ("local", "mean_pool", "style")  # those of the paper
SIGMAS = tuple(np.round(np.geomspace(0.05, 5, 21), 4).tolist())


@dataclasses.dataclass(frozen=True)
class Inputs:
  """What analyses are given; each needs some of it.

  Attributes:
    metrics: a dict from name to metric. But for an analysis that `compares` they are networks
      trained alike, which differ in their seeds.
    last_metrics: a dict from name to metric, of the last checkpoints of the same networks.
    unseen_from: of every subset of the judged set, how many triplets at its beginning have chosen
      the checkpoint of `metrics`; None if all have.
    classifiers: functions from images `[images, size, size, 3]` uint8 to labels, one a seed.
    judged_set: `judged_sets.JudgedSet` of triplets, or, of an analysis that `takes_own`, a
      `by_reference.OwnSet`.
    images: (images, labels): `[images, size, size, 3]` uint8 and `[images]`.
    num_classes: number of classes of the labels.
    table: `tables.Table`, the collected table.
    distance: the distance between features.
    resamples: of the bootstrap.
    seed: of the bootstrap.
  """

  metrics: dict | None = None
  last_metrics: dict | None = None
  unseen_from: int | None = 0
  classifiers: tuple | None = None
  judged_set: object | None = None
  images: tuple | None = None
  num_classes: int | None = None
  table: object | None = None
  distance: str = "local"
  resamples: int = 1000
  seed: int = 0

  @property
  def bootstrap(self):
    """The arguments of every analysis with intervals."""
    return {"resamples": self.resamples, "seed": self.seed}


@dataclasses.dataclass(frozen=True)
class Analysis:
  """One analysis.

  Attributes:
    summary: what its table tells.
    needs: which of `NEEDS` it needs.
    rows: from `Inputs` to rows.
    checkpoint: which checkpoint of each run `study analyze` analyses.
    takes_own: whether its judged set may be one that `perceptual prepare judged` wrote.
    of_distance: whether it takes one distance between features.
    compares: whether it compares metrics with each other, which may be of any kind.
  """

  summary: str
  needs: tuple[str, ...]
  rows: Callable
  checkpoint: str = "last"
  takes_own: bool = False
  of_distance: bool = False
  compares: bool = False


def run(name, inputs):
  """Returns the rows of an analysis.

  Args:
    name: one of `ANALYSES`.
    inputs: `Inputs`.

  Raises:
    UserError: an unknown name, or something that the analysis needs is missing.
  """
  analysis = get(name)
  for need in analysis.needs:
    if getattr(inputs, need) is None:
      raise errors.UserError(f"The analysis {name} needs {NEEDS[need]}.")
  return analysis.rows(inputs)


def get(name):
  """Returns an `Analysis` by its name; `UserError` if there is none."""
  if name not in tuple(ANALYSES):
    raise errors.unknown("analysis", name, ANALYSES)
  return ANALYSES[name]


def _layers(inputs):
  from perceptual.studies.analyses import measuring

  distances, taps = measuring.tap_distances(
      list(inputs.metrics.values()), inputs.judged_set, inputs.distance)
  return layers.layer_scores(distances, measuring.judges(inputs.judged_set), taps,
                             **inputs.bootstrap)


def _sensitivity(inputs):
  from perceptual.studies.analyses import measuring

  distances, taps = measuring.tap_distances(
      list(inputs.metrics.values()), inputs.judged_set, inputs.distance)
  return sensitivity.distortion_sensitivity(
      np.concatenate(list(distances.values()), axis=1), _all_judges(inputs), taps,
      **inputs.bootstrap)


def _agreement(inputs):
  from perceptual.studies.analyses import measuring

  return agreement.metric_agreement(
      {name: measuring.whole_distances(metric, inputs.judged_set)
       for name, metric in inputs.metrics.items()}, **inputs.bootstrap)


def _peak_to_last(inputs):
  from perceptual.studies.analyses import by_reference, measuring

  if isinstance(inputs.judged_set, by_reference.OwnSet):
    return over_training.peak_to_last_by_reference(
        *([inputs.judged_set.scores(by_reference.by_distance(metric, DISTANCES))
           for metric in metrics.values()]
          for metrics in (inputs.metrics, inputs.last_metrics)),
        examples=inputs.judged_set.size, seed=inputs.seed)
  found = [measuring.all_distances(list(metrics.values()), inputs.judged_set, DISTANCES)
           for metrics in (inputs.metrics, inputs.last_metrics)]
  start = inputs.unseen_from or 0
  at_peak, at_last = ({subset: values[:, start:] for subset, values in of_all.items()}
                      for of_all, _ in found)
  judges = {subset: answers[start:]
            for subset, answers in measuring.judges(inputs.judged_set).items()}
  return over_training.peak_to_last(at_peak, at_last, judges, found[0][1],
                                    unseen=inputs.unseen_from is not None, **inputs.bootstrap)


def _entropy(inputs):
  from perceptual.studies.analyses import measuring

  values, taps = measuring.tap_entropies(list(inputs.metrics.values()), inputs.images[0])
  return entropy.entropy_by_tap(values, taps, **inputs.bootstrap)


def _low_pass(inputs):
  sides = tuple(range(1, inputs.images[0].shape[1] + 1))
  return frequency.low_pass_accuracy(
      *_filtered(inputs, filters.low_pass, sides), sides, **inputs.bootstrap)


def _inverse_band_pass(inputs):
  radii = tuple(range(inputs.images[0].shape[1] // 2))
  return frequency.inverse_band_accuracy(
      *_filtered(inputs, filters.inverse_band_pass, radii), radii, **inputs.bootstrap)


def _class_accuracy(inputs):
  images, labels = inputs.images
  if len(inputs.classifiers) > 1:
    raise errors.UserError("The analysis class_accuracy takes one run directory: its intervals are "
                           "over the images of a class, which several seeds share.")
  return class_accuracy.class_accuracy(
      inputs.classifiers[0](images), labels, inputs.num_classes)


def _dynamic_range(inputs):
  return dynamic_range.dynamic_range(_all_judges(inputs), SIGMAS, seed=inputs.seed)


def _functions(inputs):
  return comparisons.functions(inputs.table, **inputs.bootstrap)


def _class_subsets(inputs):
  return comparisons.class_subsets(_found(inputs), **inputs.bootstrap)


def _correlations(inputs):
  found = configurations.of_all_classes(_found(inputs))
  return correlation.correlations(found, **inputs.bootstrap)


def _optimum(inputs):
  found = configurations.of_all_classes(_found(inputs))
  return [{"network": network, **optimum.optimum(
      [c for c in found if c.network == network], **inputs.bootstrap)}
          for network in dict.fromkeys(c.network for c in found)]


def _peaks(inputs):
  return over_training.peaks(over_training.curves(inputs.table), **inputs.bootstrap)


def _rate_falls(inputs):
  return over_training.rate_falls(over_training.curves(inputs.table), **inputs.bootstrap)


def _gains(inputs):
  return optimum.gains(_found(inputs), **inputs.bootstrap)


def _frontier(inputs):
  found = configurations.of_all_classes(_found(inputs))
  return frontier.pareto_frontier(found, **inputs.bootstrap)


ANALYSES = {
    "layers": Analysis("the perceptual score of each tap alone", ("metrics", "judged_set"),
                       _layers, of_distance=True),
    "sensitivity": Analysis("how much farther the farther patch is, where raters are unanimous",
                            ("metrics", "judged_set"), _sensitivity, of_distance=True),
    "peak_to_last": Analysis("what is lost from the best score to the end of training",
                             ("metrics", "last_metrics", "judged_set"), _peak_to_last,
                             checkpoint="best_score", takes_own=True),
    "agreement": Analysis("how often metrics choose alike, and rank correlation of their distances",
                          ("metrics", "judged_set"), _agreement, compares=True),
    "entropy": Analysis("the normalised entropy of the features", ("metrics", "images"), _entropy),
    "low_pass": Analysis("accuracy on low-pass filtered images and its slopes",
                         ("classifiers", "images"), _low_pass),
    "inverse_band_pass": Analysis("accuracy on images without a band of frequencies",
                                  ("classifiers", "images"), _inverse_band_pass),
    "class_accuracy": Analysis("accuracy class by class", ("classifiers", "images"),
                               _class_accuracy),
    "dynamic_range": Analysis("the score of simulated distances", ("judged_set",), _dynamic_range),
    "functions": Analysis("the score of each distance, learned weights included", ("table",),
                          _functions),
    "class_subsets": Analysis("accuracy and score of networks trained on some classes", ("table",),
                              _class_subsets),
    "correlations": Analysis("accuracy against score, before and beyond the best score",
                             ("table",), _correlations),
    "optimum": Analysis("the best score of each network, and the accuracy there", ("table",),
                        _optimum),
    "peaks": Analysis("the best score over training, and what is lost of it by the end",
                      ("table",), _peaks),
    "rate_falls": Analysis("accuracy and score before and after each step down of the learning "
                           "rate", ("table",), _rate_falls),
    "gains": Analysis("gains of each sweep over the network out of the box", ("table",), _gains),
    "frontier": Analysis("the Pareto frontier of accuracy and score", ("table",), _frontier),
}


def _all_judges(inputs):
  return np.concatenate([subset.answers for subset in inputs.judged_set.subsets])


def _found(inputs):
  return configurations.configurations(
      inputs.table, configurations.View(distance=inputs.distance))


def _filtered(inputs, filter_images, places):
  """Returns (correct `[seeds, images, places]`, clean `[seeds, images]`)."""
  images, labels = inputs.images
  correct = [frequency.filtered_correct(classify, images, labels, filter_images, places)
             for classify in inputs.classifiers]
  return np.stack(correct), np.stack([classify(images) == labels
                                      for classify in inputs.classifiers])
