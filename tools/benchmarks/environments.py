"""Tries the package as a new user does: a wheel in fresh environments, one for each framework.

  python -m tools.benchmarks.environments [EXTRA ...] [--folder=DIR] [--rounds=3] [--json=FILE]

For each of the extras tensorflow, jax, torch and onnxruntime it makes a virtual environment with
nothing else, installs the wheel with that extra, and there, away from the checkout: compares a pair
by the built-in metric and by SSIM, and two folders; lists the metrics; loads the built-in metric in
Python; and takes ten steps of training with it as the loss. It prints the size of what is installed
and the seconds of the commands, each in a process of its own, medians over the rounds: from start
to end, and of all CPUs together, which other work on the machine changes less.

Versions are the newest that setup.py allows. PIP_CONSTRAINT pins others, and PIP_EXTRA_INDEX_URL
brings PyTorch's build for CPUs: see docs/installing.md. Takes some minutes and gigabytes.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from tools.benchmarks import image_pairs, sides

EXTRAS = ("onnxruntime", "jax", "torch", "tensorflow")

_ROOT = pathlib.Path(__file__).parents[2]
_TEN_STEPS = pathlib.Path(__file__).with_name("ten_steps.py")
_PAIRS = 20  # in the folders
_SIZE = 256
# What would let an environment see another one, or choose its backend for it.
_NOT_INHERITED = ("KERAS_BACKEND", "PYTHONPATH", "VIRTUAL_ENV")
_VALUE = """
import sys
import numpy as np
import perceptual
assert len(perceptual.list_metrics()) > 20
print(float(np.asarray(perceptual.load_metric()(*([path] for path in sys.argv[1:])))[0]))
"""


def main():
  """Makes the environments, tries each, and prints what came out."""
  options = _options()
  with tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(options.folder or scratch).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = _wheel(folder)
    images = pathlib.Path(scratch) / "images"
    images.mkdir()
    image_pairs.write(images, _PAIRS, _SIZE)
    found = {}
    for extra in options.extras or EXTRAS:
      print(f"{extra}: installing ...", flush=True)
      python = _environment(folder / extra, wheel, extra)
      print(f"{extra}: trying ...", flush=True)
      found[extra] = _tried(python, extra, images, options.rounds)
    sides.write_json(options.json, found)
    print(_table(found, options.rounds))


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("extras", nargs="*", choices=[*EXTRAS, []], metavar="EXTRA",
                      help=f"which of {', '.join(EXTRAS)} (default all)")
  parser.add_argument("--folder", metavar="DIR", help="where environments are made and kept for "
                      "another run; by default they are removed at the end")
  parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
  parser.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return parser.parse_args()


def _wheel(folder):
  """Builds the wheel of the checkout, and returns its path."""
  _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, _ROOT,
       where=folder)
  return max(folder.glob("perceptual-*.whl"), key=lambda path: path.stat().st_mtime)


def _environment(folder, wheel, extra):
  """Makes a virtual environment, or takes one made before; returns its Python.

  Args:
    folder: where.
    wheel: what is installed in it.
    extra: with which extra.
  """
  _run(sys.executable, "-m", "venv", folder, where=folder.parent)
  python = folder / "bin" / "python"
  install = (python, "-m", "pip", "install", "--quiet")
  _run(*install, f"perceptual[{extra}] @ {wheel.as_uri()}", where=folder)
  _run(*install, "--force-reinstall", "--no-deps", wheel, where=folder)
  return python


def _tried(python, extra, images, rounds):
  """Returns what one environment has and does, as plain data."""
  pair = [images / side / "000001.png" for side in ("reference", "candidate")]
  command = python.with_name("perceptual")

  def compare(*arguments):
    return _seconds(rounds, command, "compare", *arguments, where=images)

  figures = {
      "megabytes": _megabytes(python.parents[1]),
      "pair": compare(*pair),
      "ssim": compare("--metric=ssim", *pair),
      "folders": compare(images / "reference", images / "candidate"),
  }
  _run(command, "metrics", where=images)
  if extra == "onnxruntime":  # without a backend of Keras there is nothing to differentiate
    return figures
  losses = json.loads(_run(python, _TEN_STEPS, extra, pair[0], where=images))
  return {**figures, "value": float(_run(python, "-c", _VALUE, *pair, where=images)),
          "first_loss": losses[0], "last_loss": losses[-1]}


def _megabytes(environment):
  """Returns the size of what is installed, without pip, in megabytes of a million bytes."""
  packages, = environment.glob("lib/python*/site-packages")
  files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
  return sum(path.stat().st_size for path in files
             if not path.relative_to(packages).parts[0].startswith("pip")) / 1e6


def _seconds(rounds, *command, where):
  """Returns the seconds of a command, and those of all CPUs: medians, the first run left out."""
  _run(*command, where=where)
  found = []
  for _ in range(rounds):
    start = time.perf_counter(), _cpu_seconds()
    _run(*command, where=where)
    found.append((time.perf_counter() - start[0], _cpu_seconds() - start[1]))
  return [statistics.median(values) for values in zip(*found)]


def _cpu_seconds():
  """Returns the seconds of all CPUs that ended processes of this one have taken."""
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


def _run(*command, where):
  """Runs a command in a folder, and returns what it prints; ends the program if it fails."""
  environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
  process = subprocess.run(
      [str(part) for part in command], cwd=where, env=environment, capture_output=True, text=True)
  if process.returncode:
    sys.exit(f"error: {' '.join(map(str, command))} failed:\n{process.stdout}{process.stderr}")
  return process.stdout


def _table(found, rounds):
  lines = [
      f"{os.cpu_count()} CPUs; PNG pairs of {_SIZE}x{_SIZE}; medians of {rounds} rounds; in "
      "parentheses the seconds of all CPUs together", "",
      f"| installed | size | a pair | a pair by SSIM | two folders of {_PAIRS} | value of the pair "
      "| loss over ten steps |", "|---|---|---|---|---|---|---|"]
  for extra, figures in found.items():
    value = f"{figures['value']:.6f}" if "value" in figures else "-"
    losses = (f"{figures['first_loss']:.3f} to {figures['last_loss']:.3f}"
              if "value" in figures else "-")
    lines.append(
        f"| `perceptual[{extra}]` | {figures['megabytes']:,.0f} MB | {_time(figures['pair'])} | "
        f"{_time(figures['ssim'])} | {_time(figures['folders'])} | {value} | {losses} |")
  return "\n".join(lines)


def _time(seconds):
  return "{:.1f} s ({:.1f})".format(*seconds)


if __name__ == "__main__":
  main()
