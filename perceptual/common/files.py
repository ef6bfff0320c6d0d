"""Writing files whole: beside, then renamed, so that none is ever seen half-written."""

import contextlib
import csv
import io
import os
import pathlib

from perceptual.errors import UserError


def expanded(path):
  """Returns a path with a leading `~` or `~user` replaced by the home directory.

  Raises:
    UserError: if there is no such user, and no file of that name either.
  """
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError:
    if os.path.lexists(path):
      return pathlib.Path(path)
    user = pathlib.Path(path).parts[0]
    raise UserError(f"{path}: no user {user}; the name of a file is written ./{path}.") from None


@contextlib.contextmanager
def beside(path):
  """Yields a path beside `path` to write to, which takes its place when the block succeeds.

  Args:
    path: the file to write; its folder is made if it is not there.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  # The suffix stays last, since some writers choose the format by it.
  temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_text(path, text):
  """Writes a text file in UTF-8."""
  with beside(path) as temporary:
    temporary.write_text(text, "utf-8")


def write_csv(path, head, rows):
  """Writes a CSV file: the names of the columns, then the rows, each a list."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(head)
  writer.writerows(rows)
  write_text(path, text.getvalue())
