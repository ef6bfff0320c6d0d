"""Judgements of people as their tables give them, before any image is read, and their checks.

Three kinds: `2afc`, which of two candidates is closer to the reference; `jnd`, whether a candidate
can be told from the reference; `opinions`, a mean rating of each distorted image.
"""

import dataclasses
import warnings

import numpy as np

from perceptual.errors import UserError

KINDS = ("2afc", "jnd", "opinions")
# What an example of each kind is called, and what its answer is.
EXAMPLES = {"2afc": "triplets", "jnd": "pairs", "opinions": "opinions"}
ANSWERS = {"2afc": "judge", "jnd": "same", "opinions": "score"}

MIN_EXAMPLES = 10  # fewer can be neither scored nor compared

# Shares of votes are often rounded to two decimals in tables.
SHARE_TOLERANCE = 0.0051

_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Judgement:
  """One row.

  Attributes:
    images: names of the files, relative to the source: the reference, then its candidates.
    answer: of `2afc` the fraction of people who found the second candidate closer, of `jnd` the
      fraction who could not tell the two apart, of `opinions` the mean rating.
    where: the table and the line, for messages.
    votes: how many people judged, or None where that is not told.
    part: what was done to the candidate, or another name of a part of the set; or empty.
  """

  images: tuple[str, ...]
  answer: float
  where: str
  votes: int | None = None
  part: str = ""


@dataclasses.dataclass(frozen=True)
class Judgements:
  """All judgements of one set.

  Attributes:
    kind: one of `KINDS`.
    rows: the `Judgement`s.
    tables: names of the files that they are from.
    note: who judged what, in a line; shown with every score on the set.
    higher_is_better: of `opinions`, whether a higher rating is a better image; otherwise None.
    itself: `opinions` of a reference compared with itself, which `checked` puts here.
  """

  kind: str
  rows: tuple[Judgement, ...]
  tables: tuple[str, ...]
  note: str
  higher_is_better: bool | None = None
  itself: tuple[Judgement, ...] = ()

  @property
  def image_names(self):
    """The names of all files, each once, in the order in which rows need them."""
    return tuple(dict.fromkeys(name for row in self.rows for name in row.images))


def checked(judgements):
  """Returns the judgements that can be scored.

  Rows that compare an image with itself, and repetitions of a row, are left out with a warning.
  References with one version alone, in `opinions`, give a warning.

  Raises:
    UserError: an answer is not finite, not a fraction where it must be one, or given by fewer than
      one vote; two rows contradict each other; the two candidates of a triplet are one file; fewer
      than ten rows are left; or all opinions are the same.
  """
  for row in judgements.rows:
    _check_row(row, judgements.kind)
  itself = tuple(row for row in judgements.rows if row.images[0] in row.images[1:])
  different = [row for row in judgements.rows if row.images[0] not in row.images[1:]]
  rows = _without_repetitions(different, judgements.kind)
  what = EXAMPLES[judgements.kind]
  if itself:
    _warn(f"Left out {counted(len(itself), what)} of an image with itself, the first in "
          f"{itself[0].where}.")
  if len(rows) < len(different):
    _warn(f"Left out {counted(len(different) - len(rows), what)} given a second time.")
  if len(rows) < MIN_EXAMPLES:
    raise UserError(f"{listed(judgements.tables)}: {counted(len(rows), what)} to score; at least "
                    f"{MIN_EXAMPLES} are needed.")
  if judgements.kind == "opinions":
    _require_different_scores(rows, judgements.tables)
    _warn_of_single_versions(rows)
  return dataclasses.replace(judgements, rows=tuple(rows), itself=itself)


def _check_row(row, kind):
  if not np.isfinite(row.answer):
    raise UserError(f"{row.where}: {ANSWERS[kind]} is {row.answer}, not a finite number.")
  if kind != "opinions" and not 0 <= row.answer <= 1:
    raise UserError(f"{row.where}: {ANSWERS[kind]} is {row.answer:g}, not a fraction from 0 to 1.")
  if row.votes is not None and row.votes < 1:
    raise UserError(f"{row.where}: {row.votes} votes; at least 1 is needed.")
  if len(set(row.images[1:])) < len(row.images[1:]):
    raise UserError(f"{row.where}: both candidates are {row.images[1]}.")


def _without_repetitions(rows, kind):
  """The rows, those that say the same of the same images once.

  Raises:
    UserError: two rows on the same images differ.
  """
  first = {}
  for row in rows:
    # The two candidates of a triplet may change sides.
    swapped = kind == "2afc" and row.images[1] > row.images[2]
    key = (row.images[0], *sorted(row.images[1:])) if kind == "2afc" else row.images
    answer = 1 - row.answer if swapped else row.answer
    known = first.setdefault(key, (row, answer))
    tolerance = SHARE_TOLERANCE if kind != "opinions" else 1e-9
    if abs(known[1] - answer) > tolerance or known[0].votes != row.votes:
      raise UserError(
          f"{known[0].where} and {row.where} judge the same images ({', '.join(row.images)}) "
          f"differently: give one row for each {EXAMPLES[kind].removesuffix('s')}, the votes "
          "or ratings of all people together.")
  return [row for row, _ in first.values()]


def _require_different_scores(rows, tables):
  if len({row.answer for row in rows}) == 1:
    raise UserError(f"{listed(tables)}: every score is {rows[0].answer:g}: no metric can agree or "
                    "disagree with that.")


def _warn_of_single_versions(rows):
  versions = {}
  for row in rows:
    versions.setdefault(row.images[0], []).append(row)
  single = [reference for reference, found in versions.items() if len(found) < 2]
  if single:
    _warn(f"One version alone, with which nothing can be compared: {len(single)} of "
          f"{counted(len(versions), 'references')}: {listed(single)}.")


def _warn(message):
  warnings.warn(message, stacklevel=3)


def counted(count, plural):
  """A number of things as text, whose plural ends in s."""
  return f"{count:,} {plural if count != 1 else plural.removesuffix('s')}"


def listed(names):
  """The first few of a list of names, as text."""
  names = list(names)
  return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
