"""Runs of a study by configuration: networks that differ in the seed alone are one point."""

import dataclasses

import numpy as np

from perceptual import errors
from perceptual.studies import study_dir
from perceptual.studies.analyses import parameters

BAPPS = "bapps/2afc"
SUM = "sum"  # the tap of a distance summed over all taps
LEARNED = "lin"  # the distance of learned weights
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
    whole = self.rows_of_set(table)
    wanted = {"subset": self.subset, "distance": self.distance, "tap": self.tap}
    chosen = whole.where(**wanted)
    if not len(chosen):
      for column, value in wanted.items():  # one of them is refused, with a reason
        whole = _chosen(whole, column, value)
    return chosen

  def rows_of_set(self, table):
    """Returns the rows of the judged set, of every subset, distance and tap.

    Raises:
      UserError: if there are none.
    """
    if self.judged_set is not None:
      return _chosen(table, "judged_set", self.judged_set)
    if not len(table):
      raise errors.UserError("The collected table has no rows: no run that was collected has "
                             "scores.")
    available = table.unique("judged_set")
    return _chosen(table, "judged_set", BAPPS if BAPPS in available else available[0])


@dataclasses.dataclass(frozen=True, eq=False)
class Configuration:
  """Networks trained alike, with different seeds.

  Attributes:
    network: the network's name.
    varied: `{parameter: value}` of what differs from the network out of the box.
    bound: `{binding: value}` of all bindings that the study varies somewhere.
    runs: names of the runs.
    accuracy: `[seeds]` validation accuracy, in percent; NaN of learned metrics.
    score: `[seeds]` perceptual score, in percent.
    error: `[seeds]` standard error of the score over triplets; 0 where the table has no interval.
    finished: whether these runs have; their scores are otherwise those so far.
  """

  network: str
  varied: dict
  bound: dict
  runs: tuple[str, ...]
  accuracy: np.ndarray
  score: np.ndarray
  error: np.ndarray
  finished: bool = True

  @property
  def label(self):
    """The network and what is varied, as 'resnet6, width 0.25', and whether it is unfinished."""
    varied = [f"{parameters.title(name)} {parameters.shown(value)}"
              for name, value in self.varied.items()]
    return ", ".join([self.network, *varied, *([] if self.finished else ["unfinished"])])

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


def final_rows(table):
  """Returns the rows of each run's last step."""
  runs, inverse = np.unique(table["run"].astype(str), return_inverse=True)
  last = np.full(len(runs), -np.inf)
  np.maximum.at(last, inverse, table["step"])
  return table.take(table["step"] == last[inverse])


def configurations(table, view=None, *, unfinished=False):
  """Returns the `Configuration`s of a collected table, at the last step of each run.

  Learned metrics, which have no accuracy, are among them for their own distance, `lin`, alone.

  Args:
    table: a `tables.Table`.
    view: a `View`; None for the headline score of the default set.
    unfinished: whether runs that have not finished are taken where none of their configuration has;
      of a table without a column `state` all have.

  Raises:
    UserError: if the view shows nothing of the table, or no run that has finished.
  """
  view = view or View()
  rows = final_rows(view.of(table))
  if not unfinished:
    rows = rows.take(_finished(rows))
    if not len(rows):
      raise errors.UserError("No run of the collected table has finished.")
  groups = {}
  for i in range(len(rows)):
    if np.isnan(rows["accuracy"][i]) and view.distance != LEARNED:
      continue
    key = rows["network"][i], rows["varied"][i], _values_varied(rows, i)
    groups.setdefault(key, {}).setdefault(rows["seed"][i], i)  # a run that was repeated counts once
  return [_configuration(rows, np.array(list(by_seed.values()))) for by_seed in groups.values()]


def of_all_classes(found):
  """Returns the configurations trained on all classes.

  The accuracy of one trained on some is of those alone: it has no place beside the others'.
  """
  return [c for c in found if "classes" not in c.varied]


def sweep(found, network, parameter):
  """Returns the sweep of one parameter, all others being as out of the box.

  Args:
    found: `Configuration`s.
    network: the network's name.
    parameter: one of `parameters.PARAMETERS`.

  Returns:
    `[(value, Configuration)]` by ascending value, the network out of the box not among them.
  """
  chosen = [c for c in found if c.network == network and set(c.varied) == {parameter}]
  return sorted(((c.varied[parameter], c) for c in chosen),
                key=lambda pair: (isinstance(pair[0], str), pair[0]))


def sweep_with_default(found, network, parameter):
  """Returns a sweep as `sweep` does, with the network out of the box where its value is known."""
  swept, start = sweep(found, network, parameter), default(found, network)
  if start is None or not swept:
    return swept
  value = parameters.default_value(
      parameter, [(value, c.bound) for value, c in swept], start.bound)
  return swept if value is None else sorted(
      [*swept, (value, start)], key=lambda pair: (isinstance(pair[0], str), pair[0]))


def default(found, network):
  """Returns the configuration of a network out of the box, or None if it was not run."""
  return next((c for c in found if c.network == network and not c.varied), None)


def resampled(found, *, resamples=1000, seed=0, triplets=True):
  """Returns accuracies and scores of configurations, resampled over seeds and triplets.

  Seeds are drawn with replacement within each configuration. A score is then moved by a normal
  error of the size that its own interval over triplets tells, the same for all seeds, which share
  the triplets. Configurations share them too, but the table does not show how: their errors
  are drawn independently, so that intervals of a difference between two are wider than necessary.

  Args:
    found: `Configuration`s.
    resamples: how many times to draw.
    seed: an integer, not negative.
    triplets: whether scores are moved by the error over triplets.

  Returns:
    (accuracies, scores), each `[resamples, configurations]`.
  """
  errors.require_integer("resamples", resamples)
  generator = np.random.default_rng(seed)
  accuracies, scores = [], []
  for configuration in found:
    seeds = len(configuration.score)
    drawn = generator.integers(seeds, size=[resamples, seeds])
    moved = generator.normal(size=resamples) * configuration.error.mean() * triplets
    accuracies.append(configuration.accuracy[drawn].mean(axis=1))
    scores.append(configuration.score[drawn].mean(axis=1) + moved)
  return np.stack(accuracies, axis=1), np.stack(scores, axis=1)


def standard_errors(rows):
  """Returns the standard errors of scores over triplets, `[rows]`; 0 where there is no interval."""
  if "low" not in rows or "high" not in rows:
    return np.zeros(len(rows))
  return np.nan_to_num((rows["high"] - rows["low"]) / (2 * _NORMAL_95))


def _chosen(table, column, value):
  if value not in table.unique(column):
    raise errors.unknown(f"{column} of the collected table", value,
                         table.unique(column) or ["none"])
  return table.where(**{column: value})


def _configuration(rows, index):
  """Returns the `Configuration` of some rows, one a seed: of the finished ones if there are any."""
  finished = _finished(rows)[index]
  index = index[finished] if finished.any() else index
  first = index[0]
  bound = parameters.bound(rows, first)
  return Configuration(
      network=rows["network"][first], varied=parameters.varied(_names(rows, first), bound),
      bound=bound, runs=tuple(rows["run"][index]), accuracy=rows["accuracy"][index],
      score=rows["score"][index], error=standard_errors(rows)[index],
      finished=bool(finished.any()))


def _finished(rows):
  """Returns of which rows the run has finished, `[rows]` bool."""
  return rows["state"] == study_dir.FINISHED if "state" in rows else np.ones(len(rows), bool)


def _names(rows, i):
  """Returns the bindings in which a run differs from its base file."""
  return [name for name in rows["varied"][i].split("+") if name]


def _values_varied(rows, i):
  """Returns the values of what a row varies, which can be compared."""
  bound = parameters.bound(rows, i)
  return tuple((name, bound.get(name)) for name in _names(rows, i))
