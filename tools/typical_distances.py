"""Prints what typical changes of a photograph measure: the table in docs/what-the-number-means.md.

  python tools/typical_distances.py [--metric=NAME ...]

Means over two crops of 64x64 of each demo photograph.
"""

import argparse
import functools

import numpy as np

import perceptual
from perceptual.data import distortions
from perceptual.data.labelled import demo

_METRICS = ("perceptual", "lpips-alex", "ssim", "psnr")


def _changes():
  """Returns {description: function of an image and a random generator}."""
  return {
      "the reference itself": lambda image, rng: image,
      "JPEG, quality 75": functools.partial(_changed, distortions.jpeg, 75),
      "shifted by 2 pixels": functools.partial(_changed, distortions.shift, 2),
      "JPEG, quality 10": functools.partial(_changed, distortions.jpeg, 10),
      "blurred, sigma 1": functools.partial(_changed, distortions.gaussian_blur, 1.0),
      "blurred, sigma 3": functools.partial(_changed, distortions.gaussian_blur, 3.0),
      "noise of 25 levels": functools.partial(_changed, distortions.gaussian_noise, 25),
  }


def _changed(distortion, strength, image, rng):
  return distortion(image, strength, rng)


def rows(metrics, photographs):
  """Returns {description: [mean value of each metric]}.

  Args:
    metrics: a list of metrics.
    photographs: `[n, 64, 64, 3]` uint8.
  """
  candidates = {}
  for description, change in _changes().items():
    rng = np.random.default_rng(0)
    candidates[description] = np.stack([change(image, rng) for image in photographs])
  candidates["another photograph"] = np.roll(photographs, 1, axis=0)
  return {description: [float(np.mean(metric(photographs, images))) for metric in metrics]
          for description, images in candidates.items()}


def main():
  """Prints the table, in Markdown."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--metric", action="append", help=f"default: {', '.join(_METRICS)}")
  names = parser.parse_args().metric or _METRICS
  photographs, _ = demo.crops("validation", per_photograph=2)
  print(f"| candidate | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
  for description, values in rows([*map(perceptual.load_metric, names)], photographs).items():
    print(f"| {description} | {' | '.join(f'{value:.3g}' for value in values)} |")


if __name__ == "__main__":
  main()
