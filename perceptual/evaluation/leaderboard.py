"""Metrics side by side on one judged set: scores with intervals, and which differ beyond chance.

Intervals and differences are by reference (`clustered`, `paired`); differences of all pairs of
metrics are corrected for their number by Holm's method.

    distances.csv   a line an example and candidate: the answer, and a column a metric
    scores.csv      a line a metric and score, with its interval
    scores.json     the same, the differences, the set's provenance and the fingerprints
    leaderboard.txt what is shown on screen
"""

import csv
import dataclasses
import io
import json

from perceptual.common.text_table import aligned
from perceptual.evaluation import clustered, paired, results, two_afc

LEVEL = 0.05  # of differences, once corrected
HEADLINE = {"2afc": "two_afc", "jnd": "jnd_map", "opinions": "srcc"}

# Heading and decimals of each score.
_SHOWN = {
    "two_afc": ("2AFC %", 1), "jnd_map": ("JND mAP %", 1), "srcc": ("SRCC", 3), "krcc": ("KRCC", 3),
    "plcc": ("PLCC", 3), "rmse": ("RMSE", 3), "srcc_within": ("SRCC within", 3),
    "krcc_within": ("KRCC within", 3), "plcc_within": ("PLCC within", 3)}


@dataclasses.dataclass(frozen=True)
class Leaderboard:
  """What metrics score on a judged set.

  Attributes:
    judged: the `PreparedJudgements`.
    distances: `{metric: [examples, candidates] float64}`, lower is better.
    scores: `{score: {metric: clustered.Score}}`.
    differences: `{(metric, other metric): paired.Difference}` of the headline score.
  """

  judged: object
  distances: dict
  scores: dict
  differences: dict

  @property
  def headline(self):
    """The name of the score by which metrics are ranked."""
    return HEADLINE[self.judged.kind]

  def ranked(self):
    """Returns the metrics, the best first; those without a score are last."""
    found = self.scores[self.headline]
    return sorted(found, key=lambda metric: (
        found[metric].value is None, -(found[metric].value or 0.0)))


def score(judged, distances, *, resampling=clustered.DEFAULT):
  """Returns the `Leaderboard` of distances on a judged set.

  Args:
    judged: `data.judged.prepared.PreparedJudgements`.
    distances: `{metric: [examples, candidates] float64}`, finite, lower is better.
    resampling: a `clustered.Resampling`.

  Raises:
    UserError: there are fewer than ten examples, or a distance is not finite.
  """
  by_metric = {metric: _scores(judged, found, resampling) for metric, found in distances.items()}
  by_score = {name: {metric: found[name] for metric, found in by_metric.items()}
              for name in next(iter(by_metric.values()))}
  return Leaderboard(judged, distances, by_score, paired.all_differences(
      by_score[HEADLINE[judged.kind]], confidence=resampling.confidence))


def text(board):
  """Returns the leaderboard as text for a screen, the best metric first."""
  names, ranked = list(board.scores), board.ranked()
  head = ["metric", *(_SHOWN[name][0] for name in names), "better than"]
  lines = [[metric, *(_cell(board.scores[name][metric], _SHOWN[name][1]) for name in names),
            ", ".join(_beaten(board, metric)) or "none"] for metric in ranked]
  references = next(iter(board.scores[board.headline].values())).references
  about = [f"judged/{board.judged.name}: {board.judged.size:,} examples of {references:,} "
           f"references", board.judged.note]
  ends = [f"±: half the 95% interval, by bootstrap of references; better than: in "
          f"{_SHOWN[board.headline][0].removesuffix(' %')}, by more than chance (p < {LEVEL:g}, "
          "corrected by Holm's method)", *_ceilings(board.judged), *_notes(board)]
  return "\n".join([*filter(None, about), "", aligned([head, *lines]), "", *ends])


def write(board, output_dir, *, fingerprints, settings):
  """Writes `distances.csv`, `scores.csv`, `scores.json` and `leaderboard.txt`.

  Args:
    board: a `Leaderboard`.
    output_dir: a folder, made if it is not there.
    fingerprints: `{metric: plain data}`.
    settings: plain data: how the evaluation was run.

  Raises:
    UserError: if the folder cannot be written.
  """
  results.write(output_dir, {
      "distances.csv": _distances_csv(board), "scores.csv": _scores_csv(board),
      "scores.json": _as_json(board, fingerprints, settings),
      "leaderboard.txt": f"{text(board)}\n"})


def _scores(judged, found, resampling):
  """Returns `{score: clustered.Score}` of one metric."""
  given = {"references": judged.references, "resampling": resampling}
  if judged.kind == "2afc":
    return {"two_afc": clustered.two_afc_by_reference(*found.T, judged.answers, **given)}
  if judged.kind == "jnd":
    return {"jnd_map": clustered.jnd_map_by_reference(found[:, 0], judged.answers, **given)}
  return clustered.opinion_scores(
      found[:, 0], judged.answers, votes=judged.votes, higher_is_better=judged.higher_is_better,
      **given)


def _beaten(board, metric):
  """Yields the metrics that another is better than by more than chance."""
  for (one, other), difference in board.differences.items():
    if difference.corrected < LEVEL and metric in (one, other):
      winner, loser = (one, other) if difference.value > 0 else (other, one)
      if winner == metric:
        yield loser


def _ceilings(judged):
  if judged.kind == "2afc":
    different = ("" if judged.votes is None else ", two different raters "
                 f"{two_afc.human_ceiling(judged.answers, votes=judged.votes):.1f}")
    yield (f"people agree with each other in {two_afc.human_ceiling(judged.answers):.1f}%"
           f"{different}; no metric can reach more than {two_afc.oracle(judged.answers):.1f}")


def _notes(board):
  """Yields why scores are missing."""
  for name, found in board.scores.items():
    for metric, value in found.items():
      if value.note:
        yield f"{metric}, {_SHOWN[name][0]}: {value.note}"


def _cell(value, decimals):
  if value.value is None:
    return ""
  return f"{value.value:.{decimals}f} ±{(value.high - value.low) / 2:.{decimals}f}"


def _distances_csv(board):
  judged = board.judged
  names = [image.name for image in judged.images]
  head = ["example", "reference", "candidate", "number", "answer", *board.distances]
  rows = ([example, names[reference], names[candidate], number, judged.answers[example],
           *(found[example, number] for found in board.distances.values())]
          for example, (reference, *candidates) in enumerate(judged.examples)
          for number, candidate in enumerate(candidates))
  return _as_csv(head, rows)


def _scores_csv(board):
  return _as_csv(["metric", "score", "value", "low", "high", "references", "note"], (
      [metric, name, value.value, value.low, value.high, value.references, value.note]
      for name, found in board.scores.items() for metric, value in found.items()))


def _as_json(board, fingerprints, settings):
  about = {
      "judged_set": board.judged.name, "kind": board.judged.kind, "note": board.judged.note,
      "provenance": board.judged.provenance, "settings": settings, "fingerprints": fingerprints,
      "scores": {name: {metric: {"value": value.value, "low": value.low, "high": value.high,
                                 "references": value.references, "note": value.note}
                        for metric, value in found.items()}
                 for name, found in board.scores.items()},
      "differences": [{"metric": one, "other": other, "score": board.headline,
                       **dataclasses.asdict(difference)}
                      for (one, other), difference in board.differences.items()]}
  return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def _as_csv(head, rows):
  stream = io.StringIO()
  writer = csv.writer(stream, lineterminator="\n")
  writer.writerow(head)
  writer.writerows(rows)
  return stream.getvalue()
