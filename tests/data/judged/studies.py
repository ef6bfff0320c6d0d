"""Small judged sets as people have them: images of several sizes and a table."""

import csv
import tarfile

import numpy as np
from PIL import Image

SIZES = ((24, 32), (40, 28), (32, 32))


def noisy(image, strength, seed):
  """An image with noise of so many levels."""
  noise = np.random.default_rng(seed).normal(scale=strength, size=image.shape)
  return np.clip(image + noise, 0, 255).astype(np.uint8)


def save(path, image):
  """Writes an image; the folders above it are made."""
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(image).save(path)


def reference(index):
  """A smooth picture; sizes differ between references."""
  height, width = SIZES[index % len(SIZES)]
  y, x = np.mgrid[:height, :width]
  return np.stack([40 + 3 * y, 60 + 3 * x, np.full_like(x, 30 * (index + 1))], -1).astype(np.uint8)


def write_csv(path, rows, head):
  """Writes a table."""
  with path.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(head)
    writer.writerows(rows)


def change(table, line, old, new):
  """Replaces a text in one line of a table; the head is line 1."""
  lines = table.read_text().splitlines()
  assert old in lines[line - 1]
  lines[line - 1] = lines[line - 1].replace(old, new)
  table.write_text("\n".join(lines) + "\n")


def as_tar(folder, path):
  """Packs a folder, under its own name."""
  with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
    archive.add(folder, folder.name)
  return path
