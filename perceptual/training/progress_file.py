"""`progress.json`: how far a run is, for other programs.

    {"state": "training", "step": 120, "steps": 400, "epoch": 1.5, "seconds_left": 93,
     "last_checkpoint": "checkpoints/last/step-100", "time": "2026-01-31T12:00:00+01:00", ...}

`state` is `training`, `complete`, `stopped` (by SIGTERM, Ctrl-C or the end of another worker) or
`failed`; of a process that was killed it stays `training`, with an old `time`. `step` is the last
one reported, and there are the means of its line of progress, such as `loss` and
`images_per_second`; `seconds_left` comes with the second line. The file is written whole every
`SECONDS` and at each save. The run itself reads of it only whether it had ever saved.
"""

import contextlib
import datetime
import json
import time

from perceptual import errors
from perceptual.common import files

SECONDS = 10.0  # between two writes at most


def last_checkpoint(path):
  """Returns the `last_checkpoint` that a file names; None if it is not there or names none."""
  try:
    name = json.loads(path.read_text("utf-8"))["last_checkpoint"]
    return name if isinstance(name, str) else None
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return None


class ProgressFile:
  """The file of a run, or of one of its workers that does not write."""

  def __init__(self, path, *, may_write=lambda: True, **facts):
    """Takes the file, what says whether it may be written, and what is known so far."""
    self._path = path
    self._may_write = may_write
    self._facts = {"state": "training", **facts}
    self._written = None

  def note(self, **facts):
    """Notes facts, as plain data; writes the file if `SECONDS` have gone by since the last time."""
    self._facts.update(facts)
    if self._written is None or time.monotonic() - self._written >= SECONDS:
      self.write()

  def write(self, **facts):
    """Writes the file, with further facts."""
    self._facts.update(facts)
    self._written = time.monotonic()
    if self._may_write():
      now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
      files.write_text(self._path, json.dumps({**self._facts, "time": now}, indent=1) + "\n")

  @contextlib.contextmanager
  def states(self):
    """A context of training, at whose end the file says how it ended."""
    try:
      yield
    except BaseException as error:
      is_request = isinstance(error, (errors.Stopped, KeyboardInterrupt))
      with contextlib.suppress(OSError):  # as on the full disk that has ended training
        self.write(state="stopped" if is_request else "failed")
      raise
    self.write(state="complete", seconds_left=0)
