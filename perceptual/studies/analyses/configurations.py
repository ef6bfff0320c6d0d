"""Runs of a study by configuration: what was trained alike, but for the seed, is one point."""

import dataclasses

import numpy as np

from perceptual import errors
from perceptual.studies.analyses import parameters

BAPPS = "bapps/2afc"
SUM = "sum"  # the tap of a distance summed over all taps
MEAN = "mean"  # the subset of the headline: the unweighted mean over subsets

# Half the width of a 95% interval of a normal distribution, in standard deviations.
_NORMAL_95 = 1.959964


@dataclasses.dataclass(frozen=True)
class View:
  """Which score of a network an analysis or a figure looks at.

  Attributes:
    judged_set: the name of the judged set; None for BAPPS, or else the first of the table.
    subset: a subset of it, or `mean`.
    distance: the name of a distance.
    tap: the name of a tap, or `sum`.
  """

  judged_set: str | None = None
  subset: str = MEAN
  distance: str = "local"
  tap: str = SUM

  def of(self, table):
    """Returns the rows of a table that this view shows.

    Raises:
      UserError: if there are none; it says which name is not in the table.
    """
    chosen = self.rows_of_set(table)
    for column in ("subset", "distance", "tap"):
      chosen = _chosen(chosen, column, getattr(self, column))
    return chosen

  def rows_of_set(self, table):
    """Returns the rows of the judged set, of every subset, distance and tap.

    Raises:
      UserError: if there are none.
    """
    if self.judged_set is not None:
      return _chosen(table, "judged_set", self.judged_set)
    available = table.unique("judged_set")
    return _chosen(table, "judged_set", BAPPS if BAPPS in available else next(iter(available), ""))


@dataclasses.dataclass(frozen=True)
class Configuration:
  """Networks trained alike but for the seed.

  Attributes:
    network: the network's name.
    varied: `{parameter: value}` of what differs from the networks out of the box.
    runs: names of the runs.
    accuracy: `[seeds]` validation accuracy, in percent.
    score: `[seeds]` perceptual score, in percent.
    error: `[seeds]` standard error of the score over triplets; 0 where the table has no interval.
  """

  network: str
  varied: dict
  runs: tuple[str, ...]
  accuracy: np.ndarray
  score: np.ndarray
  error: np.ndarray

  @property
  def label(self):
    """The network and what is varied, as 'resnet6, width 0.25'."""
    varied = [f"{parameters.PARAMETERS[name].title} {shown(value)}"
              for name, value in self.varied.items()]
    return ", ".join([self.network, *varied])

  @property
  def point(self):
    """(accuracy, score): the means over seeds."""
    return float(self.accuracy.mean()), float(self.score.mean())

  @property
  def spread(self):
    """(of accuracy, of score): standard errors of the means over seeds; NaN of a single seed."""
    seeds = len(self.score)
    if seeds < 2:
      return float("nan"), float("nan")
    return tuple(float(v.std(ddof=1) / np.sqrt(seeds)) for v in (self.accuracy, self.score))


def shown(value):
  """Returns the value of a parameter as text."""
  return f"{value:g}" if isinstance(value, float) else str(value)


def final_rows(table):
  """Returns the rows of each run's last step."""
  runs, inverse = np.unique(table["run"].astype(str), return_inverse=True)
  last = np.full(len(runs), -np.inf)
  np.maximum.at(last, inverse, table["step"])
  return table.take(table["step"] == last[inverse])


def configurations(table, view=None):
  """Returns the `Configuration`s of a collected table, at the last step of each run.

  Args:
    table: a `tables.Table`.
    view: a `View`; None for the headline score of the default set.

  Raises:
    UserError: if the view shows nothing of the table.
  """
  rows = final_rows((view or View()).of(table))
  varied = _varied(rows)
  groups = {}
  for i in range(len(rows)):
    key = (rows["network"][i], tuple(varied[i].items()))
    groups.setdefault(key, {}).setdefault(rows["seed"][i], i)  # a run that was repeated counts once
  result = []
  for (network, settings), by_seed in groups.items():
    index = np.array(list(by_seed.values()))
    result.append(Configuration(
        network=network, varied=dict(settings), runs=tuple(rows["run"][index]),
        accuracy=rows["accuracy"][index], score=rows["score"][index],
        error=_errors(rows, index)))
  return result


def sweep(found, network, parameter):
  """Returns the configurations in which one parameter alone is varied, by ascending value.

  Args:
    found: `Configuration`s.
    network: the network's name.
    parameter: one of `parameters.PARAMETERS`.
  """
  chosen = [c for c in found if c.network == network and set(c.varied) == {parameter}]
  return sorted(chosen, key=lambda c: (isinstance(c.varied[parameter], str), c.varied[parameter]))


def default(found, network):
  """Returns the configuration of a network out of the box, or None if it was not run."""
  return next((c for c in found if c.network == network and not c.varied), None)


def resampled(found, *, resamples=1000, seed=0):
  """Returns accuracies and scores of configurations, resampled over seeds and triplets.

  Seeds are drawn with replacement within each configuration. A score is then moved by a normal
  error of the size that its own interval over triplets tells, the same for all seeds, which share
  the triplets. Configurations share them too, so that intervals of a difference between two are
  wider than they need be.

  Args:
    found: `Configuration`s.
    resamples: how many times to draw.
    seed: an integer, not negative.

  Returns:
    (accuracies, scores), each `[resamples, configurations]`.
  """
  errors.require_integer("resamples", resamples)
  generator = np.random.default_rng(seed)
  accuracies, scores = [], []
  for configuration in found:
    seeds = len(configuration.score)
    drawn = generator.integers(seeds, size=[resamples, seeds])
    moved = generator.normal(size=resamples) * configuration.error.mean()
    accuracies.append(configuration.accuracy[drawn].mean(axis=1))
    scores.append(configuration.score[drawn].mean(axis=1) + moved)
  return np.stack(accuracies, axis=1), np.stack(scores, axis=1)


def _chosen(table, column, value):
  if value not in table.unique(column):
    raise errors.unknown(f"{column} of the collected table", value,
                         table.unique(column) or ["none"])
  return table.where(**{column: value})


def _varied(rows):
  """Returns what each row varies of the networks out of the box: a list of dictionaries."""
  values = parameters.values(rows)
  for network in rows.unique("network"):
    of_network = np.flatnonzero(rows["network"] == network)
    for column in values.values():
      # What all runs of a network have is part of its recipe.
      if len(of_network) > 1 and len(set(column[of_network])) == 1 and (
          len(set(rows["run"][of_network])) > 1):
        column[of_network] = None
  return [{name: column[i] for name, column in values.items() if column[i] is not None}
          for i in range(len(rows))]


def _errors(rows, index):
  if "low" not in rows or "high" not in rows:
    return np.zeros(len(index))
  return np.nan_to_num((rows["high"][index] - rows["low"][index]) / (2 * _NORMAL_95))
