"""Which file is compared with which: one with many, two folders, clips, a list, or all pairs.

Each form returns a `Pairing`. Only names are inspected at here; no image is opened.
"""

import collections
import csv
import dataclasses
import itertools
import os
import pathlib
import unicodedata
from typing import NamedTuple

import numpy as np

from perceptual.common.files import expanded
from perceptual.data.images import folders as image_folders
from perceptual.data.images import formats, image_files
from perceptual.data.images.view import WHOLE, View
from perceptual.errors import UserError

COLUMNS = ("reference", "candidate")  # of a CSV of pairs


class Skipped(NamedTuple):
  """Something that was asked for and is not in the results.

  Attributes:
    reference: the name of the reference file; empty where there is none.
    candidate: the name of the candidate file; empty where there is none.
    reason: why.
  """

  reference: str
  candidate: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Pairing:
  """Pairs of files.

  Attributes:
    about: what is compared with what, for people.
    files: paths, each once.
    pairs: `[pairs, 2]` int32: a reference and a candidate, as indices into `files`.
    clips: for each pair the name of the clip it belongs to; empty where there are no clips.
    skipped: files that are in no pair.
    explicit: whether every pair was named by the user, so that one that cannot be compared is an
      error.
    bit_depth: how many bits the samples of 16-bit files have; None for what each declares.
    view: the size to which images are brought.
  """

  about: str
  files: tuple[pathlib.Path, ...]
  pairs: np.ndarray
  clips: tuple[str, ...] = ()
  skipped: tuple[Skipped, ...] = ()
  explicit: bool = False
  bit_depth: int | None = None
  view: View = WHOLE

  def names(self, pair):
    """Returns the printable names of the reference and the candidate of a pair, by its index."""
    reference, candidate = self.pairs[pair]
    return printable(self.files[reference]), printable(self.files[candidate])


def one_with_many(reference, candidates):
  """Pairs a reference file with candidate files, all named by the user.

  Args:
    reference: its path.
    candidates: at least one path.
  """
  return _pairing(f"candidates against {printable(reference)}",
                  [(expanded(reference), expanded(candidate)) for candidate in candidates],
                  explicit=True)


def folders(reference_dir, candidate_dir):
  """Pairs the images of two folders, and of the folders inside them, by name.

  A name is the path below the folder. Files of exactly the same name are partners. Of the others,
  first those pair whose names differ in their Unicode form alone, then those that differ in the
  extension alone (`a/1.png` and `a/1.jpg`). If several files match, none is paired. Hidden files
  are ignored; other files without a partner are listed as skipped, as are links to folders that
  are read already.

  Raises:
    UserError: if one is not a directory, or holds no image.
  """
  pairs, skipped = _by_name(reference_dir, candidate_dir)
  return _pairing(f"{printable(candidate_dir)} against {printable(reference_dir)}, by name",
                  [(reference, candidate) for _, reference, candidate in pairs], skipped=skipped)


def frames(reference_dir, candidate_dir):
  """Pairs the frames of clips by name, as `folders` does; a clip is a folder of frames.

  Frames that lie in no folder of their own are those of a clip called `.`.

  Raises:
    UserError: if one is not a directory, or holds no image.
  """
  pairs, skipped = _by_name(reference_dir, candidate_dir)
  clips = [printable(pathlib.PurePosixPath(name).parent) for name, _, _ in pairs]
  return _pairing(
      f"clips of {printable(candidate_dir)} against those of {printable(reference_dir)}, frames by "
      "name", [(reference, candidate) for _, reference, candidate in pairs], clips=clips,
      skipped=skipped)


def from_csv(path):
  """Pairs files as a CSV file lists them.

  Args:
    path: a file in UTF-8 with a head that names at least the columns `reference` and `candidate`;
      others are ignored. Relative paths start at the folder of the CSV file. A line that names
      no two files is listed as skipped.

  Raises:
    UserError: if it cannot be read, lacks a column, or lists nothing.
  """
  path = expanded(path)
  pairs, skipped = [], []
  try:
    with path.open(encoding="utf-8-sig", newline="") as stream:
      for entry in _listed(csv.DictReader(stream), path):
        (skipped if isinstance(entry, Skipped) else pairs).append(entry)
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}.") from None
  except (UnicodeDecodeError, csv.Error) as error:
    raise UserError(f"{path} is not a CSV file in UTF-8: {error}.") from None
  if not pairs and not skipped:
    raise UserError(f"{path} lists no pairs.")
  return _pairing(f"the pairs of {printable(path)}", pairs, skipped=skipped)


def every_pair(folder):
  """Pairs every image of a folder, and of the folders inside it, with every other, once.

  Of several links to one file the first by name stands for all; the others are listed as skipped.

  Raises:
    UserError: if it is not a directory, or holds fewer than two images.
  """
  folder = expanded(folder)
  names, others = _images(folder)
  names, again = _each_file_once(folder, names)
  others += again
  files = tuple(folder / name for name in names)
  if len(files) < 2:
    raise UserError(f"{folder} holds one image; all pairs need at least two.")
  pairs = np.stack(np.triu_indices(len(files), 1), axis=1).astype(np.int32)
  return Pairing(f"all pairs of the {len(files):,} images of {printable(folder)}", files, pairs,
                 skipped=tuple(Skipped(printable(folder / name), "", reason)
                               for name, reason in others))


def printable(path):
  """Returns a path as text that any screen or file takes: what is unprintable is escaped."""
  return "".join(character if character.isprintable()
                 else character.encode("unicode_escape").decode("ascii")
                 for character in str(path))


def _pairing(about, pairs, *, clips=(), skipped=(), explicit=False):
  """Returns the `Pairing` of pairs of paths; it holds each path and each pair once."""
  pairs = [(pathlib.Path(reference), pathlib.Path(candidate)) for reference, candidate in pairs]
  again = [Skipped(*map(printable, pair), "named more than once")
           for pair, times in collections.Counter(pairs).items() if times > 1]
  pairs = list(dict.fromkeys(pairs))
  files = {path: index for index, path in enumerate(dict.fromkeys(itertools.chain(*pairs)))}
  indices = np.array([(files[reference], files[candidate]) for reference, candidate in pairs],
                     np.int32).reshape(-1, 2)
  return Pairing(about, tuple(files), indices, tuple(clips), (*skipped, *again),
                 explicit)


def _by_name(reference_dir, candidate_dir):
  """Returns `[(name, reference, candidate)]` of two folders, and what is in no pair."""
  reference_dir, candidate_dir = expanded(reference_dir), expanded(candidate_dir)
  references, others = _images(reference_dir)
  candidates, other_candidates = _images(candidate_dir)
  skipped = [Skipped(printable(reference_dir / name), "", reason) for name, reason in others]
  skipped += [Skipped("", printable(candidate_dir / name), reason)
              for name, reason in other_candidates]
  pairs = []
  for ours, theirs in _namesakes(references, candidates):
    if len(ours) == len(theirs) == 1:
      pairs.append((_composed(ours[0]), reference_dir / ours[0], candidate_dir / theirs[0]))
      continue
    skipped += [Skipped(printable(reference_dir / name), "", _no_partner(name, "candidate", theirs))
                for name in ours]
    skipped += [Skipped("", printable(candidate_dir / name), _no_partner(name, "reference", ours))
                for name in theirs]
  return pairs, skipped


def _namesakes(references, candidates):
  """Yields the references and the candidates of one name.

  That is the exact one; else the one in composed letters, if one file of either side has it; else
  that one without its extension.
  """
  both = set(references) & set(candidates)
  composed = [collections.Counter(_composed(name) for name in names if name not in both)
              for names in (references, candidates)]
  groups = {}
  for side, names in enumerate((references, candidates)):
    for name in names:
      key = _composed(name)
      if name in both:
        key = (name,)
      elif any(counts[key] != 1 for counts in composed):
        key = pathlib.PurePosixPath(key).with_suffix("")
      groups.setdefault(key, ([], []))[side].append(name)
  yield from groups.values()


def _composed(name):
  """Returns a name in composed letters: macOS writes é as two characters, other systems as one."""
  return unicodedata.normalize("NFC", name)


def _no_partner(name, wanted, found):
  if not found:
    return f"no {wanted} of this name" + ("" if name == _composed(name) else f", {name!a}")
  if {_composed(name)} & {_composed(other) for other in found}:
    return f"names that differ in their Unicode form alone: {', '.join(map(ascii, found))}"
  return f"names that differ in the extension alone: {', '.join(map(printable, found))}"


def _images(folder):
  """Returns the names of a folder's images, and `[(name, reason)]` of what else is in it."""
  if not folder.is_dir():
    raise UserError(f"No such folder: {folder}.")
  sizes, _ = image_files.list_files(folder)
  images = [name for name in sizes if image_files.is_image_name(name)]
  if not images:
    raise UserError(f"{folder} holds no image ({formats.NAMES}).")
  others = [(name, "not the name of an image") for name in sizes
            if not image_files.is_image_name(name)]
  return images, [*others, *image_folders.passed_over(folder).items()]


def _each_file_once(folder, names):
  """Returns the names of different files, and `[(name, reason)]` of links to one of these."""
  first, again = {}, []
  for name in names:
    try:
      status = os.stat(folder / name)
    except OSError:  # reading it gives the error that is to be reported
      first[name] = name
      continue
    other = first.setdefault((status.st_dev, status.st_ino), name)
    if other != name:
      again.append((name, f"the same file as {printable(other)}"))
  return list(first.values()), again


def _listed(rows, path):
  """Yields for each row of a CSV reader its pair of paths, or a `Skipped`."""
  missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
  if missing:
    found = ", ".join(map(repr, rows.fieldnames or ())) or "nothing"
    raise UserError(f"{path} needs the columns {' and '.join(COLUMNS)}; it has {found}.")
  for row in rows:
    pair = tuple(row[column] or "" for column in COLUMNS)
    try:
      if not all(pair):
        raise UserError("a reference and a candidate are needed")
      yield tuple(path.parent / expanded(name) for name in pair)
    except UserError as error:
      yield Skipped(*map(printable, pair), f"line {rows.line_num}: {error}")
