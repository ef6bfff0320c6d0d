"""Compiles the steps of every network for TPUs, and writes the table of what came of it.

    tools/tpu/setup_compiler.sh
    python -m tools.tpu.campaign --folder=DIR [--network=resnet6] [--step=train] [--chip=v5e]

Each program and each result is a file of DIR, so that the same command given again goes on where it
was stopped. A step that needs more memory than the chip has is tried again with half the batch, on
twice the cores. A compilation takes from 10 seconds to 20 minutes. `python -m tools.tpu.table`
makes the table.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import time

from tools.tpu import compiled, lowered

_ROOT = pathlib.Path(__file__).parents[2]
_COMPILER = _ROOT / ".venv-tpu-compiler" / "bin" / "python"
_BATCHES = (128, 64, 32, 16)  # images on one core
TOO_LARGE = ("RESOURCE_EXHAUSTED", "Ran out of memory")


def main():
  """Goes through the networks, for each step of each chip."""
  options = _options()
  jobs = itertools.product(options.chip or ("v5e",), options.step or lowered.STEPS,
                           options.network or _networks())
  start, compiles = time.monotonic(), []
  for chip, step, network in jobs:
    if options.minutes and time.monotonic() - start > 60 * options.minutes:
      sys.exit("Stopped after the minutes asked for; the same command goes on.")
    compiles.append(
        _compile(pathlib.Path(options.folder), network, step, chip, options.compiler))
  if options.strict and not all(compiles):
    sys.exit(f"error: {compiles.count(False)} of {len(compiles)} steps do not compile.")


def results(folder):
  """Returns what is known of every step that was compiled: a list of plain data."""
  found = []
  for path in sorted(pathlib.Path(folder).glob("batch*/[!.]*.json")):
    name, step, *chip = path.stem.split(".")
    if chip:
      about = json.loads(path.with_name(f"{name}.{step}.json").read_text("utf-8"))
      found.append({"step": step, **about, **json.loads(path.read_text("utf-8"))})
  return found


def _compile(folder, network, step, chip, compiler):
  """Compiles a step at the largest batch that the chip has memory for; returns whether it does."""
  for batch in _BATCHES:
    place = folder / f"batch{batch}" / f"{network}.{step}"
    result = pathlib.Path(f"{place}.{chip}.json")
    if not result.exists():
      if not pathlib.Path(f"{place}.json").exists() and not _lower(place, network, batch):
        return False
      print(f"compiling {network} {step} for {chip}, {batch} images a core ...", flush=True)
      subprocess.run(
          [compiler, compiled.__file__, f"{place}.hlo", f"--chip={chip}", f"--result={result}"],
          stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""}, check=False)
    if not result.exists():  # the compiler itself failed
      print(f"{network} {step}: no result for {chip}", flush=True)
      return False
    found = json.loads(result.read_text("utf-8"))
    print(f"{network} {step} {chip}: {_in_words(found)}", flush=True)
    # Learning has the whole batch of its recipe on one core.
    if found["compiles"] or step == "learn" or not is_too_large(found):
      return found["compiles"]
  return False


def is_too_large(result):
  """Whether a step did not compile for lack of memory on the chip."""
  return any(words in result.get("error", "") for words in TOO_LARGE)


def _in_words(result):
  if not result["compiles"]:
    return result["error"].partition("\n")[0][:200]
  memory = result["argument_bytes"] + result["temporary_bytes"]
  return f"{memory / 1e9:.2f} GB, {result['flops'] / 1e9:,.0f} GFLOP, {result['seconds']} s"


def _lower(place, network, batch):
  """Writes the programs of a network's steps beside `place`; returns whether that went well."""
  steps = [f"--step={step}" for step in lowered.STEPS
           if not (place.parent / f"{network}.{step}.json").exists()]
  return subprocess.run(
      [sys.executable, "-m", "tools.tpu.lowered", f"--network={network}",
       f"--folder={place.parent}", f"--core_batch={batch}", *steps],
      cwd=_ROOT, check=False).returncode == 0


def _networks():
  from tools.tpu import recipes

  return recipes.names()


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--folder", required=True)
  parser.add_argument("--network", action="append", help="all, if none is named")
  parser.add_argument("--step", action="append", choices=lowered.STEPS, help="all by default")
  parser.add_argument("--chip", action="append", choices=compiled.TOPOLOGIES, help="v5e by default")
  parser.add_argument("--minutes", type=float, help="begin nothing after so many")
  parser.add_argument("--strict", action="store_true", help="fail unless every step compiles")
  parser.add_argument("--compiler", default=_COMPILER, help="the Python of setup_compiler.sh")
  return parser.parse_args()


if __name__ == "__main__":
  main()
