"""Campaign (a): ends commands by force at their n-th change of the disk, and gives them again.

    python -m tools.faults.crashes --folder=DIR [--command=train] [--crashes=25] [--seed=0]

Each command is run once undisturbed. Then, for changes of the disk spread over the whole run, it is
ended there (every other time with half of a write done), given again, and what it leaves is
compared with what the undisturbed run left: bit for bit, and no file more, apart from times.
Prints a table. FAULTS_LOG names a file for what the commands print.
"""

import argparse
import itertools
import pathlib
import random
import sys

from tools.faults import commands, contents, forks, injection, own_folder


def run(name, workplace, crashes, seed=0):
  """Runs the campaign of one command.

  Args:
    name: one of `commands.COMMANDS`.
    workplace: a `commands.Workplace`.
    crashes: how many.
    seed: of the choice among the changes of the disk.

  Returns:
    `(changes, ended, faults)`: how many changes there are, how many crashes were made, and texts
    about those after which something was lost.
  """
  expected = contents.of(workplace.made(name) / "out")
  folder = workplace.folder / "work"
  changes = count(name, workplace, folder)
  ended, faults = 0, []
  for turn, change in enumerate(spread(changes, crashes, random.Random(f"{name} {seed}"))):
    half = bool(turn % 2)
    what = f"{name} ended at change {change} of {changes}{', half done' if half else ''}"
    fault = _crashed(name, workplace, folder, change, half, expected)
    ended += 1
    print(f"{what}: {fault or 'ends equal'}", flush=True)
    if fault:
      faults.append(f"{what}: {fault}")
  return changes, ended, faults


def spread(changes, wanted, rng):
  """Returns `wanted` of the numbers from 1 to `changes`, one drawn from each of equal parts."""
  wanted = min(wanted, changes)
  bounds = [1 + changes * i // wanted for i in range(wanted + 1)]
  return [rng.randrange(start, end) for start, end in itertools.pairwise(bounds)]


def count(name, workplace, folder):
  """Runs a command undisturbed; returns how many changes of the disk it makes."""
  workplace.lay(name, folder)
  counted = folder / "changes"

  def call():
    injector = injection.Injector(folder / "out")
    injector.install()
    try:
      commands.perceptual(name, folder)
    finally:
      number = injector.count
      counted.write_text(str(number))

  if forks.in_child(call) != 0:
    raise RuntimeError(f"{name} alone fails while it is counted; set FAULTS_LOG to a file")
  return int(counted.read_text())


def _crashed(name, workplace, folder, change, half, expected):
  """Ends a command and gives it again; returns what is wrong after that, or None."""
  workplace.lay(name, folder)

  def crash():
    injection.Injector(folder / "out", change, half).install()
    commands.perceptual(name, folder)

  status = forks.in_child(crash)
  if status != injection.EXIT:
    return f"it ended with status {status} instead"
  if contents.of(folder / "out") == expected:
    return None  # all was done: prepare, for one, would say so and change nothing
  status = forks.in_child(lambda: commands.perceptual(name, folder))
  if status != 0:
    return f"the same command then ends with status {status}"
  differing = contents.differences(contents.of(folder / "out"), expected)
  return f"{', '.join(differing[:5])} differ" if differing else None


def table(results):
  """Returns the table of a campaign as Markdown."""
  lines = ["| command | changes of the disk | crashes | lost or different |", "|---|---|---|---|"]
  lines += [f"| {name} | {changes} | {ended} | {len(faults)} |"
            for name, (changes, ended, faults) in results.items()]
  return "\n".join(lines)


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help=own_folder.HELP)
  parser.add_argument("--command", choices=commands.COMMANDS, action="append",
                      help="what to end; by default each")
  parser.add_argument("--crashes", type=int, default=25, help="of each command")
  parser.add_argument("--seed", type=int, default=0, help="of the choice among the changes")
  given = parser.parse_args()
  workplace = commands.Workplace(given.folder)
  forks.import_all()
  results = {}
  for name in given.command or commands.COMMANDS:
    results[name] = run(name, workplace, given.crashes, given.seed)
    print(table(results), flush=True)
  faults = [fault for *_, found in results.values() for fault in found]
  print("\n".join(faults), flush=True)
  return 1 if faults else 0


if __name__ == "__main__":
  sys.exit(main())
