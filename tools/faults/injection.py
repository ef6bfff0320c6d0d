"""Ends this process at its n-th change of the disk, as a power failure would, or has it fail.

Counted below one folder are opens for writing, writes, syncs, renames, removals, and the saves of
TensorFlow. The process ends by `os._exit` before the n-th; of a write or a save, the first half may
be done. Or that change and all after it fail as on a full disk.
"""

import builtins
import errno
import io
import os
import pathlib
import sys

EXIT = 86  # status of a process that was ended


class Injector:
  """Counts changes of the disk and ends the process at one of them.

  Attributes:
    count: the number of changes so far.
  """

  def __init__(self, folder, end_at=0, half=False, full=False):
    """Takes the folder, the number of the change before which to end, and whether to do half of it.

    Args:
      folder: changes below it are counted.
      end_at: 0 for no end.
      half: where that change is a write or a save of TensorFlow, whether its first half is done.
      full: instead of ending there, whether the disk is full from there on.
    """
    self.count = 0
    self._folder = os.path.realpath(folder)
    self._end_at = end_at
    self._half = half
    self._full = full

  def install(self):
    """Takes the place of what changes the disk, in Python and in TensorFlow, for good."""
    for name in ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "truncate"):
      setattr(os, name, self._counted(getattr(os, name)))
    os.fsync = self._counted(os.fsync)
    os.pwrite = self._counted(os.pwrite, needs_room=True)
    builtins.open = io.open = self._counted_open(builtins.open)
    tf = sys.modules.get("tensorflow")
    if tf is None:
      return
    tf.train.Checkpoint.write = self._counted_save(tf.train.Checkpoint.write)
    tf.saved_model.save = self._counted_save(tf.saved_model.save)
    tf.io.TFRecordWriter.write = self._counted(tf.io.TFRecordWriter.write, needs_room=True)

  def _counted(self, function, needs_room=False):
    def call(*arguments, **options):
      if arguments and self._counts(arguments[0], options):
        self._change(needs_room=needs_room)
      return function(*arguments, **options)
    return call

  def _counted_save(self, save):
    def call(saved, path, *arguments, **options):
      if not self._counts(path, options):
        return save(saved, path, *arguments, **options)

      def half():
        save(saved, path, *arguments, **options)
        for file in pathlib.Path(path).parent.glob(f"{pathlib.Path(path).name}*/**/*"):
          _cut(file)
        for file in pathlib.Path(path).parent.glob(f"{pathlib.Path(path).name}*"):
          _cut(file)

      self._change(half, needs_room=True)
      return save(saved, path, *arguments, **options)
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

  def _change(self, half=None, needs_room=False):
    """Counts a change; `half` does the first half of it."""
    self.count += 1
    if self._full:
      if needs_room and 0 < self._end_at <= self.count:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._folder)
      return
    if self.count != self._end_at:
      return
    if self._half and half is not None:
      half()
    os._exit(EXIT)


def _cut(path):
  if path.is_file():
    with open(path, "r+b") as file:
      file.truncate(path.stat().st_size // 2)


class _CountedFile:
  """A file whose writes are counted; all else is the file's own."""

  def __init__(self, file, change):
    self._file, self._change = file, change

  def write(self, data):
    def half():
      self._file.write(data[:len(data) // 2])
      self._file.flush()

    self._change(half, needs_room=True)
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
