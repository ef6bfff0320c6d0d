"""Campaign (c): faults of the machine: a full or read-only disk, limits of size, a clock set back.

    python -m tools.faults.machine --folder=DIR [--command=train]

Each command runs on a disk of its own (a tmpfs, for which this must be root) that has room for a
part of what it writes, fills up at its n-th change, or is read-only; or under a limit of the size
of a file; or when all files are of tomorrow. Right is to end as undisturbed, or with one line and
status 1; and that the same command ends as undisturbed once that is mended. Prints a table, a row
for each command.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import re
import resource
import subprocess
import sys
import time

from tools.faults import commands, contents, crashes, forks, injection, own_folder

EQUAL, TOLD, OTHER = "ends equal", "one line", "other"
_PROBLEM = re.compile(r"\b(error|failed): ")  # the latter of a study's runs, a line for each
_DAY = 86_400
_ROOM = 2**27  # bytes of the disk


@contextlib.contextmanager
def _disk(folder):
  """A context in which a file system of its own lies at `folder`."""
  folder.mkdir(exist_ok=True)
  subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "faults", folder], check=True)
  try:
    yield
  finally:
    subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def _little_room(folder, call, *, room):
  """Leaves so many bytes on the disk."""
  ballast = folder.parent / "ballast"
  with ballast.open("wb") as file:
    os.posix_fallocate(file.fileno(), 0, os.statvfs(folder).f_bavail * 4096 - room)
  yield call
  ballast.unlink()


@contextlib.contextmanager
def _full_from(folder, call, *, change):
  """Has every write fail from a change of the disk on, as where a quota is used up."""
  def limited():
    injection.Injector(folder / "out", change, full=True).install()
    call()

  yield limited


@contextlib.contextmanager
def _read_only(folder, call):
  subprocess.run(["mount", "-o", "remount,ro", folder.parent], check=True)
  yield call
  subprocess.run(["mount", "-o", "remount,rw", folder.parent], check=True)


@contextlib.contextmanager
def _limited_size(folder, call, *, size):
  """Has the system refuse files of more bytes."""
  def limited():
    # The log is a file too: what is said goes there through a pipe, to which no limit applies.
    sink = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    for stream in (1, 2):
      os.dup2(sink.stdin.fileno(), stream)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
      call()
    finally:
      sys.stdout.flush()
      sys.stderr.flush()
      for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
      sink.stdin.close()
      sink.wait()

  yield limited


@contextlib.contextmanager
def _clock_set_back(folder, call):
  """Has all files be of tomorrow, and Python's clock one more day behind."""
  now = time.time()
  for path in (folder / "out").rglob("*"):
    os.utime(path, (now + _DAY, now + _DAY))

  def yesterday():
    real = time.time
    time.time = lambda: real() - _DAY
    call()

  yield yesterday


def _faults(size, changes):
  """Returns `{what: (context, its arguments)}` for a command that writes so much."""
  return {
      "disk with little room": [
          (_little_room, {"room": 4096 + int(size * share)}) for share in (0, 0.3, 0.6, 0.9)],
      "disk full from a change on": [
          (_full_from, {"change": 1 + changes * i // 4}) for i in range(4)],
      "read-only disk": [(_read_only, {})],
      "limited size of files": [(_limited_size, {"size": size}) for size in (256, 2**14)],
      "clock set back": [(_clock_set_back, {})],
  }


def run(name, workplace):
  """Runs the campaign of one command; returns fault -> Counter of outcomes, and texts of others."""
  whole = workplace.made(name) / "out"
  expected = contents.of(whole)
  size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
  disk = workplace.folder / "disk"
  found, others = {}, []
  with _disk(disk):
    changes = crashes.count(name, workplace, disk / "run")
    for what, ways in _faults(size, changes).items():
      outcomes = found[what] = collections.Counter()
      for context, arguments in ways:
        outcome = _outcome(name, workplace, disk / "run", (context, arguments), expected)
        is_right = outcome in (EQUAL, TOLD)
        outcomes[outcome if is_right else OTHER] += 1
        print(f"{name}, {what} {arguments or ''}: {outcome}", flush=True)
        if not is_right:
          others.append(f"{name}, {what} {arguments or ''}: {outcome}")
  return found, others


def _outcome(name, workplace, folder, fault, expected):
  """Runs a command under a fault, and again without; returns what came of it."""
  context, arguments = fault
  workplace.lay(name, folder)
  log = workplace.folder / "log"
  log.write_text("")
  if context is _clock_set_back:  # it takes up what another day has begun
    forks.in_child(_ended_halfway(name, folder))
  with context(folder, lambda: commands.perceptual(name, folder), **arguments) as call:
    status = forks.in_child(call, log)
  said = log.read_text(errors="replace")
  problems = len([line for line in said.splitlines() if _PROBLEM.search(line)])
  is_told = problems in ((1, 2) if name == "study run" else (1,))
  if status not in (0, 1) or "Traceback" in said or (status == 1 and not is_told):
    return f"status {status}: {said[-200:]}"
  if contents.of(folder / "out") == expected:
    return EQUAL
  if status == 0:
    return "ends without all that it should have written"
  again = forks.in_child(lambda: commands.perceptual(name, folder), log)
  differing = contents.differences(contents.of(folder / "out"), expected)
  if again != 0 or differing:
    return f"then status {again}, {differing[:3]} differ: {log.read_text()[-200:]}"
  return TOLD


def _ended_halfway(name, folder):
  """Returns a function that runs a command to a change of the disk in its middle."""
  def call():
    injection.Injector(folder / "out", 30).install()
    commands.perceptual(name, folder)

  return call


def table(results):
  """Returns the table of a campaign as Markdown: a row for each command, and one for all of them.

  A cell counts what ended as undisturbed + what ended in one line, and then as undisturbed.
  """
  faults = list(next(iter(results.values())))
  together = {what: sum((found[what] for found in results.values()), collections.Counter())
              for what in faults}
  lines = [f"| command | {' | '.join(faults)} | {OTHER} |", "|---" * (len(faults) + 2) + "|"]
  for name, found in {**results, "all": together}.items():
    cells = [f"{found[what][EQUAL]} + {found[what][TOLD]}" for what in faults]
    lines.append(f"| {name} | {' | '.join(cells)} | {sum(n[OTHER] for n in found.values())} |")
  return "\n".join(lines)


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help=own_folder.HELP)
  parser.add_argument("--command", choices=commands.COMMANDS, action="append",
                      help="by default each")
  given = parser.parse_args()
  workplace = commands.Workplace(given.folder)
  forks.import_all()
  results, others = {}, []
  for name in given.command or commands.COMMANDS:
    results[name], found = run(name, workplace)
    others += found
  print("\n".join([*others, table(results)]), flush=True)
  return 1 if others else 0


if __name__ == "__main__":
  sys.exit(main())
