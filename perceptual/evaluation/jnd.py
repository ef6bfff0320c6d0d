"""Average precision over just noticeable differences, after Zhang et al. 2018; see `scores`."""

import numpy as np

from perceptual import errors
from perceptual.evaluation import checks


def jnd_map(distance, same):
  """Returns the mean average precision over just noticeable differences, in percent.

  Pairs are called the same in order of ascending distance. Average precision is the area under the
  monotone envelope of precision over recall (VOC 2010 and later), with fractions for counts. No
  threshold separates pairs at equal distance, so they are called together: the score does not
  depend on the order of the input, and a constant distance scores the mean of `same`.

  Args:
    distance: [pairs] distances between the two images.
    same: [pairs] fractions that took them for the same. `UserError` if all are zero, as there is
      then nothing to recall.
  """
  distance, same = checks.finite("distance", distance), fractions_same("same", same)
  checks.check_same_length({"distance": distance, "same": same})
  once_each = np.ones([1, len(same)])
  return 100.0 * float(average_precision(ranking(distance, same), once_each)[0])


def ranking(distance, same):
  """Returns what average precision needs from the judgements, for any weights.

  Args:
    distance: [pairs] finite.
    same: [pairs] in [0, 1].

  Returns:
    The order of ascending distance, [pairs] indices; `same` in that order; and [groups] the places
    in that order at which a new distance begins. Among equal distances the order is that of
    `same`, so that not even the rounding of sums depends on the order of the input.
  """
  order = np.lexsort((same, distance))
  ascending = distance[order]
  begins = np.append(True, ascending[1:] != ascending[:-1])
  return order, same[order], np.flatnonzero(begins)


def average_precision(ranking, weights):
  """Returns the average precision of each row of weights, in [0, 1]; NaN where none is the same.

  Args:
    ranking: see `ranking`.
    weights: [rows, pairs] how often each pair counts, whole numbers.
  """
  order, same, groups = ranking
  weights = np.take(weights, order, axis=1)
  called = np.add.reduceat(weights, groups, axis=1)
  hits = np.add.reduceat(weights * same, groups, axis=1)
  # Where nothing is called yet there are no hits either.
  precision = np.cumsum(hits, axis=1) / np.maximum(np.cumsum(called, axis=1), 1)
  envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
  area, total = np.sum(hits * envelope, axis=1), np.sum(hits, axis=1)
  return np.divide(area, total, out=np.full_like(area, np.nan), where=total > 0)


def fractions_same(name, values):
  """Returns a float64 vector of fractions, not all of them 0."""
  array = checks.fractions(name, values)
  if not array.any():
    raise errors.UserError(f"{name} is 0 everywhere: average precision needs a pair that is not.")
  return array
