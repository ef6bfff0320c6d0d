"""Distances between image files, by an exported metric."""

import csv
import dataclasses
import io
import json
import pathlib

import numpy as np

from perceptual.data import image_files, progress
from perceptual.errors import UserError, first_line
from perceptual.evaluation import results, text_table


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
            f"closer\n\n{text_table.aligned([head, *rows])}")

  def rows(self):
    """Returns a dictionary a candidate: `candidate`, `distance`, and the terms by tap."""
    return [{"candidate": name, "distance": float(self.distances[i]),
             **{tap: float(values[i]) for tap, values in self.per_tap.items()}}
            for i, name in enumerate(self.candidates)]

  def write(self, output_dir):
    """Writes `compare.csv` and `compare.json` into a folder; raises `UserError` where it cannot."""
    rows = self.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    as_json = {"reference": self.reference, "candidates": rows, "fingerprint": self.fingerprint}
    results.write(output_dir, {"compare.csv": text.getvalue(),
                               "compare.json": json.dumps(as_json, indent=2) + "\n"})


def compare(metric, reference, candidates):
  """Returns the `Comparison` of a reference file with candidate files.

  Pairs go through the metric one by one, so that any number of large images fits in memory.

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
  with progress.progress(images[1:], description="comparing") as others:
    found = [loaded.per_tap(images[0][None], image[None]) for image in others]
  per_tap = {tap: np.concatenate([terms[tap] for terms in found]) for tap in fingerprint["taps"]}
  return Comparison(reference, tuple(candidates), sum(per_tap.values()), per_tap, fingerprint)


def load(metric):
  """Returns an exported metric.

  Args:
    metric: its folder, or a TF Hub handle.

  Raises:
    UserError: if there is none, or something else.
  """
  import tensorflow_hub as hub

  if "://" not in str(metric):
    metric = pathlib.Path(metric).expanduser()
    if not metric.is_dir():
      raise UserError(f"There is no exported metric in {metric}: no such folder.")
  try:
    loaded = hub.load(str(metric))
  except Exception as error:  # what a damaged SavedModel raises is of many kinds
    raise UserError(f"{metric} is no exported metric: {first_line(error)}") from None
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
