"""Completeness, correctness and quality of a delineation, by pixels and by skeletons.

With TP, FP and FN counted by pixels, as the study does:

    completeness  TP / (TP + FN)        how much of the roads was found
    correctness   TP / (TP + FP)        how much of what was found are roads
    quality       TP / (TP + FP + FN)

Roads are wide and their masks coarse, so Wiedemann et al. (1998), and with them Mosinska et al.,
compare centre lines with a tolerance: a pixel of one skeleton counts if the other passes within
`tolerance` pixels of it, and quality is completeness * correctness / (completeness + correctness -
completeness * correctness).

A measure whose denominator is zero is not defined, and NaN: completeness where the mask is empty,
correctness where nothing was found, quality where both are so. The study's code divides by zero
there; here means leave such images out and say how many.
"""

import numpy as np

PREDICTED = 0.3  # a prediction above this is a road, as in the study
NAMES = ("completeness", "correctness", "quality")


def by_pixels(mask, prediction):
  """Returns the three measures by name, each in [0, 1] or NaN.

  Args:
    mask: `[height, width]` bool.
    prediction: the same.
  """
  found, missed, false = (np.count_nonzero(pixels) for pixels in (
      mask & prediction, mask & ~prediction, prediction & ~mask))
  return dict(zip(NAMES, (
      _share(found, found + missed), _share(found, found + false),
      _share(found, found + missed + false))))


def by_skeletons(mask, prediction, tolerance=2):
  """Returns the three measures of centre lines by name, each in [0, 1] or NaN.

  Args:
    mask: `[height, width]` bool.
    prediction: the same.
    tolerance: how far apart lines may be, in pixels along rows and columns.
  """
  from skimage.morphology import dilation, skeletonize

  square = np.ones((2 * tolerance + 1, 2 * tolerance + 1), bool)
  lines = [skeletonize(pixels) for pixels in (mask, prediction)]
  near = [dilation(line, square) for line in lines]
  completeness = _share(np.count_nonzero(lines[0] & near[1]), np.count_nonzero(lines[0]))
  correctness = _share(np.count_nonzero(lines[1] & near[0]), np.count_nonzero(lines[1]))
  return dict(zip(NAMES, (completeness, correctness, _combined(completeness, correctness))))


def _combined(completeness, correctness):
  """Quality from the other two; zero where one side is empty and the other is not."""
  if np.isnan(completeness) and np.isnan(correctness):
    return np.nan
  product = np.nan_to_num(completeness) * np.nan_to_num(correctness)
  if not product:
    return 0.0
  return product / (completeness + correctness - product)


def _share(part, whole):
  return part / whole if whole else np.nan
