"""Measures a comparison of two folders by LPIPS-Alex against a plain PyTorch loop over the files.

  python -m tools.benchmarks.compare_folders [--pairs=1000] [--rounds=3] [--size=256] [--json=FILE]

Both sides read the same PNG pairs, crops of the embedded photographs and damaged copies. They run
in processes of their own, in turns; medians and their ratio are printed, and whether the values
agree. Besides: the network and the decoding alone and how busy the CPUs are (decoding is hidden
where they are never idle), the memory with a quarter of the pairs and with all, and the time of the
command `perceptual compare` for one pair, cold, and of `perceptual --help`.

Needs the converted weights of LPIPS-Alex (perceptual convert --help) and PyTorch, a CPU build of
which is enough. Takes about three minutes.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

from tools.benchmarks import image_pairs, sides

_NAME = "tools.benchmarks.compare_folders"


def main():
  """Makes the files, runs both sides in turns, and prints what came out."""
  options = _options()
  sides.require_torch()
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    image_pairs.write(folder, options.pairs, options.size)
    _in_its_own_process("export_weights", folder)
    found = {"perceptual": [], "pytorch": []}
    for number in range(options.rounds):
      for side, results in found.items():
        results.append(_in_its_own_process(side, folder))
        print(f"round {number + 1}: {side} {results[-1]['seconds']:.1f} s", flush=True)
    pair = [folder / side / "000000.png" for side in ("reference", "candidate")]
    cold = [_command("compare", "--metric=lpips-alex", *pair) for _ in range(options.rounds)]
    teaching = [_command("--help") for _ in range(2 * options.rounds + 1)]
  figures = _figures(found, cold, teaching)
  sides.write_json(options.json, figures)
  print(_table(options, figures))


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--pairs", type=int, default=1000, help="default %(default)s")
  parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
  parser.add_argument("--size", type=int, default=256,
                      help="the side of the images, in pixels (default %(default)s)")
  parser.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return parser.parse_args()


def _in_its_own_process(side, folder):
  """Runs one of `SIDES` and returns what it measured."""
  process = subprocess.run([sys.executable, "-m", _NAME, side, folder],
                           capture_output=True, text=True, env=os.environ | sides.ENVIRONMENT)
  if process.returncode:
    sys.exit(process.stderr)
  return json.loads(process.stdout)


def _command(*arguments):
  """Returns the seconds that `perceptual` takes with these arguments."""
  start = time.perf_counter()
  subprocess.run([sys.executable, "-m", "perceptual", *arguments], check=True, capture_output=True)
  return time.perf_counter() - start


def _perceptual(folder):
  """This package: seconds for all pairs, and what they are made of."""
  from perceptual import loading
  from perceptual.comparison import batches, compiled, pairing, run

  metric = compiled.Compiled(loading.load_metric("lpips-alex"))
  found = pairing.folders(folder / "reference", folder / "candidate")
  quarter = dataclasses.replace(found, pairs=found.pairs[:len(found.pairs) // 4])

  def compare(pairs):
    """Returns the seconds, the seconds of all CPUs, and the comparison."""
    start, cpu_start = time.perf_counter(), time.process_time()
    comparison = run.compare(run.inspect(pairs), {"lpips-alex": metric})
    return time.perf_counter() - start, time.process_time() - cpu_start, comparison

  compare(quarter)
  memory_quarter = _peak_memory()
  seconds, cpu_seconds, comparison = compare(found)
  memory = _peak_memory()
  planned = batches.batches(found, comparison.headers, range(len(found.pairs)))
  start = time.perf_counter()
  *_, images = batches.read(found, planned)
  decoding = time.perf_counter() - start
  start = time.perf_counter()
  for _ in planned:
    np.asarray(metric(*images.padded()))
  network = time.perf_counter() - start
  return {"seconds": seconds, "busy": cpu_seconds / (seconds * os.cpu_count()),
          "decoding": decoding, "network": network,
          "memory": memory, "memory_quarter": memory_quarter,
          "values": comparison.values[:, 0].tolist()}


def _pytorch(folder):
  """A loop over the files, a pair at a time, with LPIPS as the lpips package computes it."""
  import torch

  from tools.benchmarks import torch_lpips

  lpips = torch_lpips.lpips_alex(dict(np.load(folder / "weights.npz")))
  names = sorted(path.name for path in (folder / "reference").iterdir())

  def read(side, name):
    pixels = np.array(Image.open(folder / side / name).convert("RGB"))
    return torch_lpips.from_uint8(pixels[None])

  def distance(name):
    with torch.no_grad():
      return lpips(read("reference", name), read("candidate", name)).item()

  distance(names[0])
  start = time.perf_counter()
  values = [distance(name) for name in names]
  return {"seconds": time.perf_counter() - start, "memory": _peak_memory(), "values": values}


def _export_weights(folder):
  """Writes the weights for PyTorch, in its layout."""
  from perceptual.metrics.lpips import lpips
  from tools.benchmarks import torch_lpips

  np.savez(folder / "weights.npz", **torch_lpips.weights_of(lpips("alex")))


def _peak_memory():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB


def _figures(found, cold, teaching):
  """What the measurement says, as plain data: medians over the rounds."""
  ours, theirs = ({key: statistics.median(result[key] for result in results)
                   for key in results[0] if key != "values"} for results in found.values())
  values = [results[0]["values"] for results in found.values()]
  return {
      "perceptual": ours, "pytorch": theirs, "ratio": theirs["seconds"] / ours["seconds"],
      "largest_difference": float(np.abs(np.subtract(*values)).max()),
      "cold_compare_seconds": statistics.median(cold),
      "help_seconds": statistics.median(teaching),
  }


def _table(options, figures):
  ours, theirs = figures["perceptual"], figures["pytorch"]
  speeds = [options.pairs / side["seconds"] for side in (ours, theirs)]
  return f"""\
{options.pairs:,} PNG pairs of {options.size}x{options.size}, LPIPS-Alex, {os.cpu_count()} CPUs; \
medians of {options.rounds} rounds

| | |
|---|---|
| `perceptual compare` | {ours["seconds"]:.1f} s, {speeds[0]:.0f} pairs/s |
| PyTorch loop over the files | {theirs["seconds"]:.1f} s, {speeds[1]:.0f} pairs/s |
| ratio | {figures["ratio"]:.2f} |
| network alone, decoding alone | {ours["network"]:.1f} s, {ours["decoding"]:.1f} s |
| CPUs busy in `perceptual compare` | {100 * ours["busy"]:.0f}% |
| largest difference of a value | {figures["largest_difference"]:.0e} |
| peak memory with {options.pairs // 4:,} and with {options.pairs:,} pairs | \
{ours["memory_quarter"]:.0f} MiB, {ours["memory"]:.0f} MiB |
| one pair, cold, with the start of TensorFlow | {figures["cold_compare_seconds"]:.1f} s |
| `perceptual --help` | {figures["help_seconds"]:.2f} s |"""


SIDES = {"perceptual": _perceptual, "pytorch": _pytorch, "export_weights": _export_weights}

if __name__ == "__main__":
  if len(sys.argv) == 3 and sys.argv[1] in SIDES:
    print(json.dumps(SIDES[sys.argv[1]](pathlib.Path(sys.argv[2]))))
  else:
    main()
