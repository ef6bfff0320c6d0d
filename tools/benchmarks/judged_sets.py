"""Measures one pass over a judged set by many metrics, in time and in memory.

  python -m tools.benchmarks.judged_sets [--triplets=10000] [--pairs=380] [--rounds=3] [--json=FILE]

Passes are `perceptual evaluate`'s own, over PNG files, in turns:

  trunks      triplets of 64x64, their images in no other: five metrics of two networks, AlexNet
              and the built-in ResNet-6, against one metric of each
  distances   32 triplets of 256x256: every distance and tap of an AlexNet against one distance
  memory      pairs of 1024x1024: the most memory after all of them and after a quarter, for five
              metrics, two of them networks

Weights are random ones, on which speed does not depend. Needs TensorFlow alone, and 400 MB of disk.
Takes about 20 minutes on two CPUs.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import resource
import statistics
import tempfile
import time

import numpy as np

from tools.benchmarks import sides

_CHEAP = ("local", "mean_pool", "mean_pool_over_channels", "l2")
_TRIPLETS_OF_DISTANCES = 32


def main():
  """Measures, prints tables and writes the figures, if wanted."""
  options = _options()
  os.environ.update(sides.ENVIRONMENT)
  figures = {}
  with tempfile.TemporaryDirectory() as folder:
    for name in options.parts:
      figures[name] = _PARTS[name](pathlib.Path(folder) / name, options)
      print(f"\n{name}\n{_table(figures[name])}", flush=True)
  sides.write_json(options.json, figures)


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--triplets", type=int, default=10_000, help="default %(default)s")
  parser.add_argument("--pairs", type=int, default=380, help="default %(default)s")
  parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
  parser.add_argument("--parts", nargs="+", default=list(_PARTS), choices=list(_PARTS),
                      help="what is measured; by default all")
  parser.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return parser.parse_args()


def _trunks(folder, options):
  judged = _made(folder, examples=options.triplets, candidates=2, size=64)
  alexnet, resnet = _network("alexnet"), _network("resnet6", width=0.5)
  return _in_turns(judged, {
      "one metric of each": _variants(alexnet, "lin") | _variants(resnet, "local"),
      "five metrics": _variants(alexnet, "lin", "local", "mean_pool")
                      | _variants(resnet, "local", "mean_pool")}, options.rounds)


def _distances(folder, options):
  judged = _made(folder, examples=_TRIPLETS_OF_DISTANCES, candidates=2, size=256)
  alexnet = _network("alexnet")
  return _in_turns(judged, {
      "lin": _variants(alexnet, "lin"),
      "all but style and sort, every tap": _variants(alexnet, "lin", *_CHEAP),
      "with style": _variants(alexnet, "lin", *_CHEAP, "style"),
      "with style and sort": _variants(alexnet, "lin", *_CHEAP, "style", "sort")},
                   options.rounds, per_tap=True)


def _memory(folder, options):
  from perceptual import loading
  from perceptual.comparison import compiled

  judged = _made(folder, examples=options.pairs, candidates=1, size=1024)
  metrics = _variants(_network("alexnet"), "lin") | _variants(
      _network("resnet6", width=0.5), "local") | {
          name: compiled.Compiled(loading.load_metric(name)) for name in ("mse", "psnr", "ssim")}
  quarter = options.pairs // 4
  peaks = {}
  for count in (quarter, options.pairs):
    part = dataclasses.replace(judged, examples=judged.examples[:count],
                               answers=judged.answers[:count])
    start = time.perf_counter()
    _measure(part, metrics, per_tap=False)
    peaks[f"{count} pairs"] = {
        "seconds": time.perf_counter() - start,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
  first = next(iter(peaks.values()))
  return {label: {**found, "times_first": found["peak_gb"] / first["peak_gb"]}
          for label, found in peaks.items()}


_PARTS = {"trunks": _trunks, "distances": _distances, "memory": _memory}


def _in_turns(judged, choices, rounds, *, per_tap=False):
  """Returns medians over rounds of the time of passes; the first has no taps.

  Returns:
    `{label: {"seconds", "times_first", "cpu_seconds", "cpu_times_first"}}`; the latter two count
    the time that the process had on all CPUs, which other work on the machine hardly alters.
  """
  clocks = {"": time.perf_counter, "cpu_": time.process_time}
  found = {label: {clock: [] for clock in clocks} for label in choices}
  for number in range(1 + rounds):
    for place, (label, metrics) in enumerate(choices.items()):
      starts = {clock: now() for clock, now in clocks.items()}
      _measure(judged, metrics, per_tap=per_tap and place > 0)
      if number:  # the first round traces graphs
        for clock, now in clocks.items():
          found[label][clock].append(now() - starts[clock])
  medians = {label: {clock: statistics.median(seconds) for clock, seconds in by_clock.items()}
             for label, by_clock in found.items()}
  first = next(iter(medians.values()))
  return {label: {key: value for clock, median in by_clock.items() for key, value in (
      (f"{clock}seconds", median), (f"{clock}times_first", median / first[clock]))}
          for label, by_clock in medians.items()}


def _measure(judged, metrics, *, per_tap):
  from perceptual.comparison import judged_pairs

  with contextlib.redirect_stderr(io.StringIO()):  # the bar of its progress
    judged_pairs.measure(judged, metrics, per_tap=per_tap)


def _network(name, **options):
  """Returns a network at random as a metric with weights of its channels."""
  from perceptual import models
  from perceptual.metrics.feature_metric import FeatureMetric
  from perceptual.models import taps

  trunk = models.build_at_random(name, num_classes=0, **options)
  rng = np.random.default_rng(0)
  weights = {tap.name: rng.random(tap.channels, "float32") for tap in taps.list_taps(trunk)}
  return FeatureMetric(trunk, name=name, channel_weights=weights)


def _variants(metric, *names):
  from perceptual.comparison import compiled

  return {f"{metric.name} {name}": compiled.Compiled(metric.with_tap_distances(
      metric.at_taps(name))) for name in names}


def _made(folder, *, examples, candidates, size):
  """Writes and returns a judged set: photographs of the demo, each with damaged versions."""
  from perceptual.data.images import image_files
  from perceptual.data.judged import prepared
  from perceptual.data.labelled import demo

  rng = np.random.default_rng(0)
  photographs = [demo.load(photograph) for photograph in demo.PHOTOGRAPHS]
  photographs = [np.asarray(photograph.resize((max(size, photograph.width),
                                               max(size, photograph.height))))
                 for photograph in photographs]
  (folder / "images").mkdir(parents=True)
  images, rows = [], []
  for number in range(examples):
    photograph = photographs[number % len(photographs)]
    top, left = (rng.integers(side - size + 1) for side in photograph.shape[:2])
    reference = photograph[top:top + size, left:left + size]
    for strength in (0, *rng.choice([2, 8, 24], candidates, replace=False)):
      noise = rng.integers(-strength, strength + 1, reference.shape)
      data = image_files.encode_png(np.clip(reference + noise, 0, 255).astype(np.uint8))
      file = f"images/{len(images):06d}.png"
      (folder / file).write_bytes(data)
      images.append(prepared.StoredImage(file, file, size, size, len(data),
                                         hashlib.sha256(data).hexdigest()))
    rows.append((range(len(images) - candidates - 1, len(images)), rng.random(), None, ""))
  prepared.write(
      folder, kind="2afc" if candidates == 2 else "opinions", note="made up",
      higher_is_better=None if candidates == 2 else True, rows=rows, images=images, provenance={})
  return prepared.read(folder, folder.name)


def _table(figures):
  columns = list(next(iter(figures.values())))
  rows = [f"| {label} | " + " | ".join(f"{found[column]:.2f}" for column in columns) + " |"
          for label, found in figures.items()]
  return "\n".join([f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}", *rows])


if __name__ == "__main__":
  main()
