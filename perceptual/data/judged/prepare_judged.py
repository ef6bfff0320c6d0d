"""Prepares judgements of people with their images: one's own study, or a public set as downloaded.

What can be checked without an image is checked first; then every image is decoded, and copied as it
is, beside the set's place. The set appears there when it is whole. A killed run leaves what it has
copied, and the same command goes on with it; a mistake leaves nothing.
"""

import collections
import contextlib
import dataclasses
import datetime
import hashlib
import posixpath
import shutil
import warnings

import numpy as np

from perceptual.common import files
from perceptual.common.in_order import map_in_order
from perceptual.common.progress import progress
from perceptual.data import already_there, tfds_files
from perceptual.data.images import image_files
from perceptual.data.judged import (
  from_table,
  judgements,
  prepared,
  public_sets,
  reversed_answers,
  source_files,
)
from perceptual.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Report:
  """What was prepared; `str(report)` is for people.

  Attributes:
    judged: the set, as `prepared.load_judged` gives it.
    unused: how many images of the source no judgement names.
    altered: what is altered when images are read -> in how many; the files are copied as they are.
    found: whether the set was complete already and nothing was done.
  """

  judged: prepared.PreparedJudgements
  unused: int
  altered: dict[str, int]
  found: bool = False

  def __str__(self):
    judged = self.judged
    sizes = sorted({f"{width}x{height}" for height, width in judged.image_sizes.tolist()})
    counted = judgements.counted
    counts = [counted(judged.size, judgements.EXAMPLES[judged.kind]),
              counted(len(np.unique(judged.references)), "references"),
              f"{counted(len(judged.images), 'images')} ({judgements.listed(sizes)})"]
    if judged.votes is not None:
      counts.insert(1, counted(int(judged.votes.sum()), "votes"))
    if judged.kind == "opinions":
      low, high = judged.answers.min(), judged.answers.max()
      counts.append(f"scores {low:g} to {high:g}, "
                    f"{'higher' if judged.higher_is_better else 'lower'} is better")
    lines = [f"judged/{judged.name}: {'; '.join(counts)}; in {judged.directory}"]
    if self.found:
      return f"{already_there.NOTHING_TO_DO}{lines[0]}"
    if self.unused:
      lines.append(f"in no judgement, and left in the source: {counted(self.unused, 'images')}")
    return "\n".join([*lines, *image_files.altered_lines(self.altered)])


def prepare(source, data_dir, *, name, layout=None, table=None, columns=None, direction=None,
            overwrite=False, accept_reversed=False):
  """Checks a judged set whole, and writes `<data_dir>/judged/<name>`.

  Args:
    source: a folder or a tar archive (also compressed).
    data_dir: the folder of prepared data sets.
    name: what to call the set.
    layout: one of `public_sets.LAYOUTS`, or None for a CSV as `from_table` describes it.
    table: without a layout, the name of the CSV; None where there is one alone.
    columns: without a layout, `{name in from_table: name in the CSV}`.
    direction: without a layout, of opinions: one of `from_table.DIRECTIONS`.
    overwrite: whether to replace a set of this name.
    accept_reversed: whether answers that look reversed give a warning, and no error.

  Returns:
    A `Report`. Nothing is done if the set is there already and holds the same judgements of the
    same images.

  Raises:
    UserError: an option is illegal, another set of this name is there already, the judgements are
      not as they should be or look reversed, an image is missing or does not decode, or the images
      of an example differ in size.
  """
  directory = prepared.directory_of(name, data_dir)
  found = source_files.SourceFiles(source)
  judged = judgements.checked(_read(found, layout, table, columns, direction))
  if tfds_files.is_kept(directory, overwrite=overwrite, completed_by=prepared.INFO):
    return _found(_there(name, data_dir), judged, found)
  provenance = _provenance(found, judged, layout)
  made = [] if files.is_remote(directory) else [
      folder for folder in (directory.parent, files.place(data_dir)) if not folder.exists()]
  try:
    with tfds_files.unfinished(directory, overwrite=overwrite, resume=True,
                               completed_by=prepared.INFO) as building:
      try:
        altered = _write(building, judged, source, provenance)
        _check_direction(prepared.read(building, name), judged.itself, accept_reversed)
      except UserError:
        shutil.rmtree(building)
        raise
  except UserError:
    _remove_empty(made)
    raise
  return Report(prepared.load_judged(name, data_dir), _unused(judged, found), altered)


def _there(name, data_dir):
  """Returns the set that is there; the `UserError` of a damaged one says how to replace it."""
  try:
    there = prepared.load_judged(name, data_dir)
    there.verify()
    return there
  except UserError as error:
    raise UserError(f"{error} To replace it: --overwrite.") from None


def _found(there, judged, files_found):
  """Returns the report of the set there; `UserError` if it is not the one asked for."""
  other = [
      what for what, is_other in (
          ("another direction", there.higher_is_better != judged.higher_is_better),
          ("other judgements", there.note != judged.note or not prepared.has_rows(
              there, judged.kind, _rows(judged))),
          ("other images", not _has_images(there, judged, files_found)))
      if is_other]
  if other:
    raise UserError(
        f"{there.directory} already holds a judged set, with {' and '.join(other)} than "
        f"{files_found.path}: choose another --name, or give --overwrite.")
  return Report(there, _unused(judged, files_found), {}, found=True)


def _has_images(there, judged, found):
  """Whether a set's images are those of a source, by name, size and, if these agree, checksum."""
  if {image.name: image.bytes for image in there.images} != {
      name: found.size(name) for name in judged.image_names}:
    return False
  sha256 = {image.name: image.sha256 for image in there.images}
  wanted = (file for file in image_files.image_files(found.path) if file.name in sha256)
  same = map_in_order(lambda file: _sha256(_read_whole(file)) == sha256[file.name], wanted, ahead=8)
  with progress(same, description="comparing", total=len(sha256)) as bar:
    return all(bar)


def _unused(judged, found):
  named = set(judged.image_names)
  return sum(image_files.is_image_name(file) and file not in named for file in found.names)


def _check_direction(judged, itself, accept_reversed):
  doubt = reversed_answers.doubt(judged, itself)
  if doubt and not accept_reversed:
    raise UserError(f"{doubt} If it is right as it is: --accept_reversed.")
  if doubt:
    warnings.warn(doubt, stacklevel=3)


def _read(found, layout, table, columns, direction):
  if layout is None:
    return from_table.read(found, table=table, columns=columns, direction=direction)
  if layout not in public_sets.LAYOUTS:
    raise unknown("layout", layout, public_sets.LAYOUTS)
  if table or columns or direction:
    raise UserError(f"The layout {layout} says itself which table and columns there are, and which "
                    "direction its scores have.")
  return public_sets.LAYOUTS[layout].read(found)


def _provenance(found, judged, layout):
  contents = found.read(judged.tables)
  return {
      "source": str(found.path),
      "layout": layout,
      "tables": {name: _sha256(data) for name, data in contents.items()},
      "prepared": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
  }


def _write(building, judged, source, provenance):
  """Writes the set; returns what is altered when its images are read -> in how many."""
  places = _places(judged)
  images, altered = _copy(building, source, places)
  _check_sizes(judged.rows, images, places)
  prepared.write(
      building, kind=judged.kind, note=judged.note, higher_is_better=judged.higher_is_better,
      rows=_rows(judged), images=images, provenance=provenance)
  return altered


def _places(judged):
  """Returns `{name of an image: its number in the set}`."""
  return {name: index for index, name in enumerate(judged.image_names)}


def _rows(judged):
  """Returns the examples as `prepared.write` takes them."""
  places = _places(judged)
  return [([places[name] for name in row.images], row.answer, row.votes, row.part)
          for row in judged.rows]


def _copy(building, source, places):
  """Copies the images that decode.

  Returns:
    (`StoredImage`s by their places, what is altered on reading -> in how many).
  """
  (building / "images").mkdir(exist_ok=True)
  wanted = (file for file in image_files.image_files(source) if file.name in places)
  images, altered = [None] * len(places), collections.Counter()
  with progress(description="checking", total=len(places)) as bar:
    for stored, notes in map_in_order(
        lambda file: _copy_one(building, file, places[file.name]), wanted, ahead=8):
      images[places[stored.name]] = stored
      altered.update(notes)
      bar.update()
  missing = [name for name, place in places.items() if images[place] is None]
  if missing:
    raise UserError(f"{judgements.counted(len(missing), 'files')} not of a format that is read "
                    f"({', '.join(image_files.SUFFIXES)}): {judgements.listed(missing)}.")
  _remove_others(building, images)
  return images, dict(altered)


def _remove_others(building, images):
  """Removes what a killed run with other judgements has left."""
  kept = {image.file for image in images}
  for path in (building / "images").iterdir():
    if f"images/{path.name}" not in kept:
      path.unlink()


def _copy_one(building, file, place):
  """Checks one image and copies it, unless a killed run has; returns it stored, and notes."""
  data = _read_whole(file)
  suffix = posixpath.splitext(file.name)[1].lower()
  path = building / "images" / f"{place:06d}{suffix}"
  pixels, notes = image_files.decode_with_notes(data, file.name)
  height, width = pixels.shape[:2]
  if not path.is_file() or path.read_bytes() != data:
    with files.beside(path) as temporary:
      temporary.write_bytes(data)
  return prepared.StoredImage(
      file=f"images/{path.name}", name=file.name, height=height, width=width, bytes=len(data),
      sha256=_sha256(data)), notes


def _read_whole(file):
  try:
    return file.read()
  except OSError as error:
    raise UserError(f"{file.name}: {error.strerror or error}.") from error


def _sha256(data):
  return hashlib.sha256(data).hexdigest()


def _check_sizes(rows, images, places):
  for row in rows:
    sizes = [images[places[name]] for name in row.images]
    if len({(image.height, image.width) for image in sizes}) > 1:
      raise UserError(f"{row.where}: the images differ in size: " + ", ".join(
          f"{image.name} {image.width}x{image.height}" for image in sizes) + ".")


def _remove_empty(folders):
  """Removes folders that were made for nothing, the innermost first."""
  for folder in folders:
    with contextlib.suppress(OSError):  # something else lies there by now
      folder.rmdir()
