"""Layer-wise perceptual score: the score with one tap alone (Kumar et al. 2022).

Their best layer of ResNets is the third of four.
"""

import numpy as np

from perceptual import errors
from perceptual.evaluation import scores
from perceptual.studies.analyses import resampling


def layer_scores(distances, judges, taps, *, resamples=1000, seed=0):
  """Returns the 2AFC score of each tap, in percent.

  The score is the unweighted mean over subsets; intervals are over seeds, and over triplets within
  each subset.

  Args:
    distances: a dict from subset to distances of both candidates at every tap,
      `[triplets, 2, taps]`, or `[seeds, triplets, 2, taps]`.
    judges: a dict from the same subsets to the fractions preferring candidate 1, `[triplets]`.
    taps: names of the taps.
    resamples: bootstrap resamples.
    seed: of the bootstrap.

  Returns:
    Rows of tap, score, low, high, triplets.

  Raises:
    UserError: if arrays do not fit each other, or are not finite.
  """
  if not distances or set(distances) != set(judges):
    raise errors.UserError(f"Distances and judges must be of the same subsets. Received: "
                           f"{', '.join(distances) or 'none'}; and: {', '.join(judges) or 'none'}.")
  means, drawn = [], []
  for subset, values in distances.items():
    agreement = 100 * _agreement(subset, values, judges[subset], taps)
    means.append(agreement.mean(axis=(0, 1)))
    drawn.append(resampling.resampled_means(agreement, resamples=resamples, seed=seed,
                                            stream=subset))
  low, high = resampling.interval(np.mean(drawn, axis=0))
  triplets = sum(len(judge) for judge in judges.values())
  return [{"tap": tap, "score": float(score), "low": float(low[i]), "high": float(high[i]),
           "triplets": triplets}
          for i, (tap, score) in enumerate(zip(taps, np.mean(means, axis=0)))]


def _agreement(subset, values, judge, taps):
  """Returns the share of raters who agree, `[seeds, triplets, taps]`."""
  values = resampling.stacked(values, 3, f"distances of {subset!r}")
  if values.shape[1:] != (len(judge), 2, len(taps)):
    raise errors.UserError(
        f"distances of {subset!r} must be [{len(judge)} triplets, 2, {len(taps)} taps]. Received "
        f"shape: {list(values.shape[1:])}.")
  return np.stack([
      np.stack([scores.two_afc_agreement(of_seed[:, 0, tap], of_seed[:, 1, tap], judge)
                for tap in range(len(taps))], axis=-1)
      for of_seed in values])
