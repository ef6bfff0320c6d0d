"""Scores over training: the peak, what is lost of it by the end, what a fall of the rate does.

Kumar et al. 2022 find an inverse U: the score rises with accuracy, and falls as accuracy goes on
rising. The best of several noisy scores is too high by what noise adds to it, and so are the peak
and the fall from it; `peak_to_last` measures the fall on examples that did not choose the peak.
"""

import dataclasses

import numpy as np

from perceptual import errors
from perceptual.evaluation import scores
from perceptual.studies.analyses import configurations, resampling

RATE = "learning_rate"  # the column of the table
# A rate that falls to less than the one share from one evaluation to the next, and keeps the other
# to the one after that, has a step; that of a cosine goes on falling.
_SHARE_LEFT, _SHARE_KEPT = 0.2, 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
  """Networks trained alike, with different seeds, over training.

  Attributes:
    configuration: `configurations.Configuration`.
    distance: name of the distance.
    tap: name of the tap, or `sum`.
    epoch: `[steps]`, of the steps at which all seeds were scored.
    rate: `[steps]` learning rate; NaN where the table does not tell.
    accuracy: `[seeds, steps]` validation accuracy, in percent.
    score: `[seeds, steps]` perceptual score, in percent.
    error: `[seeds, steps]` standard error of the score over triplets.
  """

  configuration: configurations.Configuration
  distance: str
  tap: str
  epoch: np.ndarray
  rate: np.ndarray
  accuracy: np.ndarray
  score: np.ndarray
  error: np.ndarray

  @property
  def about(self):
    """What its rows are of."""
    return {"configuration": self.configuration.label, "distance": self.distance, "tap": self.tap,
            "seeds": len(self.score)}

  def change(self, before, after, *, resamples, seed):
    """Returns the score at place `after` less that at `before`, with its interval.

    Seeds are drawn with replacement, each with both its scores. The errors over triplets are drawn
    apart, though both scores are of the same triplets, so that intervals are wider than need be.

    Returns:
      (change, low, high).
    """
    if before == after:
      return 0.0, 0.0, 0.0
    generator = np.random.default_rng(seed)
    differences = self.score[:, after] - self.score[:, before]
    seeds = len(differences)
    drawn = differences[generator.integers(seeds, size=[resamples, seeds])].mean(axis=1)
    spread = np.hypot(self.error[:, before].mean(), self.error[:, after].mean())
    low, high = resampling.interval(drawn + spread * generator.normal(size=resamples))
    return float(differences.mean()), float(low), float(high)


def curves(table, *, judged_set=None):
  """Returns the `Curve`s of a collected table, of what was scored at two steps of training or more.

  Args:
    table: a `tables.Table`.
    judged_set: as `configurations.View` takes it.

  Returns:
    A list, configuration by configuration, of every distance and tap.
  """
  whole = configurations.View(judged_set=judged_set).rows_of_set(table).where(
      subset=configurations.MEAN)
  found = {}
  for distance in whole.unique("distance"):
    of_distance = whole.where(distance=distance)
    for tap in of_distance.unique("tap"):
      for curve in _curves(of_distance.where(tap=tap), judged_set, distance, tap):
        found.setdefault(curve.configuration.label, []).append(curve)
  return [curve for of_configuration in found.values() for curve in of_configuration]


def peaks(found, *, resamples=1000, seed=0):
  """Returns the best score of each curve, and what is lost of it by the last step.

  Args:
    found: `Curve`s.
    resamples: resamples over seeds and triplets.
    seed: of the resamples.

  Returns:
    Rows of configuration, distance, tap, seeds, untrained (the score at step 0; None if it is not
    known), peak_epoch, peak_accuracy, peak, peak_low, peak_high, last_epoch, last_accuracy, last,
    and last_less_peak with low and high. The step of the peak is that of the mean over seeds.
  """
  rows = []
  for curve in found:
    trained = np.flatnonzero(curve.epoch > 0)
    score, accuracy = curve.score.mean(axis=0), curve.accuracy.mean(axis=0)
    best, last = trained[np.argmax(score[trained])], trained[-1]
    low, high = _interval(curve.score[:, best], curve.error[:, best], resamples, seed)
    change, change_low, change_high = curve.change(best, last, resamples=resamples, seed=seed)
    rows.append({
        **curve.about, "untrained": float(score[0]) if trained[0] else None,
        "peak_epoch": float(curve.epoch[best]),
        "peak_accuracy": resampling.number(accuracy[best]),
        "peak": float(score[best]), "peak_low": low, "peak_high": high,
        "last_epoch": float(curve.epoch[last]),
        "last_accuracy": resampling.number(accuracy[last]),
        "last": float(score[last]), "last_less_peak": change, "low": change_low,
        "high": change_high})
  return rows


def rate_falls(found, *, resamples=1000, seed=0):
  """Returns accuracy and score before and after each step down of the learning rate.

  What is compared are the evaluation before the one at which the lower rate is first noted, and the
  one after it: between them the lower rate has trained for a whole interval.

  Args:
    found: `Curve`s.
    resamples: resamples over seeds and triplets.
    seed: of the resamples.

  Returns:
    Rows of configuration, distance, tap, seeds, from_epoch, to_epoch, from_rate, to_rate,
    accuracy_before, accuracy_after, score_before, score_after, change, low, high.

  Raises:
    UserError: if the table does not tell the rates.
  """
  rows = []
  for curve in found:
    if np.isnan(curve.rate).all():
      raise errors.UserError(f"The table has no {RATE}: collect the study again.")
    score, accuracy = curve.score.mean(axis=0), curve.accuracy.mean(axis=0)
    for place in _steps_down(curve.rate):
      before, after = place - 1, place + 1
      change, low, high = curve.change(before, after, resamples=resamples, seed=seed)
      rows.append({
          **curve.about, "from_epoch": float(curve.epoch[before]),
          "to_epoch": float(curve.epoch[after]), "from_rate": float(curve.rate[before]),
          "to_rate": float(curve.rate[after]), "accuracy_before": float(accuracy[before]),
          "accuracy_after": float(accuracy[after]), "score_before": float(score[before]),
          "score_after": float(score[after]), "change": change, "low": low, "high": high})
  return rows


def _steps_down(rate):
  """Returns the places of the first evaluation at each lower rate that a later one shares."""
  falls = (rate[1:-1] <= _SHARE_LEFT * rate[:-2]) & (rate[2:] >= _SHARE_KEPT * rate[1:-1])
  return np.flatnonzero(falls & (rate[1:-1] > 0)) + 1


def peak_to_last(at_peak, at_last, judges, columns, *, unseen=True, resamples=1000, seed=0):
  """Returns what is lost between two checkpoints of each network, triplet by triplet.

  The score is the unweighted mean over subsets; intervals are over seeds, and over triplets within
  each subset, both checkpoints being scored on the triplets that are drawn.

  Args:
    at_peak: a dict from subset to distances `[seeds, triplets, 2, columns]` at one checkpoint.
    at_last: the same at the other.
    judges: a dict from subset to the fractions preferring candidate 1, `[triplets]`.
    columns: `[columns]` of (distance, tap).
    unseen: whether these triplets have had no part in choosing a checkpoint. Where they had, the
      peak is too high by what noise adds to the best of many scores, and so is the fall.
    resamples: bootstrap resamples.
    seed: of the bootstrap.

  Returns:
    Rows of distance, tap, seeds, examples, unseen (yes or no), peak, last, last_less_peak, low,
    high.
  """
  means, drawn = [], []
  for subset, judge in judges.items():
    peak, last = (100 * _agreement(values[subset], judge) for values in (at_peak, at_last))
    means.append([peak.mean(axis=(0, 1)), last.mean(axis=(0, 1))])
    drawn.append(resampling.resampled_means(last - peak, resamples=resamples, seed=seed,
                                            stream=subset))
  peak, last = np.mean(means, axis=0)
  low, high = resampling.interval(np.mean(drawn, axis=0))
  return [{"distance": distance, "tap": tap, "seeds": len(next(iter(at_peak.values()))),
           "examples": sum(map(len, judges.values())), "unseen": "yes" if unseen else "no",
           "peak": float(peak[i]),
           "last": float(last[i]), "last_less_peak": float(last[i] - peak[i]),
           "low": float(low[i]), "high": float(high[i])}
          for i, (distance, tap) in enumerate(columns)]


def peak_to_last_by_reference(at_peak, at_last, *, examples, seed=0):
  """Returns the same of scores whose draws are of references; intervals are over seeds, and these.

  Args:
    at_peak: of each network, `{(distance, tap): clustered.Score}` at one checkpoint.
    at_last: the same at the other, of the same examples, so that the draws are the same.
    examples: how many there are.
    seed: of the draws of networks.
  """
  rows = []
  for column in at_peak[0]:
    peak, last = ([of_network[column] for of_network in of_all] for of_all in (at_peak, at_last))
    low, high = resampling.interval(_over_seeds(
        np.stack([after.draws - before.draws for before, after in zip(peak, last)]), seed))
    before, after = (float(np.mean([score.value for score in scores])) for scores in (peak, last))
    rows.append({"distance": column[0], "tap": column[1], "seeds": len(peak), "examples": examples,
                 "unseen": "yes", "peak": before, "last": after, "last_less_peak": after - before,
                 "low": float(low), "high": float(high)})
  return rows


def _over_seeds(draws, seed):
  """Returns means `[resamples]` of draws `[seeds, resamples]` over seeds, drawn for each anew."""
  seeds, resamples = draws.shape
  chosen = np.random.default_rng(seed).integers(seeds, size=[seeds, resamples])
  return np.take_along_axis(draws, chosen, axis=0).mean(axis=0)


def _agreement(values, judge):
  """Returns the share of raters who agree, `[seeds, triplets, columns]`."""
  return np.stack([
      np.stack([scores.two_afc_agreement(*of_seed[..., column].T, judge)
                for column in range(values.shape[-1])], axis=-1)
      for of_seed in values])


def _curves(rows, judged_set, distance, tap):
  view = configurations.View(judged_set=judged_set, distance=distance, tap=tap)
  by_run = _by_run(rows)
  for configuration in configurations.configurations(rows, view, unfinished=True):
    seeds = [by_run[run] for run in configuration.runs]
    steps = sorted(set.intersection(*(set(of_run["step"].tolist()) for of_run in seeds)))
    if sum(step > 0 for step in steps) < 2:
      continue
    seeds = [of_run.take(np.searchsorted(of_run["step"], steps)) for of_run in seeds]
    yield Curve(configuration, distance, tap, epoch=seeds[0]["epoch"],
                rate=seeds[0][RATE] if RATE in rows else np.full(len(steps), np.nan),
                accuracy=np.stack([of_run["accuracy"] for of_run in seeds]),
                score=np.stack([of_run["score"] for of_run in seeds]),
                error=np.stack([configurations.standard_errors(of_run) for of_run in seeds]))


def _by_run(rows):
  """Returns the rows of each run by rising step, a dict of `tables.Table`."""
  runs, inverse = np.unique(rows["run"].astype(str), return_inverse=True)
  order = np.lexsort((rows["step"], inverse))
  ends = np.searchsorted(inverse[order], np.arange(len(runs) + 1))
  return {run: rows.take(order[start:end]) for run, start, end in zip(runs, ends, ends[1:])}


def _interval(score, error, resamples, seed):
  """Returns (low, high) of the mean of scores `[seeds]` over seeds and triplets."""
  generator = np.random.default_rng(seed)
  drawn = score[generator.integers(len(score), size=[resamples, len(score)])].mean(axis=1)
  low, high = resampling.interval(drawn + error.mean() * generator.normal(size=resamples))
  return float(low), float(high)
