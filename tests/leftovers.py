"""What processes that were killed leave, for tests of who removes it and who does not."""

import os

from perceptual.common import files, processes

ENDED = 2**22 + 1  # above the largest number that Linux gives a process


def temporary(path, kind="tmp", *, process=ENDED):
  """Returns the path of `files.temporary` as a process of this machine would have made it."""
  made = files.temporary(path, kind)
  return made.with_name(made.name.replace(f"-{os.getpid()}-", f"-{process}-"))


def holder(process=ENDED, **about):
  """Returns what the lock of a process of this machine says, apart from its host."""
  return {"process": process, "place": processes.this().place, "life": "of-another",
          "since": "2020-01-01", **about}
