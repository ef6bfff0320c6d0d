"""Writes records in random order, in bounded memory, and goes on where a killed run stopped.

Every record goes to a shard drawn at random by a seed; when all are there, each shard is shuffled
in itself. So any prefix of the data set is a fair sample of it, though the records came sorted by
class, and no more than one shard is in memory. Until then its records wait in a file of their own:
while it is written, a data set takes twice its size on disk.

The order is a function of the seed and of the place of each record in the input, so a run that was
interrupted writes the same bytes as one that was not. What its state tells of was synced before, so
that holds after a power failure too.
"""

import json
import os
import pathlib
import shutil
import struct

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from perceptual.common import files
from perceptual.common.progress import progress
from perceptual.data import tfds_files

EXAMPLES_PER_SHARD = 10_000  # about 100 MB of 64x64 photographs as PNG
_LENGTH = struct.Struct("<I")
_WAITING = ".waiting"
_STATE = "state.json"


class ShuffledWriter:
  """Writes the shards of one data set.

  Attributes:
    taken: how many inputs had been dealt with at the last `commit` of this or an earlier run.
    tally: what the caller gave to that `commit`; an empty dict before the first one.
  """

  def __init__(self, directory, dataset, *, sizes, seed, fingerprint):
    """Begins, or takes up what an earlier run with the same arguments has left in `directory`.

    Args:
      directory: where to write, as `tfds_files.unfinished` gives it.
      dataset: a `tfds_files.DatasetName`.
      sizes: number of inputs of each split, at most.
      seed: of the order.
      fingerprint: identifies what is being written; leftovers of anything else are removed.
    """
    self._directory = pathlib.Path(directory)
    self._work = self._directory / "work"
    self._dataset = dataset
    self._seed = seed
    self._shards = {split: -(-size // EXAMPLES_PER_SHARD) for split, size in sizes.items()}
    self._draws = np.random.default_rng(seed).random(sum(sizes.values()))
    self._waiting = {}  # file name -> open file of the records that wait for their shard
    self._added_to = set()  # names of those that got records since the last commit
    fingerprint = [fingerprint, seed, EXAMPLES_PER_SHARD]
    if not self._take_up(fingerprint):
      self._begin(fingerprint)

  @property
  def taken(self):
    return self._state["taken"]

  @property
  def tally(self):
    return self._state["tally"]

  def add(self, index, split, record):
    """Adds the record, bytes, made of input number `index`."""
    name = _waiting_name(split, int(self._draws[index] * self._shards[split]))
    if name not in self._waiting:
      self._waiting[name] = (self._work / name).open("ab")
    self._added_to.add(name)
    self._waiting[name].write(_LENGTH.pack(len(record)))
    self._waiting[name].write(record)

  def commit(self, taken, tally):
    """Notes that the first `taken` inputs are dealt with: a later run begins after them.

    Args:
      taken: number of inputs.
      tally: a dict for JSON, which a later run finds as `tally`.
    """
    for name in sorted(self._added_to):
      self._waiting[name].flush()
      files.sync(self._work / name)
    self._added_to.clear()
    sizes = {name: file.tell() for name, file in self._waiting.items()}
    self._save(taken=taken, tally=tally, waiting={**self._state["waiting"], **sizes})

  def finish(self):
    """Shuffles and writes every shard; all that was added must have been committed.

    Returns:
      The `tfds.core.SplitInfo` of each split.
    """
    for file in self._waiting.values():
      file.close()
    shards = [(split, i) for split, count in self._shards.items() for i in range(count)]
    for split, i in progress(shards, description="shuffling", unit="shard"):
      path = self._template(split).sharded_filepath(shard_index=i, num_shards=self._shards[split])
      if path.name not in self._state["written"]:
        count_and_size = self._write_shard(path, split, i)
        self._save(written={**self._state["written"], path.name: count_and_size})
    shutil.rmtree(self._work)
    return [self._split_info(split) for split in self._shards]

  def _begin(self, fingerprint):
    tfds_files.clear(self._directory)
    self._work.mkdir()
    files.sync(self._directory)
    self._state = {"waiting": {}, "written": {}}
    self._save(fingerprint=fingerprint, taken=0, tally={})

  def _take_up(self, fingerprint):
    """Goes on from an earlier run's state, if it left one that fits and whose files are whole."""
    waiting = {path.name: path for path in self._work.glob("*" + _WAITING)}
    try:
      self._state = json.loads((self._work / _STATE).read_text())
      whole = all(
          name in waiting and waiting[name].stat().st_size >= size
          for name, size in self._state["waiting"].items())
      if self._state["fingerprint"] != fingerprint or not whole:
        return False
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
      return False  # there is none, or it is damaged
    for name, path in waiting.items():  # what was added after the last commit will come again
      os.truncate(path, self._state["waiting"].get(name, 0))
    return True

  def _save(self, **changes):
    self._state = {**self._state, **changes}
    beside = self._work / "beside"
    beside.write_text(json.dumps(self._state))
    files.put(beside, self._work / _STATE)

  def _write_shard(self, path, split, shard):
    """Writes one shard, complete or not at all; returns its number of examples and of bytes."""
    waiting = self._work / _waiting_name(split, shard)
    records = list(_read_records(waiting)) if waiting.exists() else []
    order = np.random.default_rng([self._seed, *split.encode(), shard]).permutation(len(records))
    beside = self._work / "beside"
    with tf.io.TFRecordWriter(os.fspath(beside)) as writer:
      for i in order:
        writer.write(records[i])
    files.put(beside, self._directory / path.name)  # TFDS's path would be taken for an address
    return [len(records), sum(map(len, records))]

  def _template(self, split):
    return tfds_files.shard_template(self._directory, self._dataset.name, split)

  def _split_info(self, split):
    template = self._template(split)
    counts_and_sizes = [
        self._state["written"][path.name]
        for path in template.sharded_filepaths(self._shards[split])]
    return tfds.core.SplitInfo(
        name=split, shard_lengths=[count for count, _ in counts_and_sizes],
        num_bytes=sum(size for _, size in counts_and_sizes), filename_template=template)


def _waiting_name(split, shard):
  return f"{split}-{shard:05d}{_WAITING}"


def _read_records(path):
  with path.open("rb") as file:
    while length := file.read(_LENGTH.size):
      yield file.read(*_LENGTH.unpack(length))
