"""Ends this process at its n-th change of the disk, as a power failure would, for `crashes`.

Counted below one folder are opens for writing, writes, syncs, renames, removals, and the saves of
TensorFlow. The process ends by `os._exit` before the n-th; of a write, the first half may be done.
"""

import builtins
import io
import os
import sys

EXIT = 86  # status of a process that was ended


class Injector:
  """Counts changes of the disk and ends the process at one of them.

  Attributes:
    count: the number of changes so far.
  """

  def __init__(self, folder, end_at=0, half=False):
    """Takes the folder, the number of the change before which to end, and whether to do half of it.

    Args:
      folder: changes below it are counted.
      end_at: 0 for no end.
      half: where that change is a write, whether its first half is done.
    """
    self.count = 0
    self._folder = os.path.realpath(folder)
    self._end_at = end_at
    self._half = half

  def install(self):
    """Takes the place of what changes the disk, in Python and in TensorFlow, for good."""
    for name in ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "truncate"):
      setattr(os, name, self._counted(getattr(os, name)))
    os.fsync = self._counted(os.fsync)
    builtins.open = io.open = self._counted_open(builtins.open)
    tf = sys.modules.get("tensorflow")
    if tf is None:
      return
    tf.train.Checkpoint.write = self._counted(tf.train.Checkpoint.write, position=1)
    tf.saved_model.save = self._counted(tf.saved_model.save, position=1)
    tf.io.TFRecordWriter.write = self._counted(tf.io.TFRecordWriter.write)

  def _counted(self, function, position=0):
    def call(*arguments, **options):
      if len(arguments) > position and self._counts(arguments[position], options):
        self._change()
      return function(*arguments, **options)
    return call

  def _counted_open(self, real_open):
    def call(file, mode="r", *arguments, **options):
      if not set(mode) & set("wax+") or not self._counts(file, options):
        return real_open(file, mode, *arguments, **options)
      self._change()
      return _CountedFile(real_open(file, mode, *arguments, **options), self._change)
    return call

  def _counts(self, path, options):
    """Whether something is in the folder, or is named in a way that does not tell."""
    if options.get("dir_fd") is not None or not isinstance(path, (str, bytes, os.PathLike)):
      return True
    return os.path.realpath(os.fsdecode(path)).startswith(self._folder)

  def _change(self, file=None, data=None):
    self.count += 1
    if self.count != self._end_at:
      return
    if self._half and data is not None:
      file.write(data[:len(data) // 2])
      file.flush()
    os._exit(EXIT)


class _CountedFile:
  """A file whose writes are counted; all else is the file's own."""

  def __init__(self, file, change):
    self._file, self._change = file, change

  def write(self, data):
    self._change(self._file, data)
    return self._file.write(data)

  def __getattr__(self, name):
    return getattr(self._file, name)

  def __enter__(self):
    self._file.__enter__()
    return self

  def __exit__(self, *error):
    return self._file.__exit__(*error)

  def __iter__(self):
    return iter(self._file)
