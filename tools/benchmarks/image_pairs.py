"""Pairs of PNG files for the benchmarks: crops of the embedded photographs, and damaged copies."""

import numpy as np

from perceptual.data import distortions
from perceptual.data.images import image_files
from perceptual.data.labelled import demo

_SEED = 0


def write(folder, pairs, size):
  """Writes `reference/000000.png` ... and `candidate/000000.png` ..., blurred or with noise.

  Args:
    folder: a `pathlib.Path`, where both folders are made.
    pairs: how many.
    size: the side of the images.
  """
  rng = np.random.default_rng(_SEED)
  photographs = [demo.load(photograph) for photograph in demo.PHOTOGRAPHS]
  photographs = [photograph.resize((max(size, photograph.width), max(size, photograph.height)))
                 for photograph in photographs]
  for side in ("reference", "candidate"):
    (folder / side).mkdir()
  for number in range(pairs):
    reference = _crop(photographs[number % len(photographs)], size, rng)
    for side, image in (("reference", reference), ("candidate", _damaged(reference, number, rng))):
      (folder / side / f"{number:06d}.png").write_bytes(image_files.encode_png(image))


def _crop(photograph, size, rng):
  left = int(rng.integers(photograph.width - size + 1))
  top = int(rng.integers(photograph.height - size + 1))
  return np.asarray(photograph.crop((left, top, left + size, top + size)))


def _damaged(image, number, rng):
  if number % 2:
    return distortions.gaussian_blur(image, 1 + number % 4, rng)
  return np.clip(image + rng.normal(0, 1 + number % 30, image.shape), 0, 255).astype(np.uint8)
