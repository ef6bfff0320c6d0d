"""Which spatial frequencies a classifier uses: its accuracy on filtered images (Kumar et al. 2022).

The accuracy on filtered images is divided by that on the images as they are. For low-pass filters,
the slope, the difference between side r and the side before, says what the frequencies that came in
are worth.
"""

import itertools

import numpy as np

from perceptual import errors
from perceptual.studies.analyses import resampling


def filtered_correct(classify, images, labels, filter_images, places):
  """Returns which images a classifier gets right after each of several filters.

  Args:
    classify: from images `[images, height, width, 3]` uint8 to predicted labels `[images]`.
    images: `[images, height, width, 3]` uint8.
    labels: `[images]` integers.
    filter_images: `filters.low_pass` or `filters.inverse_band_pass`.
    places: sides or radii, its second argument. Filtered images are clipped to 0 to 255 and
      rounded, as images are.

  Returns:
    `[images, places]` bool.
  """
  if len(images) != len(labels):
    raise errors.UserError(f"Arrays differ in length: {len(images)} images, {len(labels)} labels.")
  correct = [classify(as_uint8(filter_images(images, place))) == labels for place in places]
  return np.stack(correct, axis=-1)


def as_uint8(images):
  """Returns images of 0 to 255, clipped and rounded, in uint8."""
  return np.clip(np.round(images), 0, 255).astype(np.uint8)


def low_pass_accuracy(correct, clean, sides, *, resamples=1000, seed=0):
  """Returns accuracy under low-pass filters, normalised by clean accuracy, and its slopes.

  Args:
    correct: which images are right, `[images, sides]`, or with seeds in front.
    clean: which are right without a filter, `[images]`, or with seeds in front.
    sides: of the squares, ascending.
    resamples: bootstrap resamples over seeds and images.
    seed: of the bootstrap.

  Returns:
    Rows of side, accuracy (percent), normalised, low, high, slope, slope_low, slope_high; the slope
    is that for each unit of side, and None for the first side.

  Raises:
    UserError: if no image is right without a filter, or arrays do not fit each other.
  """
  if any(after <= before for before, after in itertools.pairwise(sides)):
    raise errors.UserError(f"sides must ascend. Received: {list(sides)}.")
  rows, drawn, normalised = _normalised(correct, clean, "side", sides, resamples, seed)
  steps = np.diff(sides)
  slopes = np.diff(normalised) / steps
  low, high = resampling.interval(np.diff(drawn, axis=1) / steps)
  rows[0] |= {"slope": None, "slope_low": None, "slope_high": None}
  for i, row in enumerate(rows[1:]):
    row |= {"slope": float(slopes[i]), "slope_low": resampling.number(low[i]),
            "slope_high": resampling.number(high[i])}
  return rows


def inverse_band_accuracy(correct, clean, radii, *, resamples=1000, seed=0):
  """Returns accuracy without each band of frequencies, normalised by clean accuracy.

  Args:
    correct: which images are right, `[images, radii]`, or with seeds in front.
    clean: as `low_pass_accuracy` takes it.
    radii: of the bands.
    resamples: see `low_pass_accuracy`.
    seed: see `low_pass_accuracy`.

  Returns:
    Rows of radius, accuracy (percent), normalised, low, high.

  Raises:
    UserError: as `low_pass_accuracy`.
  """
  return _normalised(correct, clean, "radius", radii, resamples, seed)[0]


def _normalised(correct, clean, place, places, resamples, seed):
  """Returns (rows, normalised accuracies `[resamples, places]`, those of all data `[places]`)."""
  correct = resampling.stacked(correct, 2, "correct")
  clean = resampling.stacked(clean, 1, "clean")
  if correct.shape[:2] != clean.shape or correct.shape[2] != len(places):
    raise errors.UserError(
        f"correct must be [{clean.shape[0]} seeds, {clean.shape[1]} images, {len(places)}]. "
        f"Received shape: {list(correct.shape)}.")
  if not clean.any():
    raise errors.UserError("No image is right without a filter: accuracy cannot be normalised.")
  accuracies = correct.mean(axis=(0, 1))
  normalised = accuracies / clean.mean()
  both = np.concatenate([correct, clean[..., np.newaxis]], axis=-1)
  means = resampling.resampled_means(both, resamples=resamples, seed=seed)
  some = means[:, -1:] > 0
  drawn = np.divide(means[:, :-1], means[:, -1:], where=some, out=np.full_like(means[:, :-1],
                                                                              np.nan))
  low, high = resampling.interval(drawn)
  rows = [{place: at, "accuracy": 100 * float(accuracies[i]), "normalised": float(normalised[i]),
           "low": resampling.number(low[i]), "high": resampling.number(high[i])}
          for i, at in enumerate(places)]
  return rows, drawn, normalised
