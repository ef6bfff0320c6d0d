"""Campaign (a) at an address: commands are killed at their n-th change of a bucket, given again.

    python -m tools.faults.bucket --folder=DIR [--command=train] [--crashes=6]

As `crashes`, but what commands write lies at gs://bucket/out, of `tools/local_bucket`: TensorFlow's
own client of Google Cloud Storage and a server on this machine. The server kills the command when
the n-th object is to be stored or removed; every other time that is done first. Prints a table.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import sys

from tools import local_bucket
from tools.faults import commands, contents, crashes, forks, own_folder

_ADDRESS = f"gs://{local_bucket.BUCKET}/out"
_COMMANDS = ("train", "prepare judged", "evaluate", "export", "compare")


class Bucket:
  """Counts the changes of a bucket, and kills the process that made one of them.

  Attributes:
    count: the number of changes since `begin`.
  """

  def __init__(self, objects, folder):
    """Takes `local_bucket.Objects`, and the folder in which they lie."""
    self._folder, self._put, self._remove = folder, objects.put, objects.remove
    objects.put, objects.remove = self._counted(objects.put), self._counted(objects.remove)
    self.begin(None)

  def begin(self, process, end_at=0, done=False):
    """Counts from zero; the process that the file `process` names is killed at change `end_at`."""
    self.count, self._process, self._end_at, self._done = 0, process, end_at, done

  def empty(self):
    """Removes all objects."""
    shutil.rmtree(self._folder)
    self._folder.mkdir()

  def lay_out(self, objects, folder):
    """Writes the objects below `out/` as files into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in objects.names():
      if name.endswith("/"):  # by which TensorFlow marks a folder
        continue
      path = folder / name.partition("/")[2]
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(objects.get(name))

  def _counted(self, change):
    def call(*arguments):
      self.count += 1
      if self.count != self._end_at:
        return change(*arguments)
      if self._done:
        change(*arguments)
      os.kill(int(self._process.read_text()), signal.SIGKILL)
      raise SystemExit  # of this thread of the server: nobody waits for the answer
    return call


def run(name, workplace, bucket, objects, crashes_wanted):
  """Runs the campaign of one command; returns what `crashes.run` does."""
  folder, found = workplace.folder / "work", workplace.folder / "found"
  process = workplace.folder / "process"

  def command():
    process.write_text(str(os.getpid()))
    commands.perceptual(name, folder, out=_ADDRESS)

  def left():
    bucket.lay_out(objects, found / "out")
    return contents.of(found / "out")

  def fresh():
    workplace.lay(name, folder)
    bucket.empty()

  fresh()
  bucket.begin(process)
  if forks.in_child(command) != 0:
    raise RuntimeError(f"{name} alone fails; set FAULTS_LOG to a file")
  changes, expected, faults = bucket.count, left(), []
  chosen = crashes.spread(changes, crashes_wanted, random.Random(name))
  for turn, change in enumerate(chosen):
    fresh()
    bucket.begin(process, change, done=bool(turn % 2))
    status = forks.in_child(command)
    bucket.begin(process)
    again = 0 if left() == expected else forks.in_child(command)
    differing = contents.differences(left(), expected)
    outcome = "ends equal"
    if status != -signal.SIGKILL or again != 0 or differing:
      outcome = f"status {status}, then {again}, {differing[:4]} differ"
      faults.append(f"{name} killed at change {change} of {changes}: {outcome}")
    print(f"{name} killed at change {change} of {changes}: {outcome}", flush=True)
  return changes, len(chosen), faults


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help=own_folder.HELP)
  parser.add_argument("--command", choices=_COMMANDS, action="append", help="by default each")
  parser.add_argument("--crashes", type=int, default=6, help="of each command")
  given = parser.parse_args()
  workplace = commands.Workplace(given.folder)
  forks.import_all()
  results = {}
  with local_bucket.serving(workplace.folder / "objects") as (objects, environment):
    os.environ.update(environment, GCS_STAT_CACHE_MAX_AGE="0")
    bucket = Bucket(objects, workplace.folder / "objects")
    for name in given.command or _COMMANDS:
      results[name] = run(name, workplace, bucket, objects, given.crashes)
      print(crashes.table(results), flush=True)
  faults = [fault for *_, found in results.values() for fault in found]
  print("\n".join(faults), flush=True)
  return 1 if faults else 0


if __name__ == "__main__":
  sys.exit(main())
