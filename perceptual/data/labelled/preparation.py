"""Prepares labelled images as a TFDS data set: of one size, whole, in random order, resumable.

Images are box-resized whole and stored as PNG, which keeps every pixel; those of the right size
already are stored as they are.

Examples are written in a random order given by a seed. A killed run is resumed by the next one
with the same arguments, which loses at most `COMMIT_EVERY` images of work and writes the same bytes
as an uninterrupted one. Until the last file is whole there is nothing to read by
mistake.
"""

import collections
import dataclasses
import functools
import json
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.common import files
from perceptual.common.in_order import map_in_order
from perceptual.common.progress import progress
from perceptual.data import already_there, tfds_files
from perceptual.data.images import image_files
from perceptual.data.labelled import labelled_sources
from perceptual.data.labelled.shuffled_writer import ShuffledWriter
from perceptual.errors import UserError

COMMIT_EVERY = 10_000  # of ImageNet's images each time 133 files are synced
UNREADABLE_LIST = "unreadable.txt"
_UNREADABLE_SHARE = 0.01
_UNREADABLE_COUNT = 10  # so many are not too many in a set of any size
_IGNORED_LISTED = 20


@dataclasses.dataclass(frozen=True)
class Report:
  """What was made of a source.

  Attributes:
    dataset: what the data set is called, for instance `imagenet_resized/64x64:0.1.0`.
    source: the name of the folder or archive.
    image_size: height and width of the images, in pixels.
    seed: of the order, and of held-out images.
    sizes: number of examples of each split.
    class_counts: number of examples by label, of each split; only labels that are there.
    class_names: label name -> words for people, where the source has them.
    resized: number of images that were not of that size.
    unreadable: `(name, reason)` of every image that could not be read.
    ignored: names of the first files that were not taken for images.
    notes: what a person should know about how the source was understood.
    altered: what was altered on reading, for instance `laid over white` -> in how many images.
    made_with: what the data set depends on beside its source, option -> value.
    found: whether the data set was there already and nothing was done.
  """

  dataset: str
  source: str
  image_size: int
  seed: int
  sizes: dict[str, int]
  class_counts: dict[str, dict[int, int]]
  class_names: dict[str, str]
  resized: int
  unreadable: list[tuple[str, str]]
  ignored: list[str]
  notes: list[str]
  altered: dict[str, int] = dataclasses.field(default_factory=dict)
  made_with: dict = dataclasses.field(default_factory=dict)
  found: bool = False

  def summary(self):
    """Returns the report as a few lines of text; as one where nothing was done."""
    counts = ", ".join(
        f"{size:,} {split} images of {len(self.class_counts[split])} classes"
        for split, size in self.sizes.items())
    resized = f"; {self.resized:,} of them resized" if self.resized else ""
    lines = [f"{self.dataset} from {self.source}: {counts}{resized}."]
    if self.found:
      return f"{already_there.NOTHING_TO_DO}{lines[0]}"
    if self.unreadable:
      (name, reason), count = self.unreadable[0], len(self.unreadable)
      lines.append(
          f"{count:,} image{'s' if count > 1 else ''} could not be read, such as {name} "
          f"({reason}); all are listed in {UNREADABLE_LIST} beside the data.")
    return "\n".join([*lines, *image_files.altered_lines(self.altered), *self.notes])


def prepare(dataset, source, data_dir, *, look, image_size, description, homepage=None, seed=0,
            made_with=None, max_unreadable=None, overwrite=False):
  """Writes a data set of labelled images below `data_dir`.

  Args:
    dataset: what to call it, a `tfds_files.DatasetName`.
    source: the folder or archive that it is made of.
    data_dir: the folder of all TFDS data sets.
    look: takes nothing and returns a source of `labelled_sources`; called if there is work to do.
    image_size: height and width to which images are resized.
    description: a sentence, for TFDS.
    homepage: an address, or None.
    seed: of the order of the examples.
    made_with: what the data set depends on besides, option -> value; None for nothing.
    max_unreadable: how many images may be unreadable before nothing is prepared; by default one in
      a hundred, or 10 where that is more. They are listed in `unreadable.txt`.
    overwrite: whether to replace a complete data set.

  Returns:
    A `Report`. Where the data set is complete already it is that of the earlier run.

  Raises:
    UserError: if the source cannot be used or has too many unreadable images, or if a data set is
      already there that was made of another source or otherwise.
  """
  directory = dataset.directory(data_dir)
  made_with = {"image_size": image_size, "seed": seed, **(made_with or {})}
  if tfds_files.is_kept(directory, overwrite=overwrite):
    return _found(directory, source, made_with)
  opened = look()
  with tfds_files.unfinished(directory, overwrite=overwrite, resume=True) as building:
    writer = ShuffledWriter(
        building, dataset, sizes=opened.sizes, seed=seed,
        fingerprint=f"{opened.fingerprint} {image_size}")
    features = _features(opened.label_names, image_size)
    tally = _write_examples(
        opened, writer, features, image_size=image_size, building=building,
        max_unreadable=max_unreadable)
    splits = writer.finish()
    report = Report(
        dataset=str(dataset), source=pathlib.Path(source).name, image_size=image_size, seed=seed,
        sizes={split.name: split.num_examples for split in splits},
        class_names=opened.class_names, ignored=opened.ignored[:_IGNORED_LISTED],
        notes=opened.notes, made_with=made_with, **dataclasses.asdict(tally))
    _list_unreadable(tally, building)
    tfds_files.write_info(
        building, dataset, features=features, splits=splits, supervised_keys=("image", "label"),
        description=description, homepage=homepage, metadata=dataclasses.asdict(report))
  return report


def _found(directory, source, made_with):
  """Returns the report of the data set there; `UserError` if it was made otherwise."""
  report = _report_in(directory)
  if report is None:
    raise already_there.by_another_tool(directory)
  already_there.require_made_alike(
      directory, {"source": pathlib.Path(source).name, **made_with},
      {"source": report.source, "image_size": report.image_size, "seed": report.seed,
       **report.made_with})
  return dataclasses.replace(report, found=True)


def _features(label_names, image_size):
  return tfds.features.FeaturesDict({
      "image": tfds.features.Image(shape=(image_size, image_size, 3)),
      "label": tfds.features.ClassLabel(names=label_names),
  })


@dataclasses.dataclass
class _Tally:
  """Running counts; the fields of the same names of `Report`."""

  class_counts: dict[str, dict[int, int]]
  resized: int = 0
  unreadable: list[tuple[str, str]] = dataclasses.field(default_factory=list)
  altered: dict[str, int] = dataclasses.field(default_factory=dict)

  def count(self, encoded):
    if encoded.reason is not None:
      self.unreadable.append((encoded.example.name, encoded.reason))
      return
    counts = self.class_counts[encoded.example.split]
    counts[encoded.example.label] = counts.get(encoded.example.label, 0) + 1
    self.resized += encoded.resized
    for note in encoded.notes:
      self.altered[note] = self.altered.get(note, 0) + 1


@dataclasses.dataclass(frozen=True)
class _Encoded:
  """An example as it is stored; or, without a `record`, the reason why it cannot be."""

  example: labelled_sources.Example
  record: bytes | None = None
  notes: tuple = ()
  resized: bool = False
  reason: str | None = None


def _encode(serialize, image_size, example):
  try:
    image, notes = example.read()
  except image_files.UnreadableImage as error:
    return _Encoded(example, reason=error.reason)
  resized = image.shape[:2] != (image_size, image_size)
  if resized:
    image = box_resized(image, image_size)
  record = serialize({"image": image_files.encode_png(image), "label": example.label})
  return _Encoded(example, record, notes, resized)


def box_resized(image, size):
  """Resizes `[height, width, 3]` uint8, whole, to `[size, size, 3]`: every pixel averages a box."""
  resized = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
  return np.asarray(resized)


def _write_examples(source, writer, features, *, image_size, building, max_unreadable):
  """Gives the writer every example that an earlier run has not; returns the counts of all."""
  total = sum(source.sizes.values())
  if max_unreadable is None:
    max_unreadable = max(_UNREADABLE_COUNT, int(_UNREADABLE_SHARE * total))
  nothing = {"class_counts": {split: {} for split in source.sizes}}
  tally = _Tally(**_with_int_labels(writer.tally or nothing))
  examples = source.examples(writer.taken) if writer.taken < total else ()
  encode = functools.partial(_encode, tfds_files.serializer(features), image_size)
  with progress(map_in_order(encode, examples), description="reading", total=total,
                initial=writer.taken) as bar:
    for index, item in enumerate(bar, start=writer.taken):
      tally.count(item)
      if item.record is not None:
        writer.add(index, item.example.split, item.record)
      too_many = len(tally.unreadable) > max_unreadable
      if too_many or (index + 1) % COMMIT_EVERY == 0 or index + 1 == total:
        writer.commit(index + 1, dataclasses.asdict(tally))
      if too_many:
        break
  _check_readable(tally, total, building=building, max_unreadable=max_unreadable)
  return tally


def _check_readable(tally, total, *, building, max_unreadable):
  if not tally.unreadable:
    return
  such_as = "such as {} ({})".format(*tally.unreadable[0])
  if len(tally.unreadable) > max_unreadable:
    raise UserError(
        f"{len(tally.unreadable)} of {total} images could not be read, more than the "
        f"{max_unreadable} allowed, {such_as}; those found so far are listed in "
        f"{_list_unreadable(tally, building)}.")
  for split, counts in tally.class_counts.items():
    if not counts:
      raise UserError(f"No image of the split {split!r} could be read, {such_as}.")


def _list_unreadable(tally, directory):
  path = directory / UNREADABLE_LIST
  if tally.unreadable:
    path.write_text("".join(f"{name}\t{reason}\n" for name, reason in tally.unreadable))
  return path


def _with_int_labels(fields):
  """Undoes what JSON does to labels that are keys."""
  counts = {
      split: {int(label): count for label, count in counts.items()}
      for split, counts in fields["class_counts"].items()}
  return {**fields, "class_counts": counts}


def builder(dataset, data_dir, *, prepared_by):
  """Returns the TFDS builder of a prepared data set, for reading.

  Args:
    dataset: its `tfds_files.DatasetName`.
    data_dir: the folder of all TFDS data sets.
    prepared_by: the arguments of `perceptual prepare` that write it, without --data_dir.

  Raises:
    UserError: if `data_dir` does not hold it, or a half-written one.
  """
  directory = dataset.directory(data_dir)
  tfds_files.require_complete(directory, prepared_by=prepared_by)
  return tfds_files.open_builder(directory)


def _report_in(directory):
  """The report of a complete data set; None if TFDS itself, or another tool, prepared it."""
  try:
    fields = json.loads((files.place(directory) / "metadata.json").read_text("utf-8"))
    return Report(**_with_int_labels(fields))
  except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
    return None


def class_counts(builder):
  """Returns the number of examples by label, of each split: `{split: {label: count}}`.

  A data set prepared by another tool has no such counts; they are then taken from its examples, one
  slow pass.
  """
  report = _report_in(builder.data_path)
  if report is not None:
    return report.class_counts
  labels_alone = tfds.decode.PartialDecoding({"label"})
  return {
      split: dict(collections.Counter(
          int(example["label"]) for example in progress(
              tfds.as_numpy(builder.as_dataset(split=split, decoders=labels_alone)),
              description=f"counting {split} labels")))
      for split in builder.info.splits}
