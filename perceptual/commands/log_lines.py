"""Lines of a log with the time and a level, for people or for programs."""

import contextlib
import datetime
import io
import json
import os
import sys

from perceptual import errors

VARIABLE = "PERCEPTUAL_LOG"
FORMATS = ("plain", "time", "json")
_LEVELS = {"error:": "ERROR", "failed:": "ERROR", "warning:": "WARNING"}


def choose(given=None):
  """Has lines on stderr written in a format, until the `put_back` around it ends.

  Args:
    given: one of `FORMATS`; None for what the environment variable PERCEPTUAL_LOG says, or else
      `plain` on a terminal and `time` in a log.

  Raises:
    UserError: if the variable says something else than one of `FORMATS`.
  """
  is_terminal = sys.stderr is not None and sys.stderr.isatty()
  chosen = given or os.environ.get(VARIABLE) or ("plain" if is_terminal else "time")
  if chosen not in FORMATS:
    raise errors.unknown(VARIABLE, chosen, FORMATS)
  if chosen != "plain" and sys.stderr is not None:  # None without a console
    sys.stderr = LogLines(sys.stderr, chosen == "json")


@contextlib.contextmanager
def put_back():
  """A context after which stderr is as before it."""
  before = sys.stderr
  try:
    yield
  finally:
    if isinstance(sys.stderr, LogLines) and sys.stderr is not before:
      sys.stderr.end_line()
    sys.stderr = before


class LogLines(io.TextIOBase):
  """A stream that passes whole lines on to another, each with its time and level.

  As text a line is `2026-01-31T12:00:00+01:00 INFO step 20/400 ...`; as JSON an object with `time`,
  `level` and `message`. The level stands for how a line begins: `error:` or, of a run of a study,
  `failed:`; `warning:`; or anything else.
  """

  def __init__(self, stream, as_json):
    super().__init__()
    self._stream = stream
    self._as_json = as_json
    self._begun = ""

  def writable(self):
    return True

  def write(self, text):
    *lines, self._begun = (self._begun + text).replace("\r", "\n").split("\n")
    for line in filter(str.strip, lines):
      self._stream.write(self._formatted(line) + "\n")
    self._stream.flush()
    return len(text)

  def end_line(self):
    """Passes on a line that has no end yet."""
    if self._begun.strip():
      self.write("\n")

  def flush(self):
    if not self.closed:
      self._stream.flush()

  def _formatted(self, line):
    time = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    message, level = line.strip(), "INFO"
    for start, of_start in _LEVELS.items():
      if message.startswith(start):
        message, level = message.removeprefix(start).lstrip(), of_start
    if self._as_json:
      return json.dumps({"time": time, "level": level, "message": message})
    return f"{time} {level} {message}"
