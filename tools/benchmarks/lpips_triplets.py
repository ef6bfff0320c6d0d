"""Measures LPIPS-Alex on triplets against the same network in PyTorch.

  python -m tools.benchmarks.lpips_triplets [--rounds=9] [--seconds=1] [--json=FILE]

A triplet is a reference and two candidates, here of 64x64 pixels and 50 at a time.

  perceptual  metric.two_afc, compiled by tf.function: three passes of the network a triplet
  PyTorch     the lpips package's way: each candidate is a call, which encodes the reference too,
              four passes a triplet

Besides: the trunk alone against the highest speed at which TensorFlow and PyTorch multiply matrices
in the same rounds. The weights are random ones, the same on both sides, on which speed
does not depend; the distances of both sides are compared. Needs PyTorch, a CPU build of which is
enough. Takes about two minutes.
"""

import os

import numpy as np

from tools.benchmarks import matmul, sides

_BATCH = 50
_SIZE = 64
_CHANNELS = (64, 192, 384, 256, 256)


def main():
  """Measures, prints a table and writes the figures, if wanted."""
  options = sides.parser(__doc__, rounds=9, seconds=1.0).parse_args()
  sides.require_torch()
  with sides.Side(perceptual_side) as ours, \
      sides.Side(pytorch_side, ours.result("weights")) as theirs:
    apart = np.abs(np.subtract(ours.result("triplets"), theirs.result("triplets"))).max()
    flops = ours.result("flops")
    found = sides.in_turns({
        "perceptual": (ours, "triplets"),
        "pytorch": (theirs, "triplets"),
        "trunk": (ours, "trunk"),
        **ours.tasks("matmul"), **theirs.tasks("matmul"),
    }, rounds=options.rounds, seconds=options.seconds)
  figures = _figures(found, flops, float(apart))
  sides.write_json(options.json, figures)
  print(_table(figures, options.rounds))


def perceptual_side():
  """Returns the tasks of this package's side."""
  import tensorflow as tf

  from perceptual.models import costs
  from tools.benchmarks import torch_lpips

  metric = _metric()
  two_afc = tf.function(metric.two_afc, autograph=False)
  trunk = tf.function(lambda images: metric.trunk(images, training=False), autograph=False)
  triplet = [tf.constant(images) for images in _images()]
  normalised = metric.preprocessing(tf.concat(triplet, axis=0))
  return {
      "weights": lambda: torch_lpips.weights_of(metric),
      "flops": lambda: costs.flops(metric.trunk, _SIZE),
      "triplets": lambda: [distance.numpy() for distance in two_afc(*triplet)],
      "trunk": lambda: trunk(normalised) and None,
      **matmul.with_tensorflow()}


def pytorch_side(weights):
  """Returns the tasks of PyTorch's side."""
  import torch

  from tools.benchmarks import torch_lpips

  lpips = torch_lpips.lpips_alex(weights)
  reference, *candidates = map(torch_lpips.from_uint8, _images())

  @torch.no_grad()
  def triplets():
    return [lpips(reference, candidate).numpy() for candidate in candidates]

  return {"triplets": triplets, **matmul.with_torch()}


def _metric():
  """LPIPS-Alex with random weights, the same in every run."""
  import keras

  from perceptual import models
  from perceptual.metrics.feature_metric import FeatureMetric

  keras.utils.set_random_seed(0)
  rng = np.random.default_rng(0)
  heads = {f"relu{number}": rng.random(channels, "float32")
           for number, channels in enumerate(_CHANNELS, 1)}
  return FeatureMetric(models.build("alexnet", num_classes=0), name="lpips-alex",
                       channel_weights=heads)


def _images():
  """A reference and two candidates, `[batch, height, width, 3]` uint8, in every process alike."""
  rng = np.random.default_rng(0)
  return [rng.integers(0, 256, (_BATCH, _SIZE, _SIZE, 3), np.uint8) for _ in range(3)]


def _figures(found, flops, apart):
  """What the measurement says, as plain data."""
  peak = matmul.peak(found)
  trunk = 3 * _BATCH * flops / found["trunk"]
  return {
      "triplets_per_second": {side: _BATCH / found[side] for side in ("perceptual", "pytorch")},
      "ratio": found["pytorch"] / found["perceptual"],
      "largest_difference": apart,
      "trunk_flops_per_image": flops,
      "trunk_flops_per_second": trunk,
      "matmul_flops_per_second": peak,
      "trunk_share_of_matmul": trunk / peak,
  }


def _table(figures, rounds):
  speeds = figures["triplets_per_second"]
  return f"""\
LPIPS-Alex, triplets of {_SIZE}x{_SIZE}, batches of {_BATCH}, {os.cpu_count()} CPUs; \
medians of {rounds} rounds

| | |
|---|---|
| `metric.two_afc`, compiled | {speeds["perceptual"]:.0f} triplets/s |
| PyTorch, as the lpips package calls it | {speeds["pytorch"]:.0f} triplets/s |
| ratio | {figures["ratio"]:.2f} |
| largest difference of a distance | {figures["largest_difference"]:.0e} |
| the trunk alone, {figures["trunk_flops_per_image"] / 1e6:.0f} MFLOP an image | \
{figures["trunk_flops_per_second"] / 1e9:.0f} GFLOP/s |
| highest speed of a matrix product | {figures["matmul_flops_per_second"] / 1e9:.0f} GFLOP/s |
| the trunk's share of it | {100 * figures["trunk_share_of_matmul"]:.0f}% |"""


if __name__ == "__main__":
  main()
