"""CSIQ (Larson and Chandler 2010): 30 references, 866 distorted images; DMOS from 0 to 1.

  csiq.DMOS.xlsx                       sheet all_by_image: image, dst_idx, dst_type, dst_lev,
                                       dmos_std, dmos
  src_imgs/1600.png                    dst_imgs/awgn/1600.AWGN.1.png: reference, distortion, level

Distorted images without ratings have no row; they are left out.
"""

import io

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.data.judged.source_files import number
from perceptual.errors import UserError

NAME = "csiq"
PUBLISHED = (866, 30)
_TABLE = "csiq.DMOS.xlsx"
_SHEET = "all_by_image"
_COLUMNS = ("image", "dst_type", "dst_lev", "dmos")
# What the sheet calls a distortion, and the names of its files.
_DISTORTIONS = {"noise": "AWGN", "blur": "BLUR", "contrast": "contrast", "fnoise": "fnoise",
                "jpeg": "JPEG", "jpeg 2000": "jpeg2000"}


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  table = files.table(_TABLE)
  rows = tuple(_row(files, cells, where)
               for where, cells in _sheet_rows(files.read([table])[table], table))
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("opinions", rows, (table,), "CSIQ, differential mean opinion scores",
                    higher_is_better=False)


def _row(files, cells, where):
  distortion = _DISTORTIONS.get(cells["dst_type"].lower())
  if not distortion:
    raise layout.other_release(NAME, where, f"an unknown distortion {cells['dst_type']!r}")
  score = number(cells["dmos"], "dmos", where)
  layout.require_range(NAME, where, score, 0, 1)
  distorted = f"{cells['image']}.{distortion}.{cells['dst_lev']}.png"
  images = (layout.image(files, f"{cells['image']}.png", where),
            layout.image(files, distorted, where))
  return Judgement(images, score, where, part=cells["dst_type"])


def _sheet_rows(data, table):
  """Yields (where, `{column: text}`) of the sheet's rows below its head, wherever that is."""
  columns = None
  for place, values in enumerate(_values(data, table), 1):
    texts = [_text(value) for value in values]
    if columns is None and set(_COLUMNS) <= set(texts):
      columns = {column: texts.index(column) for column in _COLUMNS}
    elif columns is not None:
      cells = {column: texts[index] for column, index in columns.items()}
      if any(cells.values()):
        yield f"{table} row {place}", cells
  if columns is None:
    raise layout.other_release(
        NAME, table, f"no row of {_SHEET} has the columns {', '.join(_COLUMNS)}")


def _values(data, table):
  try:
    import openpyxl
  except ImportError as error:
    raise UserError(f"{table} is an Excel file: reading it needs openpyxl (pip install openpyxl)."
                    ) from error
  try:
    workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
  except Exception as error:  # a damaged file raises errors of many kinds
    raise UserError(f"{table} is not a whole Excel file: {error}.") from error
  if _SHEET not in workbook.sheetnames:
    raise layout.other_release(
        NAME, table, f"no sheet {_SHEET} among {', '.join(workbook.sheetnames)}")
  return workbook[_SHEET].iter_rows(values_only=True)


def _text(value):
  """A cell as text: `1600` of the number 1600.0."""
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return "" if value is None else str(value).strip()
