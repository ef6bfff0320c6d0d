"""Where labelled images come from: class folders, loose or in an archive, or ImageNet's npz zips.

A source is scanned first - names, classes and counts, no pixels - and then gives its
examples in one fixed order, from any place on. Sources have in common:

  sizes: number of examples of each split, `train` and `validation`.
  label_names: the name of each label, in the order of the labels.
  class_names: label name -> words for people, where the source has them.
  notes: what a person should know about how the source was understood.
  ignored: names of files that were not taken for images.
  fingerprint: what distinguishes this source from others.
  examples(start): an iterator over `Example`s.
"""

import collections
import contextlib
import dataclasses
import errno
import functools
import hashlib
import io
import itertools
import json
import math
import posixpath
import shutil
import tempfile
import zipfile
from collections.abc import Callable

import numpy as np

from perceptual.common import budgets
from perceptual.common.files import expanded
from perceptual.common.progress import progress
from perceptual.data.images import image_files
from perceptual.data.labelled import class_folders
from perceptual.errors import UserError, first_line

# Chrabaszcz et al. 2017; the names under which TFDS's own builder reads them.
NPZ_ZIPS = {
    "Imagenet64_train_part1_npz.zip": "train",
    "Imagenet64_train_part2_npz.zip": "train",
    "Imagenet64_val_npz.zip": "validation",
}
NPZ_IMAGE_SIZE = 64
_CLASS_NAME_FILES = ("classes.tsv", "words.txt")  # lines of <class>, a tab, <words>


@dataclasses.dataclass(frozen=True)
class Example:
  """One labelled image.

  Attributes:
    name: what it is called in its source.
    split: `train` or `validation`.
    label: an index into the source's `label_names`.
    read: returns `[height, width, 3]` uint8, and a tuple of what was altered; raises
      `image_files.UnreadableImage`.
  """

  name: str
  split: str
  label: int
  read: Callable[[], tuple[np.ndarray, tuple]]


def open_source(path, *, imagenet_labels, seed=0):
  """Scans a source of labelled images.

  Args:
    path: the folder of the three npz zips of ImageNet at 64x64, or a folder or tar archive of
      images by class, laid out as `class_folders` understands it.
    imagenet_labels: the 1000 label names of ImageNet, in the order of their labels.
    seed: of the held-out images, where the folders make no validation split.

  Returns:
    An `NpzSource` or a `FolderSource`.

  Raises:
    UserError: if the source is of neither kind, or not whole.
  """
  path = expanded(path)
  if any((path / name).exists() for name in NPZ_ZIPS):
    return NpzSource(path, imagenet_labels)
  return FolderSource(path, imagenet_labels, seed)


class FolderSource:
  """Images by class, in folders or a tar archive.

  Labels are the classes' places among the ImageNet labels where these are given and all classes are
  found there, and their places among the source's own classes, sorted, otherwise.
  """

  def __init__(self, path, imagenet_labels=(), seed=0, held_out=None):
    sizes, contents = image_files.list_files(
        path, keep=(*_CLASS_NAME_FILES, class_folders.ANNOTATIONS))
    names = [name for name in sizes if image_files.is_image_name(name)]
    annotations = _called(class_folders.ANNOTATIONS, contents)
    try:
      self._assigned = class_folders.assign(
          names, annotations=annotations, seed=seed, held_out=held_out)
    except UserError as error:
      raise UserError(f"{path}: {error}") from error
    self._path = path
    self.sizes = dict(sorted(collections.Counter(
        split for split, _ in self._assigned.values()).items()))
    classes = sorted({label for _, label in self._assigned.values()})
    strangers = sorted(set(classes) - set(imagenet_labels))
    self.label_names = classes if strangers else list(imagenet_labels)
    untrained = sorted(set(classes) - {
        label for split, label in self._assigned.values() if split == "train"})
    self.class_names = _class_names(contents, classes)
    self.ignored = [
        name for name in sizes
        if not image_files.is_image_name(name) and name not in contents]
    self.notes = _folder_notes(
        classes, strangers if imagenet_labels else (), untrained,
        images_left_out=len(names) - len(self._assigned))
    self.fingerprint = _fingerprint([list(sizes.items()), seed, held_out])

  def examples(self, start=0):
    """Yields the `Example`s from number `start` on: by name, or in the archive's order."""
    label_of = {name: label for label, name in enumerate(self.label_names)}
    files = (f for f in image_files.image_files(self._path) if f.name in self._assigned)
    for file in itertools.islice(files, start, None):
      split, class_name = self._assigned[file.name]
      yield Example(file.name, split, label_of[class_name], file.decode_with_notes)


def _called(file_name, contents):
  return {
      name: content for name, content in contents.items()
      if posixpath.basename(name) == file_name}


def _class_names(contents, classes):
  """Returns `{class: words}` for those of `classes` that a file of class names lists."""
  words = {}
  for file_name in _CLASS_NAME_FILES:
    for content in _called(file_name, contents).values():
      lines = content.decode(errors="replace").splitlines()
      words.update(line.split("\t", 1) for line in lines if "\t" in line)
  return {name: words[name] for name in classes if name in words}


def _folder_notes(classes, strangers, untrained, *, images_left_out):
  notes = []
  if untrained:
    notes.append(f"{len(untrained)} of {len(classes)} classes, such as {untrained[0]!r}, have no "
                 "training images, so training leaves them out.")
  if images_left_out:
    notes.append(f"{images_left_out} images outside the train and validation folders are left out.")
  if strangers:
    notes.append(
        f"{len(strangers)} of {len(classes)} class folders, such as {strangers[0]!r}, are "
        "not ImageNet labels, so the labels are the class folders in sorted order. TFDS has their "
        "names by tfds.builder_from_directory or tfds.load('imagenet_resized/64x64:0.1.0', ...); "
        "without the version it shows the same numbers under ImageNet's names.")
  return notes


def _fingerprint(contents):
  return hashlib.sha256(json.dumps(contents).encode()).hexdigest()


class NpzSource:
  """The official npz zips of ImageNet at 64x64 (Chrabaszcz et al. 2017), in one folder.

  One npz at a time is unpacked to a temporary file and its pixels held in memory: 1.6 GB each for
  the official files.
  """

  def __init__(self, folder, imagenet_labels):
    missing = [name for name in NPZ_ZIPS if not (folder / name).is_file()]
    if missing:
      raise UserError(
          f"{folder} lacks {', '.join(missing)}; needed are {', '.join(NPZ_ZIPS)}.")
    self._folder = folder
    members = [(name, member) for name in NPZ_ZIPS for member in _npz_members(folder / name)]
    with progress(members, description="listing", unit="npz file") as bar:
      self._arrays = [
          (name, member, _examples_in(folder / name, member, len(imagenet_labels)))
          for name, member in bar]
    self.sizes = {"train": 0, "validation": 0}
    for name, _, size in self._arrays:
      self.sizes[NPZ_ZIPS[name]] += size
    self.label_names = list(imagenet_labels)
    self.class_names = {}
    self.ignored = []
    self.notes = []
    self.fingerprint = _fingerprint(self._arrays)

  def examples(self, start=0):
    """Yields the `Example`s from number `start` on, in the order of the files."""
    for name, member, size in self._arrays:
      if start < size:
        yield from self._examples_of(name, member, start)
      start = max(start - size, 0)

  def _examples_of(self, name, member, start):
    with _npz(self._folder / name, member) as arrays:
      data, labels = (budgets.read_npy(arrays, f"{key}.npy") for key in ("data", "labels"))
    for i in range(start, len(labels)):
      yield Example(f"{name}/{member}[{i}]", NPZ_ZIPS[name], int(labels[i]) - 1,
                    functools.partial(_pixels, data[i]))


def _pixels(row):
  """Rows hold channels, then height, then width."""
  return row.reshape(3, NPZ_IMAGE_SIZE, NPZ_IMAGE_SIZE).transpose(1, 2, 0), ()


def _npz_members(path):
  try:
    with zipfile.ZipFile(path) as archive:
      members = [name for name in archive.namelist() if name.endswith(".npz")]
      budgets.require_archive_growth(path, archive, path.stat().st_size)
  except (zipfile.BadZipFile, OSError) as error:
    raise UserError(f"{path} is damaged or truncated: {error}.") from error
  if not members:
    raise UserError(f"{path} holds no npz file.")
  return members


@contextlib.contextmanager
def _npz(path, member):
  """Gives an npz inside a zip as a `zipfile.ZipFile`, which does not grow out of proportion."""
  where = f"{path}/{member}"
  try:
    with tempfile.TemporaryFile() as unpacked:
      with zipfile.ZipFile(path) as archive, budgets.member(archive, member) as packed:
        shutil.copyfileobj(packed, unpacked)  # to its end, where the checksum is compared
      with zipfile.ZipFile(unpacked) as arrays:
        budgets.require_archive_growth(where, arrays, unpacked.seek(0, io.SEEK_END))
        yield arrays
  except UserError:
    raise
  except (OSError, *budgets.NPZ_DAMAGE) as error:
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the beginning
      raise
    raise UserError(f"{where} is damaged: {first_line(error).rstrip('.')}.") from error


def _examples_in(path, member, num_classes):
  """Checks the arrays of an npz, reading labels alone; returns the number of its examples."""
  where = f"{path}/{member}"
  with _npz(path, member) as arrays:
    names = [name.removesuffix(".npy") for name in arrays.namelist() if name.endswith(".npy")]
    for key in ("data", "labels"):
      if key not in names:
        raise UserError(f"{where} holds no array {key!r}; its arrays: {', '.join(names)}.")
    shape, dtype = _shape_and_dtype(arrays, "data", where)
    label_shape, label_dtype = _shape_and_dtype(arrays, "labels", where)
    if len(label_shape) != 1 or not np.issubdtype(label_dtype, np.integer):
      raise UserError(f"{where}: 'labels' should be a row of whole numbers, is {label_dtype} "
                      f"{label_shape}.")
    labels = budgets.read_npy(arrays, "labels.npy")
  expected = (len(labels), 3 * NPZ_IMAGE_SIZE**2)
  if shape != expected or dtype != np.uint8:
    raise UserError(f"{where}: 'data' should be uint8 {expected}, is {dtype} {shape}.")
  if not len(labels) or labels.min() < 1 or labels.max() > num_classes:
    raise UserError(f"{where}: 'labels' should be from 1 to {num_classes}.")
  return len(labels)


def _shape_and_dtype(arrays, key, where):
  """Returns what the header of an array says; `UserError` if the array has another size."""
  shape, dtype, there = budgets.npy_header(arrays, f"{key}.npy")
  size = math.prod(shape) * dtype.itemsize
  if size != there:
    raise UserError(f"{where}: {key!r} is {dtype} {shape} by its header, {size:,} bytes; it has "
                    f"{there:,}.")
  return shape, dtype
