"""Scoring a metric on a judged set, beside its random initialisation and the MSE of pixels."""

import contextlib
import dataclasses

from perceptual import errors, models
from perceptual.common import progress
from perceptual.evaluation import judged_pass, report, results, tables
from perceptual.metrics import classical, distances, feature_metric

BASELINES = ("random_init", "mse")


@dataclasses.dataclass(frozen=True)
class Settings:
  """How metrics are scored.

  Attributes:
    distances: names of the distances between features; ignored for metrics without features.
    taps: names of the taps; None for all.
    baselines: which of `BASELINES` are scored beside the metric, as far as they apply to it.
    batch_size: triplets or pairs a batch, over all replicas.
    resamples: bootstrap resamples behind the confidence intervals.
    image_size: height and width at which BAPPS is scored; the graded sets have their own.
    limit: at most this many examples a subset; None for all.
    seed: seed of the bootstrap and of the random initialisation.
  """

  distances: tuple[str, ...] = ("local", "mean_pool", "style")
  taps: tuple[str, ...] | None = None
  baselines: tuple[str, ...] = BASELINES
  batch_size: int = 64
  resamples: int = 1000
  image_size: int = 64
  limit: int | None = None
  seed: int = 0

  def __post_init__(self):
    for option in ("distances", "taps", "baselines"):
      _check_list(option, getattr(self, option))
    if not self.distances:
      raise errors.UserError(f"No distance to score. Available: {', '.join(distances.DISTANCES)}.")
    for name in self.baselines:
      if name not in BASELINES:
        raise errors.unknown("baseline", name, BASELINES)
    _check_once("baselines", self.baselines)
    _check_once("distances", [distances.get(name).name for name in self.distances])
    for name in ("batch_size", "resamples", "image_size"):
      errors.require_integer(name, getattr(self, name))
    if self.limit is not None:
      errors.require_integer("limit", self.limit)
    errors.require_integer("seed", self.seed, at_least=0)


def evaluate(metric, judged_set, settings, *, strategy=None, jit_compile=False):
  """Scores a metric and the baselines on a judged set.

  Args:
    metric: any that `loading.load_metric` returns. A network's features are scored by the
      distances of the settings, and first by the channel weights it has learned, if any, as `lin`.
      A classical metric or an export is scored as it is called, in one row.
    judged_set: `judged_sets.JudgedSet`.
    settings: `Settings`.
    strategy: `tf.distribute.Strategy`, in whose scope the metric was made; None for the current
      one, and on other backends than TensorFlow.
    jit_compile: on TensorFlow, whether XLA compiles the step.

  Returns:
    (rows, fingerprints): a list of `report.Row`, and each metric's fingerprint by its name.

  Raises:
    UserError: if the batch size is not a multiple of the number of replicas, or a distance is not
      finite.
  """
  with strategy.scope() if strategy else contextlib.nullcontext():
    others = [_baseline(name, metric, settings) for name in baselines_of(metric, settings)]
  rows, fingerprints = [], {}
  for scored, names in [(metric, distances_of(metric, settings)), *others]:
    run = judged_pass.JudgedPass(scored, distances=names, batch_size=settings.batch_size,
                                 strategy=strategy, jit_compile=jit_compile)
    rows += report.metric_rows(scored.name, judged_set, _measured(run, judged_set),
                               resamples=settings.resamples, seed=settings.seed)
    fingerprints[scored.name] = {
        **scored.fingerprint, **({"distance": list(run.distances)} if names else {})}
  return rows + report.ceiling_rows(judged_set), fingerprints


def distances_of(metric, settings):
  """Returns the names of the distances between a metric's features that are scored.

  `lin` is the first, where weights were learned. None for a metric that is scored as it is, since
  it gives no features to compare otherwise: a classical one, or an export.
  """
  if not isinstance(metric, feature_metric.FeatureMetric):
    return None
  return ("lin", *settings.distances) if metric.channel_weights else settings.distances


def baselines_of(metric, settings):
  """Returns which of the baselines make sense beside a metric.

  Random weights need a network that `models.build` builds, and MSE is not a baseline of itself.
  """
  built = metric.name in (*models.names(), *models.wrappers())
  apply = {"random_init": isinstance(metric, feature_metric.FeatureMetric) and built,
           "mse": metric.name != "mse"}
  return tuple(name for name in settings.baselines if apply[name])


def write(output_dir, rows, judged_set, *, fingerprints, settings):
  """Writes `scores.json`, `scores.csv` and `scores.txt` into a folder; returns the summary's text.

  Args:
    output_dir: the folder; made if it is not there.
    rows: as `evaluate` returns them.
    judged_set: the set.
    fingerprints: as `evaluate` returns them.
    settings: plain data for the JSON: how the evaluation was run.

  Raises:
    UserError: if the folder cannot be written.
  """
  summary = tables.summary(rows, judged_set)
  texts = [summary, tables.every_tap(rows, judged_set), *tables.parts(rows, judged_set),
           tables.fingerprints(fingerprints)]
  results.write(output_dir, {
      "scores.txt": "\n\n\n".join(texts) + "\n",
      "scores.csv": report.as_csv(rows, judged_set),
      "scores.json": report.as_json(rows, judged_set, fingerprints=fingerprints,
                                    settings=settings)})
  return summary


def _check_list(option, names):
  # A string would be taken for the list of its letters.
  if names is not None and not isinstance(names, (list, tuple)):
    raise errors.UserError(f"{option} must be a list of names, not {names!r}.")


def _check_once(option, names):
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(f"{option} has {name!r} twice: {', '.join(names)}.")


def _baseline(name, metric, settings):
  """Returns (metric, distances) of a baseline; distances as `distances_of` has them."""
  if name == "mse":
    return classical.build("mse"), None
  return feature_metric.random_init(metric, seed=settings.seed), settings.distances


def _measured(run, judged_set):
  """Subset name -> `judged_pass.Distances`, with progress."""
  with progress.progress(description=f"scoring {run.metric.name}", total=judged_set.size,
                         unit=report.EXAMPLES[judged_set.kind].removesuffix("s")) as bar:
    return {subset.name: run(subset, judged_set.kind, bar.update)
            for subset in judged_set.subsets}
