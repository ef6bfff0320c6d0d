"""Scoring a network on a judged set, beside its random initialisation and the L2 of pixels."""

import dataclasses
import pathlib

import tensorflow as tf

from perceptual import distances, errors
from perceptual import metric as metrics
from perceptual.data import progress
from perceptual.evaluation import judged_pass, report
from perceptual.files import write_text

BASELINES = ("random_init", "l2")


@dataclasses.dataclass(frozen=True)
class Settings:
  """How metrics are scored.

  Attributes:
    distances: names of the distances.
    taps: names of the taps; None for all.
    baselines: which of `BASELINES` are scored beside the network.
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
    for name in self.distances:
      distances.get(name)
    for name in self.baselines:
      if name not in BASELINES:
        raise errors.unknown("baseline", name, BASELINES)
    for name in ("batch_size", "resamples", "image_size"):
      errors.require_integer(name, getattr(self, name))
    if self.limit is not None:
      errors.require_integer("limit", self.limit)


def evaluate(metric, judged_set, settings, *, strategy=None, jit_compile=False):
  """Scores a metric and the baselines on a judged set.

  Args:
    metric: `metric.Metric`.
    judged_set: `data.judged.JudgedSet`.
    settings: `Settings`.
    strategy: `tf.distribute.Strategy`, in whose scope the metric was made; None for the current one.
    jit_compile: whether XLA compiles the step.

  Returns:
    (rows, fingerprints): a list of `report.Row`, and each metric's fingerprint by its name.
  """
  strategy = strategy or tf.distribute.get_strategy()
  with strategy.scope():
    others = [_baseline(name, metric, settings) for name in settings.baselines]
  rows, fingerprints = [], {}
  for scored, names in [(metric, settings.distances), *others]:
    run = judged_pass.JudgedPass(scored, distances=names, batch_size=settings.batch_size,
                                 strategy=strategy, jit_compile=jit_compile)
    found = {subset.name: _with_progress(run, subset, judged_set.kind)
             for subset in judged_set.subsets}
    rows += report.metric_rows(scored.network, judged_set, found,
                               resamples=settings.resamples, seed=settings.seed)
    fingerprints[scored.network] = {**scored.fingerprint(), "distance": list(names)}
  return rows + report.ceiling_rows(judged_set), fingerprints


def write(output_dir, rows, judged_set, *, fingerprints, settings):
  """Writes `scores.json`, `scores.csv` and `scores.txt` into a folder; returns the table's text.

  Args:
    output_dir: the folder; made if it is not there.
    rows, fingerprints: as `evaluate` returns them.
    judged_set: the set.
    settings: plain data for the JSON: how the evaluation was run.
  """
  folder = pathlib.Path(output_dir).expanduser()
  tables = [report.table(rows, judged_set), report.table(rows, judged_set, taps=True),
            report.family_table(rows, judged_set)]
  write_text(folder / "scores.txt", "\n\n".join(filter(None, tables)) + "\n")
  write_text(folder / "scores.csv", report.as_csv(rows))
  write_text(folder / "scores.json", report.as_json(
      rows, judged_set, fingerprints=fingerprints, settings=settings))
  return tables


def _baseline(name, metric, settings):
  """Returns (metric, distances) of a baseline."""
  if name == "l2":
    return metrics.pixel_l2(), ("l2",)
  return metrics.random_init(metric.network, metric.options, seed=settings.seed,
                             taps=metric.taps), settings.distances


def _with_progress(run, subset, kind):
  with progress.progress(description=f"{run.metric.network} on {subset.name}", total=subset.size,
                         unit="triplet" if kind == "2afc" else "pair") as bar:
    return run(subset, kind, lambda done: bar.update(done - bar.n))
