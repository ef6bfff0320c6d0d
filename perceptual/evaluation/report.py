"""Scores of metrics on a judged set: as rows, as a table on screen, as CSV and as JSON."""

import csv
import dataclasses
import io
import json

import numpy as np

from perceptual import errors, scores
from perceptual.evaluation.judged_pass import SUM

CEILINGS = {"human ceiling": scores.human_ceiling, "oracle": scores.oracle}
SCORE_NAMES = {"2afc": "2AFC agreement, %", "jnd": "JND mean average precision, %"}


@dataclasses.dataclass(frozen=True)
class Row:
  """One score.

  Attributes:
    metric: name of the network or baseline, or of a ceiling of the judgements themselves.
    distance: name of the distance; empty for a ceiling.
    tap: name of the tap, or `sum`; empty for a ceiling.
    subset: name of a subset or of an average over subsets, or a part of a subset
      (`nuisance / damage family / jpeg`).
    score: percent.
    low, high: 95% bootstrap confidence interval; None for ceilings.
    examples: number of triplets or pairs.
  """

  metric: str
  distance: str
  tap: str
  subset: str
  score: float
  low: float | None
  high: float | None
  examples: int


def metric_rows(name, judged_set, distances, *, resamples, seed=0):
  """Returns the rows of one metric: every distance, tap and the sum; every subset and average.

  Args:
    name: the metric's name.
    judged_set: `data.judged.JudgedSet`.
    distances: subset name -> `judged_pass.Distances`.
    resamples: number of bootstrap resamples; the same draws for every metric.
    seed: seed of the draws.
  """
  if judged_set.kind == "jnd":
    result, intervals, sizes = _jnd(judged_set, distances, resamples, seed)
  else:
    result, intervals, sizes = _two_afc(judged_set, distances, resamples, seed)
  first = next(iter(distances.values()))
  columns = [(distance, tap) for distance in first.distances for tap in first.taps]
  return [
      Row(name, distance, tap, subset, float(values[i]), float(intervals[subset][0][i]),
          float(intervals[subset][1][i]), sizes[subset])
      for subset, values in result.items() for i, (distance, tap) in enumerate(columns)]


def ceiling_rows(judged_set):
  """Returns what people themselves would score on a 2AFC set that people judged; else nothing."""
  if judged_set.kind != "2afc" or not judged_set.by_people:
    return []
  sizes = _sizes(judged_set)
  rows = []
  for name, ceiling in CEILINGS.items():
    result = {s.name: ceiling(s.answers) for s in judged_set.subsets}
    result.update(_averages(judged_set, result))
    rows += [Row(name, "", "", subset, score, None, None, sizes[subset])
             for subset, score in result.items()]
  return rows


def summed_score(judged_set, distances, distance, subset=None):
  """Returns one 2AFC score in percent, of a distance summed over taps.

  Args:
    judged_set: a `data.judged.JudgedSet` of kind `2afc`.
    distances: subset name -> `judged_pass.Distances`.
    distance: name of the distance.
    subset: name of a subset, or of an average over them; None for the mean.
  """
  result = {}
  for part in judged_set.subsets:
    pair = distances[part.name].at(distance, SUM)
    result[part.name] = scores.two_afc(pair[:, 0], pair[:, 1], part.answers)
  result.update(scores.aggregate(result, {s.name: s.size for s in judged_set.subsets}))
  return result[subset or "mean"]


def require_subset(judged_set, subset):
  """Raises `UserError` unless `summed_score` knows `subset` (or None) of a set."""
  names = [s.name for s in judged_set.subsets]
  available = [*names, *scores.aggregate(dict.fromkeys(names, 0.0), dict.fromkeys(names, 1))]
  if subset is not None and subset not in available:
    raise errors.unknown(f"subset of {judged_set.name}", subset, available)


def _two_afc(judged_set, distances, resamples, seed):
  """Scores, intervals and sizes by subset, average and part; a column a distance and tap."""
  agreement = {s.name: _agreement(distances[s.name].values, s.answers)
               for s in judged_set.subsets}
  result = {name: 100 * values.mean(axis=0) for name, values in agreement.items()}
  intervals = scores.bootstrap_two_afc(agreement, resamples=resamples, seed=seed)
  result.update(_averages(judged_set, result))
  sizes = _sizes(judged_set)
  for name, values in _parts(judged_set, agreement).items():
    result[name] = 100 * values.mean(axis=0)
    intervals[name] = scores.bootstrap_two_afc(
        {name: values}, resamples=resamples, seed=seed)[name]
    sizes[name] = len(values)
  return result, intervals, sizes


def _jnd(judged_set, distances, resamples, seed):
  flat = {s.name: distances[s.name].values.reshape(s.size, -1) for s in judged_set.subsets}
  same = {s.name: s.answers for s in judged_set.subsets}
  result = {name: np.array([scores.jnd_map(column, same[name]) for column in values.T])
            for name, values in flat.items()}
  intervals = scores.bootstrap_jnd_map(flat, same, resamples=resamples, seed=seed)
  result.update(_averages(judged_set, result))
  return result, intervals, _sizes(judged_set)


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
  sizes = {s.name: s.size for s in judged_set.subsets}
  for name, parts in {"mean": sizes, "pooled": sizes, **scores.GROUPS}.items():
    sizes = {**sizes, name: sum(s.size for s in judged_set.subsets if s.name in parts)}
  return sizes


def _parts(judged_set, agreement):
  """The agreements of the parts of each subset: families and pairs of families."""
  parts = {}
  for subset in judged_set.subsets:
    for group, names in subset.groups.items():
      for name in sorted(set(names)):
        parts[f"{subset.name} / {group} / {name}"] = agreement[subset.name][names == name]
  return parts


def table(rows, judged_set, *, taps=False):
  """Returns a text table: a line a metric and distance, a column a subset and average.

  Args:
    rows: `Row`s of one judged set.
    judged_set: the set.
    taps: whether every tap has its line, or only the sum.
  """
  columns = [s for s in dict.fromkeys(row.subset for row in rows) if " / " not in s]
  lines = {}
  for row in rows:
    if row.subset in columns and (taps or row.tap in (SUM, "")):
      lines.setdefault((row.metric, row.distance, row.tap), {})[row.subset] = row
  head = ["metric", "distance", *(["tap"] if taps else []), *columns]
  body = [[*_label(key, taps), *(_cell(line.get(c)) for c in columns)]
          for key, line in lines.items()]
  title = (f"{judged_set.name}: {SCORE_NAMES[judged_set.kind]} (95% interval), "
           f"{judged_set.size} {'triplets' if judged_set.kind == '2afc' else 'pairs'}\n"
           f"{judged_set.note}")
  return title + "\n\n" + aligned([head, *body])


def family_table(rows, judged_set):
  """Returns a text table of the parts of subsets, by distance; empty if there are none."""
  parts = [s for s in dict.fromkeys(row.subset for row in rows) if " / " in s]
  shown = [row for row in rows if row.tap == SUM and row.subset in parts]
  if not shown:
    return ""
  columns = list(dict.fromkeys((row.metric, row.distance) for row in shown))
  by_place = {(row.subset, row.metric, row.distance): row for row in shown}
  head = ["part", "triplets", *(f"{m} {d}" for m, d in columns)]
  body = [[part, str(by_place[part, *columns[0]].examples),
           *(f"{by_place[part, m, d].score:.1f}" for m, d in columns)] for part in parts]
  return f"{judged_set.name} by family, taps summed\n\n" + aligned([head, *body])


def aligned(lines):
  """Returns lines of cells as text: the first column flush left, numbers flush right."""
  widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
  numeric = [all(line[i][:1].isdigit() or not line[i] for line in lines[1:])
             for i in range(len(lines[0]))]
  text = ["  ".join(cell.rjust(w) if n else cell.ljust(w)
                    for cell, w, n in zip(line, widths, numeric)).rstrip() for line in lines]
  return "\n".join([text[0], "-" * max(map(len, text)), *text[1:]])


def as_csv(rows):
  """Returns rows as CSV text, a column an attribute of `Row`."""
  text = io.StringIO()
  writer = csv.DictWriter(text, [f.name for f in dataclasses.fields(Row)], lineterminator="\n")
  writer.writeheader()
  writer.writerows(dataclasses.asdict(row) for row in rows)
  return text.getvalue()


def as_json(rows, judged_set, *, fingerprints, settings):
  """Returns the whole result as JSON text.

  Args:
    rows: the rows.
    judged_set: the set.
    fingerprints: metric name -> `metric.Metric.fingerprint()`.
    settings: plain data: how the evaluation was run.
  """
  return json.dumps({
      "dataset": judged_set.name, "kind": judged_set.kind, "note": judged_set.note,
      "score": SCORE_NAMES[judged_set.kind], "examples": judged_set.size, "settings": settings,
      "fingerprints": fingerprints, "scores": [dataclasses.asdict(row) for row in rows],
  }, indent=2) + "\n"


def _label(key, taps):
  metric, distance, tap = key
  return [metric, distance, tap] if taps else [metric, distance]


def _cell(row):
  if row is None:
    return ""
  if row.low is None:
    return f"{row.score:.1f}"
  return f"{row.score:.1f} ({row.low:.1f}-{row.high:.1f})"
