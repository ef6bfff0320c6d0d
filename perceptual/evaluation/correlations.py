"""How well distances agree with opinions: SRCC, KRCC, PLCC, RMSE and 2AFC over pairs of opinions.

`distance` is any metric's, lower is better. `opinion` is the mean opinion of an image: with
`higher_is_better` a quality (MOS), without it a degradation (DMOS). Every correlation is 1 where
the two agree perfectly and -1 where the metric is reversed, whichever way the opinions run.

PLCC and RMSE are taken after the monotone logistic of four parameters (VQEG 2000; ITU-T P.1401 and
J.149) is fitted to all examples by least squares:

    opinion = at_far + (at_near - at_far) / (1 + exp((distance - midpoint) / scale))

The one with five parameters (Sheikh et al. 2006) adds a linear term and need not be monotone. The
RMSE is sqrt(mean(residual^2)), in the unit of the opinions.

A correlation with a constant is undefined: it raises a `UserError` and is never a number, as do
fewer than ten examples.
"""

import numpy as np

from perceptual import errors
from perceptual.evaluation import checks, logistic, weighted_correlations

# Fewer opinions than these of one reference have no correlation of their own.
MIN_WITHIN = 3


def srcc(distance, opinion, references=None, *, higher_is_better):
  """Returns Spearman's rank correlation, equal values at the mean of their ranks.

  Args:
    distance: [examples] finite.
    opinion: [examples] finite.
    references: None for the correlation over all examples; [examples] names or numbers of the
      references for the mean of the correlations among the versions of each. References with fewer
      than `MIN_WITHIN` versions, or of which all have the same opinion, are left out; one within
      which the distance is constant counts 0, as it orders nothing.
    higher_is_better: whether a higher opinion is a better image: True of MOS, False of DMOS.

  Raises:
    UserError: distances or opinions are constant, fewer than ten or not finite; or no reference is
      left.
  """
  closeness, quality = oriented(distance, opinion, higher_is_better)
  return _overall_or_within(spearman, closeness, quality, references)


def krcc(distance, opinion, references=None, *, higher_is_better):
  """Returns Kendall's tau-b. Arguments and errors: `srcc`."""
  closeness, quality = oriented(distance, opinion, higher_is_better)
  return _overall_or_within(kendall, closeness, quality, references)


def plcc(distance, opinion, references=None, *, higher_is_better):
  """Returns Pearson's correlation after the logistic fit. Arguments and errors: `srcc`.

  It is negative where the fitted logistic says that a larger distance is a better image. The fit is
  one for all examples, within references too.
  """
  closeness, quality = oriented(distance, opinion, higher_is_better)
  mapped = logistic.fit(-closeness, quality)(-closeness)
  return _overall_or_within(pearson, towards(closeness, mapped), quality, references)


def rmse(distance, opinion, references=None, *, higher_is_better):
  """Returns the RMSE after the logistic fit, in the opinions' unit. Arguments, errors: `srcc`."""
  closeness, quality = oriented(distance, opinion, higher_is_better)
  mapped = logistic.fit(-closeness, quality)(-closeness)
  return _overall_or_within(root_mean_square, mapped, quality, references)


def opinion_pairs_score(distance, opinion, references, *, higher_is_better, votes=None):
  """Returns the 2AFC score over all pairs of opinions on versions of one reference, in percent.

  Of each pair the image of the better opinion should be the closer one; equal distances count one
  half, and pairs of equal opinions are left out. A constant distance scores 50.

  Args:
    distance: [examples] finite.
    opinion: [examples] finite.
    references: [examples] names or numbers of the references.
    higher_is_better: whether a higher opinion is a better image: True of MOS, False of DMOS.
    votes: [examples] how many people stand behind each opinion, or None. A pair of n and m votes
      weighs n m / (n + m), the inverse of the variance of the difference of its means.

  Raises:
    UserError: no reference has two different opinions, there are fewer than ten examples, or a
      value is not finite.
  """
  distance, quality = _values(distance, opinion, higher_is_better)
  index, count = checks.clusters(references)
  votes = checks.votes("votes", votes)
  checks.check_same_length({"distance": distance, "references": index, "votes": votes})
  agreed, weight = pair_sums(-distance, quality, index, count, votes)
  if not weight.sum():
    raise errors.UserError("No reference has two images of different opinion: there is no pair.")
  return 100.0 * float(agreed.sum() / weight.sum())


def oriented(distance, opinion, higher_is_better):
  """Returns closeness and quality, `[examples]` float64 each, for both of which more is better.

  Raises:
    UserError: one of the two is constant, has fewer than ten values or is not finite.
  """
  checks.varying("distance", distance)
  checks.varying("opinion", opinion)
  distance, quality = _values(distance, opinion, higher_is_better)
  return -distance, quality


def _values(distance, opinion, higher_is_better):
  distance = checks.finite("distance", distance)
  opinion = checks.finite("opinion", opinion)
  errors.require_bool("higher_is_better", higher_is_better)
  checks.check_same_length({"distance": distance, "opinion": opinion})
  checks.check_enough("A score of opinions", len(distance))
  return distance, opinion if higher_is_better else -opinion


def towards(closeness, mapped):
  """Returns mapped distances, their sign changed where the mapping says that far is better."""
  near, far = mapped[np.argmax(closeness)], mapped[np.argmin(closeness)]
  return mapped if near >= far else -mapped


def pair_sums(closeness, quality, index, count, votes=None):
  """Returns for each reference the agreement summed over its pairs, and its pairs' weight.

  Args:
    closeness: `[examples]`, more is closer.
    quality: `[examples]`, more is better.
    index: `[examples]` reference of each example, from 0.
    count: number of references.
    votes: `[examples]` or None, as in `opinion_pairs_score`.
  """
  sums = np.zeros([2, count])
  for reference, chosen in _members(index, count):
    first, second = np.triu_indices(len(chosen), k=1)
    better = np.sign(quality[chosen][first] - quality[chosen][second])
    closer = np.sign(closeness[chosen][first] - closeness[chosen][second])
    weight = np.abs(better)
    if votes is not None:
      ours, theirs = votes[chosen][first], votes[chosen][second]
      weight = weight * ours * theirs / (ours + theirs)
    sums[:, reference] = np.sum(weight * (1 + better * closer) / 2), np.sum(weight)
  return sums


def within_references(score, x, quality, index, count):
  """Returns `[references]` float64, a score within each; NaN where it is left out.

  Args:
    score: a function of the two, `[versions]` each.
    x: `[examples]` what is scored, for instance closeness.
    quality: `[examples]`, more is better.
    index: `[examples]` reference of each example, from 0.
    count: number of references.
  """
  values = np.full(count, np.nan)
  for reference, chosen in _members(index, count):
    if len(chosen) >= MIN_WITHIN and np.ptp(quality[chosen]) > 0:
      values[reference] = score(x[chosen], quality[chosen])
  return values


def spearman(x, y):
  """Spearman's correlation; 0 where one of the two is constant."""
  return np.nan_to_num(weighted_correlations.spearman(x, y, np.ones([1, len(y)]))[0])


def kendall(x, y):
  """Kendall's tau-b; 0 where one of the two is constant."""
  concordance = weighted_correlations.Concordance.between(x, y, np.zeros(len(y), int), 1)
  return np.nan_to_num(weighted_correlations.kendall(concordance, np.ones([1, 1]))[0])


def pearson(x, y):
  """Pearson's correlation; 0 where one of the two is constant."""
  return np.nan_to_num(weighted_correlations.pearson(x, y, np.ones([1, len(y)]))[0])


def root_mean_square(x, y):
  """The root of the mean square of the difference."""
  return np.sqrt(np.mean((x - y) ** 2))


def _overall_or_within(score, x, quality, references):
  if references is None:
    return float(score(x, quality))
  index, count = checks.clusters(references)
  checks.check_same_length({"distance": x, "references": index})
  values = within_references(score, x, quality, index, count)
  if np.isnan(values).all():
    raise errors.UserError(
        f"No reference has {MIN_WITHIN} images of different opinion: no score within references.")
  return float(np.nanmean(values))


def _members(index, count):
  """Yields each reference and the places of its examples."""
  order = np.argsort(index, kind="stable")
  yield from enumerate(np.split(order, np.searchsorted(index[order], np.arange(1, count))))

