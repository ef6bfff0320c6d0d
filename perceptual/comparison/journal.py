"""Results on disk as they come, so that a run that was killed goes on where it was.

    OUTPUT_DIR/journal.jsonl    a head: what the values are; then a line a pair

A line holds the names of the two files, their stamps, the values and a checksum. Lines are appended
whole, a batch at a time; a torn one at the end, left by a crash of the machine, is taken off.
"""

import contextlib
import fcntl
import json
import math
import os
import zlib

import numpy as np

from perceptual import errors
from perceptual.common import files, locks, remote
from perceptual.errors import UserError

FILE = "journal.jsonl"
_FORMAT = 2


class Journal:
  """The journal of one comparison, open for appending, and locked against a second run."""

  def __init__(self, folder, *, columns, fingerprints):
    """Opens the journal of a folder, or begins one.

    Args:
      folder: a folder, made if it is not there.
      columns: names of the values of a pair.
      fingerprints: `{label: fingerprint}` of the metrics, as plain data.

    Raises:
      UserError: if the folder cannot be written, another run is writing there, or the journal is
        damaged, or its values are of other metrics.
    """
    self.path = files.place(folder) / FILE
    head = _line({"journal": _FORMAT, "columns": list(columns), "fingerprints": fingerprints})
    self._head_size = len(head)
    self._lock = contextlib.ExitStack()
    self._made = []
    self._file = None
    try:
      self._file = self._opened()
      self._lock_file()
      self._check(head)
      self._size = self._cut_after_last_line()
      if not self._size:
        self._append(head)
    except BaseException:
      self._close()
      raise

  def _opened(self):
    """Returns the file, open for reading and appending."""
    if files.is_remote(self.path):
      self._lock.enter_context(locks.held(self.path.parent))
      return remote.AppendedFile(self.path)
    self._made = [folder for folder in self.path.parents if not folder.exists()]
    try:
      self.path.parent.mkdir(parents=True, exist_ok=True)
      return self.path.open("a+b", buffering=0)
    except OSError as error:
      raise self._unwritable(error) from None

  def _close(self):
    with self._lock:
      if self._file is not None:
        self._file.close()

  def __enter__(self):
    return self

  def __exit__(self, error, *_):
    if error is not None and self._size == self._head_size:
      self._remove()
    self._close()

  def _remove(self):
    """Removes a journal without values, and the folders that were made for it."""
    if files.is_remote(self.path):
      self._file.discard()
    self.path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something else lies there by now
      for folder in self._made:
        folder.rmdir()

  def load(self, pairing, headers):
    """Returns the values of pairs whose files have not changed since they were compared.

    Args:
      pairing: `Pairing`.
      headers: of each of its files a `Header`, or an error.

    Returns:
      `(values, changed)`: `{pair: [columns] floats}`, and how many values there are of files that
      have changed since.

    Raises:
      UserError: if a line is damaged.
    """
    positions = _Positions(pairing)
    values, changed = {}, set()
    self._file.seek(0)
    self._file.readline()
    for number, line in enumerate(self._file, 2):
      names, stamps, row = self._parsed(line, number)
      pair = positions.find(*names)
      if pair is None:
        continue
      if stamps == [getattr(headers[file], "stamp", None) for file in pairing.pairs[pair]]:
        values[pair] = row
      else:
        changed.add(pair)
    return values, len(changed - set(values))

  def record(self, pairing, headers, pairs, values):
    """Appends the values of pairs.

    Args:
      pairing: `Pairing`.
      headers: of each of its files a `Header`.
      pairs: indices into `pairing.pairs`.
      values: `[pairs, columns]`, no NaN among them.

    Raises:
      UserError: if they cannot be written; then the journal is as it was.
    """
    lines = []
    for pair, row in zip(pairs, values):
      compared = pairing.pairs[pair]
      lines.append(_line(_summed({
          "files": [os.fspath(pairing.files[file]) for file in compared],
          "stamps": [headers[file].stamp for file in compared],
          "values": [plain(value) for value in row]})))
    self._append(b"".join(lines))

  def _append(self, data):
    try:
      rest = memoryview(data)
      while rest:  # where the disk is full a first part is written, and the next one raises
        rest = rest[self._file.write(rest):]
    except OSError as error:
      self._file.truncate(self._size)
      raise self._unwritable(error) from None
    self._size += len(data)

  def _lock_file(self):
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(f"Another run is writing to {self.path.parent}.") from None

  def _cut_after_last_line(self):
    """Takes off what follows the last whole line; returns the size left."""
    size = self._file.seek(0, os.SEEK_END)
    self._file.seek(max(0, size - 2**20))
    tail = self._file.read()
    kept = size - len(tail) + tail.rfind(b"\n") + 1
    if kept < size:
      self._file.truncate(kept)
    return kept

  def _check(self, head):
    """Raises `UserError` unless the journal begins with this head, or with a torn part of it."""
    self._file.seek(0)
    found = self._file.readline()
    if head.startswith(found):
      return
    ours, theirs = _columns(head), _columns(found)
    if ours == theirs:
      theirs = "metrics of the same names but other weights, settings or versions"
    raise UserError(f"{self.path} holds values of {theirs}, not of {ours}; name another output "
                    "folder, or remove this file to begin anew.")

  def _parsed(self, line, number):
    """Returns the names, stamps and values of a line."""
    try:
      data = json.loads(line)
      if _summed({key: data[key] for key in ("files", "stamps", "values")}) != data:
        raise ValueError("changed since it was written")
      reference, candidate = data["files"]
      return ([reference, candidate], [tuple(stamp) for stamp in data["stamps"]],
              [float(value) for value in data["values"]])
    except (ValueError, TypeError, KeyError, RecursionError):
      raise UserError(
          f"{self.path} is damaged at line {number}; remove it to begin anew.") from None

  def _unwritable(self, error):
    return UserError(f"Results cannot be written to {self.path.parent}: {errors.reason(error)}.")


class _Positions:
  """Finds the index of a pair by the names of its files, without a Python object for each pair."""

  def __init__(self, pairing):
    self._files = {os.fspath(path): index for index, path in enumerate(pairing.files)}
    keys = self._key(*pairing.pairs.astype(np.int64).T)
    self._order = np.argsort(keys)
    self._keys = keys[self._order]

  def find(self, reference, candidate):
    """Returns the index, or None."""
    if reference not in self._files or candidate not in self._files:
      return None
    key = self._key(self._files[reference], self._files[candidate])
    place = np.searchsorted(self._keys, key)
    found = place < len(self._keys) and self._keys[place] == key
    return int(self._order[place]) if found else None

  def _key(self, reference, candidate):
    return reference * len(self._files) + candidate


def plain(value):
  """Returns a value as JSON has it: nine digits, which is all of float32, or `"inf"`."""
  return float(f"{value:.9g}") if math.isfinite(value) else str(float(value))


def _columns(head):
  """What a head says its values are, for people."""
  try:
    return ", ".join(json.loads(head)["columns"])
  except (ValueError, TypeError, KeyError, RecursionError):
    return "something else"


def _summed(data):
  """Returns data with a checksum of it."""
  return {**data, "crc32": zlib.crc32(_line(data))}


def _line(data):
  return json.dumps(data, sort_keys=True).encode("ascii") + b"\n"
