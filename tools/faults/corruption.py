"""Campaign (b): damages every file that commands keep, and has it used.

    python -m tools.faults.corruption --folder=DIR [--case=train] [--file=*.json] [--places=6]

Each file is damaged in turn - a bit flipped at places spread over it, cut short, emptied, removed -
and what it is kept for is done: runs are taken up and end, exports and data sets are read. Right
are the same numbers; the same or others with a line that names the file; or a refusal in one line
that names it, with nothing changed. Other numbers in silence are wrong, and so is a traceback.
Prints a table.
"""

import argparse
import collections
import fnmatch
import functools
import hashlib
import pathlib
import re
import shutil
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tools.faults import commands, contents, forks, own_folder

EQUAL, TOLD, REFUSED = "equal", "told", "refused"
_PROBLEM = re.compile(r"\b(error|warning|failed|changed): ")  # the last two of a study's runs


class Case(NamedTuple):
  """Files that are kept, and what they are kept for.

  Attributes:
    command: one of `commands.COMMANDS`, which writes them.
    unfinished: further arguments by which it stops halfway.
    use: `(folder) -> plain data`, what must be equal; it may end as a command does. None: giving
      the command again, and what it leaves.
    goes_on: whether what is not damaged is used all the same, so that files come by.
  """

  command: str
  unfinished: tuple[str, ...] = ()
  use: Callable | None = None
  goes_on: bool = False


def _of_export(folder):
  """The values of an exported metric, as it is loaded on TensorFlow and on other backends."""
  from perceptual import export, load_metric

  rng, metric = np.random.default_rng(0), folder / "out" / "metric"
  images = [rng.integers(0, 256, (2, 40, 40, 3), np.uint8) for _ in range(2)]
  return [np.asarray(loaded(*images)).tolist()
          for loaded in (load_metric(str(metric)), export.keras_metric(metric))]


def _of_graded_sets(folder):
  from perceptual.data.judged import judged_sets

  found = {}
  for name in ("graded/monotone", "graded/nuisance"):
    for subset in judged_sets.load(name, data_dir=folder / "out").subsets:
      found[f"{name} {subset.name}"] = [_hash(subset.images), subset.answers.tolist()]
  return found


def _of_own_images(folder):
  from perceptual.data.labelled import registry

  images = registry.load("own", folder / "out", name="mine")
  return [images.sizes, images.num_classes,
          {split: _hash(images.examples(split)) for split in images.sizes}]


def _hash(dataset):
  """Returns a hash of all arrays of a `tf.data.Dataset`."""
  import keras

  digest = hashlib.sha256()
  for example in dataset.as_numpy_iterator():
    for part in keras.tree.flatten(example):
      digest.update(np.asarray(part).tobytes())
  return digest.hexdigest()


def _of_judged_set(folder):
  from perceptual import load_metric
  from perceptual.comparison import judged_pairs
  from perceptual.data.judged import prepared

  judged = prepared.load_judged("mine", folder / "out")
  found = judged_pairs.measure(judged, {"mse": load_metric("mse")})
  return [judged.answers.tolist(), found["mse"].tolist()]


def _of_evaluation(folder):
  _perceptual(["evaluate", f"--from_distances={folder / 'out'}", "--noreport",
               f"--output_dir={folder / 'again'}"])
  return contents.here(folder / "again")


def _of_study(folder):
  """What a study makes of its finished run: the collected table and analyses."""
  study = [f"--study={folder / 'study.gin'}", f"--study_dir={folder / 'out'}"]
  ends = [_status(["study", *arguments, *study]) for arguments in (
      ["run", "--index=0"], ["collect"],
      ["analyze", "--analysis=peak_to_last,entropy", "--judged_set=graded/nuisance", "--limit=4"])]
  if any(ends):
    sys.exit(max(ends))
  made = [folder / "out" / "collected.csv", *sorted(folder.glob("out/runs/*/analyses/*.csv"))]
  return {path.name: path.read_text() for path in made}


def _given_again(command, folder):
  _perceptual(commands.COMMANDS[command].arguments(folder))
  return contents.here(folder / "out")


def _perceptual(arguments):
  """Runs a command; returns when it is done, and otherwise ends as it does."""
  if status := _status(arguments):
    sys.exit(status)


def _status(arguments):
  """Runs a command; returns its exit status."""
  from perceptual.commands import cli

  try:
    cli.main(arguments)
  except SystemExit as end:
    return end.code or 0


CASES = {
    "train": Case("train", ("--gin_param=train.train_steps = 4",)),
    "learn": Case("learn", ("--gin_param=learn.train_steps = 4",)),
    "task train": Case("task train", ("--gin_param=fit.train_steps = 4",)),
    "study run": Case("study run", ("--index=0",), use=_of_study, goes_on=True),
    "compare": Case("compare"),
    "export": Case("export", use=_of_export),
    "graded set": Case("prepare graded", use=_of_graded_sets),
    "judged set": Case("prepare judged", use=_of_judged_set),
    "own images": Case("prepare images", use=_of_own_images),
    "evaluation": Case("evaluate", use=_of_evaluation),
}


def damages(size, places):
  """Returns `{what: function of bytes to bytes, or None for no file}`."""
  flips = {size * (2 * i + 1) // (2 * places) for i in range(places)} if size else set()
  return {
      **{f"byte {place} flipped": functools.partial(_flipped, place) for place in sorted(flips)},
      "cut in half": lambda data: data[:len(data) // 2],
      "emptied": lambda data: b"",
      "removed": None,
  }


def _flipped(place, data):
  return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1:]


def run(name, workplace, places, patterns=("*",)):
  """Runs the campaign of one case; returns `{file: Counter of outcomes}` and texts about faults.

  Args:
    name: one of `CASES`.
    workplace: a `commands.Workplace`.
    places: bytes of each file that are flipped.
    patterns: of the names of the files that are damaged, with their folders.
  """
  case, work = CASES[name], workplace.folder / "work"
  kept = _kept(case, workplace, work)
  status, expected, _ = _used(case, work)
  if status != 0:
    raise RuntimeError(f"{name}: what is undamaged cannot be used; set FAULTS_LOG to a file")
  outcomes, faults = collections.defaultdict(collections.Counter), []
  for file in _files(kept / "out", patterns):
    for what, damage in damages((kept / "out" / file).stat().st_size, places).items():
      shutil.rmtree(work)
      shutil.copytree(kept, work)
      outcome = _outcome(case, work, file, damage, expected)
      outcomes[file][outcome] += 1
      if outcome not in (EQUAL, TOLD, REFUSED):
        faults.append(f"{name}: {file}, {what}: {outcome}")
    print(f"{name}: {file}: {dict(outcomes[file])}", flush=True)
  return outcomes, faults


def _kept(case, workplace, work):
  """Returns a folder with the files as they were written in `work`, to which they are copied back.
  """
  kept = workplace.folder / "kept"
  workplace.lay(case.command, work)
  status = forks.in_child(lambda: commands.perceptual(case.command, work, *case.unfinished))
  if status != 0:
    raise RuntimeError(f"{case.command} alone fails; set FAULTS_LOG to a file")
  shutil.rmtree(kept, ignore_errors=True)
  shutil.copytree(work, kept)
  return kept


def _files(folder, patterns):
  names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))
           if path.is_file() and "tensorboard" not in path.parts]
  return [name for name in names
          if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _used(case, folder):
  """Uses what is kept; returns the exit status, what came of it, and what was said."""
  def use():
    from perceptual.commands import command_line

    answer = []
    command_line.configure_runtime()
    use = case.use or functools.partial(_given_again, case.command)
    status = command_line.guard(lambda: answer.append(use(folder)), "use")
    return answer[0] if not status else sys.exit(status)

  log = folder.parent / "log"
  log.unlink(missing_ok=True)
  return *forks.answer_of_child(use, log), log.read_text(errors="replace")


def _outcome(case, work, file, damage, expected):
  """Damages one file, has it used, and returns what came of it."""
  path = work / "out" / file
  if damage is None:
    path.unlink()
  else:
    path.write_bytes(damage(path.read_bytes()))
  before = _bytes(work / "out")
  status, found, said = _used(case, work)
  problems = [line for line in said.splitlines() if _PROBLEM.search(line)]
  named = any(_names(line, work / "out", file) for line in problems)
  if status == 0:
    if found == expected:
      return EQUAL
    differing = contents.differences(found, expected) if isinstance(found, dict) else []
    return TOLD if named else f"other numbers in silence {differing}"
  if status != 1 or "Traceback" in said:
    return f"status {status}: {said[-300:]}"
  if not named:
    return f"does not name the file: {problems[-1:]}"
  after = _bytes(work / "out")
  changed = [name for name in {**before, **after} if before.get(name) != after.get(name)
             and not (case.goes_on and name not in before)]
  return f"refused, but changed: {problems[-1:]}" if changed else REFUSED


def _names(line, folder, file):
  """Whether a line names a file, a checkpoint without its suffixes, or the folder that it is in."""
  path = folder / file
  stem = str(path).partition(".data-")[0].removesuffix(".index").removesuffix(".json")
  return str(path) in line or stem in line or (str(path.parent) in line and path.parent != folder)


def _bytes(folder):
  return {path: path.read_bytes() for path in folder.rglob("*")
          if path.is_file() and "tensorboard" not in path.parts}


def table(results):
  """Returns the table of a campaign as Markdown."""
  lines = [f"| what is kept | files | damages | {EQUAL} | {TOLD} | {REFUSED} | other |",
           "|---|---|---|---|---|---|---|"]
  for name, outcomes in results.items():
    counts = sum(outcomes.values(), collections.Counter())
    known = [counts[outcome] for outcome in (EQUAL, TOLD, REFUSED)]
    cells = (len(outcomes), counts.total(), *known, counts.total() - sum(known))
    lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
  return "\n".join(lines)


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help=own_folder.HELP)
  parser.add_argument("--case", choices=CASES, action="append", help="by default each")
  parser.add_argument("--file", action="append", metavar="PATTERN",
                      help="what of it is damaged, as 'checkpoints/*.json'; by default each file")
  parser.add_argument("--places", type=int, default=6, help="bytes of each file that are flipped")
  given = parser.parse_args()
  workplace = commands.Workplace(given.folder)
  forks.import_all()
  results, faults = {}, []
  for name in given.case or CASES:
    results[name], found = run(name, workplace, given.places, given.file or ["*"])
    faults += found
    print(table(results), flush=True)
  print("\n".join(faults), flush=True)
  return 1 if faults else 0


if __name__ == "__main__":
  sys.exit(main())
