"""Scores of metrics on a judged set: as rows, CSV and JSON. `tables` makes text of the rows."""

import csv
import dataclasses
import io
import json
import math

import numpy as np

from perceptual import errors
from perceptual.evaluation import scores
from perceptual.evaluation.judged_pass import SUM

CEILINGS = {"human ceiling": scores.human_ceiling, "oracle": scores.oracle}
SCORE_NAMES = {"2afc": "2AFC agreement, %", "jnd": "JND mean average precision, %"}
EXAMPLES = {"2afc": "triplets", "jnd": "pairs"}


@dataclasses.dataclass(frozen=True)
class Row:
  """One score.

  Attributes:
    metric: name of the network or baseline, or of a ceiling of the judgements themselves.
    distance: name of the distance; empty for a ceiling, and a metric that is named by itself.
    tap: name of the tap, or `sum`; empty for a ceiling.
    subset: name of a subset, or of an average over subsets.
    division: name of a finer division of the subset, for instance `damage family`; empty for the
      whole subset.
    part: name of the part, for instance `jpeg`; empty for the whole subset.
    score: percent.
    low: lower end of the 95% bootstrap confidence interval; None for ceilings.
    high: its upper end.
    examples: number of triplets or pairs.
  """

  metric: str
  distance: str
  tap: str
  subset: str
  division: str
  part: str
  score: float
  low: float | None
  high: float | None
  examples: int


@dataclasses.dataclass(frozen=True)
class _Scored:
  """Scores of one subset, average or part: `[columns]`, a column a distance and tap."""

  score: np.ndarray
  interval: tuple[np.ndarray, np.ndarray]
  examples: int


def metric_rows(name, judged_set, distances, *, resamples, seed=0):
  """Returns the rows of one metric: every distance, tap and the sum; every subset and average.

  Args:
    name: the metric's name.
    judged_set: `judged_sets.JudgedSet`.
    distances: subset name -> `judged_pass.Distances`.
    resamples: number of bootstrap resamples; the same draws for every metric.
    seed: seed of the draws.

  Raises:
    UserError: if a distance is not finite.
  """
  score = {"2afc": _two_afc, "jnd": _jnd}[judged_set.kind]
  scored = score(judged_set, distances, {"resamples": resamples, "seed": seed})
  first = next(iter(distances.values()))
  columns = [(distance, tap) for distance in first.distances for tap in first.taps]
  return [
      Row(name, distance, tap, *place, float(values.score[i]), _finite(values.interval[0][i]),
          _finite(values.interval[1][i]), values.examples)
      for place, values in scored.items() for i, (distance, tap) in enumerate(columns)]


def ceiling_rows(judged_set):
  """Returns what people themselves would score on a 2AFC set that people judged; else nothing."""
  if judged_set.kind != "2afc" or not judged_set.by_people:
    return []
  sizes = _sizes(judged_set)
  rows = []
  for name, ceiling in CEILINGS.items():
    result = {subset.name: ceiling(subset.answers) for subset in judged_set.subsets}
    result |= _averages(judged_set, result)
    rows += [Row(name, "", "", subset, "", "", score, None, None, sizes[subset])
             for subset, score in result.items()]
  return rows


def summed_score(judged_set, distances, distance, subset=None):
  """Returns one 2AFC score in percent, of a distance summed over taps.

  Args:
    judged_set: a `judged_sets.JudgedSet` of kind `2afc`.
    distances: subset name -> `judged_pass.Distances`.
    distance: name of the distance.
    subset: name of a subset, or of an average over them; None for the mean.
  """
  result = {}
  for part in judged_set.subsets:
    pair = distances[part.name].at(distance, SUM)
    result[part.name] = scores.two_afc_score(pair[:, 0], pair[:, 1], part.answers)
  result.update(scores.aggregate(result, {s.name: s.size for s in judged_set.subsets}))
  return result[subset or "mean"]


def summed_half_width(judged_set, distances, distance, subset=None):
  """Returns half the 95% bootstrap interval of a `summed_score`, in points. Arguments: as there."""
  agreement = {}
  for part in judged_set.subsets:
    pair = distances[part.name].at(distance, SUM)
    agreement[part.name] = scores.two_afc_agreement(pair[:, 0], pair[:, 1], part.answers)
  low, high = scores.bootstrap_two_afc(agreement)[subset or "mean"]
  return (high - low) / 2


def require_subset(judged_set, subset):
  """Raises `UserError` unless `summed_score` knows `subset` (or None) of a set."""
  names = [s.name for s in judged_set.subsets]
  available = [*names, *scores.aggregate(dict.fromkeys(names, 0.0), dict.fromkeys(names, 1))]
  if subset is not None and subset not in available:
    raise errors.unknown(f"subset of {judged_set.name}", subset, available)


def as_csv(rows, judged_set):
  """Returns rows as CSV text: the set and its note, then a column an attribute of `Row`."""
  text = io.StringIO()
  about = {"dataset": judged_set.name, "note": judged_set.note}
  names = [field.name for field in dataclasses.fields(Row)]
  writer = csv.DictWriter(text, [*about, *names], lineterminator="\n")
  writer.writeheader()
  writer.writerows({**about, **dataclasses.asdict(row)} for row in rows)
  return text.getvalue()


def as_json(rows, judged_set, *, fingerprints, settings):
  """Returns the whole result as JSON text.

  Args:
    rows: the rows.
    judged_set: the set.
    fingerprints: metric name -> `feature_metric.FeatureMetric.fingerprint`.
    settings: plain data: how the evaluation was run.
  """
  return json.dumps({
      "dataset": judged_set.name, "kind": judged_set.kind, "note": judged_set.note,
      "score": SCORE_NAMES[judged_set.kind], "examples": judged_set.size, "settings": settings,
      "fingerprints": fingerprints, "scores": [dataclasses.asdict(row) for row in rows],
  }, indent=2, allow_nan=False) + "\n"


def _two_afc(judged_set, distances, bootstrap):
  """`{(subset, division, part): _Scored}` of every subset, average and part."""
  agreement = {s.name: _agreement(distances[s.name].values, s.answers)
               for s in judged_set.subsets}
  result = {name: 100 * values.mean(axis=0) for name, values in agreement.items()}
  intervals = scores.bootstrap_two_afc(agreement, **bootstrap)
  scored = _of_subsets(judged_set, result, intervals)
  for (subset, division, part), chosen in _parts(judged_set):
    values = agreement[subset][chosen]
    interval = scores.bootstrap_two_afc({part: values}, **bootstrap)[part]
    scored[subset, division, part] = _Scored(100 * values.mean(axis=0), interval, len(values))
  return scored


def _jnd(judged_set, distances, bootstrap):
  """`{(subset, "", ""): _Scored}` of every subset and average."""
  columns = {s.name: distances[s.name].values.reshape(s.size, -1) for s in judged_set.subsets}
  same = {s.name: s.answers for s in judged_set.subsets}
  result = {name: np.array([scores.jnd_map(column, same[name]) for column in values.T])
            for name, values in columns.items()}
  intervals = scores.bootstrap_jnd_map(columns, same, **bootstrap)
  return _of_subsets(judged_set, result, intervals)


def _of_subsets(judged_set, result, intervals):
  """`{(subset, "", ""): _Scored}` of subsets and their averages."""
  sizes = _sizes(judged_set)
  return {(name, "", ""): _Scored(values, intervals[name], sizes[name])
          for name, values in {**result, **_averages(judged_set, result)}.items()}


def _agreement(values, judge):
  """`[triplets, columns]` from distances `[triplets, 2, distances, taps]`."""
  columns = values.reshape(len(judge), 2, -1)
  return np.stack([scores.two_afc_agreement(columns[:, 0, i], columns[:, 1, i], judge)
                   for i in range(columns.shape[2])], axis=1)


def _averages(judged_set, per_subset):
  """Averages over subsets, which mean something for BAPPS alone."""
  if not judged_set.by_people:
    return {}
  return scores.aggregate(per_subset, {s.name: s.size for s in judged_set.subsets})


def _sizes(judged_set):
  """Numbers of examples of subsets and averages."""
  sizes = {subset.name: subset.size for subset in judged_set.subsets}
  groups = {name: sum(sizes.get(subset, 0) for subset in subsets)
            for name, subsets in scores.GROUPS.items()}
  return {"mean": judged_set.size, "pooled": judged_set.size, **groups, **sizes}


def _parts(judged_set):
  """Yields ((subset, division, part), which examples of the subset belong to it)."""
  for subset in judged_set.subsets:
    for division, names in subset.groups.items():
      for part in sorted(set(names)):
        yield (subset.name, division, str(part)), names == part


def _finite(number):
  """A float, or None for NaN, for which JSON has no name: no draw of the bootstrap had a score."""
  number = float(number)
  return number if math.isfinite(number) else None
