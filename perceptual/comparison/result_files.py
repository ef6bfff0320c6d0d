"""A comparison as files.

    results.csv     a line a pair: names, clip, a column a metric, what of the files was altered
    results.json    settings, fingerprints, statistics over all pairs and by clip, and the pairs
    skipped.csv     what was asked for and is not in the results, and why
"""

import contextlib
import csv
import json
import math
import pathlib

from perceptual.common import files
from perceptual.comparison import summary
from perceptual.comparison.journal import plain
from perceptual.comparison.pairing import Skipped
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
  output_dir = pathlib.Path(output_dir).expanduser()
  with writing(output_dir):
    with _open(output_dir / "results.csv") as stream:
      _write_rows(comparison, stream, heatmaps)
    with _open(output_dir / "skipped.csv") as stream:
      writer = csv.writer(stream, lineterminator="\n")
      writer.writerow(Skipped._fields)
      writer.writerows(comparison.skipped)
    with _open(output_dir / "results.json") as stream:
      _write_json(comparison, stream, settings, heatmaps)


@contextlib.contextmanager
def writing(output_dir):
  """Turns an `OSError` of the block into a `UserError` about the folder."""
  try:
    yield
  except OSError as error:
    raise UserError(f"Results cannot be written to {output_dir}: {error.strerror}.") from None


def rows(comparison, heatmaps=None):
  """Yields a dictionary a compared pair, of plain data; an infinite value is `"inf"`."""
  pairing = comparison.pairing
  for pair in comparison.compared():
    reference, candidate = pairing.names(pair)
    row = {"reference": reference, "candidate": candidate}
    if pairing.clips:
      row["clip"] = pairing.clips[pair]
    for column, value in zip(comparison.columns, comparison.values[pair]):
      row[column] = None if math.isnan(value) else plain(value)
    for label, paths in (heatmaps or {}).items():
      row[f"{label} heat map"] = paths.get(pair, "")
    yield {**row, "altered": "; ".join(altered(comparison, pair))}


def altered(comparison, pair):
  """Returns what of a pair's files does not reach the metric: `candidate: first of 12 frames`."""
  sides = zip(("reference", "candidate"), comparison.pairing.pairs[pair])
  return [f"{side}: {note}" for side, file in sides for note in comparison.headers[file].notes]


@contextlib.contextmanager
def _open(path):
  with files.beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
    yield stream


def _write_rows(comparison, stream, heatmaps):
  writer = None
  for row in rows(comparison, heatmaps):
    if writer is None:
      writer = csv.DictWriter(stream, list(row), lineterminator="\n")
      writer.writeheader()
    writer.writerow(row)


def _write_json(comparison, stream, settings, heatmaps):
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
  for i, row in enumerate(rows(comparison, heatmaps)):
    stream.write(("," if i else "") + "\n    " + json.dumps(row, allow_nan=False))
  stream.write("\n  ]\n}\n")


def _statistics(by_column):
  return {column: found._asdict() for column, found in by_column.items()}
