"""What a comparison comes to: mean, errors and extremes of each metric, over pairs and by clip."""

from typing import NamedTuple

import numpy as np


class Summary(NamedTuple):
  """Statistics of values, infinite ones left out.

  Attributes:
    count: how many finite values.
    mean: their mean; None where there are none.
    standard_error: of the mean, for independent pairs; None below two values.
    standard_deviation: of the sample (`n - 1`); None below two values.
    lowest: the least of them; None where there are none.
    highest: the greatest.
    infinite: how many values are infinite, as a ratio to no difference may be.
  """

  count: int
  mean: float | None
  standard_error: float | None
  standard_deviation: float | None
  lowest: float | None
  highest: float | None
  infinite: int


def summarise(values):
  """Returns the `Summary` of an array of values; NaN marks those that are not there."""
  finite = values[np.isfinite(values)]
  infinite = int(np.isinf(values).sum())
  if not len(finite):
    return Summary(0, None, None, None, None, None, infinite)
  deviation = float(np.std(finite, ddof=1)) if len(finite) > 1 else None
  error = deviation / len(finite) ** 0.5 if deviation is not None else None
  return Summary(len(finite), float(np.mean(finite)), error, deviation, float(finite.min()),
                 float(finite.max()), infinite)


def overall(comparison):
  """Returns `{column: Summary}` over all pairs."""
  return {column: summarise(comparison.of(column)) for column in comparison.columns}


def by_clip(comparison):
  """Returns `{clip: {column: Summary}}` over the frames of each clip; empty without clips."""
  clips = np.array(comparison.pairing.clips)
  return {str(clip): {column: summarise(comparison.of(column)[clips == clip])
                      for column in comparison.columns}
          for clip in dict.fromkeys(comparison.pairing.clips)}


def over_clips(comparison):
  """Returns `{column: Summary}` of the clips' means; empty without clips.

  Frames of one clip are alike, so that the standard error over frames is too small; this one counts
  clips.
  """
  clips = by_clip(comparison).values()
  means = {column: np.array([clip[column].mean for clip in clips], float)
           for column in comparison.columns}
  return {column: summarise(values) for column, values in means.items()} if clips else {}
