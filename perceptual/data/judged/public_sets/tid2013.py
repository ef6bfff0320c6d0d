"""TID2013 (Ponomarenko et al. 2015): 25 references, 24 distortions, 5 levels; MOS from 0 to 9.

  mos_with_names.txt                   lines of `5.51429 I01_01_1.bmp`
  reference_images/I01.BMP             distorted_images/i01_01_1.bmp: reference, distortion, level
"""

import re

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.data.judged.source_files import number

NAME = "tid2013"
PUBLISHED = (3000, 25)
_TABLE = "mos_with_names.txt"
_DISTORTED = re.compile(r"(?:.*/)?(i\d\d)_(\d\d)_\d\.bmp", re.IGNORECASE)


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  table = files.table(_TABLE)
  rows = tuple(_row(files, line, f"{table} line {place}")
               for place, line in enumerate(files.text(table).splitlines(), 1) if line.strip())
  layout.require_all_labelled(NAME, table, filter(_DISTORTED.fullmatch, files.names),
                              (row.images[1] for row in rows))
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("opinions", rows, (table,), "TID2013, mean opinion scores",
                    higher_is_better=True)


def _row(files, line, where):
  cells = line.split()
  name = _DISTORTED.fullmatch(cells[-1])
  if len(cells) != 2 or not name:
    raise layout.other_release(NAME, where, f"{line.strip()!r} is not a score and I01_01_1.bmp")
  score = number(cells[0], "the score", where)
  layout.require_range(NAME, where, score, 0, 9)
  images = (layout.image(files, f"{name[1]}.bmp", where), layout.image(files, cells[1], where))
  return Judgement(images, score, where, part=f"distortion {name[2]}")
