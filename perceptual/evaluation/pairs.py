"""Distances between image files, by an exported metric."""

import csv
import dataclasses
import io
import json
import pathlib

import numpy as np
import tensorflow as tf

from perceptual import files
from perceptual.data import image_files
from perceptual.errors import UserError
from perceptual.evaluation import report


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A reference image against candidates.

  Attributes:
    reference: name of the reference file.
    candidates: names of the candidate files.
    distances: `[candidates]` float32; lower is closer.
    per_tap: tap name -> `[candidates]` float32, in the metric's order; they sum to `distances`.
    fingerprint: the metric's.
  """

  reference: str
  candidates: tuple[str, ...]
  distances: np.ndarray
  per_tap: dict[str, np.ndarray]
  fingerprint: dict

  def table(self):
    """Returns the distances as text, the closest candidate first."""
    head = ["candidate", "distance", *self.per_tap]
    rows = [[row["candidate"], *(f"{row[column]:.4f}" for column in head[1:])]
            for row in sorted(self.rows(), key=lambda row: row["distance"])]
    metric = self.fingerprint
    return (f"{metric['network']}, {metric['distance']} distance to {self.reference}; lower is "
            f"closer\n\n{report.aligned([head, *rows])}")

  def rows(self):
    """Returns a dictionary a candidate: `candidate`, `distance`, and the terms by tap."""
    return [{"candidate": name, "distance": float(self.distances[i]),
             **{tap: float(values[i]) for tap, values in self.per_tap.items()}}
            for i, name in enumerate(self.candidates)]

  def write(self, output_dir):
    """Writes `compare.csv` and `compare.json` into a folder."""
    folder = pathlib.Path(output_dir).expanduser()
    rows = self.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(folder / "compare.csv", text.getvalue())
    files.write_text(folder / "compare.json", json.dumps(
        {"reference": self.reference, "candidates": rows, "fingerprint": self.fingerprint},
        indent=2) + "\n")


def compare(metric, reference, candidates):
  """Returns the `Comparison` of a reference file with candidate files.

  Args:
    metric: the folder of an exported metric, or a TF Hub handle.
    reference: path of an image file.
    candidates: paths of image files of the same size.

  Raises:
    UserError: if there is no such metric, or a file is not an image or has another size.
  """
  images = [_read(name) for name in (reference, *candidates)]
  for name, image in zip(candidates, images[1:]):
    if image.shape != images[0].shape:
      raise UserError(f"{name} is {_size(image)} pixels and {reference} {_size(images[0])}; "
                      "images to compare must have one size.")
  loaded = load(metric)
  fingerprint = json.loads(loaded.fingerprint().numpy())
  batch = np.stack(images[1:])
  per_tap = loaded.per_tap(np.broadcast_to(images[0], batch.shape), batch)
  ordered = {tap: per_tap[tap].numpy() for tap in fingerprint["taps"]}
  return Comparison(reference, tuple(candidates), sum(ordered.values()), ordered, fingerprint)


def load(metric):
  """Returns an exported metric.

  Args:
    metric: its folder, or a TF Hub handle.

  Raises:
    UserError: if there is none, or something else.
  """
  import tensorflow_hub as hub

  try:
    loaded = hub.load(str(metric))
  except (OSError, ValueError, tf.errors.OpError) as error:
    first_line = str(error).strip().splitlines()[0]
    raise UserError(f"{metric} is no exported metric: {first_line}") from None
  if not hasattr(loaded, "fingerprint"):
    raise UserError(f"{metric} is a SavedModel but no metric exported by `perceptual export`.")
  return loaded


def _read(name):
  try:
    return image_files.decode(pathlib.Path(name).read_bytes(), name)
  except OSError as error:
    raise UserError(f"{name} cannot be read: {error.strerror}.") from None


def _size(image):
  return f"{image.shape[1]}x{image.shape[0]}"
