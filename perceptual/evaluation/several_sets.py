"""Metrics side by side on several judged sets: a column a set, and the mean.

The column of a set is a score in percent: 2AFC of triplets, 2AFC over pairs of opinions within a
reference, average precision of same/different pairs. The mean over sets is unweighted. Sets are
drawn from independently of each other, so that draws of the mean take one draw of each set.

    leaderboard.csv   a line a metric and set, and of the mean
    leaderboard.json  the same, and the differences of the means
    leaderboard.txt   what is shown on screen
"""

import dataclasses
import json

import numpy as np

from perceptual.common import files
from perceptual.common.text_table import aligned
from perceptual.errors import UserError
from perceptual.evaluation import (
  clustered,
  distance_files,
  kept_apart,
  leaderboard,
  paired,
  results,
)

COLUMN = {"2afc": "two_afc", "jnd": "jnd_map", "opinions": "two_afc"}
MEAN = "mean"


@dataclasses.dataclass(frozen=True)
class Summary:
  """What metrics score on several judged sets.

  Attributes:
    boards: `{title of the set: leaderboard.Leaderboard}`.
    scores: `{title, then MEAN: {metric: clustered.Score}}`, in percent.
    ranking: the metrics, the best mean first.
    differences: `{(metric, other metric): paired.Difference}` of the means.
  """

  boards: dict
  scores: dict
  ranking: tuple[str, ...]
  differences: dict

  def beaten(self, metric):
    """Returns the metrics that one is better than in the mean, beyond chance, the best first."""
    return [other for other in self.ranking if self.is_better(metric, other)]

  def is_better(self, metric, other):
    """Whether one metric has the better mean than another by more than chance."""
    return leaderboard.is_better(self.differences, metric, other)


def summarise(boards):
  """Returns the `Summary` of leaderboards of the same metrics.

  Args:
    boards: `{title: leaderboard.Leaderboard}`, at least two.

  Raises:
    UserError: the sets were scored for different metrics.
  """
  metrics = next(iter(boards.values())).ranking
  for title, board in boards.items():
    if set(board.ranking) != set(metrics):
      raise UserError(f"{title} has scores of {', '.join(sorted(board.ranking))}; other sets of "
                      f"{', '.join(sorted(metrics))}: one leaderboard needs the same metrics.")
  scores = {title: {metric: board.scores[COLUMN[board.judged.kind]][metric] for metric in metrics}
            for title, board in boards.items()}
  scores[MEAN] = {metric: _mean([scores[title][metric] for title in boards]) for metric in metrics}
  return Summary(boards, scores, leaderboard.in_order(scores[MEAN]),
                 paired.all_differences(scores[MEAN]))


def text(summary):
  """Returns the leaderboard as text for a screen, the best mean first."""
  number = {metric: str(place) for place, metric in enumerate(summary.ranking, 1)}
  head = ["", "metric", *(f"{title}, {leaderboard.heading(column(summary, title))}"
                          for title in summary.boards), MEAN, "better than"]
  lines = [[number[metric], metric,
            *(leaderboard.cell(column(summary, title), found[metric])
              for title, found in summary.scores.items()),
            leaderboard.in_short([int(number[other]) for other in summary.beaten(metric)])]
           for metric in summary.ranking]
  described = [line for board in summary.boards.values() for line in leaderboard.about(board)]
  return "\n".join([*described, "", aligned([head, *lines]), "",
                    leaderboard.better_than("the mean")])


def write(summary, output_dir):
  """Writes `leaderboard.csv`, `leaderboard.json` and `leaderboard.txt`.

  Args:
    summary: a `Summary`.
    output_dir: a folder, made if it is not there.

  Raises:
    UserError: if the folder cannot be written.
  """
  lines = [(metric, title, "" if title == MEAN else column(summary, title), found[metric])
           for title, found in summary.scores.items() for metric in summary.ranking]
  results.write(output_dir, {
      "leaderboard.csv": distance_files.table(
          ["metric", "set", "score", "value", "low", "high"],
          ([*names, value.value, value.low, value.high] for *names, value in lines)),
      kept_apart.BOARD: json.dumps({
          "ranking": list(summary.ranking),
          "scores": [{"metric": metric, "set": title, "score": score, "value": value.value,
                      "low": value.low, "high": value.high}
                     for metric, title, score, value in lines],
          "differences": [{"metric": one, "other": other, "score": MEAN,
                           **dataclasses.asdict(difference)}
                          for (one, other), difference in summary.differences.items()]},
          indent=2, ensure_ascii=False) + "\n",
      "leaderboard.txt": f"{text(summary)}\n"})


def folders_of(folder):
  """Returns the folders of the evaluations on one set each that a folder stands for.

  Args:
    folder: of an evaluation on one set, which is returned alone; or of one on several, whose
      sub-folders are.

  Raises:
    UserError: it is of several sets and its sub-folders are not, each once, of the same.
  """
  folder = files.place(folder)
  alone = (folder / distance_files.DISTANCES).exists()
  several = (folder / kept_apart.BOARD).exists()
  if alone and several:
    raise UserError(f"{folder} holds both {distance_files.DISTANCES}, of one set, and "
                    f"{kept_apart.BOARD}, of several: give a folder of one evaluation.")
  if alone or not folder.is_dir():
    return [folder]
  inside = [path.parent for path in sorted(folder.glob(f"*/{distance_files.DISTANCES}"))]
  if not several:
    if inside:
      raise UserError(f"{folder} has no {distance_files.DISTANCES}; its sub-folders "
                      f"{', '.join(path.name for path in inside)} have: give them, each as "
                      "--from_distances.")
    return [folder]
  by_title = {}
  for path in inside:
    found = distance_files.read_json(path / distance_files.SCORES).get("judged_set")
    by_title.setdefault(str(found), []).append(path)
  titles, _ = kept_apart.titles_of(folder)
  for title in titles:
    places = by_title.get(title, [])
    if len(places) != 1:
      raise UserError(f"{folder / kept_apart.BOARD} is of judged/{title}, which "
                      f"{len(places) or 'none'} of its sub-folders "
                      f"{'hold' if len(places) > 1 else 'holds'}: give the folders of one set "
                      "each, each as --from_distances.")
  return [by_title[title][0] for title in titles]


def column(summary, title):
  """Returns the name of the score in the column of a set; that of the mean is shown as 2AFC is."""
  return "two_afc" if title == MEAN else COLUMN[summary.boards[title].judged.kind]


def _mean(scores):
  """The mean of one metric's `clustered.Score`s of independent sets; none where one is missing."""
  references = sum(score.references for score in scores)
  missing = next((score for score in scores if score.value is None), None)
  if missing is not None:
    return clustered.Score(None, None, None, references, missing.note)
  # Sets of as many references share their draws: the next set's are taken one place on.
  draws = np.mean([np.roll(score.draws, place) for place, score in enumerate(scores)], axis=0)
  low, high = np.nanquantile(draws, [0.025, 0.975])
  value = float(np.mean([score.value for score in scores]))
  return clustered.Score(value, float(low), float(high), references, draws=draws)
