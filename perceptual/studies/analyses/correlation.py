"""How the perceptual score goes with accuracy, before and beyond the best score.

Kumar et al. 2022 find -0.84 beyond the optimum.
"""

import numpy as np
from scipy import stats

from perceptual import errors
from perceptual.studies.analyses import configurations, resampling

_MEASURES = ("pearson", "spearman")


def correlations(found, *, resamples=1000, seed=0):
  """Returns the correlations of accuracy and score over configurations.

  Args:
    found: a list of `configurations.Configuration`.
    resamples: resamples over configurations and seeds. Which points lie before and beyond the
      optimum stays as it is. Triplets are shared: an error that is common to all scores changes no
      correlation, and the table does not show other errors.
    seed: of the resamples.

  Returns:
    Rows of region (all, before, beyond; the point of the best score is in all three), points,
    pearson, pearson_low, pearson_high, spearman, spearman_low, spearman_high; None where there are
    fewer than three points, or one of both is constant.
  """
  if not found:
    raise errors.UserError("Correlations need configurations. Received: none.")
  accuracy, score = np.array([c.point for c in found]).T
  best = accuracy[np.argmax(score)]
  drawn = configurations.resampled(found, resamples=resamples, seed=seed, triplets=False)
  generator = np.random.default_rng(seed)
  regions = {"all": np.full(len(found), True), "before": accuracy <= best,
             "beyond": accuracy >= best}
  rows = []
  for region, chosen in regions.items():
    row = {"region": region, "points": int(chosen.sum())}
    places = np.flatnonzero(chosen)
    cases = places[generator.integers(len(places), size=[resamples, len(places)])]
    accuracies, scores = (np.take_along_axis(values, cases, axis=1) for values in drawn)
    for measure in _MEASURES:
      value = correlation(accuracy[chosen], score[chosen], measure)
      low, high = resampling.interval(
          correlation(accuracies, scores, measure))
      row |= {measure: resampling.number(value), f"{measure}_low": resampling.number(low),
              f"{measure}_high": resampling.number(high)}
    rows.append(row)
  return rows


def correlation(first, second, measure="pearson"):
  """Returns the correlation over the last axis, `[...]`; NaN where it is not defined.

  Args:
    first: `[..., points]`.
    second: the same shape.
    measure: `pearson`, or `spearman`, which is Pearson's of the ranks.
  """
  if measure not in _MEASURES:
    raise errors.unknown("measure of correlation", measure, _MEASURES)
  first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
  if first.shape[-1] < 3:
    return np.full(first.shape[:-1], np.nan)
  if measure == "spearman":
    first, second = stats.rankdata(first, axis=-1), stats.rankdata(second, axis=-1)
  first = first - first.mean(axis=-1, keepdims=True)
  second = second - second.mean(axis=-1, keepdims=True)
  norm = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
  product = np.sum(first * second, axis=-1)
  return np.divide(product, norm, where=norm > 0, out=np.full(norm.shape, np.nan))
