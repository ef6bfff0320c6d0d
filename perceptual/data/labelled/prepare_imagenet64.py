"""Prepares `imagenet_resized/64x64` from files on disk: TFDS's own download addresses are dead.

The result is what `tfds.load("imagenet_resized/64x64", data_dir=...)` reads: whole images,
box-resized to 64x64 as by the data set's makers (Chrabaszcz et al. 2017), stored as PNG, which
keeps every pixel. Images that are 64x64 already are stored as they are. Labels are TFDS's own, the
1000 of ImageNet, whose order is neither alphabetical nor torchvision's (`n02119789` is 0). Where
the class folders are not all among these, the labels are the class folders in sorted order, and the
report says so.

Examples are written in a random order given by a seed. A run that was killed is taken up by the
next one with the same arguments, which loses no more than `COMMIT_EVERY` images of work and writes
the same bytes as an uninterrupted one. Until the last file is whole there is nothing to read by
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

from perceptual.common.in_order import map_in_order
from perceptual.common.progress import progress
from perceptual.data import tfds_files
from perceptual.data.images import image_files
from perceptual.data.labelled import labelled_sources
from perceptual.data.labelled.shuffled_writer import ShuffledWriter
from perceptual.errors import UserError

DATASET = tfds_files.DatasetName("imagenet_resized", "64x64", "0.1.0")
IMAGE_SIZE = 64
COMMIT_EVERY = 2000
UNREADABLE_LIST = "unreadable.txt"
_UNREADABLE_SHARE = 0.01
_UNREADABLE_COUNT = 10  # so many are not too many in a set of any size
_IGNORED_LISTED = 20


@dataclasses.dataclass(frozen=True)
class Report:
  """What was made of a source.

  Attributes:
    source: the name of the folder or archive.
    seed: of the order, and of held-out images.
    sizes: number of examples of each split.
    class_counts: number of examples by label, of each split; only labels that are there.
    class_names: label name -> words for people, where the source has them.
    resized: number of images that were not 64x64.
    unreadable: `(name, reason)` of every image that could not be read.
    ignored: names of the first files that were taken for no images.
    notes: what a person should know about how the source was understood.
    found: whether the data set was there already and nothing was done.
  """

  source: str
  seed: int
  sizes: dict[str, int]
  class_counts: dict[str, dict[int, int]]
  class_names: dict[str, str]
  resized: int
  unreadable: list[tuple[str, str]]
  ignored: list[str]
  notes: list[str]
  found: bool = False

  def summary(self):
    """Returns the report as a few lines of text."""
    counts = ", ".join(
        f"{size:,} {split} images of {len(self.class_counts[split])} classes"
        for split, size in self.sizes.items())
    head = "Already complete, nothing to do: " if self.found else ""
    resized = f"; {self.resized:,} of them resized" if self.resized else ""
    lines = [f"{head}{DATASET} from {self.source}: {counts}{resized}."]
    if self.unreadable:
      name, reason = self.unreadable[0]
      lines.append(
          f"{len(self.unreadable):,} images could not be read, such as {name} ({reason}); all are "
          f"listed in {UNREADABLE_LIST} beside the data.")
    return "\n".join([*lines, *self.notes])


def prepare(source, data_dir, *, seed=0, max_unreadable=None, overwrite=False):
  """Writes `<data_dir>/imagenet_resized/64x64/0.1.0` from images on disk.

  Args:
    source: the folder that holds the three official npz zips, or a folder or tar archive of images
      by class: `<split>/<class>/<image>` or `<class>/<image>` (see `class_folders`).
    data_dir: the folder of all TFDS data sets.
    seed: of the order of the examples, and of the images held out for validation where the source
      has no such split.
    max_unreadable: how many images may be unreadable before nothing is prepared; by default one in
      a hundred, or 10 where that is more. They are listed in `unreadable.txt`.
    overwrite: whether to replace a complete data set.

  Returns:
    A `Report`. Where the data set is complete already it is that of the earlier run.

  Raises:
    UserError: if the source cannot be used, has too many unreadable images, or is another one than
      that of a data set already there.
  """
  directory = DATASET.directory(data_dir)
  if tfds_files.is_complete(directory) and not overwrite:
    return _found(directory, source)
  label_names = imagenet_labels()
  opened = labelled_sources.open_source(source, imagenet_labels=label_names, seed=seed)
  with tfds_files.unfinished(directory, overwrite=overwrite, resume=True) as building:
    writer = ShuffledWriter(
        building, DATASET, sizes=opened.sizes, seed=seed, fingerprint=opened.fingerprint)
    features = _features(opened.label_names)
    tally = _write_examples(
        opened, writer, features, building=building, max_unreadable=max_unreadable)
    splits = writer.finish()
    report = Report(
        source=pathlib.Path(source).name, seed=seed,
        sizes={split.name: split.num_examples for split in splits},
        class_names=opened.class_names, ignored=opened.ignored[:_IGNORED_LISTED],
        notes=opened.notes, **dataclasses.asdict(tally))
    _list_unreadable(tally, building)
    tfds_files.write_info(
        building, DATASET, features=features, splits=splits, supervised_keys=("image", "label"),
        description="ImageNet images resized to 64x64, prepared from files on disk.",
        homepage="https://patrykchrabaszcz.github.io/Imagenet32/",
        metadata=dataclasses.asdict(report))
  return report


def _found(directory, source):
  report = _report_in(directory)
  name = pathlib.Path(source).name
  if report is None or report.source != name:
    maker = f"from {report.source}" if report else "by another tool"
    raise UserError(
        f"{directory} already holds a data set, made {maker}: to replace it by one from {name}, "
        "overwrite.")
  return dataclasses.replace(report, found=True)


def imagenet_labels():
  """Returns the 1000 label names of `imagenet_resized`, in the order of the labels."""
  path = tfds.core.tfds_path("image_classification/imagenet_resized_labels.txt")
  return path.read_text().split()


def _features(label_names):
  return tfds.features.FeaturesDict({
      "image": tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3)),
      "label": tfds.features.ClassLabel(names=label_names),
  })


@dataclasses.dataclass
class _Tally:
  """Running counts; the fields of the same names of `Report`."""

  class_counts: dict[str, dict[int, int]]
  resized: int = 0
  unreadable: list[tuple[str, str]] = dataclasses.field(default_factory=list)

  def count(self, encoded):
    if encoded.reason is not None:
      self.unreadable.append((encoded.example.name, encoded.reason))
      return
    counts = self.class_counts[encoded.example.split]
    counts[encoded.example.label] = counts.get(encoded.example.label, 0) + 1
    self.resized += encoded.resized


@dataclasses.dataclass(frozen=True)
class _Encoded:
  """An example as it is stored; or, without a `record`, the reason why it cannot be."""

  example: labelled_sources.Example
  record: bytes | None = None
  resized: bool = False
  reason: str | None = None


def _encode(serialize, example):
  try:
    image = example.pixels()
  except image_files.UnreadableImage as error:
    return _Encoded(example, reason=error.reason)
  resized = image.shape[:2] != (IMAGE_SIZE, IMAGE_SIZE)
  if resized:
    image = box_resized(image)
  record = serialize({"image": image_files.encode_png(image), "label": example.label})
  return _Encoded(example, record, resized)


def box_resized(image):
  """Resizes `[height, width, 3]` uint8, whole, to `[64, 64, 3]`: every new pixel averages a box."""
  resized = Image.fromarray(image).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
  return np.asarray(resized)


def _write_examples(source, writer, features, *, building, max_unreadable):
  """Gives the writer every example that an earlier run has not; returns the counts of all."""
  total = sum(source.sizes.values())
  if max_unreadable is None:
    max_unreadable = max(_UNREADABLE_COUNT, int(_UNREADABLE_SHARE * total))
  nothing = {"class_counts": {split: {} for split in source.sizes}}
  tally = _Tally(**_with_int_labels(writer.tally or nothing))
  examples = source.examples(writer.taken) if writer.taken < total else ()
  encode = functools.partial(_encode, tfds_files.serializer(features))
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


def builder(data_dir):
  """Returns the TFDS builder of the prepared data set, for reading.

  Raises:
    UserError: if `data_dir` holds no `imagenet_resized/64x64`, or a half-written one.
  """
  directory = DATASET.directory(data_dir)
  tfds_files.require_complete(directory)
  return tfds.builder_from_directory(directory)


def read_report(data_dir):
  """Returns the `Report` of the data set prepared in `data_dir`.

  Raises:
    UserError: if there is no data set, or it was prepared by another tool.
  """
  directory = DATASET.directory(data_dir)
  tfds_files.require_complete(directory)
  report = _report_in(directory)
  if report is None:
    raise UserError(f"{directory} has no report: it was prepared by another tool.")
  return report


def _report_in(directory):
  """The report of a complete data set; None if TFDS itself, or another tool, prepared it."""
  try:
    fields = json.loads((directory / "metadata.json").read_text())
    return Report(**_with_int_labels(fields))
  except (OSError, json.JSONDecodeError, TypeError, KeyError):
    return None


def class_counts(data_dir):
  """Returns the number of examples by label, of each split: `{split: {label: count}}`.

  A data set prepared by another tool has no such counts; they are then taken from its examples, one
  slow pass.
  """
  built = builder(data_dir)
  report = _report_in(DATASET.directory(data_dir))
  if report is not None:
    return report.class_counts
  labels_alone = tfds.decode.PartialDecoding({"label"})
  return {
      split: dict(collections.Counter(
          int(example["label"]) for example in progress(
              tfds.as_numpy(built.as_dataset(split=split, decoders=labels_alone)),
              description=f"counting {split} labels")))
      for split in built.info.splits}


def present_classes(data_dir):
  """Returns the labels that the training split holds, ascending: all 1000, or fewer."""
  return tuple(sorted(class_counts(data_dir)["train"]))
