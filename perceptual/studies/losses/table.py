"""The collected table of tasks as scores of losses: the mean over seeds, with its spread.

A loss is a network and one of its layers. Layers are numbered from 1 in the order of the network:
of the networks of Pihlgren et al. as that study has its four, so that early and late ones of
different networks can be put beside each other; of another network among those that were run, and
then beside networks with the same taps alone.
"""

import csv
import dataclasses

import numpy as np

from perceptual import errors
from perceptual.common import files
from perceptual.models import loss_networks
from perceptual.studies import collecting
from perceptual.tasks import judgements

METRIC, TAPS = "loss.metric", "loss.taps"
_JOIN = "+"  # of several taps
OF_THE_STUDY = "the four of the study"  # what layers are numbered among


@dataclasses.dataclass(frozen=True)
class Primary:
  """The measure by which the losses of a task are ranked.

  Attributes:
    protocol, measure: as `tasks.results` has them.
    label: what its axis is called.
    higher_is_better: whether that is so.
  """

  protocol: str
  measure: str
  label: str
  higher_is_better: bool = True


PRIMARY = {
    "super_resolution": Primary("standard", "psnr", "PSNR of luma, dB"),
    "delineation": Primary("windows", "quality", "quality, by pixels"),
    "autoencoding": Primary("probes", "accuracy_mean", "mean accuracy of the probes, %"),
    judgements.NAME: Primary(
        judgements.PROTOCOL, judgements.MEASURE, "agreement (2AFC), %"),
}


def primary_of(task):
  """Returns the `Primary` of a task, whose name what varies in it may follow, as ` scale=8`."""
  return PRIMARY[task.partition(" ")[0]]


@dataclasses.dataclass(frozen=True)
class Score:
  """What one loss came to in one measure.

  Attributes:
    task: the task's name, with what varies in it besides the loss, as `scale=8`.
    network: of the loss.
    tap: its layer; empty for pixels.
    test, protocol, measure: as `tasks.results` has them.
    values: one for each seed; NaN where the measure was not defined for any image.
  """

  task: str
  network: str
  tap: str
  test: str
  protocol: str
  measure: str
  values: tuple[float, ...]

  @property
  def loss(self):
    """The network and its layer."""
    return f"{self.network} {self.tap}".strip()

  @property
  def mean(self):
    """The mean over seeds."""
    return float(np.nanmean(self.values))

  @property
  def half_width(self):
    """Half the 95% interval of the mean, by Student's t over seeds; NaN of a single seed."""
    count = np.count_nonzero(~np.isnan(self.values))
    if count < 2:
      return np.nan
    from scipy import stats

    spread = np.nanstd(self.values, ddof=1) / np.sqrt(count)
    return float(stats.t.ppf(0.975, count - 1) * spread)


def read(path):
  """Returns the `Score`s of a `collected_tasks.csv`, of the trained networks alone.

  Raises:
    UserError: there is no such file, it is damaged, runs of one network and layer are of different
      losses, or losses of one task have different tests.
  """
  rows = [row for row in _rows(path) if row["method"] == "network"]
  _require_one_loss(rows)
  _require_seeds_once(rows)
  _require_same_tests(rows)
  found = {}
  for row in rows:
    found.setdefault(_key(row), []).append(float(row["mean"] or "nan"))
  scores = [Score(*key, values=tuple(values)) for key, values in found.items()
            if not np.all(np.isnan(values))]
  if not scores:
    raise errors.UserError(f"{path} is damaged, or has no measure of a trained network.")
  return scores


def baselines(path):
  """Returns `{(task, test, protocol, measure, method): value}` of what needs no training."""
  rows = [row for row in _rows(path) if row["method"] != "network" and row["mean"]]
  return {(_task(row), row["test"], row["protocol"], row["measure"], row["method"]):
          float(row["mean"]) for row in rows}


def _rows(path):
  """Returns the lines of a `collected_tasks.csv` as dictionaries.

  Raises:
    UserError: there is no such file, or it is damaged.
  """
  again = "`perceptual study collect` writes it."
  try:
    rows = list(csv.DictReader(files.csv_lines(path), strict=True))
    for row in rows:
      # None is the key of cells too many, and the value of cells that are missing.
      if None in row or None in row.values() or row["task"] not in PRIMARY or not {
          "run", "network", "seed", "test", "protocol", "method", "measure"} <= row.keys():
        raise ValueError("a line that is not of such a table")
      float(row["mean"] or "nan")
  except OSError as error:
    raise errors.UserError(f"{path} cannot be read: {errors.reason(error)}. {again}") from None
  except (ValueError, KeyError, csv.Error) as error:
    raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}. {again}") from None
  return rows


def layer(score, scores):
  """Returns (the number of a score's layer from 1, what it is numbered among).

  Of the networks of the study that is its four layers, of others those that the scores have, as
  text. (None, None) for pixels, and for several layers at once.
  """
  if not score.tap or _JOIN in score.tap:
    return None, None
  known = loss_networks.LAYERS.get(score.network.removeprefix("gaussian-"), ())
  if score.tap in known:
    return known.index(score.tap) + 1, OF_THE_STUDY
  taps = [other.tap for other in scores if other.network == score.network]
  taps = list(dict.fromkeys(tap for tap in taps if tap and _JOIN not in tap))
  return taps.index(score.tap) + 1, ", ".join(taps)


def primary(scores):
  """Returns the scores by which losses are ranked: those of `PRIMARY`, averaged over test sets."""
  found = {}
  for score in scores:
    chosen = primary_of(score.task)
    if (score.protocol, score.measure) == (chosen.protocol, chosen.measure):
      found.setdefault((score.task, score.network, score.tap), []).append(score)
  averaged = [
      Score(task, network, tap, "mean", of_tests[0].protocol, of_tests[0].measure,
            tuple(np.mean([score.values for score in of_tests], axis=0).tolist()))
      for (task, network, tap), of_tests in found.items()]
  return [score for score in averaged if not np.all(np.isnan(score.values))]


def by_loss(scores, task):
  """Returns a row for each loss of a task: every measure as mean and half its interval."""
  rows = {}
  for score in scores:
    if score.task == task:
      row = rows.setdefault(score.loss, {"loss": score.loss, "seeds": len(score.values)})
      name = f"{score.test} {score.protocol} {score.measure}"
      row[name], row[f"{name} ±"] = score.mean, score.half_width
  return list(rows.values())


def _require_one_loss(rows):
  """Raises `UserError` where runs of one network and layer differ in more than their seed."""
  found = {}
  for row in rows:
    others = {column.removeprefix(collecting.BINDING): value for column, value in row.items()
              if column.startswith(collecting.BINDING)}
    others = {name: value for name, value in others.items() if name not in (METRIC, TAPS)}
    run, first = found.setdefault(_key(row)[:3], (row["run"], others))
    differ = [name for name in others if others[name] != first[name]]
    if differ:
      raise errors.UserError(
          f"{run} and {row['run']} are of one network and layer and differ in {', '.join(differ)}. "
          "Networks and layers are compared: put other differences into a study of their own.")


def _require_seeds_once(rows):
  """Raises `UserError` where two runs are one loss and one seed: they would count as two seeds."""
  found = {}
  for row in rows:
    run = found.setdefault((*_key(row), row["seed"]), row["run"])
    if run != row["run"]:
      raise errors.UserError(
          f"{run} and {row['run']} are of one network and layer and of one seed, and would count "
          "as two seeds: leave one out of the study, and collect it again.")


def _require_same_tests(rows):
  """Raises `UserError` where a run lacks a test that others of its task have."""
  by_task = {}
  for row in rows:
    chosen = PRIMARY[row["task"]]
    if (row["protocol"], row["measure"]) == (chosen.protocol, chosen.measure):
      by_task.setdefault(_task(row), {}).setdefault(row["run"], {})[row["test"]] = None
  for task, runs in by_task.items():
    for test in dict.fromkeys(test for tests in runs.values() for test in tests):
      if lacking := [run for run, tests in runs.items() if test not in tests]:
        raise errors.UserError(
            f"{task}: {', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''} was not tested "
            f"on {test}, as others were. Test every run on the same: perceptual task evaluate.")


def _key(row):
  return (_task(row), row["network"], _tap(row.get(collecting.BINDING + TAPS, "")), row["test"],
          row["protocol"], row["measure"])


def task_label(task, values):
  """Returns a task's name with what varies in it besides its loss: `super_resolution scale=8`.

  Args:
    task: its name.
    values: binding -> value of all that varies in the study.
  """
  own = {binding.rpartition(".")[2]: value for binding, value in values.items()
         if binding.startswith(f"{task}.") and value not in (None, "")}
  return " ".join([task, *(f"{name}={value}" for name, value in own.items())])


def _task(row):
  return task_label(row["task"], {
      column.removeprefix(collecting.BINDING): value for column, value in row.items()
      if column.startswith(collecting.BINDING)})


def _tap(text):
  """The taps of a loss, `['relu2']` in the table, as `relu2`; of several `relu1+relu2`."""
  return _JOIN.join(name.strip(" '\"") for name in text.strip("[]()").split(",") if name.strip())
