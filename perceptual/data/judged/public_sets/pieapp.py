"""PieAPP's test set (Prashnani et al. 2018): 40 references, all pairs of 15 versions of each.

  labels/test/ref_1_pairwise_labels.csv    reference, A, B, probability of preference for A
  reference_images/test/ref_1.png          distorted_images/test/ref_1/distort_1_*.png

Forty people judged each pair. The columns are told by their place, as the authors' readme does.
Pairs with the reference as a candidate are left out: every metric gets them right.
"""

import re

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.data.judged.source_files import csv_rows, decoded, number
from perceptual.errors import UserError

NAME = "pieapp"
PUBLISHED = (4200, 40)
VOTES = 40
_TABLE = re.compile(r"(?:.*/)?labels/test/(ref_\d+)_pairwise_labels\.csv", re.IGNORECASE)


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  tables = tuple(name for name in files.names if _TABLE.fullmatch(name))
  if not tables:
    raise UserError(f"{files.path} holds no labels/test/ref_1_pairwise_labels.csv, the labels of "
                    "PieAPP's test set.")
  rows = tuple(
      row for table, data in files.read(tables).items()
      for row in _rows(files, table, decoded(data, table)))
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("2afc", rows, tables, "PieAPP test set, 40 votes a pair")


def _rows(files, table, text):
  """Yields the rows of one reference, except those with the reference as a candidate."""
  reference = f"{_TABLE.fullmatch(table)[1]}.png"
  for where, cells in csv_rows(text, table):
    values = list(cells.values())
    if len(values) != 4 or values[0].lower() != reference.lower():
      raise layout.other_release(
          NAME, where, f"{len(values)} columns for {values[0]!r}; published are 4 for {reference}: "
          "reference, A, B, probability of preference for A")
    preferred = number(values[3], "the probability of preference for A", where)
    layout.require_range(NAME, where, preferred, 0, 1)
    if reference.lower() not in (values[1].lower(), values[2].lower()):
      images = tuple(layout.image(files, name, where) for name in values[:3])
      yield Judgement(images, 1 - preferred, where, votes=VOTES)
