"""KADID-10k (Lin et al. 2019): 81 references, 25 distortions, 5 levels.

  dmos.csv                             columns dist_img, ref_img, dmos, var
  images/I01.png                       images/I01_01_01.png: reference, distortion, level

The scores are called DMOS, but are mean ratings from 1 to 5 of which the higher is the better, as
the authors' page says.
"""

import re

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.data.judged.source_files import csv_rows, number

NAME = "kadid10k"
PUBLISHED = (10_125, 81)
_TABLE = "dmos.csv"
_DISTORTED = re.compile(r"(?:.*/)?i\d\d_(\d\d)_\d\d\.png", re.IGNORECASE)


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  table = files.table(_TABLE)
  rows = tuple(_row(files, table, cells, where)
               for where, cells in csv_rows(files.text(table), table))
  layout.require_all_labelled(NAME, table, filter(_DISTORTED.fullmatch, files.names),
                              (row.images[1] for row in rows))
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("opinions", rows, (table,), "KADID-10k, mean ratings (its dmos)",
                    higher_is_better=True)


def _row(files, table, cells, where):
  layout.require_columns(NAME, table, cells, ("dist_img", "ref_img", "dmos"))
  name = _DISTORTED.fullmatch(cells["dist_img"])
  if not name:
    raise layout.other_release(NAME, where, f"{cells['dist_img']!r} is not named as I01_01_01.png")
  score = number(cells["dmos"], "dmos", where)
  layout.require_range(NAME, where, score, 1, 5)
  images = (layout.image(files, cells["ref_img"], where),
            layout.image(files, cells["dist_img"], where))
  return Judgement(images, score, where, part=f"distortion {name[1]}")
