"""Judged sets with images of any size: the form of `perceptual prepare judged`, and its reader.

A set lies in `<data_dir>/judged/<name>`:

  judged.json     what it is, where it comes from, how many there are, and checksums
  examples.csv    reference, candidates (numbers of images), the answer, votes, part
  images.csv      file, the name in the source, height, width, bytes, sha256
  images/         the files as they were, numbered in the order of their first use

Reading needs NumPy and Pillow alone, decodes an image when it is asked for, and keeps none. What is
measured is verified before.
"""

import collections
import csv
import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import re

import numpy as np

from perceptual import errors
from perceptual.common import files
from perceptual.common.in_order import map_in_order
from perceptual.common.progress import progress
from perceptual.data.images import image_files
from perceptual.data.judged.judgements import ANSWERS, KINDS

FOLDER = "judged"
FORMAT = 1
INFO = "judged.json"  # completes a set
_EXAMPLES, _IMAGES = "examples.csv", "images.csv"
_TEMPORARY = (".unfinished", ".replaced")  # folders of `tfds_files`
_CANDIDATES = {"2afc": 2, "jnd": 1, "opinions": 1}


@dataclasses.dataclass(frozen=True)
class StoredImage:
  """One image of a set.

  Attributes:
    file: its path below the set's folder.
    name: what it was called in the source.
    height: in pixels.
    width: in pixels.
    bytes: the size of its file.
    sha256: of its file.
  """

  file: str
  name: str
  height: int
  width: int
  bytes: int
  sha256: str


@dataclasses.dataclass(frozen=True)
class PreparedJudgements:
  """A judged set whose images have any size; those of one example have one size.

  Attributes:
    name: of the set.
    kind: `2afc`, `jnd` or `opinions`.
    note: who judged what; shown with every score on this set.
    higher_is_better: of `opinions`, whether a higher one is a better image; otherwise None.
    examples: `[examples, 1 + candidates]` int64, indices of images: the reference, then its
      candidates, two for `2afc` and one otherwise.
    answers: `[examples]` float64: of `2afc` the fraction of people who found the second candidate
      closer, of `jnd` the fraction who could not tell the two apart, of `opinions` the mean rating.
    votes: `[examples]` int64, how many people judged; None where that is not known.
    parts: `[examples]` strings, what was done to the candidate; None where that is not told.
    images: a tuple of `StoredImage`.
    provenance: plain data: the source, its tables with their checksums, when it was prepared, and
      `sha256` of all examples and images.
    directory: where the set lies.
  """

  name: str
  kind: str
  note: str
  higher_is_better: bool | None
  examples: np.ndarray
  answers: np.ndarray
  votes: np.ndarray | None
  parts: np.ndarray | None
  images: tuple[StoredImage, ...]
  provenance: dict
  directory: pathlib.Path

  @property
  def size(self):
    """The number of examples."""
    return len(self.answers)

  @functools.cached_property
  def references(self):
    """`[examples]` int64: which reference an example has; files of equal content are one."""
    first = {}
    same = np.array([first.setdefault(image.sha256, index)
                     for index, image in enumerate(self.images)])
    return same[self.examples[:, 0]]

  @functools.cached_property
  def image_sizes(self):
    """`[images, 2]` int64: height and width of each image."""
    return np.array([[image.height, image.width] for image in self.images])

  def by_size(self):
    """Returns `{(height, width): [examples] int64}`: the examples by the size of their images."""
    groups = collections.defaultdict(list)
    for example, (height, width) in enumerate(self.image_sizes[self.examples[:, 0]].tolist()):
      groups[height, width].append(example)
    return {size: np.array(found) for size, found in sorted(groups.items())}

  def verify(self):
    """Reads every image's file, and raises `UserError` for the first that is not as it was."""
    found = map_in_order(lambda image: files.sha256(self.directory / image.file), self.images)
    for image, sha256 in zip(self.images, progress(
        found, description=f"verifying judged/{self.name}", total=len(self.images))):
      if sha256 != image.sha256:
        raise self._changed(image)

  def image(self, index):
    """Returns one image, `[height, width, 3]` uint8, decoded now.

    Raises:
      UserError: the file is missing or has changed.
    """
    stored = self.images[index]
    path = self.directory / stored.file
    try:
      pixels = image_files.decode(path.read_bytes(), str(path))
    except OSError as error:
      raise errors.UserError(f"{path} cannot be read: {errors.reason(error)}. Prepare "
                             f"judged/{self.name} again.") from error
    if pixels.shape[:2] != (stored.height, stored.width):
      raise self._changed(stored)
    return pixels

  def _changed(self, image):
    return errors.UserError(f"{self.directory / image.file} has changed since it was prepared: "
                            f"prepare judged/{self.name} again.")


def directory_of(name, data_dir):
  """Returns the folder of a set, there or not; `UserError` where the name cannot be one."""
  legal = re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name or "")
  if not legal or name.endswith(_TEMPORARY):
    raise errors.UserError("The name of a judged set has letters, digits, '-', '_' and '.'. "
                           f"Received: {name!r}.")
  return files.place(data_dir) / FOLDER / name


def available(data_dir):
  """Returns the names of the sets in a folder, sorted."""
  folder = files.place(data_dir) / FOLDER
  return sorted(path.parent.name for path in folder.glob(f"*/{INFO}")
                if not path.parent.name.endswith(_TEMPORARY))


def is_complete(directory):
  """Whether a folder holds a whole set: `judged.json` is written last."""
  return (files.place(directory) / INFO).is_file()


def load_judged(name, data_dir):
  """Returns the `PreparedJudgements` of a set by its name.

  Args:
    name: as given to `perceptual prepare judged --name`.
    data_dir: the folder of prepared data sets.

  Raises:
    UserError: there is no such set, a file is missing or has another size, or what is written there
      does not fit together.
  """
  directory = directory_of(name, data_dir)
  if not is_complete(directory):
    if (directory / _IMAGES).exists():
      raise errors.UserError(f"{directory / INFO} is missing: prepare the set again.")
    there = ", ".join(available(data_dir)) or "none"
    raise errors.UserError(f"No judged set {name!r} in {data_dir}: prepare it first (perceptual "
                           f"prepare judged). There are: {there}.")
  return read(directory, name)


def read(directory, name):
  """Returns the `PreparedJudgements` that lie in a folder, whole.

  Args:
    directory: the folder.
    name: of the set.

  Raises:
    UserError: as `load_judged`.
  """
  try:
    info = json.loads((directory / INFO).read_text("utf-8"))
    texts = {file: (directory / file).read_text("utf-8") for file in (_EXAMPLES, _IMAGES)}
    if info["format"] != FORMAT or info["sha256"] != _sha256(texts, info):
      raise ValueError("its files are not as they were written")
    images = tuple(StoredImage(row["file"], row["name"], *(
        int(row[key]) for key in ("height", "width", "bytes")), row["sha256"])
        for row in csv.DictReader(io.StringIO(texts[_IMAGES])))
    columns = _columns(texts[_EXAMPLES], info["kind"])
  except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
    raise errors.UserError(f"The judged set in {directory} is damaged: {error}. Prepare it again."
                           ) from error
  _check_files(directory, images)
  return PreparedJudgements(
      name=name, kind=info["kind"], note=info["note"], higher_is_better=info["higher_is_better"],
      images=images, directory=directory,
      provenance={**info["provenance"], "sha256": info["sha256"]}, **columns)


def write(directory, *, kind, note, higher_is_better, rows, images, provenance):
  """Writes the tables of a set whose images are there; `judged.json` comes last.

  Args:
    directory: the folder, with the images in it.
    kind: one of `judgements.KINDS`.
    note: who judged what.
    higher_is_better: of `opinions`, or None.
    rows: `(indices of images, answer, votes or None, part)` of each example.
    images: the `StoredImage`s.
    provenance: plain data for JSON.
  """
  texts = {
      _EXAMPLES: _examples_text(kind, rows),
      _IMAGES: _as_csv([field.name for field in dataclasses.fields(StoredImage)],
                       (dataclasses.astuple(image) for image in images))}
  for name, text in texts.items():
    files.write_text(directory / name, text)
  info = {"format": FORMAT, "kind": kind, "note": note, "higher_is_better": higher_is_better,
          "provenance": provenance}
  info["sha256"] = _sha256(texts, info)
  files.write_text(directory / INFO, json.dumps(info, indent=2, ensure_ascii=False) + "\n")


def has_rows(judged, kind, rows):
  """Whether a `PreparedJudgements` has the same examples as `write` would write.

  Args:
    judged: the set.
    kind: as `write` takes it.
    rows: as `write` takes them.
  """
  text = (judged.directory / _EXAMPLES).read_text("utf-8")
  return judged.kind == kind and text == _examples_text(kind, rows)


def _examples_text(kind, rows):
  return _as_csv(_head(kind), (
      (*indices, repr(float(answer)), "" if votes is None else votes, part)
      for indices, answer, votes, part in rows))


def _head(kind):
  candidates = ["candidate"] if _CANDIDATES[kind] == 1 else ["candidate_0", "candidate_1"]
  return ["reference", *candidates, ANSWERS[kind], "votes", "part"]


def _columns(text, kind):
  """The arrays of a set, by their names in `PreparedJudgements`."""
  if kind not in KINDS:
    raise ValueError(f"its kind is {kind!r}")
  *names, answer, votes, part = _head(kind)
  rows = list(csv.DictReader(io.StringIO(text)))
  known_votes = all(row[votes] for row in rows)
  return {
      "examples": np.array([[int(row[name]) for name in names] for row in rows], np.int64),
      "answers": np.array([float(row[answer]) for row in rows]),
      "votes": np.array([int(row[votes]) for row in rows]) if known_votes else None,
      "parts": np.array([row[part] for row in rows]) if any(row[part] for row in rows) else None}


def _check_files(directory, images):
  """Raises unless every image is there and has its size; contents are not read."""
  paths = [directory / image.file for image in images]
  for image, path, size in zip(images, paths, map_in_order(files.size, paths)):
    if size != image.bytes:
      raise errors.UserError(
          f"{path} {'is missing' if size is None else f'has {size:,} bytes, not {image.bytes:,}'}: "
          f"prepare the set again.")


def _as_csv(head, rows):
  stream = io.StringIO()
  writer = csv.writer(stream, lineterminator="\n")
  writer.writerow(head)
  writer.writerows(rows)
  return stream.getvalue()


def _sha256(texts, info):
  """Of what scores depend on: the tables, the images by their checksums, kind and direction."""
  parts = [*(texts[name] for name in sorted(texts)), info["kind"], str(info["higher_is_better"])]
  return hashlib.sha256("\0".join(parts).encode()).hexdigest()
