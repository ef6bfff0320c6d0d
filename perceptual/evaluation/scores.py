"""Scores of a distance against human judgements: 2AFC, JND mAP, ceilings, bootstrap intervals.

Pure NumPy functions of distances from anywhere, so other people's metrics can be scored too. Every
score is in percent.

In a triplet (reference, candidate_0, candidate_1), `distance_0` and `distance_1` are the distances
of the candidates to the reference (smaller is closer), and `judge` is the fraction of raters in
[0, 1] who found candidate_1 closer. In a pair, `same` is the fraction of raters in [0, 1] who took
the two images for the same.

Arrays hold one value per triplet or pair; axes of length one are dropped, since many metrics return
[batch, 1, 1, 1]. Garbage is never scored: arrays of different lengths, empty arrays, distances that
are not finite and fractions outside [0, 1] each raise a `UserError` that names the first culprit.

Follows Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR
2018) for the scores, and Kumar et al., "Do better ImageNet classifiers assess perceptual similarity
better?" (TMLR 2022) for the distortion sensitivity and the Pareto frontier.
"""

import numpy as np

from perceptual import errors

# Averages over subsets of BAPPS that the papers report beside the mean over all of them.
GROUPS = {
    "distortions": ("traditional", "cnn"),
    "real algorithms": ("superres", "deblur", "color", "frameinterp"),
}

# Resamples drawn at once: so few that they stay in the processor's cache.
_BLOCK = 8


def two_afc_score(distance_0, distance_1, judge):
  """Returns the two-alternative forced choice score, the "perceptual score", in percent.

  The mean agreement with the raters; a constant distance scores exactly 50.

  Args:
    distance_0: [triplets] distances of candidate_0 to the reference.
    distance_1: [triplets] distances of candidate_1 to the reference.
    judge: [triplets] fractions preferring candidate_1.
  """
  return 100.0 * float(np.mean(two_afc_agreement(distance_0, distance_1, judge)))


def two_afc_agreement(distance_0, distance_1, judge):
  """Returns the fraction of raters who agree with each choice, [triplets] float64 in [0, 1].

  Ties count one half, as in LPIPS. Arguments: `two_afc`.
  """
  distance_0, distance_1, judge = _triplets(distance_0, distance_1, judge)
  return np.select([distance_0 > distance_1, distance_1 > distance_0], [judge, 1 - judge], 0.5)


def human_ceiling(judge):
  """Returns how often a rater agrees with another, E[p^2 + (1 - p)^2], in percent.

  Args:
    judge: [triplets] fractions preferring candidate_1.
  """
  judge = _fractions("judge", judge)
  return 100.0 * float(np.mean(judge**2 + (1 - judge)**2))


def oracle(judge):
  """Returns the highest 2AFC score there is, that of the majority, E[max(p, 1 - p)], in percent.

  Args:
    judge: [triplets] fractions preferring candidate_1.
  """
  judge = _fractions("judge", judge)
  return 100.0 * float(np.mean(np.maximum(judge, 1 - judge)))


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
  distance, same = _finite("distance", distance), _same("same", same)
  _check_same_length({"distance": distance, "same": same})
  once_each = np.ones([1, len(same)])
  return 100.0 * float(_average_precision(_ranking(distance, same), once_each)[0])


def distortion_sensitivity(distance_0, distance_1, judge):
  """Returns E[distance of the farther] - E[distance of the nearer], in the distance's own unit.

  Over the triplets whose raters are unanimous on which candidate is nearer. `UserError` if there
  are none. Arguments: `two_afc`.
  """
  distance_0, distance_1, judge = _triplets(distance_0, distance_1, judge)
  unanimous = (judge == 0) | (judge == 1)
  if not unanimous.any():
    raise errors.UserError("No judge is 0 or 1: distortion sensitivity needs unanimous triplets.")
  farther_minus_nearer = np.where(judge == 1, distance_0 - distance_1, distance_1 - distance_0)
  return float(np.mean(farther_minus_nearer[unanimous]))


def pareto_frontier(accuracy, score):
  """Returns the points that no other point beats: as good in both respects, and better in one.

  Args:
    accuracy: [points] accuracies, higher is better.
    score: [points] perceptual scores, higher is better.

  Returns:
    [frontier] int64 indices, by ascending accuracy. Of equal points all are kept.
  """
  accuracy, score = _finite("accuracy", accuracy), _finite("score", score)
  _check_same_length({"accuracy": accuracy, "score": score})
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
  agreements = {subset: _columns(f"agreement of {subset!r}", agreement)
                for subset, agreement in agreement_per_subset.items()}
  for subset, agreement in agreements.items():
    _check_fractions(f"agreement of {subset!r}", agreement)

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
    distance, same = _columns(name, distance), _same(same_name, same_per_subset[subset])
    _check_finite(name, distance)
    _check_same_length({name: distance, same_name: same})
    distances[subset] = distance
    rankings[subset] = [_ranking(column, same) for column in np.atleast_2d(distance.T)]

  def scores(subset, counts):
    precision = np.stack(
        [_average_precision(ranking, counts) for ranking in rankings[subset]], axis=1)
    return 100.0 * precision.reshape(len(counts), *distances[subset].shape[1:])

  return _bootstrap(scores, distances, resamples=resamples, seed=seed, confidence=confidence)


def _ranking(distance, same):
  """Returns what average precision needs to know of the judgements, whatever their weights.

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


def _average_precision(ranking, weights):
  """Returns the average precision of each row of weights, in [0, 1]; NaN where none is the same.

  Args:
    ranking: see `_ranking`.
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


def _triplets(distance_0, distance_1, judge):
  arrays = {"distance_0": _finite("distance_0", distance_0),
            "distance_1": _finite("distance_1", distance_1),
            "judge": _fractions("judge", judge)}
  _check_same_length(arrays)
  return arrays.values()


def _finite(name, values):
  array = _vector(name, values)
  _check_finite(name, array)
  return array


def _fractions(name, values):
  array = _vector(name, values)
  _check_fractions(name, array)
  return array


def _same(name, values):
  array = _fractions(name, values)
  if not array.any():
    raise errors.UserError(f"{name} is 0 everywhere: average precision needs a pair that is not.")
  return array


def _vector(name, values):
  """Returns a float64 array with its axes of length one dropped, but for one."""
  array = _numbers(name, values)
  if array.size != max(array.shape, default=1):
    raise errors.UserError(f"{name} must have one axis. Received shape: {array.shape}.")
  return array.reshape(-1)


def _columns(name, values):
  array = _numbers(name, values)
  return array if array.ndim == 2 else _vector(name, array)


def _numbers(name, values):
  try:
    array = np.asarray(values, "float64")
  except (TypeError, ValueError) as error:
    raise errors.UserError(f"{name} must be an array of numbers: {error}.") from None
  if not array.size:
    raise errors.UserError(f"{name} is empty.")
  return array


def _check_finite(name, array):
  _check_each(name, array, np.isfinite(array), "finite")


def _check_fractions(name, array):
  _check_each(name, array, (array >= 0) & (array <= 1), "in [0, 1]")


def _check_each(name, array, legal, range_name):
  if not legal.all():
    index = tuple(np.argwhere(~legal)[0].tolist())
    raise errors.UserError(
        f"{name} must be {range_name}. Received {array[index]} at {list(index)}.")


def _check_same_length(arrays):
  lengths = {name: len(array) for name, array in arrays.items()}
  if len(set(lengths.values())) > 1:
    listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
    raise errors.UserError(f"Arrays differ in length: {listed}.")


def _check_same_subsets(first, second):
  if not first or set(first) != set(second):
    raise errors.UserError(
        "The two sides need the same subsets, at least one. "
        f"Received: {', '.join(first) or 'none'}; and: {', '.join(second) or 'none'}.")


def _check_bootstrap(arrays, *, resamples, seed, confidence):
  shapes = {subset: array.shape for subset, array in arrays.items()}
  if len({shape[1:] for shape in shapes.values()}) > 1:
    raise errors.UserError(f"Subsets differ in their columns. Received shapes: {shapes}.")
  if resamples < 1:
    raise errors.UserError(f"resamples must be at least 1. Received: {resamples}.")
  if seed < 0:
    raise errors.UserError(f"seed must not be negative. Received: {seed}.")
  if not 0 < confidence < 1:
    raise errors.UserError(f"confidence must be between 0 and 1. Received: {confidence}.")
