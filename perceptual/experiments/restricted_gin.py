"""Gin without what would run a stranger's code: imports are refused, and includes are files alone.

A gin file says values of what `config` registers. Gin's own language can do more: `import x` runs
any module that Python finds, and dynamic registration makes every function of it callable.
"""

import contextlib
import os
from typing import ClassVar

from gin import config, config_parser

from perceptual.errors import UserError


@contextlib.contextmanager
def restricted():
  """Returns a context in which gin parses as restricted.

  In it a `UserError` is raised for an import, for a file that includes itself, directly or not, and
  for an include that is not a file.
  """
  before = config_parser.ConfigParser, config._FILE_READERS[:]
  _Parser.open_files = []
  config_parser.ConfigParser = _Parser
  config._FILE_READERS[:] = [(open, os.path.isfile)]
  try:
    yield
  finally:
    config_parser.ConfigParser, config._FILE_READERS[:] = before


class _Parser(config_parser.ConfigParser):
  """Gin's parser, of which gin makes one for each file, while it still reads those around it."""

  open_files: ClassVar = []

  def __init__(self, string_or_filelike, parser_delegate):
    self._file = getattr(string_or_filelike, "name", None)
    real = self._file and os.path.realpath(self._file)
    if real and real in self.open_files:
      raise UserError(f"{self._file} includes itself.")
    self.open_files.append(real)
    super().__init__(string_or_filelike, parser_delegate)

  def parse_statement(self):
    statement = super().parse_statement()
    if statement is None:
      self.open_files.pop()
    elif isinstance(statement, config_parser.ImportStatement):
      raise UserError(
          f"{self._file or 'A binding'} has '{statement.format()}': imports are refused, since "
          "they run code. Gin files may only set values.")
    return statement
