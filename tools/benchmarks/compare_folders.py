"""Measures a comparison of two folders by LPIPS-Alex against a plain PyTorch loop over the files.

  python tools/benchmarks/compare_folders.py [--pairs=1000] [--rounds=3] [--size=256]

Both sides read the same PNG pairs, crops of the embedded photographs and damaged copies. They run
in processes of their own, in turns; medians and their ratio are printed, and whether the values
agree. Besides: the network and the decoding alone and how busy the CPUs are (decoding is hidden
where they are never idle), the memory with a quarter of the pairs and with all, and the time of the
command `perceptual compare` for one pair, cold.

Needs the converted weights of LPIPS-Alex (perceptual convert --help) and PyTorch, a CPU build of
which is enough.
"""

import argparse
import dataclasses
import importlib.util
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

_SEED = 0


def main():
  """Makes the files, runs both sides in turns, and prints what came out."""
  options = _options()
  if importlib.util.find_spec("torch") is None:
    sys.exit("error: PyTorch is not installed, against which this measures; its CPU build is "
             "enough.")
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    _write_pairs(folder, options.pairs, options.size)
    _in_its_own_process("export_weights", folder)
    found = {"perceptual": [], "pytorch": []}
    for number in range(options.rounds):
      for side, results in found.items():
        results.append(_in_its_own_process(side, folder))
        print(f"round {number + 1}: {side} {results[-1]['seconds']:.1f} s", flush=True)
    cold = [_cold_command(folder) for _ in range(options.rounds)]
  _print_results(options, found, cold)


def _options():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--pairs", type=int, default=1000)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--size", type=int, default=256)
  return parser.parse_args()


def _write_pairs(folder, pairs, size):
  """Writes `reference/0000.png` ... and `candidate/0000.png` ..., blurred or with noise."""
  from perceptual.data import demo, distortions, image_files

  rng = np.random.default_rng(_SEED)
  photographs = [demo.load(photograph) for photograph in demo.PHOTOGRAPHS]
  photographs = [photograph.resize((max(size, photograph.width), max(size, photograph.height)))
                 for photograph in photographs]
  for side in ("reference", "candidate"):
    (folder / side).mkdir()
  for number in range(pairs):
    photograph = photographs[number % len(photographs)]
    left = int(rng.integers(photograph.width - size + 1))
    top = int(rng.integers(photograph.height - size + 1))
    reference = np.asarray(photograph.crop((left, top, left + size, top + size)))
    if number % 2:
      candidate = distortions.gaussian_blur(reference, 1 + number % 4, rng)
    else:
      candidate = reference + rng.normal(0, 1 + number % 30, reference.shape)
      candidate = np.clip(candidate, 0, 255).astype(np.uint8)
    for side, image in (("reference", reference), ("candidate", candidate)):
      (folder / side / f"{number:06d}.png").write_bytes(image_files.encode_png(image))


def _in_its_own_process(side, folder):
  """Runs one of `SIDES` and returns what it measured."""
  process = subprocess.run([sys.executable, __file__, side, folder], capture_output=True, text=True)
  if process.returncode:
    sys.exit(process.stderr)
  return json.loads(process.stdout)


def _cold_command(folder):
  """Returns the seconds that the command takes for one pair."""
  start = time.perf_counter()
  subprocess.run([sys.executable, "-m", "perceptual", "compare", "--metric=lpips-alex",
                  folder / "reference" / "000000.png", folder / "candidate" / "000000.png"],
                 check=True, capture_output=True)
  return time.perf_counter() - start


def _perceptual(folder):
  """This package: seconds for all pairs, and what they are made of."""
  from perceptual import loading
  from perceptual.comparing import batches, compiled, pairing, run

  metric = compiled.Compiled(loading.load_metric("lpips-alex"))
  second = compiled.Compiled(loading.load_metric("lpips-alex", lpips=False))
  found = pairing.folders(folder / "reference", folder / "candidate")
  quarter = dataclasses.replace(found, pairs=found.pairs[:len(found.pairs) // 4])

  def compare(pairs, metrics):
    """Returns the seconds, the seconds of all CPUs, and the comparison."""
    start, cpu_start = time.perf_counter(), time.process_time()
    comparison = run.compare(run.look(pairs), metrics)
    return time.perf_counter() - start, time.process_time() - cpu_start, comparison

  compare(quarter, {"lpips": metric})
  memory_quarter = _peak_memory()
  seconds, cpu_seconds, comparison = compare(found, {"lpips": metric})
  memory = _peak_memory()
  compare(quarter, {"lpips": metric, "second": second})
  _, one, _ = compare(quarter, {"lpips": metric})
  _, two, _ = compare(quarter, {"lpips": metric, "second": second})
  planned = batches.batches(found, comparison.headers, range(len(found.pairs)))
  start = time.perf_counter()
  *_, images = batches.read(found, planned)
  decoding = time.perf_counter() - start
  start = time.perf_counter()
  for _ in planned:
    np.asarray(metric(*images.padded()))
  network = time.perf_counter() - start
  return {"seconds": seconds, "busy": cpu_seconds / (seconds * os.cpu_count()),
          "decoding": decoding, "network": network, "two": two / one,
          "memory": memory, "memory_quarter": memory_quarter,
          "values": comparison.values[:, 0].tolist()}


def _pytorch(folder):
  """A loop over the files, a pair at a time, with LPIPS as the lpips package computes it."""
  import torch

  lpips = _torch_lpips(folder / "weights.npz")
  names = sorted(path.name for path in (folder / "reference").iterdir())

  def read(side, name):
    pixels = np.array(Image.open(folder / side / name).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1

  def distance(name):
    with torch.no_grad():
      return lpips(read("reference", name), read("candidate", name)).item()

  distance(names[0])
  start = time.perf_counter()
  values = [distance(name) for name in names]
  return {"seconds": time.perf_counter() - start, "memory": _peak_memory(), "values": values}


def _torch_lpips(path):
  """Returns LPIPS-Alex as a function of two images `[1, 3, height, width]` in [-1, 1]."""
  import torch
  from torch.nn import functional

  weights = {name: torch.from_numpy(value) for name, value in np.load(path).items()}
  shift = torch.tensor([-.030, -.088, -.188])[:, None, None]
  scale = torch.tensor([.458, .448, .450])[:, None, None]
  settings = [(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]  # stride and padding

  def features(image):
    x = (image - shift) / scale
    for number, (stride, padding) in enumerate(settings, 1):
      if number in (2, 3):
        x = functional.max_pool2d(x, 3, 2)
      x = functional.relu(functional.conv2d(
          x, weights[f"kernel{number}"], weights[f"bias{number}"], stride=stride, padding=padding))
      yield x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + 1e-10)

  def distance(reference, candidate):
    terms = zip(features(reference), features(candidate))
    return sum(functional.conv2d((a - b) ** 2, weights[f"head{number}"]).mean((2, 3))
               for number, (a, b) in enumerate(terms, 1))

  return distance


def _export_weights(folder):
  """Writes the weights for PyTorch, in its layout."""
  from perceptual.lpips import lpips

  metric = lpips("alex")
  weights = {}
  for number, tap in enumerate(metric.taps, 1):
    kernel, bias = metric.trunk.get_layer(f"conv{number}").get_weights()
    weights[f"kernel{number}"] = kernel.transpose(3, 2, 0, 1).copy()
    weights[f"bias{number}"] = bias
    weights[f"head{number}"] = metric.channel_weights[tap][None, :, None, None]
  np.savez(folder / "weights.npz", **weights)


def _peak_memory():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB


def _print_results(options, found, cold):
  ours, theirs = ({key: statistics.median(result[key] for result in results)
                   for key in results[0] if key != "values"} for results in found.values())
  apart = np.abs(np.subtract(found["perceptual"][0]["values"], found["pytorch"][0]["values"])).max()
  print(f"""\
{options.pairs:,} PNG pairs of {options.size}x{options.size}, LPIPS-Alex, {os.cpu_count()} CPUs; \
medians of {options.rounds} rounds
  perceptual compare   {ours["seconds"]:7.1f} s  {options.pairs / ours["seconds"]:6.1f} pairs/s
  PyTorch loop         {theirs["seconds"]:7.1f} s  {options.pairs / theirs["seconds"]:6.1f} pairs/s
  ratio                {theirs["seconds"] / ours["seconds"]:7.2f}
  network alone        {ours["network"]:7.1f} s
  decoding alone       {ours["decoding"]:7.1f} s
  CPUs busy            {100 * ours["busy"]:7.0f} % of the time of perceptual compare
  a second metric      {ours["two"]:7.2f} times the CPU time, of the same network in the same run
  peak memory          {ours["memory"]:7.0f} MiB; {ours["memory_quarter"]:.0f} MiB for a quarter
  largest difference   {apart:.1e}
  cold command, 1 pair {statistics.median(cold):7.1f} s""")


SIDES = {"perceptual": _perceptual, "pytorch": _pytorch, "export_weights": _export_weights}

if __name__ == "__main__":
  if len(sys.argv) == 3 and sys.argv[1] in SIDES:
    print(json.dumps(SIDES[sys.argv[1]](pathlib.Path(sys.argv[2]))))
  else:
    main()
