"""Scores of a metric against human judgements, with intervals: the public `perceptual.scores`.

Pure NumPy functions of distances from anywhere, so other people's metrics can be scored too (SciPy
fits the logistic alone). `distance` is any metric's, lower is better. Three kinds of judgements:

* Triplets (reference, candidate_0, candidate_1): `judge` is the fraction of raters in [0, 1] who
  found candidate_1 closer. `two_afc_score`, `human_ceiling`, `oracle`, in percent.
* Pairs: `same` is the fraction of raters in [0, 1] who took the two images for the same. `jnd_map`,
  in percent.
* Opinions: a mean rating of each distorted image, a quality (MOS) or a degradation (DMOS). `srcc`,
  `krcc`, `plcc`, `rmse` and, in percent, `opinion_pairs_score`.

Intervals: over single judgements, as published for BAPPS (`bootstrap_two_afc`,
`bootstrap_jnd_map`), or by reference, since judgements of one picture are not independent
(`two_afc_by_reference`, `jnd_map_by_reference`, `opinion_scores`). Scores by reference can be
compared: `paired_difference`, `all_differences`, `holm`.

Arrays hold one value per example; axes of length one are dropped, since many metrics return
[batch, 1, 1, 1]. Garbage is never scored: strings, dates, masked arrays, arrays of different
lengths, empty arrays, values that are not finite and fractions outside [0, 1] each raise a
`UserError` that names the first culprit.

Follows Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR
2018) for 2AFC and JND, ITU-T P.1401 for correlations, and Kumar et al., "Do better ImageNet
classifiers assess perceptual similarity better?" (TMLR 2022) for the distortion sensitivity and the
Pareto frontier.
"""

import numpy as np

from perceptual import errors
from perceptual.evaluation import checks, jnd
from perceptual.evaluation.clustered import (
  Resampling,
  Score,
  jnd_map_by_reference,
  opinion_scores,
  two_afc_by_reference,
)
from perceptual.evaluation.correlations import krcc, opinion_pairs_score, plcc, rmse, srcc
from perceptual.evaluation.jnd import jnd_map
from perceptual.evaluation.logistic import LogisticFit
from perceptual.evaluation.logistic import fit as fit_logistic
from perceptual.evaluation.paired import Difference, all_differences, holm, paired_difference
from perceptual.evaluation.two_afc import (
  distortion_sensitivity,
  human_ceiling,
  oracle,
  two_afc_agreement,
  two_afc_score,
)

__all__ = [
    "GROUPS", "Difference", "LogisticFit", "Resampling", "Score", "aggregate", "all_differences",
    "bootstrap_jnd_map", "bootstrap_two_afc", "distortion_sensitivity", "fit_logistic", "holm",
    "human_ceiling", "jnd_map", "jnd_map_by_reference", "krcc", "opinion_pairs_score",
    "opinion_scores", "oracle", "paired_difference", "pareto_frontier", "plcc", "rmse", "srcc",
    "two_afc_agreement", "two_afc_by_reference", "two_afc_score"]

# Averages over subsets of BAPPS that the papers report beside the mean over all of them.
GROUPS = {
    "distortions": ("traditional", "cnn"),
    "real algorithms": ("superres", "deblur", "color", "frameinterp"),
}

# Resamples drawn at once: so few that they stay in the processor's cache.
_BLOCK = 8


def pareto_frontier(accuracy, score):
  """Returns the points that no other point beats: as good in both respects, better in one.

  Args:
    accuracy: [points] accuracies, higher is better.
    score: [points] perceptual scores, higher is better.

  Returns:
    [frontier] int64 indices, by ascending accuracy. Points that are equal in both stay together.
  """
  accuracy, score = checks.finite("accuracy", accuracy), checks.finite("score", score)
  checks.check_same_length({"accuracy": accuracy, "score": score})
  as_good = (accuracy[:, None] <= accuracy) & (score[:, None] <= score)
  beaten = as_good & ((accuracy[:, None] < accuracy) | (score[:, None] < score))
  order = np.lexsort((-score, accuracy))
  return order[~beaten.any(axis=1)[order]]


def aggregate(per_subset, sizes):
  """Returns the averages of a score over subsets.

  Args:
    per_subset: a dict from subset to score: floats, or arrays of one shape.
    sizes: a dict from the same subsets to their numbers of triplets (or pairs).

  Returns:
    A dict with `mean`, the headline of the papers, unweighted; `pooled`, weighted by size, which
    for 2AFC is the score of all triplets taken together; and those of `GROUPS` whose subsets are
    all present, unweighted.
  """
  _check_same_subsets(per_subset, sizes)
  for subset, size in sizes.items():
    if not size > 0:
      raise errors.UserError(f"The size of a subset is positive. Received: {size} for {subset!r}.")
  weighted = sum(per_subset[subset] * size for subset, size in sizes.items())
  result = {"mean": _mean_of(per_subset, per_subset), "pooled": weighted / sum(sizes.values())}
  for group, subsets in GROUPS.items():
    if set(subsets) <= set(per_subset):
      result[group] = _mean_of(per_subset, subsets)
  return result


def bootstrap_two_afc(agreement_per_subset, *, resamples=1000, seed=0, confidence=0.95):
  """Returns bootstrap confidence intervals of 2AFC scores, in percent.

  Triplets are drawn with replacement within each subset, and each interval lies between two
  quantiles of the scores drawn. A draw depends on the seed, the subset's name and its size alone:
  all columns share it, and so do metrics that are scored apart.

  Args:
    agreement_per_subset: a dict from subset to agreements as `two_afc_agreement` gives them:
      [triplets], or [triplets, columns] for several distances at once.
    resamples: how many times to draw.
    seed: an integer, not negative.
    confidence: the fraction of drawn scores inside the interval, between 0 and 1.

  Returns:
    A dict from each subset and each average of `aggregate` to (low, high), each a float, or
    [columns].
  """
  agreements = {subset: checks.columns(f"agreement of {subset!r}", agreement)
                for subset, agreement in agreement_per_subset.items()}
  for subset, agreement in agreements.items():
    checks.check_fractions(f"agreement of {subset!r}", agreement)

  def scores(subset, counts):
    return 100.0 * (counts @ agreements[subset]) / len(agreements[subset])

  return _bootstrap(
      scores, agreements, resamples=resamples, seed=seed, confidence=confidence)


def bootstrap_jnd_map(
    distance_per_subset, same_per_subset, *, resamples=1000, seed=0, confidence=0.95):
  """Returns bootstrap confidence intervals of JND mAPs, in percent.

  As `bootstrap_two_afc`, but slower: some 10 s for 60 columns of BAPPS. A draw without any pair
  that is the same has no mAP: it is left out.

  Args:
    distance_per_subset: a dict from subset to distances: [pairs], or [pairs, columns].
    same_per_subset: a dict from the same subsets to fractions, [pairs].
    resamples: see `bootstrap_two_afc`.
    seed: see `bootstrap_two_afc`.
    confidence: see `bootstrap_two_afc`.

  Returns:
    A dict from each subset and each average of `aggregate` to (low, high), each a float, or
    [columns].
  """
  _check_same_subsets(distance_per_subset, same_per_subset)
  distances, rankings = {}, {}
  for subset, distance in distance_per_subset.items():
    name, same_name = f"distance of {subset!r}", f"same of {subset!r}"
    distance = checks.columns(name, distance)
    same = jnd.fractions_same(same_name, same_per_subset[subset])
    checks.check_finite(name, distance)
    checks.check_same_length({name: distance, same_name: same})
    distances[subset] = distance
    rankings[subset] = [jnd.ranking(column, same) for column in np.atleast_2d(distance.T)]

  def scores(subset, counts):
    precision = np.stack(
        [jnd.average_precision(ranking, counts) for ranking in rankings[subset]], axis=1)
    return 100.0 * precision.reshape(len(counts), *distances[subset].shape[1:])

  return _bootstrap(scores, distances, resamples=resamples, seed=seed, confidence=confidence)


def _bootstrap(scores, arrays, *, resamples, seed, confidence):
  """Returns (low, high) of each subset and each average.

  Args:
    scores: a function of a subset and counts [draws, size] to the scores of these draws.
    arrays: a dict from subset to an array [size, ...].
    resamples, seed, confidence: see `bootstrap_two_afc`.
  """
  _check_bootstrap(arrays, resamples=resamples, seed=seed, confidence=confidence)
  sizes = {subset: len(array) for subset, array in arrays.items()}
  drawn = {
      subset: np.concatenate([
          scores(subset, counts) for counts in _draws(subset, size, resamples, seed)])
      for subset, size in sizes.items()}
  tail = (1 - confidence) / 2
  return {name: tuple(np.nanquantile(values, [tail, 1 - tail], axis=0))
          for name, values in (drawn | aggregate(drawn, sizes)).items()}


def _draws(subset, size, resamples, seed):
  """Yields how often each of `size` judgements is drawn, [block, size], block by block."""
  generator = np.random.default_rng([seed, *subset.encode()])
  for start in range(0, resamples, _BLOCK):
    yield np.stack([
        np.bincount(generator.integers(size, size=size), minlength=size)
        for _ in range(start, min(start + _BLOCK, resamples))])


def _mean_of(per_subset, subsets):
  return sum(per_subset[subset] for subset in subsets) / len(subsets)


def _check_same_subsets(first, second):
  if not first or set(first) != set(second):
    raise errors.UserError(
        "The two sides need the same subsets, at least one. "
        f"Received: {', '.join(first) or 'none'}; and: {', '.join(second) or 'none'}.")


def _check_bootstrap(arrays, *, resamples, seed, confidence):
  shapes = {subset: array.shape for subset, array in arrays.items()}
  if len({shape[1:] for shape in shapes.values()}) > 1:
    raise errors.UserError(f"Subsets differ in their columns. Received shapes: {shapes}.")
  checks.check_resampling(resamples=resamples, seed=seed, confidence=confidence)
