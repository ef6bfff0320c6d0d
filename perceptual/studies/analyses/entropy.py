"""Entropy of features: how evenly a network's activations are spread (Kumar et al. 2022, v3)."""

import numpy as np
from scipy import special

from perceptual import errors
from perceptual.studies.analyses import resampling

MEAN = "mean"  # the row of all taps averaged


def feature_entropy(features):
  """Returns the normalised entropy of each image's features at one tap, `[images]` in [0, 1].

  Softmax over all activations of the tap, height x width x channels; its entropy is divided by the
  largest there can be, the logarithm of their number, so that 1 means all are equal.

  Args:
    features: `[images, ...]`.

  Raises:
    UserError: if there is but one activation an image, which has no entropy.
  """
  flat = np.asarray(features, "float64").reshape(len(features), -1)
  if flat.shape[1] < 2:
    raise errors.UserError("Entropy needs at least 2 activations an image. Received shape: "
                           f"{list(np.shape(features))}.")
  log_share = special.log_softmax(flat, axis=1)
  return -np.sum(np.exp(log_share) * log_share, axis=1) / np.log(flat.shape[1])


def entropy_by_tap(entropies, taps, *, resamples=1000, seed=0):
  """Returns the mean entropy of each tap, and of all taps averaged.

  Args:
    entropies: as `feature_entropy` returns them, `[images, taps]`, or with seeds in front.
    taps: names of the taps.
    resamples: bootstrap resamples over seeds and images.
    seed: of the bootstrap.

  Returns:
    Rows of tap (the last is `mean`), entropy, low, high, images.
  """
  values = resampling.stacked(entropies, 2, "entropies")
  if values.shape[2] != len(taps):
    raise errors.UserError(f"entropies are of {values.shape[2]} taps, not of {len(taps)}.")
  values = np.concatenate([values, values.mean(axis=2, keepdims=True)], axis=2)
  low, high = resampling.interval(
      resampling.resampled_means(values, resamples=resamples, seed=seed))
  return [{"tap": tap, "entropy": float(mean), "low": float(low[i]), "high": float(high[i]),
           "images": values.shape[1]}
          for i, (tap, mean) in enumerate(zip([*taps, MEAN], values.mean(axis=(0, 1))))]
