"""Networks scored on judgements of one's own, at every tap, with what intervals are drawn from.

Such a set is one that `perceptual prepare judged` wrote. Whole references are drawn, as
`perceptual evaluate` draws them (`evaluation.clustered`), and all networks share the draws.
"""

import functools

from perceptual.common import packages
from perceptual.comparison import compiled, judged_pairs
from perceptual.data.judged import prepared
from perceptual.errors import UserError
from perceptual.evaluation import answers, leaderboard, own_sets, several_sets
from perceptual.metrics import feature_metric
from perceptual.studies.analyses import configurations


class OwnSet:
  """A set of judgements in a view, whose images are read once for any number of networks.

  Attributes:
    name: what the set is called in tables: `judged/mine at 64 pixels`.
    kind: that of its judgements, as of `prepared.PreparedJudgements`.
    size: the number of examples.
    sha256: of its examples and images.
  """

  def __init__(self, judged, view):
    """Takes a `prepared.PreparedJudgements` and the `view.View` in which its images are compared.

    Raises:
      UserError: the set is of opinions and SciPy is missing.
    """
    if judged.kind == "opinions":
      packages.require("scipy", extra="report", purpose="Scoring opinions")
    self._judged, self._view = judged, view
    self._answers = answers.of(judged, str(view))
    self.name = own_sets.PREFIX + self._answers.name
    self.kind = judged.kind
    self.size = judged.size
    self.sha256 = judged.provenance["sha256"]

  @functools.cached_property
  def _pairs(self):
    return judged_pairs.JudgedPairs(self._judged, self._view)

  def scores(self, metrics):
    """Returns the scores of a network: `{(distance, tap): clustered.Score}`, in percent.

    Of opinions the score is 2AFC over pairs of versions of one picture. The last tap of each
    distance is `sum`.

    Args:
      metrics: the network by several distances, as `by_distance` gives it.

    Raises:
      UserError: an image has changed or is too small, a distance is not finite, or the set has no
        score, for instance since no picture has two versions.
    """
    found = self._pairs.measure(metrics, per_tap=True)
    board = leaderboard.score(self._answers, found, ranked=())
    by_column = board.scores[several_sets.COLUMN[self._answers.kind]]
    for score in by_column.values():
      if score.value is None:
        raise UserError(f"The score on {self.name} is {score.note}.")
    return {(distance, tap or configurations.SUM): by_column[f"{distance}/{tap}".rstrip("/")]
            for distance, metric in metrics.items() for tap in (*metric.taps, "")}


def by_distance(metric, distances):
  """Returns a network with several distances at its taps: `{distance: compiled.Compiled}`.

  Weights that are assigned to the network later count from then on.

  Args:
    metric: a `feature_metric.FeatureMetric`.
    distances: names of distances.

  Raises:
    UserError: the metric has no taps, or a distance is unknown.
  """
  if not isinstance(metric, feature_metric.FeatureMetric):
    raise UserError(f"{metric.name} has no taps: this needs the features of a network.")
  return {name: compiled.Compiled(metric.with_tap_distances(metric.at_taps(name)))
          for name in distances}


def load(dataset, data_dir):
  """Returns the `OwnSet` of `judged/NAME` or `judged/NAME:image_size=64,crop=48`.

  Raises:
    UserError: no folder is given, there is no such set in it, or it is damaged.
  """
  name, view = own_sets.viewed(dataset)
  if data_dir is None:
    raise UserError(f"{dataset} lies in a folder of prepared data sets: give it, --data_dir.")
  return OwnSet(prepared.load_judged(name, data_dir), view)
