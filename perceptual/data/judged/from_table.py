"""Judgements from a CSV beside its images: one's own study.

The columns tell the kind; those in brackets may be left out:

  2afc      reference, a, b, p                            p: share of people who found b closer
            reference, a, b, votes_a, votes_b [, p]
  jnd       reference, distorted, same                    same: share who could not tell them apart
            reference, distorted, votes_same, votes_different [, same]
  opinions  reference, distorted, score                   score: mean rating

`votes` may give the number of people where the votes are not there singly, and `part` the part of
the set that a row belongs to, as the kind of distortion. Names of images are relative to the CSV.
"""

import posixpath

from perceptual.data.judged import source_files
from perceptual.data.judged.judgements import (
  SHARE_TOLERANCE,
  Judgement,
  Judgements,
  counted,
  listed,
)
from perceptual.errors import UserError, unknown

DIRECTIONS = ("higher_is_better", "lower_is_better")

# The columns of images, and what stands for the answer: a share, or the votes that it is made of.
_IMAGES = {"2afc": ("reference", "a", "b"), "jnd": ("reference", "distorted"),
           "opinions": ("reference", "distorted")}
_ANSWER = {"2afc": "p", "jnd": "same", "opinions": "score"}
# (votes for the answer 0, votes for the answer 1)
_VOTES = {"2afc": ("votes_a", "votes_b"), "jnd": ("votes_different", "votes_same")}
_OPTIONAL = ("votes", "part")
COLUMNS = ("reference", "a", "b", "p", "votes_a", "votes_b", "distorted", "score", "same",
           "votes_same", "votes_different", *_OPTIONAL)


def read(files, *, table=None, columns=None, direction=None):
  """Returns the `Judgements` of a source of files.

  Args:
    files: a `SourceFiles`.
    table: the name of the CSV; None where there is one alone.
    columns: `{name above: name in the CSV}` of the columns that are called otherwise.
    direction: of opinions, one of `DIRECTIONS`: higher is better for mean opinion scores (MOS),
      lower for differential ones (DMOS).

  Raises:
    UserError: the table, a column or an image is missing, a cell is not what it should be, votes do
      not add up, or the direction is missing or not asked for.
  """
  columns = dict(columns or {})
  for name in columns:
    if name not in COLUMNS:
      raise unknown("column of judgements", name, COLUMNS)
  if direction is not None and direction not in DIRECTIONS:
    raise unknown("direction", direction, DIRECTIONS)
  name = files.table(table) if table else _only_csv(files)
  rows = [(where, _renamed(cells, columns, name))
          for where, cells in source_files.csv_rows(files.text(name), name)]
  if not rows:
    raise UserError(f"{name} has no rows.")
  kind = _kind(rows[0][1], name)
  _check_direction(kind, direction, name)
  return Judgements(
      kind=kind, rows=_judgements(rows, kind, files, name), tables=(name,),
      note=f"judgements from {posixpath.basename(name)}, as supplied",
      higher_is_better=None if direction is None else direction == DIRECTIONS[0])


def _only_csv(files):
  found = [name for name in files.names if name.lower().endswith(".csv")]
  if not found:
    raise UserError(f"{files.path} holds no CSV file: the table of judgements is missing.")
  if len(found) > 1:
    raise UserError(f"{files.path} holds {len(found)} CSV files: {listed(found)}; say by --table "
                    "which one is the table of judgements.")
  return found[0]


def _renamed(cells, columns, name):
  """A row by the names above; columns without a part in the judgements are left out."""
  for wanted, called in columns.items():
    if called not in cells:
      raise UserError(f"{name} has no column {called!r}, given for {wanted!r}. "
                      f"It has: {', '.join(cells)}.")
  taken = set(columns.values())
  there = {column: cell for column, cell in cells.items() if column in COLUMNS
           and column not in columns and column not in taken}
  return {**there, **{wanted: cells[called] for wanted, called in columns.items()}}


def _kind(row, name):
  """The kind of judgements that the columns of a row allow, the only one."""
  found = [kind for kind, images in _IMAGES.items()
           if set(images) <= set(row) and (
               _ANSWER[kind] in row or set(_VOTES.get(kind, ("nothing",))) <= set(row))]
  if len(found) == 1:
    return found[0]
  forms = "; ".join(", ".join((*images, _ANSWER[kind])) for kind, images in _IMAGES.items())
  raise UserError(
      f"{name} has columns of {'several kinds' if found else 'no kind'} of judgements: "
      f"{', '.join(row) or 'none that are known'}. Needed are: {forms}; others are named by "
      "--columns.")


def _check_direction(kind, direction, name):
  if kind == "opinions" and direction is None:
    raise UserError(f"{name} holds opinions: say whether higher is better (MOS, --direction="
                    "higher_is_better) or lower (DMOS, --direction=lower_is_better).")
  if kind != "opinions" and direction is not None:
    raise UserError(f"{name} holds {kind} judgements: a direction is for opinions alone.")


def _judgements(rows, kind, files, name):
  folder = posixpath.dirname(name)
  found, missing = [], {}
  for where, cells in rows:
    images = []
    for column in _IMAGES[kind]:
      image = files.find(cells[column], folder=folder) if cells[column] else None
      if image is None:
        missing.setdefault(cells[column] or f"an empty {column}", where)
      images.append(image)
    answer, votes = _answer(cells, kind, where)
    found.append(Judgement(tuple(images), answer, where, votes, cells.get("part", "")))
  if missing:
    raise UserError(f"{counted(len(missing), 'images')} not in {files.path}: " + listed(
        f"{image} ({where})" for image, where in missing.items()) + ".")
  return tuple(found)


def _answer(cells, kind, where):
  """The answer of a row and its number of votes, or None."""
  columns = _VOTES.get(kind, ())
  share = _ANSWER[kind]
  votes = source_files.whole_number(cells["votes"], "votes", where) if cells.get("votes") else None
  given = source_files.number(cells[share], share, where) if share in cells else None
  if not columns or not set(columns) <= set(cells):
    return given, votes
  for_0, for_1 = (source_files.whole_number(cells[column], column, where) for column in columns)
  total = for_0 + for_1
  if not total:
    raise UserError(f"{where}: {columns[0]} and {columns[1]} are both 0.")
  if votes is not None and votes != total:
    raise UserError(f"{where}: votes do not add up: {for_0} and {for_1} are not {votes}.")
  if given is not None and abs(given - for_1 / total) > SHARE_TOLERANCE:
    raise UserError(f"{where}: votes do not add up: {for_1} of {total} is {for_1 / total:.4g}, "
                    f"{share} is {given:g}.")
  return for_1 / total, total
