"""A comparison as files.

    results.csv     a line a pair: paths, clip, a column a metric, what of the files was altered
    results.json    settings, fingerprints, statistics over all pairs and by clip, and the pairs
    skipped.csv     what was asked for and is not in the results, and why

Paths of images are relative to the folder of these files, so that images and results can be moved
together, and results.csv is itself a list of pairs for `perceptual compare --pairs_csv`. Where the
folder is at an address, gs://bucket/results, they are absolute.
"""

import contextlib
import csv
import json
import math
import os
import re

from perceptual import errors
from perceptual.common import files
from perceptual.comparison import summary
from perceptual.comparison.journal import plain
from perceptual.comparison.pairing import Skipped, printable
from perceptual.errors import UserError

NAMES = ("results.csv", "results.json", "skipped.csv")


def write(comparison, output_dir, *, settings, heatmaps=None):
  """Writes the three files, each whole or not at all.

  Args:
    comparison: `run.Comparison`.
    output_dir: a folder, made if it is not there.
    settings: plain data: how the comparison was run.
    heatmaps: `{label: {pair: path}}` of the pictures, or None where none were drawn.

  Raises:
    UserError: if they cannot be written.
  """
  output_dir = files.place(output_dir)
  with writing(output_dir):
    files.remove_leftovers(output_dir, NAMES)
    with _open(output_dir / "results.csv") as stream:
      _write_rows(rows(comparison, output_dir, heatmaps), stream)
    with _open(output_dir / "skipped.csv") as stream:
      writer = csv.writer(stream, lineterminator="\n")
      writer.writerow(Skipped._fields)
      for entry in comparison.skipped:
        names = (name and _relative(name, output_dir) for name in entry[:2])
        writer.writerow([*names, entry.reason])
    with _open(output_dir / "results.json") as stream:
      _write_json(comparison, rows(comparison, output_dir, heatmaps), stream, settings)


@contextlib.contextmanager
def writing(output_dir):
  """Turns an `OSError` of the block into a `UserError` about the folder."""
  try:
    yield
  except OSError as error:
    raise UserError(f"Results cannot be written to {output_dir}: {errors.reason(error)}."
                    ) from None


def rows(comparison, folder, heatmaps=None):
  """Yields a dictionary a compared pair, of plain data; an infinite value is `"inf"`.

  Args:
    comparison: `run.Comparison`.
    folder: what the paths are relative to.
    heatmaps: `{label: {pair: path}}`, or None.
  """
  pairing = comparison.pairing
  for pair in comparison.compared():
    reference, candidate = (_relative(pairing.files[file], folder) for file in pairing.pairs[pair])
    row = {"reference": reference, "candidate": candidate}
    if pairing.clips:
      row["clip"] = pairing.clips[pair]
    for column, value in zip(comparison.columns, comparison.values[pair]):
      row[column_name(column)] = None if math.isnan(value) else plain(value)
    for label, paths in (heatmaps or {}).items():
      row[f"{column_name(label)}_heatmap"] = paths.get(pair, "")
    yield {**row, "altered": "; ".join(altered(comparison, pair))}


def column_name(label):
  """Returns a metric's label as the name of a column: without spaces and commas."""
  return re.sub(r"[\s,]+", "_", label)


def altered(comparison, pair):
  """Returns what of a pair's files does not reach the metric: `candidate: first of 12 frames`."""
  sides = zip(("reference", "candidate"), comparison.pairing.pairs[pair])
  return [f"{side}: {note}" for side, file in sides for note in comparison.headers[file].notes]


def _relative(file, folder):
  """Returns the path of a file from a folder, with links to either followed, as printable text.

  It is the whole path where one of the two lies at an address.
  """
  file, folder = files.place(file), files.place(folder)
  if files.is_remote(file):
    return printable(file)
  place = os.path.join(os.path.realpath(file.parent), file.name)
  return printable(place if files.is_remote(folder) else
                   os.path.relpath(place, os.path.realpath(folder)))


@contextlib.contextmanager
def _open(path):
  with files.beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
    yield stream


def _write_rows(lines, stream):
  writer = None
  for row in lines:
    if writer is None:
      writer = csv.DictWriter(stream, list(row), lineterminator="\n")
      writer.writeheader()
    writer.writerow(row)


def _write_json(comparison, lines, stream, settings):
  """Writes what is small as a whole, and the pairs one by one, which may be very many."""
  head = {
      "about": comparison.pairing.about,
      "settings": settings,
      "fingerprints": comparison.fingerprints,
      "compared": len(comparison.compared()),
      "skipped": len(comparison.skipped),
      "summary": _statistics(summary.overall(comparison)),
  }
  if comparison.pairing.clips:
    head["clips"] = {clip: _statistics(found)
                     for clip, found in summary.by_clip(comparison).items()}
    head["over_clips"] = _statistics(summary.over_clips(comparison))
  stream.write(json.dumps(head, indent=2, allow_nan=False).removesuffix("\n}") + ',\n  "pairs": [')
  for i, row in enumerate(lines):
    stream.write(("," if i else "") + "\n    " + json.dumps(row, allow_nan=False))
  stream.write("\n  ]\n}\n")


def _statistics(by_column):
  return {column: found._asdict() for column, found in by_column.items()}
