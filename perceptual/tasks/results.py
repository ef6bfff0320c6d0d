"""What a trained network was measured to be on a test set: numbers by image, means, intervals."""

import csv
import dataclasses
import itertools

import numpy as np

from perceptual import errors
from perceptual.common import files
from perceptual.common.text_table import aligned

SUMMARY_FILE, ITEMS_FILE = "summary.csv", "measures.csv"
RESAMPLES = 1000
CONFIDENCE = 0.95
ITEM_COLUMNS = ("test", "protocol", "method", "item", "measure", "value")
SUMMARY_COLUMNS = ("test", "protocol", "method", "measure", "items", "mean", "low", "high")
_NUMBERS = {"value", "items", "mean", "low", "high"}


@dataclasses.dataclass(frozen=True)
class Picture:
  """Images side by side, as the input, the output and the target.

  Attributes:
    name: of the item.
    images: what each shows -> `[height, width, 3]` uint8, of any sizes.
    caption: one line below them, with the scores.
  """

  name: str
  images: dict
  caption: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
  """One method on one test set under one protocol.

  Attributes:
    test: the test set.
    protocol: how it is measured, in a word or two.
    method: `network`, or the name of a baseline.
    items: what was measured, such as images: names.
    measures: name -> `[items]` float64. NaN where a measure is not defined, which means leave out.
    pictures: `Picture`s of some of the items.
    note: one line that is shown with the numbers; may be empty.
  """

  test: str
  protocol: str
  method: str
  items: tuple[str, ...]
  measures: dict
  pictures: tuple[Picture, ...] = ()
  note: str = ""


def mean_and_interval(values, seed=0):
  """Returns (mean, low, high) of values, with the 95% percentile bootstrap over them.

  Values that are NaN are left out. One value alone has no interval: low and high are NaN.

  Args:
    values: `[n]` numbers.
    seed: of the resampling.
  """
  values = np.asarray(values, np.float64)
  values = values[~np.isnan(values)]
  if not len(values):
    return np.nan, np.nan, np.nan
  if len(values) == 1:
    return float(values[0]), np.nan, np.nan
  draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
  tail = 50 * (1 - CONFIDENCE)
  low, high = np.percentile(values[draws].mean(axis=1), [tail, 100 - tail])
  return float(values.mean()), float(low), float(high)


def summary_rows(results):
  """Returns a line for every measure of every result, in the order of `SUMMARY_COLUMNS`."""
  rows = []
  for result in results:
    for measure, values in result.measures.items():
      counted = int(np.sum(~np.isnan(np.asarray(values, np.float64))))
      rows.append([result.test, result.protocol, result.method, measure, counted,
                   *mean_and_interval(values)])
  return rows


def table(results):
  """Returns the means with their intervals as text, and the notes."""
  lines = [[*SUMMARY_COLUMNS[:5], "mean", "95% interval"]]
  for *names, items, mean, low, high in summary_rows(results):
    interval = "" if np.isnan(low) else f"{low:.4g} to {high:.4g}"
    lines.append([*names, str(items), "" if np.isnan(mean) else f"{mean:.4g}", interval])
  notes = dict.fromkeys(result.note for result in results if result.note)
  return "\n".join([aligned(lines), *(f"Note: {note}" for note in notes)])


def write(results, folder):
  """Writes `measures.csv` (by item), `summary.csv` and the pictures, in the place of earlier ones.

  Returns:
    The paths of the two tables.
  """
  from perceptual.tasks import pictures

  paths = folder / SUMMARY_FILE, folder / ITEMS_FILE
  files.write_csv(paths[0], SUMMARY_COLUMNS, [
      [*names, items, *map(_number, numbers)]
      for *names, items, mean, low, high in summary_rows(results)
      for numbers in [(mean, low, high)]])
  files.write_csv(paths[1], ITEM_COLUMNS, [
      [result.test, result.protocol, result.method, item, measure, _number(value)]
      for result in results for measure, values in result.measures.items()
      for item, value in zip(result.items, values)])
  for earlier in (folder / "pictures").glob("*.png"):
    earlier.unlink()
  taken = set()
  for result in results:
    for picture in result.pictures:
      stem = f"{result.test}-{result.protocol}-{picture.name}".replace("/", "_").replace(" ", "_")
      numbered = (f"{stem}_{number}" for number in itertools.count(2))
      stem = next(name for name in itertools.chain([stem], numbered) if name not in taken)
      taken.add(stem)
      pictures.write(picture, folder / "pictures" / f"{stem}.png")
  return paths


def _number(value):
  return "" if np.isnan(value) else f"{value:.6f}"


def read(path, columns, *, again):
  """Returns the lines of a table that `write` has written, as dictionaries of text.

  Args:
    path: the file.
    columns: `ITEM_COLUMNS` or `SUMMARY_COLUMNS`.
    again: what writes it anew, a sentence for the errors.

  Raises:
    UserError: it cannot be read, or is damaged: other columns, no line, text for a number.
  """
  try:
    head, *lines = list(csv.reader(files.csv_lines(path), strict=True)) or [[]]
    if head != list(columns) or {len(line) for line in lines} != {len(columns)}:
      raise ValueError(f"it must hold lines of {', '.join(columns)}")
    rows = [dict(zip(columns, line)) for line in lines]
    for row in rows:
      for name in _NUMBERS.intersection(columns):
        float(row[name] or "nan")
  except OSError as error:
    raise errors.UserError(f"{path} cannot be read: {errors.reason(error)}. {again}") from None
  except (ValueError, csv.Error) as error:
    raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}. {again}") from None
  return rows
