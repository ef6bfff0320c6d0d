"""Loads an exported metric in a process without this package, and compares images with it.

  python tools/compare_with_hub.py EXPORT_DIR REFERENCE CANDIDATE [CANDIDATE ...]

A program to copy from: it needs tensorflow, tensorflow_hub and Pillow, and nothing else.
"""

import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

import numpy as np  # noqa: E402  the lines above silence what these print when imported
import tensorflow_hub as hub  # noqa: E402
from PIL import Image  # noqa: E402


def main(export_dir, reference_file, *candidate_files):
  """Prints the metric's distance, and the mean squared error, of each candidate."""
  metric = hub.load(export_dir)
  reference = read(reference_file)
  print(f"{'candidate':40} {'perceptual distance':>20} {'mean squared error':>20}")
  for file in candidate_files:
    candidate = read(file)
    distance = metric(reference, candidate).numpy()[0]
    difference = (reference.astype(np.float32) - candidate) / 255
    print(f"{file:40} {distance:20.4f} {np.mean(difference**2):20.4f}")


def read(file):
  """Returns an image file as a batch of one: `[1, height, width, 3]` uint8."""
  return np.asarray(Image.open(file).convert("RGB"))[None]


if __name__ == "__main__":
  main(*sys.argv[1:])
