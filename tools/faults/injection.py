"""Crashes on request: ends a process at its n-th change of the disk, as a power failure would.

    python -m tools.faults.injection STEPS HALF -- perceptual arguments ...

Counted are opens for writing, writes, renames, removals, and the saves of TensorFlow. The process
ends by `os._exit` before the n-th; with HALF, a write that is counted n-th reaches the disk by its
first half. With STEPS of 0 nothing is ended, and the count is printed last, as `changes N`.
"""

import builtins
import os
import pathlib
import sys

EXIT = 86  # of a process that was ended


class Injector:
  """Counts changes of the disk below some folder, and ends the process at one of them."""

  def __init__(self, folder, end_at=0, half=False):
    """Takes the folder, the number of the change before which to end (0 for none), and HALF."""
    self.count = 0
    self._folder = os.path.realpath(folder)
    self._end_at = end_at
    self._half = half

  def install(self):
    """Puts itself in the place of what changes the disk."""
    for name in ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "truncate"):
      setattr(os, name, self._counted(getattr(os, name)))
    builtins.open = self._opened(builtins.open)
    pathlib.io.open = builtins.open
    self._install_in_tensorflow()

  def _install_in_tensorflow(self):
    """Counts what TensorFlow writes, which does not pass through Python's files."""
    import tensorflow as tf

    tf.train.Checkpoint.write = self._counted_method(tf.train.Checkpoint.write)
    tf.io.TFRecordWriter.write = self._counted_method(tf.io.TFRecordWriter.write, always=True)
    tf.saved_model.save = self._counted(tf.saved_model.save, position=1)

  def _counted(self, function, position=0):
    def call(*arguments, **options):
      if len(arguments) > position and self._is_ours(arguments[position]):
        self._change()
      return function(*arguments, **options)
    return call

  def _counted_method(self, method, always=False):
    def call(owner, path, *arguments, **options):
      if always or self._is_ours(path):
        self._change()
      return method(owner, path, *arguments, **options)
    return call

  def _opened(self, real_open):
    def call(file, mode="r", *arguments, **options):
      if not set(mode) & set("wax+") or not self._is_ours(file):
        return real_open(file, mode, *arguments, **options)
      self._change()
      opened = real_open(file, mode, *arguments, **options)
      return _CountedFile(opened, self._change) if hasattr(opened, "write") else opened
    return call

  def _is_ours(self, path):
    if not isinstance(path, (str, bytes, os.PathLike)):
      return False
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


def main(argv):
  """Runs a command with an injector; see above."""
  folder, end_at, half = argv[0], int(argv[1]), argv[2] == "half"
  from perceptual.commands import cli, command_line

  command_line.configure_runtime()
  injector = Injector(folder, end_at, half)
  injector.install()
  try:
    cli.main(argv[4:])
  finally:
    print(f"changes {injector.count}", flush=True)


if __name__ == "__main__":
  main(sys.argv[1:])
