"""Bootstrap over seeds and examples: what the intervals of all analyses rest on.

A seed is one of several networks trained alike; an example is a triplet or an image, which all
seeds share. Both are drawn with replacement, independently of each other (the two-way bootstrap of
Owen 2007, "The pigeonhole bootstrap"). For a single seed the interval reflects the examples alone.
"""

import numpy as np

from perceptual import errors

_BLOCK = 32  # resamples drawn at once, which bounds the memory
_EXAMPLES, _SEEDS = 0, 1  # streams of random numbers that do not depend on each other


def stacked(values, axes, name):
  """Returns values as float64 with an axis of seeds in front.

  Args:
    values: an array of `axes` axes, or of one more in front: the seeds.
    axes: number of axes that one seed's values have.
    name: what they are, for errors.

  Raises:
    UserError: if they have another shape, are empty, or are not finite.
  """
  values = np.asarray(values, "float64")
  if values.ndim == axes:
    values = values[np.newaxis]
  if values.ndim != axes + 1 or not values.size:
    raise errors.UserError(f"{name} must have {axes} axes, or {axes + 1} with seeds in front, none "
                           f"of length 0. Received shape: {list(values.shape)}.")
  if not np.isfinite(values).all():
    raise errors.UserError(f"{name} must be finite.")
  return values


def resampled_means(values, *, resamples=1000, seed=0, stream=""):
  """Returns the mean over seeds and examples in each resample, `[resamples, ...]` float64.

  Args:
    values: `[seeds, examples, ...]` float64.
    resamples: how many times to draw.
    seed: an integer, not negative. The draw of seeds depends on it and the number of seeds alone,
      so that several sets of examples share it.
    stream: the name of the set of examples: those of one name and size share the draw.

  Raises:
    UserError: if `resamples` or `seed` is illegal.
  """
  errors.require_integer("resamples", resamples)
  errors.require_integer("seed", seed, at_least=0)
  seeds, examples = values.shape[:2]
  flat = values.reshape(seeds, examples, -1)
  of_seeds = np.random.default_rng([seed, _SEEDS])
  of_examples = np.random.default_rng([seed, _EXAMPLES, *stream.encode()])
  drawn = []
  for start in range(0, resamples, _BLOCK):
    count = min(_BLOCK, resamples - start)
    by_seed = np.einsum(
        "re,sec->rsc", _counts(of_examples, count, examples), flat, optimize=True) / examples
    drawn.append(np.einsum("rs,rsc->rc", _counts(of_seeds, count, seeds), by_seed) / seeds)
  return np.concatenate(drawn).reshape(resamples, *values.shape[2:])


def interval(drawn, confidence=0.95):
  """Returns (low, high) of resampled statistics `[resamples, ...]`: two quantiles, NaN left out."""
  if not 0 < confidence < 1:
    raise errors.UserError(f"confidence must be between 0 and 1. Received: {confidence}.")
  tail = (1 - confidence) / 2
  defined = np.isfinite(drawn).any(axis=0)
  result = np.full((2, *drawn.shape[1:]), np.nan)
  result[:, defined] = np.nanquantile(drawn[:, defined], [tail, 1 - tail], axis=0)
  return result[0], result[1]


def number(value):
  """Returns a float, or None for what is undefined (NaN): how tables hold numbers."""
  return None if np.isnan(value) else float(value)


def _counts(generator, resamples, size):
  """Returns how often each of `size` is drawn in each resample, `[resamples, size]` float64."""
  return np.stack([np.bincount(generator.integers(size, size=size), minlength=size)
                   for _ in range(resamples)]).astype("float64")
