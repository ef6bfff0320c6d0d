"""What must be equal in two runs of a command: its files, apart from times and places in them."""

import hashlib
import json
import pathlib
import re

from tools.faults import forks

# Of their time, or not the same bytes from one process to the next.
_OF_THEIR_TIME = (".png", ".pdf", ".svg", "fingerprint.pb", "progress.json", "plan.csv")
# Chosen by TensorFlow or Keras anew each time; the fingerprint beside has the hash of the weights.
_STOOD_FOR = ("saved_model.pb", "checksums.json", ".h5", ".keras")


def of(folder):
  """Returns file -> a hash, worked out in a process that may use TensorFlow."""
  status, found = forks.answer_of_child(lambda: here(folder))
  return {"status": status} if found is None else found


def differences(found, expected):
  """Returns the names of files that are not equal, sorted."""
  return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


def here(folder):
  """Returns the same, worked out in this process."""
  folder = pathlib.Path(folder)
  place = str(folder.parent).encode()  # some files say where they are
  return {
      path.relative_to(folder).as_posix():
          hashlib.sha256(_normalized(path).replace(place, b"")).hexdigest()
      for path in sorted(folder.rglob("*"))
      if path.is_file() and "tensorboard" not in path.parts
      and not path.name.endswith(_OF_THEIR_TIME)}


def _normalized(path):
  """The bytes of a file; of checkpoints the tensors, of tables all but the speed."""
  if path.suffix == ".index":
    return _tensors(path.with_suffix(""))
  if path.name.startswith("step-") or ".data-" in path.name or path.name.endswith(_STOOD_FOR):
    return b""
  if path.name == "metrics.csv":
    return _without_speed(path)
  if path.suffix == ".html":
    return re.sub(rb"\d{4}-\d\d-\d\d at \d\d:\d\d", b"", path.read_bytes())
  if path.suffix == ".jsonl":
    return _lines(path)
  if path.suffix == ".json":
    return json.dumps(_without_dates(json.loads(path.read_text())), sort_keys=True).encode()
  return path.read_bytes()


def _without_dates(data):
  if not isinstance(data, dict):
    return data
  return {key: _without_dates(value) for key, value in data.items() if key != "prepared"}


def _lines(path):
  """The lines of a journal, in any order, without their checksums, which are of paths too."""
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  return "\n".join(sorted(json.dumps(
      {key: value for key, value in line.items() if key != "crc32"}) for line in lines)).encode()


def _without_speed(path):
  lines = [line.split(",") for line in path.read_text().splitlines()]
  kept = [i for i, name in enumerate(lines[0]) if not name.endswith("_per_second")]
  return "\n".join(",".join(line[i] for i in kept) for line in lines).encode()


def _tensors(path):
  import tensorflow as tf

  reader = tf.train.load_checkpoint(str(path))
  return b"".join(
      f"{key}".encode() + reader.get_tensor(key).tobytes()
      for key in sorted(reader.get_variable_to_shape_map())
      if "CHECKPOINTABLE" not in key and not key.startswith("save_counter"))
