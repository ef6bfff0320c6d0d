"""Tables: the collected table of a study as NumPy columns, and rows as CSV.

One representation serves all: a dict of columns, an array each. pandas is not needed; a million
rows take some 250 MB.
"""

import csv
import functools
import io
import itertools

import numpy as np

from perceptual import errors
from perceptual.common import files

# Columns whose values name something, even where every name looks like a number.
TEXT = ("study", "run", "network", "varied", "state", "judged_set", "subset", "distance", "tap",
        "analysis")

# Columns of numbers that differ from row to row: never kept as text, which would take memory.
NUMBERS = ("step", "epoch", "learning_rate", "accuracy", "score", "low", "high")

REQUIRED = ("run", "varied", "network", "seed", "step", "accuracy", "judged_set", "subset",
            "distance", "tap", "score")
BINDING = "binding."  # begins the name of the column of a bound parameter

_BLOCK = 50_000  # rows converted at once
_ARROW_BLOCK = 200_000


class Table:
  """Columns of equal length.

  Numbers are float64 with NaN for an empty cell; text is an object array with "" for an empty cell.
  A column is numeric if all its cells are numbers or empty, except those of `TEXT`.
  """

  def __init__(self, columns):
    """Takes a dict of column name to array, all of one length."""
    self.columns = dict(columns)
    lengths = {len(column) for column in self.columns.values()}
    if len(lengths) > 1:
      raise errors.UserError(f"Columns differ in length: {sorted(lengths)}.")
    self._length = lengths.pop() if lengths else 0

  def __len__(self):
    return self._length

  def __contains__(self, name):
    return name in self.columns

  def __getitem__(self, name):
    """Returns a column, `[rows]` float64 or object."""
    if name not in self.columns:
      raise errors.unknown("column", name, self.columns)
    return self.columns[name]

  def where(self, **values):
    """Returns the rows in which each named column equals a value."""
    chosen = np.ones(len(self), bool)
    for name, value in values.items():
      chosen &= self[name] == value
    return self if chosen.all() else self.take(chosen)

  def take(self, chosen):
    """Returns the rows of a mask, or of indices."""
    return Table({name: column[chosen] for name, column in self.columns.items()})

  def unique(self, name):
    """Returns the values of a column once each, in the order of their first row."""
    return list(dict.fromkeys(self[name].tolist()))

  def rows(self):
    """Returns the rows as dictionaries, for `as_csv`: an empty cell is ""."""
    return [{name: "" if isinstance(column[i], float) and np.isnan(column[i]) else column[i]
             for name, column in self.columns.items()} for i in range(len(self))]

  def bindings(self):
    """Returns the names of the bound parameters, such as `network.width`."""
    return [name.removeprefix(BINDING) for name in self.columns if name.startswith(BINDING)]


def of_rows(rows):
  """Returns the `Table` of a list of dictionaries; a key that one lacks is an empty cell."""
  names = list(dict.fromkeys(name for row in rows for name in row))
  return Table({name: _typed(name, ["" if row.get(name) is None else row[name] for row in rows])
                for name in names})


def read(path, required=REQUIRED, *, either=None):
  """Returns the `Table` of a CSV file, or of a Parquet file, which takes pyarrow and less time.

  Args:
    path: the file.
    required: names of columns that it must have.
    either: column -> text: rows with that text in any of these columns are read, others passed
      over, which saves time and memory. None for all rows.

  Raises:
    UserError: if there is no such file, it is empty, a column is missing, a line has another
      number of cells than the head, or pyarrow is needed and missing.
  """
  path = files.place(path)
  try:
    with files.local_copy(path) as local:
      if path.suffix == ".parquet":
        return _read_parquet(local, required, either)
      with local.open(newline="", encoding="utf-8") as file:
        return _read_csv(path, csv.reader(file), required, either)
  except errors.UserError:
    raise
  except (OSError, ValueError, csv.Error) as error:  # pyarrow's are of the latter two
    reason = errors.reason if isinstance(error, OSError) else errors.first_line
    raise errors.UserError(f"{path} cannot be read: {reason(error).rstrip('.')}.") from None


def as_csv(rows):
  """Returns rows as CSV text, with the columns in the order in which rows first have them."""
  text = io.StringIO()
  names = list(dict.fromkeys(name for row in rows for name in row))
  writer = csv.DictWriter(text, names, lineterminator="\n")
  writer.writeheader()
  writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
  return text.getvalue()


def _cell(value):
  """A value as it is written: whole numbers have no point, though reading made floats of them."""
  return int(value) if isinstance(value, float) and value.is_integer() else value


def write_csv(path, rows):
  """Writes rows as a CSV file."""
  files.write_text(path, as_csv(rows))


def _read_csv(path, lines, required, either):
  head = next(lines, None)
  if not head:
    raise errors.UserError(f"{path} is empty: it must be a CSV file with a line of column names.")
  _require(path, head, required)
  blocks = {name: [] for name in head}
  codes = {name: {} for name in head if name not in NUMBERS}
  for number, block in enumerate(iter(lambda: list(itertools.islice(lines, _BLOCK)), [])):
    if set(map(len, block)) != {len(head)}:
      offset, line = next((i, line) for i, line in enumerate(block) if len(line) != len(head))
      raise errors.UserError(f"{path}: line {number * _BLOCK + offset + 2} has {len(line)} "
                             f"cells, the head has {len(head)}.")
    if either:
      masks = [[line[place] == text for line in block]
               for place, text in ((head.index(name), text) for name, text in either.items())]
      block = list(itertools.compress(block, map(any, zip(*masks))))
    for name, cells in zip(head, zip(*block)):
      blocks[name].append(_numbers(path, name, cells) if name in NUMBERS
                          else _coded(codes[name], cells))
  columns = {}
  for name in head:
    joined = np.concatenate(blocks[name]) if blocks[name] else np.zeros(0, "int32")
    columns[name] = joined if name in NUMBERS else _typed(name, list(codes[name]))[joined]
  return Table(columns)


def _read_parquet(path, required, either):
  try:
    import pyarrow as pa
    from pyarrow import parquet
  except ImportError:
    raise errors.UserError(f"{path} needs pyarrow: pip install pyarrow, or give the CSV file "
                           "beside it.") from None
  with parquet.ParquetFile(path) as file:
    _require(path, file.schema_arrow.names, required)
    # Block by block, so that only text of rows that are wanted is ever held, each once.
    blocks = [_arrow_rows(pa.Table.from_batches([batch]), either)
              for batch in file.iter_batches(_ARROW_BLOCK)]
    found = pa.concat_tables(
        blocks or [_arrow_rows(file.schema_arrow.empty_table(), either)]).unify_dictionaries()
  left = dict(zip(found.column_names, found.columns))
  del blocks, found
  columns = {}
  for name in list(left):
    column = left.pop(name)  # which frees its memory
    if pa.types.is_dictionary(column.type):
      coded = column.combine_chunks()
      columns[name] = _typed(name, coded.dictionary.to_pylist())[coded.indices.to_numpy()]
    else:
      columns[name] = column.to_numpy().astype("float64", copy=False)
  return Table(columns)


def _arrow_rows(table, either):
  """Returns the rows of an Arrow table that `read` is asked for, texts as codes."""
  import pyarrow as pa
  from pyarrow import compute

  if either:
    masks = [compute.equal(table[name], text) for name, text in either.items()]
    table = table.filter(functools.reduce(compute.or_kleene, masks))
  return pa.table({
      name: column.fill_null("").dictionary_encode() if column.type == pa.string() else column
      for name, column in zip(table.column_names, table.columns)})


def _require(path, head, required):
  missing = [name for name in required if name not in head]
  if missing:
    raise errors.UserError(f"{path} lacks the column {missing[0]!r}. It has: {', '.join(head)}.")


def _coded(codes, cells):
  """Returns the number of each cell's text, which is added to `codes` where it is new."""
  return np.fromiter((codes.setdefault(cell, len(codes)) for cell in cells), "int32", len(cells))


def _numbers(path, name, cells):
  try:
    return np.array([float(cell) if cell else np.nan for cell in cells])
  except ValueError as error:
    raise errors.UserError(f"{path}: column {name} must hold numbers: {error}.") from None


def _typed(name, cells):
  """Returns cells as an array of numbers, if all are numbers or empty, or else of text."""
  if name not in TEXT and any(cell != "" for cell in cells):
    try:
      return np.array([np.nan if cell == "" else float(cell) for cell in cells])
    except (TypeError, ValueError):
      pass
  return np.array([*map(str, cells), None], object)[:-1]  # of objects even where it is empty
