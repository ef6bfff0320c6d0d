"""Distortion sensitivity: how much farther the farther patch is (Kumar et al. 2022)."""

import numpy as np

from perceptual import errors
from perceptual.studies.analyses import resampling


def distortion_sensitivity(distances, judge, taps, *, resamples=1000, seed=0):
  """Returns E[d(x, farther)] - E[d(x, nearer)] of each tap, in the distance's own unit.

  Over the triplets whose raters are unanimous on which candidate is nearer.

  Args:
    distances: of both candidates at every tap, `[triplets, 2, taps]`, or with seeds in front,
      `[seeds, triplets, 2, taps]`.
    judge: `[triplets]` fractions preferring candidate 1.
    taps: names of the taps.
    resamples: bootstrap resamples over seeds and triplets.
    seed: of the bootstrap.

  Returns:
    Rows of tap, nearer (the mean distance), farther, sensitivity, low, high, triplets (how many are
    unanimous).

  Raises:
    UserError: if no triplet is unanimous, or arrays do not fit each other or are not finite.
  """
  values, judge = resampling.stacked(distances, 3, "distances"), np.asarray(judge, "float64")
  if values.shape[1:] != (len(judge), 2, len(taps)):
    raise errors.UserError(f"distances must be [{len(judge)} triplets, 2, {len(taps)} taps]. "
                           f"Received shape: {list(values.shape[1:])}.")
  unanimous = (judge == 0) | (judge == 1)
  if not unanimous.any():
    raise errors.UserError("No judge is 0 or 1: distortion sensitivity needs unanimous triplets.")
  values = values[:, unanimous]
  prefers_1 = (judge[unanimous] == 1)[np.newaxis, :, np.newaxis]
  nearer = np.where(prefers_1, values[:, :, 1], values[:, :, 0])
  farther = np.where(prefers_1, values[:, :, 0], values[:, :, 1])
  difference = farther - nearer
  low, high = resampling.interval(
      resampling.resampled_means(difference, resamples=resamples, seed=seed))
  return [{"tap": tap, "nearer": float(nearer[..., i].mean()),
           "farther": float(farther[..., i].mean()),
           "sensitivity": float(difference[..., i].mean()),
           "low": float(low[i]), "high": float(high[i]), "triplets": int(unanimous.sum())}
          for i, tap in enumerate(taps)]
