"""Campaign (b): damages every file that a run keeps, and takes the run up again.

    python -m tools.faults.corruption --folder=DIR [--places=6]

A run is trained to its middle. Each file of its folder is then damaged in turn - a byte flipped at
places spread over it, cut short, emptied, removed - and the run is given again to its end. Right is
to end bit-equal with an undisturbed run, or to be refused in one line with nothing changed. Prints
a table by file.
"""

import argparse
import collections
import functools
import pathlib
import shutil
import sys

from tools.faults import commands

_MIDDLE, _END = 4, 6
EQUAL, REFUSED, FAULT = "bit-equal", "refused in one line", "fault"


def _train(folder, steps):
  from perceptual.commands import cli

  cli.main([*commands.COMMANDS["train"].arguments(folder),
            f"--gin_param=train.train_steps = {steps}"])


def damages(size, places):
  """Returns `{what: function of bytes to bytes, or None for no file}`."""
  flips = {size * i // places for i in range(places)} if size else set()
  return {
      **{f"byte {place} flipped": functools.partial(_flipped, place) for place in sorted(flips)},
      "cut in half": lambda data: data[:len(data) // 2],
      "emptied": lambda data: b"",
      "removed": None,
  }


def _flipped(place, data):
  return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1:]


def run(folder, places):
  """Runs the campaign; returns `{file: Counter of outcomes}` and texts about faults."""
  whole, middle, work = (folder / name for name in ("whole", "middle", "work"))
  for place, steps in ((whole, _END), (middle, _MIDDLE)):
    place.mkdir(parents=True)
    if commands.in_child(functools.partial(_train, place, steps)) != 0:
      raise RuntimeError("training alone failed; set FAULTS_LOG to a file")
  shutil.copytree(middle, work)
  commands.in_child(functools.partial(_train, work, _END))
  expected = commands.contents_in_child(work / "out")
  outcomes, faults = collections.defaultdict(collections.Counter), []
  names = [path.relative_to(middle / "out") for path in sorted((middle / "out").rglob("*"))
           if path.is_file() and "tensorboard" not in path.parts]
  for name in names:
    for what, damage in damages((middle / "out" / name).stat().st_size, places).items():
      shutil.rmtree(work)
      shutil.copytree(middle, work)
      outcome = _outcome(work, name, damage, expected)
      outcomes[str(name)][outcome] += 1
      if outcome == FAULT:
        faults.append(f"{name}, {what}")
    print(f"{name}: {dict(outcomes[str(name)])}", flush=True)
  return outcomes, faults


def _outcome(work, name, damage, expected):
  """Damages one file of a run, takes the run up, and returns what came of it."""
  path = work / "out" / name
  if damage is None:
    path.unlink()
  else:
    path.write_bytes(damage(path.read_bytes()))
  before = _bytes(work / "out")
  status = commands.in_child(functools.partial(_train, work, _END))
  if status == 1 and _bytes(work / "out") == before:
    return REFUSED
  if status == 0 and commands.contents_in_child(work / "out") == expected:
    return EQUAL
  return FAULT


def _bytes(folder):
  return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(outcomes):
  """Returns the table of a campaign as Markdown."""
  lines = [f"| file | {EQUAL} | {REFUSED} | other |", "|---|---|---|---|"]
  lines += [f"| `{name}` | {counts[EQUAL]} | {counts[REFUSED]} | {counts[FAULT]} |"
            for name, counts in outcomes.items()]
  return "\n".join(lines)


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help="where to work; emptied")
  parser.add_argument("--places", type=int, default=6, help="bytes of each file that are flipped")
  given = parser.parse_args()
  commands.import_all()
  folder = given.folder.absolute()
  shutil.rmtree(folder, ignore_errors=True)
  outcomes, faults = run(folder, given.places)
  print("\n".join([*faults, table(outcomes)]), flush=True)
  return 1 if faults else 0


if __name__ == "__main__":
  sys.exit(main())
