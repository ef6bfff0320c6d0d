"""Metrics side by side on one judged set: scores with intervals, and which differ beyond chance.

Intervals and differences are by reference (`clustered`, `paired`); differences of all pairs of
metrics are corrected for their number by Holm's method.

    distances.csv   a line an example and candidate: the answer, and a column a metric
    scores.csv      a line a metric and score, with its interval
    scores.json     the same, the differences, the set's provenance, the fingerprints,
                    and the checksum of distances.csv
    leaderboard.txt what is shown on screen
"""

import dataclasses
import json

from perceptual.common.text_table import aligned
from perceptual.errors import UserError
from perceptual.evaluation import answers, clustered, distance_files, paired, results, two_afc

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
    judged: the `answers.Answers`.
    distances: `{column: [examples, candidates] float64}`, lower is better: of the metrics that are
      ranked and, beside them, of their taps.
    ranking: the metrics that are ranked, the best first; those without a score are last.
    scores: `{score: {column: clustered.Score}}`.
    differences: `{(metric, other metric): paired.Difference}` of the headline score, of the ranked.
  """

  judged: answers.Answers
  distances: dict
  ranking: tuple[str, ...]
  scores: dict
  differences: dict

  @property
  def headline(self):
    """The name of the score by which metrics are ranked."""
    return HEADLINE[self.judged.kind]

  def beaten(self, metric):
    """Returns the metrics that one is better than by more than chance, the best first."""
    return [other for other in self.ranking if self.is_better(metric, other)]

  def is_better(self, metric, other):
    """Whether one ranked metric is better than another by more than chance."""
    return is_better(self.differences, metric, other)


def score(judged, distances, *, ranked=None, resampling=None):
  """Returns the `Leaderboard` of distances on a judged set.

  Args:
    judged: `answers.Answers`.
    distances: `{column: [examples, candidates] float64}`, finite, lower is better.
    ranked: which of the columns are metrics that are ranked; None for all. The others are their
      taps.
    resampling: a `clustered.Resampling`; None for `resampling_for` the metrics that are ranked.

  Raises:
    UserError: there are fewer than ten examples, or a distance is not finite.
  """
  resampling = resampling or resampling_for(len(distances if ranked is None else ranked))
  by_column = {column: _scores_of(judged, column, found, resampling)
               for column, found in distances.items()}
  by_score = {name: {column: found[name] for column, found in by_column.items()}
              for name in next(iter(by_column.values()))}
  headline = {column: found for column, found in by_score[HEADLINE[judged.kind]].items()
              if ranked is None or column in ranked}
  return Leaderboard(
      judged, distances, in_order(headline), by_score,
      paired.all_differences(headline, confidence=resampling.confidence))


def resampling_for(metrics):
  """Returns the `clustered.Resampling` with which that many metrics can be told apart.

  A p value from draws is at least 2 / (draws + 1). Holm's method multiplies the smallest by the
  number of comparisons, so that many metrics need many draws for any difference to be found.
  """
  comparisons = metrics * (metrics - 1) // 2
  return clustered.Resampling(resamples=max(
      clustered.DEFAULT.resamples, int(4 * comparisons / LEVEL)))


def is_better(differences, metric, other):
  """Whether one metric is better than another by more than chance.

  Args:
    differences: as `paired.all_differences` returns them.
    metric: the one.
    other: the other.
  """
  for pair, sign in (((metric, other), 1), ((other, metric), -1)):
    if pair in differences:
      found = differences[pair]
      return found.corrected < LEVEL and sign * found.value > 0
  return False


def in_order(scores):
  """Returns the names of `{name: clustered.Score}`, the best first, those without a value last."""
  return tuple(sorted(scores, key=lambda name: (
      scores[name].value is None, -(scores[name].value or 0.0))))


def text(board):
  """Returns the leaderboard as text for a screen, the best metric first."""
  names = list(board.scores)
  head = ["", "metric", *(heading(name) for name in names), "better than"]
  number = {metric: str(place) for place, metric in enumerate(board.ranking, 1)}
  lines = [[number[metric], metric, *(cell(name, board.scores[name][metric]) for name in names),
            in_short([int(number[other]) for other in board.beaten(metric)])]
           for metric in board.ranking]
  return "\n".join([*about(board), "", aligned([head, *lines]), "",
                    better_than(heading(board.headline).removesuffix(" %")),
                    *ceilings(board.judged), *notes(board)])


def about(board):
  """Returns lines of text: what is scored, and who judged."""
  references = next(iter(board.scores[board.headline].values())).references
  size = f"{board.judged.size:,} examples of {references:,} references"
  return [line for line in (f"judged/{board.judged.name}: {size}", board.judged.note) if line]


def better_than(headline):
  """Returns what the intervals and the last column of a leaderboard say."""
  return (f"±: half the 95% interval, by bootstrap of references; better than: in {headline}, by "
          f"more than chance (p < {LEVEL:g}, corrected by Holm's method)")


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
      distance_files.DISTANCES: distance_files.as_csv(board.judged, board.distances),
      "scores.csv": _scores_csv(board),
      distance_files.SCORES: _as_json(board, fingerprints, settings),
      "leaderboard.txt": f"{text(board)}\n"})


def ceilings(judged):
  """Returns lines of text: how well people agree, where that can be told."""
  if judged.kind != "2afc":
    return []
  agreement = agreement_of_raters(judged)
  different = "" if agreement is None else f", two different raters in {agreement:.1f}%"
  return [f"people agree with each other in {two_afc.human_ceiling(judged.values):.1f}%"
          f"{different}; no metric can reach more than {two_afc.oracle(judged.values):.1f}%"]


def agreement_of_raters(judged):
  """Returns how often two different raters of triplets agree, in percent; None if unknown.

  It is unknown without votes, if shares are rounded so far that they match no whole number of
  votes, or if no triplet has two raters.
  """
  if judged.votes is None:
    return None
  try:
    return two_afc.human_ceiling(judged.values, votes=judged.votes)
  except UserError:
    return None


def notes(board):
  """Returns lines of text: why scores are missing."""
  missing = {}
  for name, found in board.scores.items():
    for column, value in found.items():
      if value.note:
        missing.setdefault((column, value.note), []).append(heading(name))
  return [f"{column}: {', '.join(headings)} {note}"
          for (column, note), headings in missing.items()]


def heading(score_name):
  """Returns what a score is called at the head of a column."""
  return _SHOWN[score_name][0]


def cell(score_name, value):
  """Returns a `clustered.Score` as text with half its interval; empty without a value."""
  if value.value is None:
    return ""
  decimals = _SHOWN[score_name][1]
  return f"{value.value:.{decimals}f} ±{(value.high - value.low) / 2:.{decimals}f}"


def in_short(numbers):
  """Returns ascending numbers as text, those in a row in one: `2, 4-7`; `none` of none."""
  rows = []
  for number in numbers:
    if rows and number == rows[-1][1] + 1:
      rows[-1][1] = number
    else:
      rows.append([number, number])
  return ", ".join(f"{first}" if first == last else f"{first}-{last}"
                   for first, last in rows) or "none"


def _scores_of(judged, column, found, resampling):
  """Returns `{score: clustered.Score}` of one column; `UserError` names it where that fails."""
  try:
    return _scores(judged, found, resampling)
  except UserError as error:
    raise UserError(f"{column} on judged/{judged.name}: {error}") from None


def _scores(judged, found, resampling):
  given = {"references": judged.references, "resampling": resampling}
  if judged.kind == "2afc":
    return {"two_afc": clustered.two_afc_by_reference(*found.T, judged.values, **given)}
  if judged.kind == "jnd":
    return {"jnd_map": clustered.jnd_map_by_reference(found[:, 0], judged.values, **given)}
  return clustered.opinion_scores(
      found[:, 0], judged.values, votes=judged.votes, higher_is_better=judged.higher_is_better,
      **given)


def _scores_csv(board):
  return distance_files.table(
      ["metric", "score", "value", "low", "high", "references", "note"],
      ([column, name, value.value, value.low, value.high, value.references, value.note]
       for name, found in board.scores.items() for column, value in found.items()))


def _as_json(board, fingerprints, settings):
  about_it = {
      "judged_set": board.judged.name, "kind": board.judged.kind, "note": board.judged.note,
      "higher_is_better": board.judged.higher_is_better, "ranking": list(board.ranking),
      "provenance": board.judged.provenance, "settings": settings, "fingerprints": fingerprints,
      "distances": distance_files.record(board.judged, board.distances),
      "scores": {name: {metric: {"value": value.value, "low": value.low, "high": value.high,
                                 "references": value.references, "note": value.note}
                        for metric, value in found.items()}
                 for name, found in board.scores.items()},
      "differences": [{"metric": one, "other": other, "score": board.headline,
                       **dataclasses.asdict(difference)}
                      for (one, other), difference in board.differences.items()]}
  return json.dumps(about_it, indent=2, ensure_ascii=False) + "\n"
