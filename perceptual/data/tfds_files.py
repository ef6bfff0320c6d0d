"""Writes data sets that TFDS reads: TFRecord shards and metadata, complete or not there at all.

A data set lives in `<data_dir>/<name>/<config>/<version>`. It is written in a directory beside
that one, `<version>.unfinished`, and renamed when its last file is complete, so what
`tfds.load` or `tfds.builder_from_directory` finds there is whole. Checking that, and listing its
files, does not need TensorFlow.

One for an address, gs://bucket/data, is built in the cache folder of this machine, where a
killed run goes on, and uploaded when it is whole, `dataset_info.json` last.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shlex
import shutil

from perceptual import errors
from perceptual.common import files, folders, locks, remote
from perceptual.common.progress import progress
from perceptual.errors import UserError

INFO = "dataset_info.json"  # completes a data set of TFDS
UNFINISHED = ".unfinished"
_RECORD_OVERHEAD = 16  # a TFRecord's length and two checksums, in bytes
_REPLACED = ".replaced"
_LOCAL_NAME = re.compile(r"[a-zA-Z]\w*(/[\w+.-]+)?(:(\d+|\*)(\.(\d+|\*)){2})?", re.ASCII)

# Directory of a data set that this process reads -> the command that prepares it again.
_opened = {}


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
    return files.folder_for_tensorflow(data_dir) / self.name / self.config / self.version


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
    The directory written, its path.

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
  import tensorflow as tf
  import tensorflow_datasets as tfds

  template = shard_template(directory, dataset.name, split)
  serialize = serializer(features)
  lengths, size = [0] * shards, 0
  with contextlib.ExitStack() as stack:
    writers = [
        stack.enter_context(tf.io.TFRecordWriter(os.fspath(path)))
        for path in template.sharded_filepaths(shards)]
    bar = stack.enter_context(progress(examples, description=split, unit="example"))
    for i, example in enumerate(bar):
      record = serialize(example)
      writers[i % shards].write(record)
      lengths[i % shards] += 1
      size += len(record)
  if not lengths[-1]:
    raise UserError(
        f"{dataset}: split {split!r} has {sum(lengths)} examples, fewer than {shards} shards.")
  return tfds.core.SplitInfo(
      name=split, shard_lengths=lengths, num_bytes=size, filename_template=template)


def serializer(features):
  """Returns a function from an example, as `features` take it, to the bytes of its record.

  Unlike `features.serialize_example` it gives the same bytes in every process: a `tf.train.Example`
  holds a map, whose order protocol buffers leave open unless asked.
  """
  import tensorflow_datasets as tfds

  to_proto = tfds.core.ExampleSerializer(features.get_serialized_info()).get_tf_example
  return lambda example: (
      to_proto(features.encode_example(example)).SerializeToString(deterministic=True))


def shard_template(directory, name, split):
  """The `tfds.core.ShardedFileTemplate` that names the TFRecord files of one split."""
  import tensorflow_datasets as tfds

  return tfds.core.ShardedFileTemplate(
      data_dir=tfds.core.Path(directory), dataset_name=name, split=split,
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
  import tensorflow_datasets as tfds

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
def unfinished(directory, *, overwrite=False, resume=False, completed_by=INFO):
  """Gives a directory to write a data set in; renames it to `directory` when all went well.

  After an exception the directory is removed, or kept for the next run where `resume` is set.
  A killed run leaves it; the next run starts with what is in it where `resume` is set, and with
  an empty directory otherwise. A lock keeps two processes from writing the same data set.

  Args:
    directory: the data set's final directory.
    overwrite: whether to replace a complete data set that is there.
    resume: whether leftovers are used.
    completed_by: the file without which the data set does not count.

  Yields:
    The `pathlib.Path` to write in, on this machine.

  Raises:
    UserError: if `directory` holds a complete data set and `overwrite` is not set, if another
      process is writing it, or if it cannot be created.
  """
  directory = files.place(directory)
  require_free(directory, overwrite=overwrite)
  building = directory.with_name(directory.name + UNFINISHED)
  if files.is_remote(directory):
    with locks.held(building):
      with unfinished(
          folders.staging_dir(directory), overwrite=True, resume=resume) as local:
        require_free(directory, overwrite=overwrite)
        yield local
        remote.upload_folder(local, directory, last=completed_by)
      files.remove(folders.staging_dir(directory))
    return
  with _locked(building):
    _put_back(directory)
    require_free(directory, overwrite=overwrite)
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
    raise UserError(f"Cannot write to {directory}: {errors.reason(error)}.") from error
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
  """Renames `building` to `directory`, for good, and replaces an older one in the same step."""
  files.sync_folder(building)
  old = directory.with_name(directory.name + _REPLACED)
  if directory.exists() and files.exchanged(building, directory):
    shutil.rmtree(building, ignore_errors=True)
    return
  if directory.exists():
    directory.rename(old)
  building.rename(directory)
  files.sync(directory.parent)
  shutil.rmtree(old, ignore_errors=True)


def _put_back(directory):
  """Restores the data set that a killed run had moved aside to replace it."""
  old = directory.with_name(directory.name + _REPLACED)
  if old.exists() and not directory.exists():
    old.rename(directory)
  shutil.rmtree(old, ignore_errors=True)


def require_free(directory, *, overwrite):
  """Raises a `UserError` if `directory` holds a whole data set that is not to be replaced."""
  if is_kept(directory, overwrite=overwrite):
    raise UserError(f"{directory} already holds a data set: choose another --data_dir, or give "
                    "--overwrite.")


def is_kept(directory, *, overwrite, completed_by=INFO):
  """Whether `directory` holds a whole data set that is not to be replaced.

  Of one at an address, what a writer that was killed at its very end has left is removed: its lock,
  and the files on this machine that it had uploaded.

  Args:
    directory: that of a data set.
    overwrite: whether a whole one is to be replaced.
    completed_by: the file without which the data set does not count.
  """
  directory = files.place(directory)
  whole = is_complete(directory) if completed_by == INFO else (directory / completed_by).is_file()
  if overwrite or not whole:
    return False
  building = directory.with_name(directory.name + UNFINISHED)
  if files.is_remote(directory) and (building / locks.FILE).exists():
    with contextlib.suppress(UserError), locks.held(building):  # else another is writing it anew
      files.remove(folders.staging_dir(directory))
  return True


def is_complete(directory):
  """Whether `directory` holds a whole TFDS data set: its metadata and all files that it lists."""
  return _fault(files.place(directory)) is None


def require_complete(directory, *, prepared_by):
  """Raises a `UserError` unless `directory` holds a whole data set.

  It says what is wrong, and the command that puts it right.

  Args:
    directory: that of a data set, as `DatasetName.directory` gives it.
    prepared_by: the arguments of `perceptual prepare` that write it, without --data_dir.
  """
  directory = files.place(directory)
  data_dir = shlex.quote(str(directory.parents[2]))
  command = f"perceptual prepare {prepared_by} --data_dir={data_dir}"
  if directory.exists():
    fault = _fault(directory)
    if fault is None:
      _opened[directory] = command
    else:
      raise UserError(
          f"The data set in {directory} is not whole: {fault}. Prepare it again, with: {command}")
  elif directory.with_name(directory.name + UNFINISHED).exists():
    raise UserError(
        f"The data set in {directory} was not finished: prepare it again, with: {command}")
  else:
    raise UserError(f"No data set in {directory}: prepare it first, with: {command}")


def split_files(directory):
  """Returns the TFRecord files of each split of a whole data set, `{split: [paths]}`."""
  info = json.loads((directory / INFO).read_text("utf-8"))
  return {split["name"]: _shards(directory, info["name"], split) for split in info["splits"]}


def metadata(directory):
  """Returns the `metadata` that a whole data set was written with; none is `{}`."""
  file = directory / "metadata.json"
  return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _shards(directory, name, split):
  """The files of a split, as TFDS names them (`shard_template`)."""
  count = len(split.get("shardLengths", []))
  return [directory / f"{name}-{split['name']}.tfrecord-{i:05d}-of-{count:05d}"
          for i in range(count)]


def require_local_name(name):
  """Raises `UserError` unless TFDS looks for a data set of this name on this machine alone.

  It takes names with another name and a colon before them elsewhere: huggingface:NAME to the Hub of
  Hugging Face, others to the buckets of those who published them.

  Args:
    name: as TFDS takes it: NAME, NAME/CONFIG, and either with :VERSION behind it.
  """
  if not (isinstance(name, str) and _LOCAL_NAME.fullmatch(name)):
    raise UserError(f"{errors.shown(name)} is not the name of a data set that TFDS has prepared: "
                    "give NAME, NAME/CONFIG or NAME/CONFIG:VERSION.")


def open_builder(directory):
  """Returns the `tfds.core.DatasetBuilder` of a data set that `require_complete` let pass."""
  import tensorflow_datasets as tfds

  try:
    return tfds.builder_from_directory(directory)
  except Exception as error:  # of damaged JSON TFDS raises anything
    raise UserError(f"The data set in {directory} is damaged ({errors.first_line(error)}). Prepare "
                    f"it again, with: {_opened[files.place(directory)]}") from None


def damaged_record():
  """Returns a `UserError` that names a file with a damaged record, or None.

  TensorFlow reports damage without the name of the file. The data sets that this process has opened
  are searched for it.
  """
  import tensorflow as tf

  for directory, command in _opened.items():
    for path in sorted(directory.glob("*.tfrecord*")):
      try:
        for _ in tf.data.TFRecordDataset(os.fspath(path)):
          pass
      except tf.errors.OpError as error:
        return UserError(f"{path} is damaged ({errors.first_line(error)}). Prepare the data set "
                         f"again, with: {command} --overwrite")
  return None


def _fault(directory):
  """What keeps `directory` from being a whole data set, in words; None where nothing does."""
  try:
    return _fault_of_files(directory, json.loads(
        (directory / INFO).read_text("utf-8")))
  except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
    return "dataset_info.json is missing or damaged"


def _fault_of_files(directory, info):
  """The same, by the sizes that `dataset_info.json` gives."""
  if not (directory / "features.json").is_file():
    return "features.json is missing"
  if not info["splits"]:
    return "dataset_info.json lists no splits"
  for split in info["splits"]:
    lengths = [int(length) for length in split.get("shardLengths", [])]
    paths = _shards(directory, info["name"], split)
    sizes = [files.size(path) for path in paths]
    for path, size in zip(paths, sizes):
      if size is None:
        return f"{path.name} is missing"
    size = sum(sizes)
    expected = int(split.get("numBytes", 0)) + _RECORD_OVERHEAD * sum(lengths)
    if size != expected:
      return f"the files of split {split['name']!r} hold {size} bytes instead of {expected}"
  return None
