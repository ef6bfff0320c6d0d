"""Whether one metric is better than another by more than chance.

Two `clustered.Score`s of the same examples come from the same draws of references, so the
difference is taken draw by draw: what makes a draw easy for both metrics cancels. The p value is
that of the bootstrap's two-sided test, twice the share of draws on the rarer side of zero (Efron
and Tibshirani 1993, chapter 15), one draw added on either side so that it is never 0: with 2000
resamples it is at least 0.001.

Of many comparisons some differ by chance. Holm's step-down correction (1979) keeps the chance of
any false finding below the level, whether or not the comparisons are independent.
"""

import dataclasses
import itertools

import numpy as np

from perceptual import errors
from perceptual.evaluation import checks


@dataclasses.dataclass(frozen=True)
class Difference:
  """The score of one metric less that of another.

  Attributes:
    value: the difference, in the scores' unit.
    low: the lower end of its interval.
    high: the upper end.
    p_value: the chance of so clear a difference between metrics that do not differ.
    corrected: the same, corrected for all comparisons made together; equal for one alone.
  """

  value: float
  low: float
  high: float
  p_value: float
  corrected: float


def paired_difference(first, second, *, confidence=0.95):
  """Returns the `Difference` of two scores, first less second.

  Args:
    first: a `clustered.Score`.
    second: one of the same kind, on the same examples and with the same `Resampling`.
    confidence: the fraction of drawn differences inside the interval.

  Raises:
    UserError: a score has no value, or the two do not share their draws.
  """
  errors.require_number("confidence", confidence, above=0, below=1)
  for score in (first, second):
    if score.value is None:
      raise errors.UserError(f"There is no difference of scores without a value: {score.note}.")
  if first.references != second.references or len(first.draws) != len(second.draws):
    raise errors.UserError(
        "A paired difference needs two scores of the same examples and draws. Received: "
        f"{len(first.draws)} draws of {first.references} references, and {len(second.draws)} of "
        f"{second.references}.")
  draws = first.draws - second.draws
  draws = draws[~np.isnan(draws)]
  tail = (1 - confidence) / 2
  low, high = np.quantile(draws, [tail, 1 - tail])
  p_value = _p_value(draws)
  return Difference(first.value - second.value, float(low), float(high), p_value, p_value)


def all_differences(scores, *, confidence=0.95):
  """Returns the differences of all pairs of metrics, corrected for their number.

  Args:
    scores: a dict from metric to its `clustered.Score`, all of one kind and of the same examples.
      Metrics whose score has no value are left out.
    confidence: the fraction of drawn differences inside each interval; intervals are not corrected.

  Returns:
    A dict from (metric, other metric), each pair once in the order of `scores`, to `Difference`.
  """
  names = [name for name, score in scores.items() if score.value is not None]
  pairs = list(itertools.combinations(names, 2))
  found = [paired_difference(scores[one], scores[other], confidence=confidence)
           for one, other in pairs]
  corrected = holm([difference.p_value for difference in found]) if found else []
  return {pair: dataclasses.replace(difference, corrected=float(p_value))
          for pair, difference, p_value in zip(pairs, found, corrected)}


def holm(p_values):
  """Returns p values corrected for their number by Holm's step-down method, `[tests]` float64.

  Args:
    p_values: [tests] in [0, 1].
  """
  p_values = checks.fractions("p_values", p_values)
  order = np.argsort(p_values, kind="stable")
  factors = len(p_values) - np.arange(len(p_values))
  corrected = np.empty(len(p_values))
  corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
  return corrected


def _p_value(draws):
  rarer = min(np.sum(draws <= 0), np.sum(draws >= 0))
  return float(min(1.0, 2 * (rarer + 1) / (len(draws) + 1)))
