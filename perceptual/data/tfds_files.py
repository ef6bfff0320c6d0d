"""Writes data sets that TFDS reads: TFRecord shards and metadata, complete or not there at all.

A data set lives in `<data_dir>/<name>/<config>/<version>`. It is written in a directory beside
that one, `<version>.unfinished`, and renamed when its last file is complete, so whatever
`tfds.load` or `tfds.builder_from_directory` finds there is whole.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil

import tensorflow as tf
import tensorflow_datasets as tfds

from perceptual.data.progress import progress
from perceptual.errors import UserError

UNFINISHED = ".unfinished"
_REPLACED = ".replaced"


@dataclasses.dataclass(frozen=True)
class DatasetName:
  """What a TFDS data set is called, for instance imagenet_resized, 64x64, 0.1.0."""

  name: str
  config: str
  version: str

  def __str__(self):
    return f"{self.name}/{self.config}:{self.version}"

  def directory(self, data_dir):
    """The directory of this data set's files: `<data_dir>/<name>/<config>/<version>`."""
    return pathlib.Path(data_dir).expanduser() / self.name / self.config / self.version


def write_dataset(data_dir, *, name, config, version, features, splits, description="",
                  supervised_keys=None, metadata=None, shards=1, overwrite=False):
  """Writes a whole TFDS data set, in the order in which its examples are given.

  Args:
    data_dir: the folder of all data sets, as in `tfds.load(..., data_dir=data_dir)`.
    name: the data set's name, for instance `"graded"`.
    config: its configuration, for instance `"nuisance"`.
    version: its version, for instance `"1.0.0"`.
    features: a `tfds.features.FeaturesDict`.
    splits: `{split name: iterable of examples}`; an example is a dict as `features` take it.
      An image may be given as uint8 pixels [h, w, 3] or, faster, as encoded bytes.
    description: a sentence or two, shown by `builder.info`.
    supervised_keys: `(input, target)` for `tfds.load(..., as_supervised=True)`, or None.
    metadata: a dict for JSON, found again as `builder.info.metadata`, or None.
    shards: the number of TFRecord files of each split; example i goes to file i mod `shards`.
    overwrite: whether to replace a complete data set of this name.

  Returns:
    The directory written, a `pathlib.Path`.

  Raises:
    UserError: if the data set is there already, if another process is writing it, or if a
      split has fewer examples than shards. Nothing is then left behind.
  """
  dataset = DatasetName(name, config, version)
  directory = dataset.directory(data_dir)
  with unfinished(directory, overwrite=overwrite) as building:
    infos = [
        _write_split(building, dataset, split, examples, features=features, shards=shards)
        for split, examples in splits.items()]
    write_info(building, dataset, features=features, splits=infos, description=description,
               supervised_keys=supervised_keys, metadata=metadata)
  return directory


def _write_split(directory, dataset, split, examples, *, features, shards):
  """Writes the shards of one split; returns its `tfds.core.SplitInfo`."""
  template = shard_template(directory, dataset, split)
  lengths, size = [0] * shards, 0
  with contextlib.ExitStack() as stack:
    writers = [
        stack.enter_context(tf.io.TFRecordWriter(os.fspath(path)))
        for path in template.sharded_filepaths(shards)]
    for i, example in enumerate(progress(examples, description=split, unit="example")):
      record = features.serialize_example(example)
      writers[i % shards].write(record)
      lengths[i % shards] += 1
      size += len(record)
  if not lengths[-1]:
    raise UserError(
        f"{dataset}: split {split!r} has {sum(lengths)} examples, fewer than {shards} shards.")
  return tfds.core.SplitInfo(
      name=split, shard_lengths=lengths, num_bytes=size, filename_template=template)


def shard_template(directory, dataset, split):
  """The `tfds.core.ShardedFileTemplate` that names the TFRecord files of one split."""
  return tfds.core.ShardedFileTemplate(
      data_dir=tfds.core.Path(directory), dataset_name=dataset.name, split=split,
      filetype_suffix="tfrecord")


def write_info(directory, dataset, *, features, splits, description="", supervised_keys=None,
               homepage=None, metadata=None):
  """Writes the metadata by which TFDS reads the shards that lie in `directory`.

  Args:
    directory: where the shards are: the directory given by `unfinished`.
    dataset: a `DatasetName`.
    features: a `tfds.features.FeaturesDict`.
    splits: the `tfds.core.SplitInfo` of every split.
    description: a sentence or two.
    supervised_keys: as in `write_dataset`.
    homepage: an address, or None.
    metadata: as in `write_dataset`.
  """
  identity = tfds.core.DatasetIdentity(
      name=dataset.name, config_name=dataset.config, version=tfds.core.Version(dataset.version),
      data_dir=os.fspath(directory), module_name="")
  info = tfds.core.DatasetInfo(
      builder=identity, description=description, features=features, homepage=homepage,
      supervised_keys=supervised_keys, split_dict=tfds.core.SplitDict(splits),
      metadata=tfds.core.MetadataDict(metadata or {}))
  info.set_file_format("tfrecord")
  info.write_to_directory(directory)


@contextlib.contextmanager
def unfinished(directory, *, overwrite=False, resume=False):
  """Gives a directory to write a data set in; renames it to `directory` when all went well.

  After an exception the directory is removed, or kept for the next run where `resume` is set.
  A killed run leaves it; the next run starts with what is in it where `resume` is set, and with
  an empty directory otherwise. A lock keeps two processes from writing the same data set.

  Args:
    directory: the data set's final directory.
    overwrite: whether to replace a complete data set that is there.
    resume: whether leftovers are of use.

  Yields:
    The `pathlib.Path` to write in, on the same file system.

  Raises:
    UserError: if `directory` holds a complete data set and `overwrite` is not set, if another
      process is writing it, or if it cannot be created.
  """
  directory = pathlib.Path(directory)
  if is_complete(directory) and not overwrite:
    raise UserError(f"{directory} already holds a data set: choose another data_dir, or overwrite.")
  building = directory.with_name(directory.name + UNFINISHED)
  with _locked(building):
    if not resume:
      clear(building)
    try:
      yield building
    except Exception:
      if not resume:
        shutil.rmtree(building)
      raise
    _replace(building, directory)


@contextlib.contextmanager
def _locked(directory):
  """Makes `directory` and holds a lock on it, which a killed process gives up by itself."""
  try:
    directory.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"Cannot write to {directory}: {error.strerror}.") from error
  descriptor = os.open(directory, os.O_RDONLY)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    os.close(descriptor)
    raise UserError(f"Another process is writing {directory}: wait for it, or end it.") from error
  try:
    yield
  finally:
    os.close(descriptor)


def clear(directory):
  """Empties `directory`."""
  for path in directory.iterdir():
    if path.is_dir():
      shutil.rmtree(path)
    else:
      path.unlink()


def _replace(building, directory):
  """Renames `building` to `directory`; an older `directory` goes only once that can succeed."""
  old = directory.with_name(directory.name + _REPLACED)
  shutil.rmtree(old, ignore_errors=True)
  if directory.exists():
    directory.rename(old)
  building.rename(directory)
  shutil.rmtree(old, ignore_errors=True)


def missing_files(directory):
  """The names of the files that a TFDS data set in `directory` lacks; empty if it is whole.

  `dataset_info.json` tells which shards there should be: without it, it is all that is named.
  """
  directory = pathlib.Path(directory)
  try:
    info = json.loads((directory / "dataset_info.json").read_text())
  except (OSError, json.JSONDecodeError):
    return ["dataset_info.json"]
  names = ["features.json"]
  for split in info["splits"]:
    count = len(split["shardLengths"])
    suffix = info.get("fileFormat", "tfrecord")
    names += [
        f"{info['name']}-{split['name']}.{suffix}-{i:05d}-of-{count:05d}" for i in range(count)]
  return [name for name in names if not (directory / name).is_file()]


def is_complete(directory):
  """Whether `directory` holds a whole TFDS data set: its metadata and every shard it tells of."""
  return not missing_files(directory)


def require_complete(directory):
  """Raises a `UserError` that says what is missing, unless `directory` holds a whole data set."""
  directory = pathlib.Path(directory)
  missing = missing_files(directory)
  if not missing:
    return
  if not directory.exists():
    half = directory.with_name(directory.name + UNFINISHED)
    hint = " (its preparation was interrupted: run it again)" if half.exists() else ""
    raise UserError(f"No data set in {directory}{hint}.")
  raise UserError(
      f"The data set in {directory} is not whole: {missing[0]}"
      + (f" and {len(missing) - 1} more files are missing." if missing[1:] else " is missing."))
