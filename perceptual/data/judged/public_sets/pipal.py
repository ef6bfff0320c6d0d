"""PIPAL, training part (Gu et al. 2020): 200 references, 116 versions of each; Elo scores.

  Train_Label/A0001.txt                lines of `A0001_00_00.bmp,1529.31`
  Train_Ref/A0001.bmp                  A0001_00_00.bmp: reference, kind of distortion, number; in
                                       Train_Dist, Train_Distort or Distortion_1 to 4

Higher is better. The scores come from comparisons of versions of one reference with each other, so
that they are to be compared within references.
"""

import posixpath
import re

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.data.judged.source_files import decoded, number
from perceptual.errors import UserError

NAME = "pipal"
PUBLISHED = (23_200, 200)
_TABLE = re.compile(r"(?:.*/)?train_label/(a\d{4})\.txt", re.IGNORECASE)
_DISTORTED = re.compile(r"(a\d{4})_(\d\d)_\d\d\.bmp", re.IGNORECASE)


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  tables = tuple(name for name in files.names if _TABLE.fullmatch(name))
  if not tables:
    raise UserError(f"{files.path} holds no Train_Label/A0001.txt, the labels of PIPAL's training "
                    "part.")
  rows = tuple(
      _row(files, _TABLE.fullmatch(table)[1], line, f"{table} line {place}")
      for table, data in files.read(tables).items()
      for place, line in enumerate(decoded(data, table).splitlines(), 1) if line.strip())
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("opinions", rows, tables,
                    "PIPAL (training part), Elo scores, to be compared within references",
                    higher_is_better=True)


def _row(files, reference, line, where):
  cells = [cell.strip() for cell in line.split(",")]
  name = _DISTORTED.fullmatch(posixpath.basename(cells[0]))
  if len(cells) != 2 or not name or name[1].lower() != reference.lower():
    raise layout.other_release(
        NAME, where, f"{line.strip()!r} is not {reference}_00_00.bmp and a score")
  score = number(cells[1], "the score", where)
  layout.require_range(NAME, where, score, 500, 2500)
  images = (layout.image(files, f"{reference}.bmp", where), layout.image(files, cells[0], where))
  return Judgement(images, score, where, part=f"distortion {name[2]}")
