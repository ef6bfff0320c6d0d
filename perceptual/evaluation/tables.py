"""Scores as text: what `perceptual evaluate` prints, and the rest of scores.txt.

Lines stay below 110 columns for BAPPS, so the short headings are those of Zhang et al.'s table, and
the confidence interval is given where it matters most: `68.9 ±0.4` is half its width.
"""

from perceptual.common.text_table import aligned
from perceptual.evaluation import scores
from perceptual.evaluation.judged_pass import SUM
from perceptual.evaluation.report import EXAMPLES, SCORE_NAMES

# In the order of Zhang et al.'s table 5, and as short.
_HEADINGS = {
    "traditional": "trad", "cnn": "cnn", "distortions": "dist", "superres": "superres",
    "deblur": "deblur", "color": "color", "frameinterp": "frame", "real algorithms": "real",
    "mean": "mean", "pooled": "pooled",
}
_CHANCE = {"2afc": "; 50 is chance", "jnd": ""}


def summary(rows, judged_set):
  """Returns a table: a line a metric and distance, taps summed; a column a subset and average.

  Args:
    rows: `report.Row`s of one judged set.
    judged_set: `judged_sets.JudgedSet`.
  """
  columns = _columns(rows, judged_set)
  lines = {}
  for row in rows:
    if row.subset in columns and not row.part and row.tap in (SUM, ""):
      lines.setdefault((row.metric, row.distance), {})[row.subset] = row
  head = ["metric", "distance", *_headings(columns)]
  body = [[*names, *(_cell(line[c], with_interval=_is_headline(c, judged_set)) for c in columns)]
          for names, line in lines.items()]
  return f"{_title(judged_set)}\n\n{aligned([head, *body])}\n\n{_legend(columns, judged_set)}"


def every_tap(rows, judged_set):
  """Returns a table of every tap alone and the sum with its interval, by metric and distance."""
  columns = _columns(rows, judged_set)
  blocks = {}
  for row in rows:
    if row.tap and not row.part:
      block = blocks.setdefault((row.metric, row.distance), {})
      block.setdefault(row.tap, {})[row.subset] = row
  lines = [["metric, distance and tap", *_headings(columns)]]
  for (metric, distance), block in blocks.items():
    lines.append([f"{metric}, {distance}", *[""] * len(columns)])
    for tap, line in block.items():
      if tap == SUM or len(block) > 2:  # a single tap is the sum
        lines.append([f"  {tap}", *(_number(line[c].score) for c in columns)])
    lines.append([f"  {SUM}, 95% from", *(_number(block[SUM][c].low) for c in columns)])
    lines.append([f"  {SUM}, 95% to", *(_number(block[SUM][c].high) for c in columns)])
  return f"{_title(judged_set)}\nevery tap alone\n\n{aligned(lines)}"


def parts(rows, judged_set):
  """Returns a list of tables, one for each division of a subset, taps summed."""
  divisions = {}
  for row in rows:
    if row.part and row.tap == SUM:
      division = divisions.setdefault((row.subset, row.division), {})
      division.setdefault(row.part, {})[row.metric, row.distance] = row
  tables = []
  for (subset, division), found in divisions.items():
    columns = list(next(iter(found.values())))
    head = [division, EXAMPLES[judged_set.kind], *(distance for _, distance in columns)]
    body = [[part, str(line[columns[0]].examples), *(_number(line[c].score) for c in columns)]
            for part, line in found.items()]
    over = ["", "", *(metric for metric, _ in columns)]
    tables.append(f"{_title(judged_set)}\n{subset} by {division}\n\n"
                  f"{aligned([head, *body], over=over)}")
  return tables


def fingerprints(by_metric):
  """Returns a table of the weights that were scored; scores.json holds the whole fingerprints.

  Metrics without weights are left out.

  Args:
    by_metric: metric name -> `feature_metric.FeatureMetric.fingerprint`.
  """
  return aligned([["metric", "SHA-256 of the weights"],
                  *([name, found["weights_sha256"]] for name, found in by_metric.items()
                    if "weights_sha256" in found)])


def _title(judged_set):
  kind = judged_set.kind
  return (f"{judged_set.name}: {SCORE_NAMES[kind]}{_CHANCE[kind]}; {judged_set.size:,} "
          f"{EXAMPLES[kind]}\n{judged_set.note}")


def _legend(columns, judged_set):
  """What the headings do not say."""
  groups = [f"{_HEADINGS[group]}: mean of {', '.join(_HEADINGS[s] for s in subsets)}"
            for group, subsets in scores.GROUPS.items() if group in columns]
  others = ["±: half the 95% bootstrap interval"]
  if "mean" in columns:
    others = [f"mean: of all {len(judged_set.subsets)} subsets",
              f"pooled: weighted by {EXAMPLES[judged_set.kind]}", *others]
  return "\n".join("; ".join(terms) for terms in (groups, others) if terms)


def _columns(rows, judged_set):
  """Subsets and averages, in the papers' order, without a group of all subsets: the mean again."""
  names = {subset.name for subset in judged_set.subsets}
  order = list(_HEADINGS)
  columns = [column for column in dict.fromkeys(row.subset for row in rows)
             if set(scores.GROUPS.get(column, ())) != names]
  return sorted(columns, key=lambda c: order.index(c) if c in order else -1)


def _headings(columns):
  return [_HEADINGS.get(column, column) for column in columns]


def _is_headline(column, judged_set):
  return column == "mean" or not judged_set.by_people


def _cell(row, *, with_interval):
  if row.low is None or row.high is None or not with_interval:
    return _number(row.score)
  return f"{row.score:.1f} ±{(row.high - row.low) / 2:.1f}"


def _number(score):
  return "" if score is None else f"{score:.1f}"
