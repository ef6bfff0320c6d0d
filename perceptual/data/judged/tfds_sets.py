"""The prepared judged sets that TFDS reads: where each lies, and the command that prepares it."""

from perceptual.data import tfds_files

VERSION = "1.0.0"
TEACHER_CONFIGS = {"val": "cross", "train": "cross_train"}  # split -> its configuration

_PREPARED_BY = {
    "bapps/2afc": "bapps",
    "bapps/jnd": "bapps",
    "graded/monotone": "graded --kinds=monotone --source=DIR_OR_TAR",
    "graded/nuisance": "graded --kinds=nuisance --source=DIR_OR_TAR",
    "teacher/cross": "teacher --split=val --source=DIR_OR_TAR",
    "teacher/cross_train": "teacher --split=train --source=DIR_OR_TAR",
}


def directory(name, data_dir):
  """Returns the folder of a set, such as `'graded/monotone'`, there or not: a `pathlib.Path`."""
  family, _, config = name.partition("/")
  return tfds_files.DatasetName(family, config, VERSION).directory(data_dir)


def whole(name, data_dir):
  """Returns the folder of a set that is all there.

  Raises:
    UserError: it is not, with the command that prepares it.
  """
  found = directory(name, data_dir)
  tfds_files.require_complete(found, prepared_by=_PREPARED_BY[name])
  return found
