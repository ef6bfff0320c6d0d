"""The examples of a judged set on which metrics and people disagree most.

Every example is brought to one form, a choice between two images, or for same/different pairs a
pair. What people say is between -1 and 1, and so is what a metric says: the sign of the difference
of its distances, times the share of all examples whose difference is smaller. A metric disagrees
where the two have opposite signs, by the geometric mean of their sizes: 1 where people are
unanimous and the metric prefers the other image by more than in any other example. Where votes are
known one is added for either answer (Laplace), so that a single person is not unanimity.
"""

import dataclasses

import numpy as np

MOST_A_REFERENCE = 2  # examples of one reference that are shown, so that one does not fill the page
_MANY_PAIRS = 200_000  # the most pairs of opinions that are examined, spread evenly


@dataclasses.dataclass(frozen=True)
class Choices:
  """The choices that a judged set asks for, and what people and metrics said.

  Attributes:
    images: `[choices, 1 + candidates, 2]`: of the reference and of each candidate the example, and
      which of its images: 0 for the reference, from 1 for the candidates.
    people: `[choices]` float64 in [-1, 1]: of two candidates the share for the second less that for
      the first, or the difference of opinions by their range; of same/different pairs the share
      that saw a difference less the share that saw none.
    metrics: `{metric: [choices] float64}` in [-1, 1], the same of the metric.
    references: `[choices]` names.
  """

  images: np.ndarray
  people: np.ndarray
  metrics: dict
  references: np.ndarray

  def of(self, metric):
    """Returns `[choices]`, how much one metric disagrees with people, from 0 to 1."""
    return np.sqrt(np.maximum(0.0, -self.people * self.metrics[metric]))

  def of_all(self):
    """Returns `[choices]`, how much the metrics disagree with people in the mean."""
    return np.mean([self.of(metric) for metric in self.metrics], axis=0)


def choices(board):
  """Returns the `Choices` of the ranked metrics of a `leaderboard.Leaderboard`."""
  judged = board.judged
  distances = {metric: board.distances[metric] for metric in board.ranking}
  if judged.kind == "opinions":
    return _of_opinions(judged, distances)
  every = np.arange(judged.size)
  images = np.stack([np.stack([every, np.full(judged.size, slot)], axis=-1)
                     for slot in range(judged.candidates.shape[1] + 1)], axis=1)
  people = _shrunk(2 * judged.values - 1, judged.votes)
  if judged.kind == "jnd":
    return Choices(images, -people, {
        metric: 2 * _ranked(found[:, 0]) - 1 for metric, found in distances.items()},
        judged.references)
  return Choices(images, people, {
      metric: _signed(found[:, 0] - found[:, 1]) for metric, found in distances.items()},
      judged.references)


def most(disagreement, references, count):
  """Returns the indices of the choices of most disagreement, a list, few of one reference.

  Args:
    disagreement: `[choices]`.
    references: `[choices]` names.
    count: how many.
  """
  chosen, seen = [], {}
  for place in np.argsort(-disagreement, kind="stable"):
    if len(chosen) == count or not disagreement[place] > 0:
      break
    name = references[place]
    if seen.get(name, 0) < MOST_A_REFERENCE:
      seen[name] = seen.get(name, 0) + 1
      chosen.append(int(place))
  return chosen


def _of_opinions(judged, distances):
  """All pairs of opinions of one reference that differ."""
  pairs = np.concatenate([
      np.stack([members[i] for i in np.triu_indices(len(members), k=1)], axis=-1)
      for members in (np.flatnonzero(judged.references == name)
                      for name in np.unique(judged.references))])
  pairs = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), _MANY_PAIRS)).astype(int)]
  quality = judged.values if judged.higher_is_better else -judged.values
  first, second = pairs.T
  images = np.stack([np.stack([first, np.zeros_like(first)], -1),
                     np.stack([first, np.ones_like(first)], -1),
                     np.stack([second, np.ones_like(second)], -1)], axis=1)
  people = (quality[second] - quality[first]) / (np.ptp(quality) or 1.0)
  return Choices(images, people, {
      metric: _signed(found[first, 0] - found[second, 0]) for metric, found in distances.items()},
      judged.references[first])


def _shrunk(people, votes):
  return people if votes is None else people * votes / (votes + 2)


def _signed(difference):
  """The sign of each difference times the share of others that are smaller."""
  return np.sign(difference) * _ranked(np.abs(difference))


def _ranked(values):
  """`[choices]` from 0 to 1: the share of values below each, equal ones at one."""
  return np.searchsorted(np.sort(values), values) / max(1, len(values) - 1)
