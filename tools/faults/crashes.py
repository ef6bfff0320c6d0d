"""Campaign (a): ends commands by force at their n-th change of the disk, and gives them again.

    python -m tools.faults.crashes --folder=DIR [--command=train] [--crashes=60] [--seed=0]

Each command is run once undisturbed. Then, for changes of the disk spread over the whole run, it is
ended there (every other time with half of a write done), given again, and what it leaves is
compared with what the undisturbed run left: bit for bit, but for what tells of time. Prints a
table. FAULTS_LOG names a file for what the commands print.
"""

import argparse
import functools
import pathlib
import random
import shutil
import sys

from tools.faults import commands, injection


def run(command, folder, made, crashes, seed=0):
  """Runs the campaign of one command.

  Args:
    command: one of `commands.COMMANDS`.
    folder: where to work.
    made: where the undisturbed runs are: `made / command / "out"`.
    crashes: how many.
    seed: of the choice among the changes of the disk.

  Returns:
    `(changes, ended, faults)`: how many changes there are, how many crashes were made, and texts
    about those after which something was lost.
  """
  reference = made / command
  commands.make_folder(reference, command, made)
  changes = _count(command, reference)
  expected = commands.contents_in_child(reference / "out")
  chosen = sorted(random.Random(seed).sample(range(1, changes + 1), min(crashes, changes)))
  faults = []
  for turn, change in enumerate(chosen):
    half = bool(turn % 2)
    commands.make_folder(folder, command, made)
    what = f"{command} ended at change {change} of {changes}{', half done' if half else ''}"
    status = commands.in_child(functools.partial(_run, command, folder, change, half))
    if status != injection.EXIT:
      faults.append(f"{what}: it ended with status {status} instead")
      continue
    print(what, flush=True)
    status = commands.in_child(functools.partial(_run, command, folder))
    found = commands.contents_in_child(folder / "out")
    if status != 0:
      faults.append(f"{what}: the same command then ends with status {status}")
    elif found != expected:
      differing = sorted(name for name in {*found, *expected}
                         if found.get(name) != expected.get(name))
      faults.append(f"{what}: {', '.join(differing[:5])} differ")
  return changes, len(chosen), faults


def _count(command, folder):
  """Runs a command undisturbed; returns how many changes of the disk it made."""
  counted = folder / "changes"

  def call():
    injector = injection.Injector(folder / "out")
    injector.install()
    try:
      _perceptual(command, folder)
    finally:
      count = injector.count
      counted.write_text(str(count))

  status = commands.in_child(call)
  if status != 0:
    raise RuntimeError(f"{command} alone ends with status {status}; set FAULTS_LOG to a file")
  return int(counted.read_text())


def _run(command, folder, end_at=0, half=False):
  injection.Injector(folder / "out", end_at, half).install()
  _perceptual(command, folder)


def _perceptual(command, folder):
  from perceptual.commands import cli

  cli.main(commands.COMMANDS[command].arguments(folder))


def table(results):
  """Returns the table of a campaign as Markdown."""
  lines = ["| command | changes of the disk | crashes | lost or different |", "|---|---|---|---|"]
  lines += [f"| {command} | {changes} | {ended} | {len(faults)} |"
            for command, (changes, ended, faults) in results.items()]
  return "\n".join(lines)


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help="where to work; emptied")
  parser.add_argument("--command", choices=commands.COMMANDS, action="append",
                      help="what to end; by default each")
  parser.add_argument("--crashes", type=int, default=60, help="of each command")
  parser.add_argument("--seed", type=int, default=0, help="of the choice among the changes")
  given = parser.parse_args()
  commands.import_all()
  folder = given.folder.absolute()
  shutil.rmtree(folder, ignore_errors=True)
  results = {}
  for command in given.command or commands.COMMANDS:
    for needed in commands.COMMANDS[command].needs:
      if not (folder / "made" / needed / "out").exists():
        run(needed, folder / "work", folder / "made", 0)
    results[command] = run(command, folder / "work", folder / "made", given.crashes, given.seed)
    for fault in results[command][2]:
      print(fault, flush=True)
    print(table(results), flush=True)
  return 1 if any(faults for *_, faults in results.values()) else 0


if __name__ == "__main__":
  sys.exit(main())
