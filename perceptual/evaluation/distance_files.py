"""`distances.csv`, from which every score can be computed again without a network or an image.

    example, reference, candidate, number, answer, votes, then a column a metric and tap

A line is one candidate of one example; lower is better in every column. What no line can say (the
kind of judgements, their direction, which columns are ranked) is in `scores.json` beside it, with
the file's number of examples and checksum, without which it is not read.
"""

import csv
import hashlib
import io
import json

import numpy as np

from perceptual import errors
from perceptual.common import files
from perceptual.errors import UserError
from perceptual.evaluation import answers

DISTANCES, SCORES = "distances.csv", "scores.json"
_ABOUT = ("example", "reference", "candidate", "number", "answer", "votes")
_CANDIDATES = {"2afc": 2, "jnd": 1, "opinions": 1}


def as_csv(judged, distances):
  """Returns the text of `distances.csv`.

  Args:
    judged: `answers.Answers`.
    distances: `{column: [examples, candidates] float64}`.
  """
  votes = [""] * judged.size if judged.votes is None else judged.votes
  return table([*_ABOUT, *distances], (
      [example, judged.references[example], candidate, number, judged.values[example],
       votes[example], *(found[example, number] for found in distances.values())]
      for example, candidates in enumerate(judged.candidates)
      for number, candidate in enumerate(candidates)))


def record(judged, distances):
  """Returns what `scores.json` says of `distances.csv`: `{"examples", "sha256"}`.

  Args:
    judged: `answers.Answers`.
    distances: `{column: [examples, candidates] float64}`.
  """
  text = as_csv(judged, distances)
  return {"examples": judged.size, "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest()}


def sha256_of(path):
  """Returns the SHA-256 of a file; `UserError` where it cannot be read."""
  return hashlib.sha256(_bytes(path)).hexdigest()


def read_json(path):
  """Returns the object in a JSON file; `UserError` where it cannot be read or is something else."""
  text = _text(_bytes(path), path)
  try:
    found = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise UserError(f"{path} is not as perceptual evaluate writes it: {error}.") from None
  if not isinstance(found, dict):
    raise UserError(f"{path} is not as perceptual evaluate writes it: it is not a JSON object.")
  return found


def read(folder):
  """Returns what an evaluation wrote: `(answers.Answers, distances, ranked, about)`.

  Args:
    folder: its output folder, with `distances.csv` and `scores.json`.

  Returns:
    The answers; `{column: [examples, candidates] float64}`; the columns that are ranked, in the
    order of the file; and `{"settings", "fingerprints"}` as they were.

  Raises:
    UserError: a file is missing, has changed since, or is not as an evaluation writes it.
  """
  folder = files.place(folder)
  data = _bytes(folder / DISTANCES)
  about = read_json(folder / SCORES)
  text = _text(data, folder / DISTANCES)
  try:
    examples = _require_unchanged(folder, data, text, about)
    head, *rows = csv.reader(io.StringIO(text))
    if tuple(head[:len(_ABOUT)]) != _ABOUT or len(set(head)) < len(head):
      raise ValueError("the head is not that of an evaluation")
    judged, distances = _parsed(head[len(_ABOUT):], rows, about)
    if judged.size != examples:
      raise ValueError(f"{judged.size} examples where {SCORES} says {examples}")
    ranked = [column for column in distances if column in about["ranking"]]
    kept = {name: dict(about[name]) for name in ("settings", "fingerprints")}
  except UserError:
    raise
  except (ValueError, KeyError, TypeError, IndexError, AttributeError, csv.Error) as error:
    raise UserError(f"{folder / DISTANCES} and {SCORES} are not as perceptual evaluate writes them "
                    f"for a judged set: {error}.") from None
  return judged, distances, ranked, kept


def table(head, rows):
  """Returns a CSV as text.

  Args:
    head: names of columns.
    rows: an iterable of lists of values.
  """
  stream = io.StringIO()
  writer = csv.writer(stream, lineterminator="\n")
  writer.writerow(head)
  writer.writerows(rows)
  return stream.getvalue()


def _bytes(path):
  try:
    return path.read_bytes()
  except OSError as error:
    raise UserError(f"{path} cannot be read: {errors.reason(error)}. Give the output "
                    "folder of an evaluation on a judged set.") from None


def _text(data, path):
  try:
    return data.decode("utf-8")
  except UnicodeDecodeError as error:
    raise UserError(f"{path} is not UTF-8, as perceptual evaluate writes it: byte {error.start} is "
                    f"{data[error.start]:#04x}.") from None


def _require_unchanged(folder, data, text, about):
  """Returns the number of examples on record; `UserError` where `distances.csv` is another file."""
  if "distances" not in about:
    raise UserError(f"{folder / SCORES} has no checksum of {DISTANCES} (\"distances\"), without "
                    "which it is not read: give the perceptual evaluate command of that folder "
                    "again.")
  examples, sha256 = (about["distances"][name] for name in ("examples", "sha256"))
  if hashlib.sha256(data).hexdigest() != sha256:
    lines = sum(1 for _ in csv.reader(io.StringIO(text))) - 1
    wanted = examples * _CANDIDATES[about["kind"]]
    counted = "" if lines == wanted else f" It has {lines:,} lines of {wanted:,}."
    raise UserError(f"{folder / DISTANCES} has changed since it was written: its SHA-256 is not "
                    f"the one in {SCORES}.{counted} Score the metrics again, or bring the file "
                    "back.")
  return examples


def _parsed(columns, rows, about):
  each = _CANDIDATES[about["kind"]]
  expected = [[str(i // each), str(i % each)] for i in range(len(rows))]
  if [[row[0], row[3]] for row in rows] != expected or not rows:
    raise ValueError("its examples are not in a row, from 0")
  first = rows[::each]
  votes = [row[5] for row in first]
  judged = answers.Answers(
      name=about["judged_set"], kind=about["kind"], note=about["note"],
      higher_is_better=about["higher_is_better"], values=np.array([float(row[4]) for row in first]),
      votes=np.array([int(vote) for vote in votes]) if all(votes) else None,
      references=np.array([row[1] for row in first]),
      candidates=np.array([row[2] for row in rows]).reshape(-1, each),
      provenance=about["provenance"])
  values = np.array([[float(cell) for cell in row[len(_ABOUT):]] for row in rows])
  by_column = values.reshape(len(first), each, len(columns))
  return judged, {column: by_column[:, :, place] for place, column in enumerate(columns)}
