"""The files of a judged set as it was downloaded: a folder or a tar archive."""

import csv
import io
import posixpath
import unicodedata

from perceptual.data.images import image_files
from perceptual.data.judged.judgements import listed
from perceptual.errors import UserError

# No table of judgements is larger; a damaged or hostile archive may say that one is.
MAX_TABLE_BYTES = 256 * 2**20


class SourceFiles:
  """The names of all files, and the bytes of the tables.

  Names are matched regardless of case and of the form of accents, since sets are copied between
  file systems that do not distinguish these: TID2013 comes with `I01.BMP` and `i01_01_1.bmp`.

  Attributes:
    path: the folder or archive, as given.
    names: relative names of all files, in the source's order.
  """

  def __init__(self, path):
    """Lists the files.

    Args:
      path: a folder or a tar archive.

    Raises:
      UserError: it is neither, or is damaged.
    """
    self.path = path
    self._sizes, _ = image_files.list_files(path)
    self.names = tuple(self._sizes)
    self._by_path, self._by_base, self._tables = {}, {}, {}
    for name in self.names:
      self._by_path.setdefault(_key(name), []).append(name)
      self._by_base.setdefault(_key(posixpath.basename(name)), []).append(name)

  def size(self, name):
    """Returns the bytes of a file by its relative name."""
    return self._sizes[name]

  def find(self, name, *, folder=""):
    """Returns the file of a relative name, or None.

    Args:
      name: as a table has it: forward or backward slashes.
      folder: the folder that it is relative to; the source's own is tried after it.
    """
    name = name.strip().replace("\\", "/")
    for path in (posixpath.normpath(posixpath.join(folder, name)), posixpath.normpath(name)):
      if path in self._sizes:
        return path
      found = self._by_path.get(_key(path), [])
      if len(found) == 1:
        return found[0]
    return None

  def images_called(self, base):
    """Returns the image files of one name, without its folders, anywhere in the source."""
    return [name for name in self._by_base.get(_key(base), []) if image_files.is_image_name(name)]

  def table(self, base):
    """Returns the relative name of the one file called `base`.

    Raises:
      UserError: there is none, or several.
    """
    found = self._by_base.get(_key(base), [])
    if len(found) != 1:
      raise UserError(f"{self.path} holds {len(found) or 'no'} {base}"
                      f"{': ' + listed(found) if found else ''}; one is needed.")
    return found[0]

  def read(self, names):
    """Returns the bytes of some tables, `{name: bytes}`, read in one pass and kept.

    Raises:
      UserError: one is too large to be a table.
    """
    unread = [name for name in names if name not in self._tables]
    for name in unread:
      if self._sizes[name] > MAX_TABLE_BYTES:
        raise UserError(f"{name} has {self._sizes[name]:,} bytes, too many for a table of "
                        "judgements.")
    if unread:
      _, contents = image_files.list_files(
          self.path, keep={posixpath.basename(name) for name in unread})
      self._tables.update({name: contents[name] for name in unread})
    return {name: self._tables[name] for name in names}

  def text(self, name):
    """Returns a table as text; `UserError` where it is not UTF-8."""
    return decoded(self.read([name])[name], name)


def decoded(data, name):
  """Returns bytes of UTF-8 as text, without a byte-order mark, which Excel writes."""
  try:
    return data.decode("utf-8-sig")
  except UnicodeDecodeError as error:
    raise UserError(f"{name} is not UTF-8 text ({error.reason} at byte {error.start}): save it as "
                    "CSV in UTF-8.") from error


def csv_rows(text, name):
  """Yields (where, `{column: cell}`) of a table with a head, cells stripped of spaces.

  Args:
    text: separated by commas, semicolons or tabs, whichever the head has most of.
    name: of the file, for messages.

  Raises:
    UserError: the table is empty, a column is there twice, a row has too few or too many cells, or
      the text is not CSV.
  """
  try:
    yield from _csv_rows(text, name)
  except csv.Error as error:
    raise UserError(f"{name} is not a CSV file: {error}.") from error


def _csv_rows(text, name):
  head = text.partition("\n")[0]
  reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
  columns = [column.strip() for column in next(reader, [])]
  if not any(columns):
    raise UserError(f"{name} is empty: it needs a head of column names.")
  twice = [column for column in columns if columns.count(column) > 1]
  if twice:
    raise UserError(f"{name} has the column {twice[0]!r} twice.")
  for cells in reader:
    if not any(cell.strip() for cell in cells):
      continue
    where = f"{name} line {reader.line_num}"
    if len(cells) != len(columns):
      raise UserError(f"{where} has {len(cells)} cells; the head has {len(columns)}.")
    yield where, dict(zip(columns, (cell.strip() for cell in cells)))


def number(cell, column, where):
  """Returns a cell as a finite float; `UserError` names the column and the line."""
  try:
    value = float("nan" if "_" in cell else cell)  # Python reads 1_0 as 10
  except ValueError:
    value = float("nan")
  if value - value != 0:  # NaN and infinity
    raise UserError(f"{where}: {column} is {cell!r}, not a finite number.")
  return value


def whole_number(cell, column, where):
  """Returns a cell as an int of at least 0; `UserError` names the column and the line."""
  value = number(cell, column, where)
  if value < 0 or value != int(value):
    raise UserError(f"{where}: {column} is {cell!r}, not a whole number of at least 0.")
  return int(value)


def _key(name):
  return unicodedata.normalize("NFC", name).casefold()
