"""Agreement between metrics: do two of them make the same choices, and rank distances alike?"""

import itertools

import numpy as np
from scipy import stats

from perceptual import errors
from perceptual.studies.analyses import resampling


def metric_agreement(distances, *, resamples=1000, seed=0):
  """Returns, for each pair of metrics, their agreement and the rank correlation of their distances.

  Args:
    distances: a dict from metric to the distances of both candidates of the same triplets,
      `[triplets, 2]`, lower is better.
    resamples: bootstrap resamples over triplets; both candidates of a triplet are drawn together.
    seed: of the bootstrap.

  Returns:
    Rows of metric, other, agreement (percent of triplets in which both choose the same candidate; a
    tie of either counts one half), low, high, spearman (over all distances; None if either metric
    is constant), spearman_low, spearman_high, triplets.

  Raises:
    UserError: if there are fewer than two metrics, or arrays differ in length or are not finite.
  """
  values = {name: _checked(name, array) for name, array in distances.items()}
  if len(values) < 2:
    raise errors.UserError(f"Agreement needs two metrics or more. Received: {len(values)}.")
  if len({len(array) for array in values.values()}) > 1:
    lengths = ", ".join(f"{len(array)} of {name}" for name, array in values.items())
    raise errors.UserError(f"Metrics must have the same triplets. Received: {lengths}.")
  triplets = len(next(iter(values.values())))
  pairs = list(itertools.combinations(values, 2))
  agreement = np.stack([_same_choice(values[a], values[b]) for a, b in pairs], axis=-1)
  low, high = resampling.interval(resampling.resampled_means(
      agreement[np.newaxis], resamples=resamples, seed=seed))
  ranks = _rank_correlations(values, pairs)
  rank_low, rank_high = resampling.interval(_resampled_ranks(values, pairs, resamples, seed))
  return [{"metric": a, "other": b, "agreement": float(agreement[:, i].mean()),
           "low": float(low[i]), "high": float(high[i]), "spearman": resampling.number(ranks[i]),
           "spearman_low": resampling.number(rank_low[i]),
           "spearman_high": resampling.number(rank_high[i]), "triplets": triplets}
          for i, (a, b) in enumerate(pairs)]


def _checked(name, array):
  array = resampling.stacked(array, 2, f"distances of {name}")
  if array.shape[0] != 1 or array.shape[2] != 2:
    raise errors.UserError(f"distances of {name} must be [triplets, 2]. Received shape: "
                           f"{list(array.shape)}.")
  return array[0]


def _same_choice(first, second):
  """Returns 100 where two metrics choose the same candidate, 50 where either has a tie, else 0."""
  signs = np.sign(first[:, 0] - first[:, 1]) * np.sign(second[:, 0] - second[:, 1])
  return 50.0 * (1 + signs)


def _rank_correlations(values, pairs):
  """Returns Spearman's correlation of each pair, NaN where one is constant: `[pairs]`."""
  centred = {}
  for name, array in values.items():
    ranks = stats.rankdata(array)
    ranks -= ranks.mean()
    norm = np.linalg.norm(ranks)
    centred[name] = ranks / norm if norm else np.full_like(ranks, np.nan)
  return np.array([centred[a] @ centred[b] for a, b in pairs])


def _resampled_ranks(values, pairs, resamples, seed):
  generator = np.random.default_rng(seed)
  size = len(next(iter(values.values())))
  draws = (generator.integers(size, size=size) for _ in range(resamples))
  return np.stack([
      _rank_correlations({name: array[draw] for name, array in values.items()}, pairs)
      for draw in draws])
