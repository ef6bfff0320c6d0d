"""Measures comparisons by several metrics of one network against a comparison by one of them.

  python -m tools.benchmarks.several_metrics [--pairs=128] [--rounds=7] [--json=FILE]

All runs are `perceptual compare`'s own, on the same PNG pairs of 256x256 pixels, in turns:

  lin            LPIPS-Alex with its linear weights: the one metric
  + DISTANCE     that, and the distance of the same features
  all            those together
  all and sort   and `sort`, which sorts every channel of every map

The network sees each image once whatever the number of metrics. Weights are random ones, on which
speed does not depend. Needs TensorFlow alone. Takes about two minutes.
"""

import argparse
import contextlib
import io
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np

from tools.benchmarks import image_pairs, sides

_SIZE = 256
_DISTANCES = ("local", "mean_pool", "mean_pool_over_channels", "style", "l2")


def main():
  """Measures, prints a table and writes the figures, if wanted."""
  options = _options()
  os.environ.update(sides.ENVIRONMENT)
  with tempfile.TemporaryDirectory() as folder:
    image_pairs.write(pathlib.Path(folder), options.pairs, _SIZE)
    seconds = _in_turns(pathlib.Path(folder), options.rounds)
  figures = {label: {"seconds": found, "times_one": found / seconds["lin"]}
             for label, found in seconds.items()}
  sides.write_json(options.json, figures)
  print(_table(options, figures))


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--pairs", type=int, default=128, help="default %(default)s")
  parser.add_argument("--rounds", type=int, default=7, help="default %(default)s")
  parser.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return parser.parse_args()


def _in_turns(folder, rounds):
  """Returns the median seconds of a comparison by each choice of metrics."""
  from perceptual.comparison import pairing, run

  inspected = run.inspect(pairing.folders(folder / "reference", folder / "candidate"))
  found = {label: [] for label in _choices()}
  metrics = _metrics()
  for number in range(1 + rounds):
    for label, names in _choices().items():
      start = time.perf_counter()
      with contextlib.redirect_stderr(io.StringIO()):  # the bar of its progress
        run.compare(inspected, {name: metrics[name] for name in names})
      if number:  # the first round is slower than others
        found[label].append(time.perf_counter() - start)
  return {label: statistics.median(seconds) for label, seconds in found.items()}


def _choices():
  return {"lin": ("lin",), **{f"+ {name}": ("lin", name) for name in _DISTANCES},
          "all": ("lin", *_DISTANCES), "all and sort": ("lin", *_DISTANCES, "sort")}


def _metrics():
  """Returns metrics of one AlexNet by the names of their distances."""
  from perceptual import models
  from perceptual.comparison import compiled
  from perceptual.metrics.feature_metric import FeatureMetric
  from perceptual.models import taps

  trunk = models.build("alexnet", num_classes=0)
  rng = np.random.default_rng(0)
  weights = {tap.name: rng.random(tap.channels, "float32") for tap in taps.list_taps(trunk)}
  metrics = {"lin": FeatureMetric(trunk, name="lpips-alex", channel_weights=weights)}
  for distance in (*_DISTANCES, "sort"):
    metrics[distance] = FeatureMetric(trunk, name="lpips-alex", distance=distance)
  return {name: compiled.Compiled(metric) for name, metric in metrics.items()}


def _table(options, figures):
  rows = "\n".join(f"| {label} | {found['seconds']:.2f} s | {found['times_one']:.2f} |"
                   for label, found in figures.items())
  return f"""\
{options.pairs} PNG pairs of {_SIZE}x{_SIZE}, distances of one AlexNet, {os.cpu_count()} CPUs; \
medians of {options.rounds} rounds

| metrics | one run | times one metric |
|---|---|---|
{rows}"""


if __name__ == "__main__":
  main()
