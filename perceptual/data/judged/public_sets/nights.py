"""NIGHTS, test part (Fu et al. 2023, DreamSim): triplets of which six or more people agreed.

  data.csv    columns id, votes, left_vote, right_vote, ref_path, left_path, right_path, split, ...

Images are named relative to the table. `votes` counts unanimous votes; triplets with fewer than six
are left out, as the authors do. Since those on which people differed were left out, a ceiling of
these votes would be 100 and say nothing: they are not kept.
"""

import posixpath

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.data.judged.source_files import csv_rows, whole_number
from perceptual.errors import UserError

NAME = "nights"
PUBLISHED = (2120,)
MIN_VOTES = 6
_TABLE = "data.csv"
_IMAGES = ("ref_path", "left_path", "right_path")
_COLUMNS = ("votes", "left_vote", "right_vote", "split", *_IMAGES)


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  table = files.table(_TABLE)
  rows = []
  for where, cells in csv_rows(files.text(table), table):
    layout.require_columns(NAME, table, cells, _COLUMNS)
    if cells["split"] == "test" and whole_number(cells["votes"], "votes", where) >= MIN_VOTES:
      rows.append(_row(files, posixpath.dirname(table), cells, where))
  if not rows:
    raise layout.other_release(NAME, table, f"no test triplet of {MIN_VOTES} votes or more")
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("2afc", tuple(rows), (table,), "NIGHTS (test part), unanimous triplets alone")


def _row(files, folder, cells, where):
  left, right = (whole_number(cells[column], column, where)
                 for column in ("left_vote", "right_vote"))
  if {left, right} != {0, 1}:
    raise layout.other_release(
        NAME, where, f"left_vote {left} and right_vote {right}; published are 0 and 1")
  images = []
  for column in _IMAGES:
    name = files.find(cells[column], folder=folder)
    if name is None:
      raise UserError(f"{where} names {cells[column]}, which is not in {files.path}.")
    images.append(name)
  return Judgement(tuple(images), float(right), where)
