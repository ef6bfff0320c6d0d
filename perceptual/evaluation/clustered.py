"""Scores with intervals by reference: whole references are drawn, with all their judgements.

Judgements of versions of one picture are not independent, so that intervals over single judgements
are too narrow. The bootstrap here draws references with replacement (Efron and Tibshirani 1993, for
clusters Davison and Hinkley 1997), and an interval lies between two quantiles of the scores drawn.
With fewer than about twenty references such intervals are still somewhat too narrow.

The draws depend on the seed and the number of references alone, so metrics that are scored apart on
the same examples share them, and `paired` can compare these metrics draw by draw.
"""

import dataclasses

import numpy as np

from perceptual import errors
from perceptual.evaluation import (
  checks,
  correlations,
  jnd,
  logistic,
  two_afc,
  weighted_correlations,
)

# The scores of `opinion_scores` that are correlations, or need one.
WITHIN = ("srcc_within", "krcc_within", "plcc_within")
CORRELATIONS = ("srcc", "krcc", "plcc", "rmse", *WITHIN)

# Why a score has no value.
UNDEFINED = "undefined: every distance is the same"
NO_REFERENCE = f"undefined: no reference has {correlations.MIN_WITHIN} images of different opinion"
NO_PAIR = "undefined: no reference has two images of different opinion"

# Resamples drawn at once: so few that they stay in the processor's cache.
_BLOCK = 16


@dataclasses.dataclass(frozen=True)
class Score:
  """A score of one metric on one set of judgements.

  Attributes:
    value: the score; None where it is undefined.
    low: the lower end of its interval, or None.
    high: the upper end, or None.
    references: how many references were drawn from.
    note: empty, or why there is no value.
    draws: `[resamples]` the score of each draw, NaN where it was undefined; empty without a value.
  """

  value: float | None
  low: float | None
  high: float | None
  references: int
  note: str = ""
  draws: np.ndarray = dataclasses.field(default=(), repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Resampling:
  """How intervals are drawn.

  Attributes:
    resamples: how many times to draw.
    seed: a whole number of at least 0.
    confidence: the fraction of drawn scores inside the interval, between 0 and 1.
  """

  resamples: int = 2000
  seed: int = 0
  confidence: float = 0.95

  def __post_init__(self):
    checks.check_resampling(resamples=self.resamples, seed=self.seed, confidence=self.confidence)


DEFAULT = Resampling()


def two_afc_by_reference(distance_0, distance_1, judge, references, *, votes=None,
                         resampling=DEFAULT):
  """Returns the `Score` of `two_afc_score`, in percent.

  Args:
    distance_0: [triplets] distances of candidate_0 to the reference.
    distance_1: [triplets] distances of candidate_1 to the reference.
    judge: [triplets] fractions preferring candidate_1.
    references: [triplets] names or numbers of the references.
    votes: [triplets] or None, as in `two_afc_score`.
    resampling: a `Resampling`.

  Raises:
    UserError: there are fewer than ten triplets, or an array is malformed.
  """
  agreement = two_afc.two_afc_agreement(distance_0, distance_1, judge)
  weights = checks.votes("votes", votes)
  weights = np.ones(len(agreement)) if weights is None else weights
  index, count = _clusters(references, {"judge": agreement, "votes": weights})
  agreed = np.bincount(index, weights * agreement, count)
  total = np.bincount(index, weights, count)
  return _score(lambda counts: 100.0 * (counts @ agreed) / (counts @ total), count, resampling)


def jnd_map_by_reference(distance, same, references, *, resampling=DEFAULT):
  """Returns the `Score` of `jnd_map`, in percent.

  Args:
    distance: [pairs] distances between the two images.
    same: [pairs] fractions that took them for the same.
    references: [pairs] names or numbers of the references.
    resampling: a `Resampling`.

  Raises:
    UserError: there are fewer than ten pairs, or an array is malformed.
  """
  distance, same = checks.finite("distance", distance), jnd.fractions_same("same", same)
  index, count = _clusters(references, {"distance": distance, "same": same})
  ranking = jnd.ranking(distance, same)
  return _score(
      lambda counts: 100.0 * jnd.average_precision(ranking, counts[:, index]), count, resampling)


def opinion_scores(distance, opinion, references, *, higher_is_better, votes=None,
                   resampling=DEFAULT):
  """Returns every score of opinions, each with its interval.

  Args:
    distance: [examples] finite, lower is better.
    opinion: [examples] finite.
    references: [examples] names or numbers of the references.
    higher_is_better: whether a higher opinion is a better image.
    votes: [examples] or None, as in `opinion_pairs_score`.
    resampling: a `Resampling`.

  Returns:
    A dict from name to `Score`: `srcc`, `krcc`, `plcc` and `rmse` over all examples; `srcc_within`,
    `krcc_within` and `plcc_within`, means within references; `two_afc`, over pairs of opinions
    within references, in percent. The logistic is fitted once, to all examples: intervals leave the
    uncertainty of its parameters out. Correlations of a constant distance have no value. Where no
    reference has enough opinions, the scores within references have none.

  Raises:
    UserError: there are fewer than ten examples, opinions are constant, or an array is malformed.
  """
  distance, opinion = checks.finite("distance", distance), checks.varying("opinion", opinion)
  errors.require_bool("higher_is_better", higher_is_better)
  votes = checks.votes("votes", votes)
  index, count = _clusters(
      references, {"distance": distance, "opinion": opinion, "votes": votes})
  quality = opinion if higher_is_better else -opinion
  statistics = _pairs(-distance, quality, index, count, votes)
  notes = dict.fromkeys(CORRELATIONS, UNDEFINED)
  if distance.min() < distance.max():
    mapped = logistic.fit(distance, quality)(distance)
    statistics |= _over_all(-distance, quality, mapped, index, count)
    statistics |= _within(-distance, quality, mapped, index, count)
    notes = dict.fromkeys(WITHIN, NO_REFERENCE)
  notes["two_afc"] = NO_PAIR
  return {name: _score(statistics.get(name), count, resampling, notes.get(name, ""))
          for name in (*CORRELATIONS, "two_afc")}


def _pairs(closeness, quality, index, count, votes):
  """Name -> function of counts `[draws, references]` to scores; empty where there is no pair."""
  agreed, weight = correlations.pair_sums(closeness, quality, index, count, votes)
  if not weight.any():
    return {}
  return {"two_afc": lambda counts: 100.0 * _ratio(counts @ agreed, counts @ weight)}


def _over_all(closeness, quality, mapped, index, count):
  """As `_pairs`, for the scores over all examples."""
  concordance = weighted_correlations.Concordance.between(closeness, quality, index, count)
  squares = np.bincount(index, (mapped - quality) ** 2, count)
  sizes = np.bincount(index, minlength=count)
  fitted = correlations.towards(closeness, mapped)
  return {
      "srcc": lambda counts: weighted_correlations.spearman(closeness, quality, counts[:, index]),
      "krcc": lambda counts: weighted_correlations.kendall(concordance, counts),
      "plcc": lambda counts: weighted_correlations.pearson(fitted, quality, counts[:, index]),
      "rmse": lambda counts: np.sqrt((counts @ squares) / (counts @ sizes))}


def _within(closeness, quality, mapped, index, count):
  """As `_pairs`, for the means within references; empty where no reference has enough opinions."""
  fitted = correlations.towards(closeness, mapped)
  statistics = {}
  for name, score, x in (("srcc_within", correlations.spearman, closeness),
                         ("krcc_within", correlations.kendall, closeness),
                         ("plcc_within", correlations.pearson, fitted)):
    values = correlations.within_references(score, x, quality, index, count)
    there = ~np.isnan(values)
    if there.any():
      sums, sizes = np.where(there, values, 0.0), there.astype(float)
      statistics[name] = lambda counts, sums=sums, sizes=sizes: _ratio(
          counts @ sums, counts @ sizes)
  return statistics


def _clusters(references, arrays):
  index, count = checks.clusters(references)
  checks.check_same_length({**arrays, "references": index})
  checks.check_enough("A score with its interval", len(index))
  return index, count


def _score(statistic, count, resampling, note=""):
  """Returns the `Score` of a function of counts `[draws, references]`; without one, its note."""
  if statistic is None:
    return Score(None, None, None, count, note)
  value = float(statistic(np.ones([1, count]))[0])
  draws = np.concatenate([statistic(counts) for counts in _draws(count, resampling)])
  tail = (1 - resampling.confidence) / 2
  low, high = np.nanquantile(draws, [tail, 1 - tail])
  return Score(value, float(low), float(high), count, draws=draws)


def _draws(count, resampling):
  """Yields how often each of `count` references is drawn, [block, references] float64."""
  generator = np.random.default_rng([resampling.seed, count])
  for start in range(0, resampling.resamples, _BLOCK):
    block = min(_BLOCK, resampling.resamples - start)
    yield generator.multinomial(count, np.full(count, 1 / count), size=block).astype(float)


def _ratio(numerator, denominator):
  return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan),
                   where=denominator > 0)
