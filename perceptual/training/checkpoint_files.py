"""The files of checkpoints: complete or not there, verified by checksums, two kept of a kind.

    step-40.index, step-40.data-00000-of-00001    what TensorFlow wrote
    step-40.json                                  size and SHA-256 of each, and what else is noted
    checkpoint                                    for TensorFlow's own tools: the newest

The JSON file is written last. Checkpoints of earlier versions have none: their tensors are read
instead, each of which TensorFlow wrote with a checksum of its own.
"""

import json
import os
import re
import zlib

import tensorflow as tf

from perceptual import errors
from perceptual.common import files

KEPT = 2
_STEP = re.compile(r"step-(\d+)\.(?:index|json|data-\d{5}-of-\d{5})")
_WRITING = ".writing"

# What TensorFlow raises where a checkpoint's files are cut short or changed.
DAMAGE = (tf.errors.OpError, ValueError, IndexError, RuntimeError)


def steps(folder):
  """Returns the steps of which a folder holds any file of a checkpoint, rising."""
  return sorted({int(match[1]) for match in map(_STEP.fullmatch, files.names(folder)) if match})


def prefix(folder, step):
  """Returns the path of a checkpoint without the suffixes of its files."""
  return str(folder / f"step-{step}")


def write(checkpoint, folder, step, *, notes=None):
  """Writes a checkpoint, whole or not at all.

  Args:
    checkpoint: `tf.train.Checkpoint`.
    folder: its path, made if it is not there.
    step: names it.
    notes: plain data, found again by `notes`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  with files.staging(folder / f"{_WRITING}.{os.getpid()}") as writing:
    checkpoint.write(prefix(writing, step))
    written = sorted(writing.iterdir())  # the data before the index
    about = _about(written, notes)
    record = folder / f"step-{step}.json"
    record.unlink(missing_ok=True)  # of a checkpoint of this step that is being replaced
    for path in written:
      files.move(path, folder / path.name)
    # Syncs the folder too. The checksums detect renames that a power failure has undone.
    files.write_text(record, json.dumps(about, indent=1) + "\n")


def add_records(folder):
  """Writes checksums beside whole checkpoints that have none, of which nothing is noted then."""
  for step in steps(folder):
    record = folder / f"step-{step}.json"
    if not record.exists() and fault(folder, step) is None:
      written = sorted(folder / name for name in files.names(folder)
                       if name.startswith(f"step-{step}."))
      files.write_text(record, json.dumps(_about(written, None), indent=1) + "\n")


def keep_newest(folder):
  """Names the newest checkpoint to TensorFlow's tools, and removes all but the newest `KEPT`."""
  there = steps(folder)
  if not there:
    (folder / "checkpoint").unlink(missing_ok=True)
    return
  files.write_text(folder / "checkpoint",
                   f'model_checkpoint_path: "step-{there[-1]}"\n'
                   f'all_model_checkpoint_paths: "step-{there[-1]}"\n')
  for step in there[:-KEPT]:
    remove(folder, step)


def remove(folder, step):
  """Removes the files of a checkpoint, its checksums last."""
  for name in sorted(files.names(folder), key=lambda name: name.endswith(".json")):
    match = _STEP.fullmatch(name)
    if match and int(match[1]) == step:
      (folder / name).unlink(missing_ok=True)


def remove_leftovers(folder):
  """Removes what killed processes have left; call it where no other one writes."""
  for name in files.names(folder):
    if name.startswith(f"{_WRITING}.") or re.fullmatch(r"step-\d+_temp", name):
      files.remove(folder / name)
  files.remove_leftovers(folder, ["checkpoint", *(f"step-{step}.json" for step in steps(folder))])


def fault(folder, step):
  """Returns what is wrong with a checkpoint, in words; None if it is whole."""
  try:
    about = _read_record(folder, step)
    if about is None:
      return _fault_of_tensors(prefix(folder, step))
    for name, stated in about["files"].items():
      size = files.size(folder / name)
      if size is None:
        return f"{name} is missing"
      if size != stated["bytes"]:
        return f"{name} has {size:,} bytes, not {stated['bytes']:,}"
      if files.sha256(folder / name) != stated["sha256"]:
        return f"the checksum of {name} does not match step-{step}.json"
    return None
  except FileNotFoundError:  # at an address, where TensorFlow remembers a size for some seconds
    return f"{name} is missing"
  except OSError as error:
    return f"{error.filename or folder} cannot be read: {errors.reason(error)}"
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
    # The checksums alone may be damaged: then the tensors' own decide.
    return _fault_of_tensors(prefix(folder, step))


def sound(folder):
  """Returns the step of the newest checkpoint that is whole, and what is wrong with newer ones.

  Args:
    folder: its path; it need not be there.

  Returns:
    `(step, faults)`: None for the step if no checkpoint was ever completed, and a list of texts,
    each of which names its checkpoint.

  Raises:
    UserError: if there are checkpoints, and none is whole.
  """
  faults = []
  for step in reversed(steps(folder)):
    wrong = fault(folder, step)
    if wrong is None:
      return step, faults
    if not _was_never_complete(folder, step):
      faults.append(f"{prefix(folder, step)} is damaged: {wrong}")
  if faults:
    raise errors.UserError(f"{faults[0]}; there is no older one. Nothing was changed.")
  if (folder / "checkpoint").exists():
    raise errors.UserError(f"The checkpoints of {folder} are missing. Nothing was changed.")
  return None, []


def notes(folder, step):
  """Returns what was noted with a checkpoint; None if that is not known."""
  try:
    about = _read_record(folder, step)
    return about and about["notes"]
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    return None


def _was_never_complete(folder, step):
  """Whether a save was cut short: the index is put after the data, and the checksums after it."""
  return not (folder / f"step-{step}.index").exists() and not (
      folder / f"step-{step}.json").exists()


def _about(written, notes):
  """Returns what a record says of files."""
  return _summed({"files": {path.name: {"bytes": files.size(path), "sha256": files.sha256(path)}
                            for path in written}, "notes": notes})


def _summed(about):
  """Returns what a record says with a checksum of that."""
  return {**about, "crc32": zlib.crc32(json.dumps(about, sort_keys=True).encode())}


def _read_record(folder, step):
  """Returns a record, None if there is none; a damaged one raises `ValueError` or the like."""
  path = folder / f"step-{step}.json"
  try:
    about = json.loads(path.read_text("utf-8"))
  except FileNotFoundError:
    return None
  if _summed({key: about[key] for key in ("files", "notes")}) != about:
    raise ValueError(f"{path} is damaged")
  return about


def _fault_of_tensors(path):
  """Reads every tensor, which TensorFlow checks."""
  try:
    reader = tf.train.load_checkpoint(path)
    for key in reader.get_variable_to_shape_map():
      reader.get_tensor(key)
  except DAMAGE as error:
    return errors.first_line(error)
  return None
