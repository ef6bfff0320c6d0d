"""`scores.csv`: every score of every evaluation of a run, so that any question can be asked later.

`metrics.csv` has one line an evaluation, with the scores by which training is steered; here is a
line for each judged set, subset or average, distance and tap, with its bootstrap interval.
"""

import csv
import warnings
import zlib

import numpy as np

from perceptual import errors
from perceptual.common import files
from perceptual.evaluation import scores
from perceptual.evaluation.judged_pass import SUM

COLUMNS = ("step", "judged_set", "subset", "distance", "tap", "score", "low", "high")


def rows(step, judged_set, distances, *, taps=None, resamples=200):
  """Returns the lines of one judged set at one step, each a list in the order of `COLUMNS`.

  Scores are percent with four decimals. Averages over subsets are among the subsets: `mean` is
  there even if there is but one subset.

  Args:
    step: the training step.
    judged_set: `judged_sets.JudgedSet` of kind `2afc`.
    distances: subset name -> `judged_pass.Distances`.
    taps: names of the taps, beside the sum over all; None for all.
    resamples: bootstrap resamples behind the 95% intervals.
  """
  first = next(iter(distances.values()))
  columns = [(distance, tap) for distance in first.distances for tap in first.taps]
  chosen = [i for i, (_, tap) in enumerate(columns) if taps is None or tap in (*taps, SUM)]
  agreement = {s.name: _agreement(distances[s.name].values, s.answers)[:, chosen]
               for s in judged_set.subsets}
  score = {name: 100 * values.mean(axis=0) for name, values in agreement.items()}
  score |= scores.aggregate(score, {s.name: s.size for s in judged_set.subsets})
  intervals = scores.bootstrap_two_afc(agreement, resamples=resamples)
  return [[str(step), judged_set.name, subset, *columns[i],
           *(f"{values[place]:.4f}" for values in (score[subset], *intervals[subset]))]
          for subset in score for place, i in enumerate(chosen)]


def require_taps(taps, available):
  """Raises `UserError` for a tap in `taps` (or None) that a network does not have."""
  for tap in taps or ():
    if tap not in available:
      raise errors.unknown("tap in score_taps", tap, available)


def lines(path):
  """Returns the lines of a `scores.csv` as (step, the rest as it stands); none without a file.

  Raises:
    UserError: if the file is damaged.
  """
  if not path.exists():
    return []
  try:
    head, *found = path.read_text("utf-8").splitlines() or [""]
  except UnicodeDecodeError as error:
    raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}.") from None
  found = [line.partition(",")[::2] for line in found]
  commas = len(COLUMNS) - 2
  if head != ",".join(COLUMNS) or not all(
      step.isdecimal() and (rest.count(",") == commas or '"' in rest) for step, rest in found):
    raise errors.UserError(f"{path} is damaged: its columns must be {', '.join(COLUMNS)}.")
  return found


def read(path):
  """Returns the rows of a `scores.csv`, lists of strings in the order of `COLUMNS`.

  Raises:
    UserError: as `lines`.
  """
  return list(csv.reader(f"{step},{rest}" for step, rest in lines(path)))


class ScoresFile:
  """The file of a run, rewritten whole so that it is never half-written."""

  def __init__(self, path, last_step=0, write=True, *, noted=None, crc32=None):
    """Reads the file; lines after `last_step`, which a resumed run writes again, are skipped.

    Args:
      path: the file; it need not be there.
      last_step: the step from which a run goes on, 0 for a new one.
      write: whether this process writes; of several workers, one does.
      noted: how many lines there were when the checkpoint of `last_step` was saved, if that is
        known; where there are fewer now, that is warned of.
      crc32: their `crc32` then, if that is known; where it is another now, that is warned of.

    Raises:
      UserError: if the file is damaged.
    """
    self._path = path
    self._write = write
    self._rows = [row for row in read(path) if int(row[0]) <= last_step]
    if noted is not None and self.size < noted:
      warnings.warn(f"{path} has lost {noted - self.size:,} of its {noted:,} lines up to step "
                    f"{last_step}: those scores are gone.", stacklevel=2)
    elif crc32 is not None and self.crc32 != crc32:
      warnings.warn(f"{path} has changed since it was written: its scores up to step {last_step} "
                    "are not all as they were computed.", stacklevel=2)

  @property
  def size(self):
    """The number of lines."""
    return len(self._rows)

  @property
  def crc32(self):
    """A checksum of the lines."""
    return zlib.crc32("\n".join(map(",".join, self._rows)).encode())

  def append(self, step, rows):
    """Adds the lines of a step, in the place of those of that step or later."""
    self._rows = [*(row for row in self._rows if int(row[0]) < step), *rows]
    if self._write:
      files.write_csv(self._path, COLUMNS, self._rows)


def _agreement(values, judge):
  """`[triplets, columns]` from distances `[triplets, 2, distances, taps]`."""
  columns = values.reshape(len(judge), 2, -1)
  return np.stack([scores.two_afc_agreement(columns[:, 0, i], columns[:, 1, i], judge)
                   for i in range(columns.shape[2])], axis=1)
