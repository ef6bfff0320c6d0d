"""Reads PyTorch checkpoints of tensors with NumPy alone, running nothing that a file asks for.

A checkpoint is a pickle, and a pickle may name any function to call. Here it may name the storages
and the functions that a state dict needs, and gets stand-ins of ours for them; anything else is
refused. Both formats of `torch.save` are read: the zip archive of PyTorch 1.6 and later,
and the stream of pickles before it, in which for instance torchvision's VGG-16 still comes.
"""

import collections
import dataclasses
import io
import math
import os
import pickle
import pickletools
import zipfile

import numpy as np

from perceptual import errors
from perceptual.common import budgets

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of the older format
_PICKLE = "data.pkl"  # the last part of the name of the zip archive's pickle

_MOST_PICKLED = 2**26  # bytes; a pickle of a hundred thousand tensors has a tenth of them
_MOST_SHARED = 4  # all tensors may be so much larger than their storages, since some share one

# NumPy's dtype of each kind of storage, little-endian.
_STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2",
    "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}


@dataclasses.dataclass(frozen=True)
class _Storage:
  """A run of numbers in the file, read once its place is known."""

  key: str
  dtype: np.dtype
  numel: int

  @property
  def bytes(self):
    return self.numel * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor:
  """A view of a storage: offset, size and strides counted in numbers."""

  storage: _Storage
  offset: int
  size: tuple[int, ...]
  strides: tuple[int, ...]

  @property
  def bytes(self):
    """The size of the tensor as an array of its own."""
    return math.prod(self.size) * self.storage.dtype.itemsize

  def of(self, values):
    """Returns the tensor as an array of its own, given the storage's values."""
    last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.strides))
    if min(self.offset, *self.size, *self.strides, 0) < 0 or (
        math.prod(self.size) and last >= len(values)):
      raise ValueError("a tensor reaches beyond its storage")
    if math.prod(self.size) > len(values):
      raise ValueError("a tensor is larger than its storage")
    return np.lib.stride_tricks.as_strided(
        values[self.offset:], self.size, [step * values.itemsize for step in self.strides]).copy()


def is_torch_archive(path):
  """Whether a file is a zip archive as `torch.save` writes it."""
  if not zipfile.is_zipfile(path):
    return False
  with zipfile.ZipFile(path) as archive:
    return any(_is_pickle(name) for name in archive.namelist())


def read(path):
  """Reads a state dict.

  Args:
    path: a file that `torch.save(model.state_dict(), path)` wrote.

  Returns:
    A dict of name to NumPy array, in the order of the file.

  Raises:
    UserError: it cannot be read, or holds something else than tensors by name.
  """
  try:
    if is_torch_archive(path):
      state, values = _read_archive(path)
    else:
      state, values = _read_stream(path)
    _check_state(state)
    _check_sizes(state.values(), values)
    return {name: tensor.of(values[tensor.storage.key]) for name, tensor in state.items()}
  except errors.UserError as error:
    raise errors.UserError(f"{path}: {error}") from None
  except OSError as error:
    raise errors.UserError(f"{path} cannot be read: {error.strerror or error}.") from None
  except Exception as error:  # a damaged pickle raises anything
    raise errors.UserError(
        f"{path} is not a PyTorch checkpoint, or is damaged "
        f"({errors.first_line(error).rstrip('.')}).") from None


def _read_archive(path):
  """Returns the unpickled object, and the values of each storage by key."""
  with zipfile.ZipFile(path) as archive:
    pickled = next(name for name in archive.namelist() if _is_pickle(name))
    folder = pickled.removesuffix(_PICKLE)
    _require_little_endian(f"{folder}byteorder" not in archive.namelist()
                           or _member(archive, f"{folder}byteorder", 64) == b"little")
    unpickler = _Unpickler(io.BytesIO(_member(archive, pickled, _MOST_PICKLED)))
    state = unpickler.load()
    budgets.require_growth(path, os.path.getsize(path),
                           sum(storage.bytes for storage in unpickler.storages.values()))
    return state, {
        key: _values(_member(archive, f"{folder}data/{key}", storage.bytes), storage)
        for key, storage in unpickler.storages.items()}


def _member(archive, name, most):
  """Returns the content of a file in the zip archive, which may have so many bytes at most."""
  size = archive.getinfo(name).file_size
  if size > most:
    raise ValueError(f"{name} has {size:,} bytes, more than {most:,}")
  return archive.read(name)


def _read_stream(path):
  """Returns the same of the older format: five pickles, then each storage's length and values."""
  with open(path, "rb") as file:
    if _Unpickler(file).load() != _MAGIC_NUMBER:
      raise ValueError("its first number is not that of PyTorch")
    _Unpickler(file).load()  # the version of the format, 1001 since its beginning
    _require_little_endian(_Unpickler(file).load()["little_endian"])
    unpickler = _Unpickler(file)
    state = unpickler.load()
    values = {}
    for key in _Unpickler(file).load():
      storage = unpickler.storages[key]
      file.read(8)  # the length, which the pickle says too
      if storage.bytes > os.path.getsize(path) - file.tell():
        raise ValueError(f"storage {storage.key} is cut short")
      values[key] = _values(file.read(storage.bytes), storage)
    return state, values


class _Unpickler(pickle.Unpickler):
  """Unpickles tensors as `_Tensor`s, and remembers their storages by key."""

  def __init__(self, file):
    _check_memo(file)
    super().__init__(file, encoding="utf-8")
    self.storages = {}

  def find_class(self, module, name):
    if module == "torch" and name in _STORAGES:
      return np.dtype(_STORAGES[name])
    if (module, name) in _STAND_INS:
      return _STAND_INS[module, name]
    raise errors.UserError(f"refers to {module}.{name}, which is not read: only tensors by name "
                           "are, as torch.save(model.state_dict(), path) writes them.")

  def persistent_load(self, pid):
    kind, dtype, key, _, numel, *view = pid
    if kind != "storage":
      raise ValueError(f"it holds a {kind}")
    if view not in ([], [None]):
      raise ValueError("it holds a view of a storage, as PyTorch has long ceased to write")
    if not isinstance(numel, int) or numel < 0:
      raise ValueError(f"storage {key} has {errors.shown(numel)} numbers")
    return self.storages.setdefault(key, _Storage(key, dtype, numel))


def _tensor(storage, offset, size, strides, *_):
  return _Tensor(storage, offset, tuple(size), tuple(strides))


def _parameter(tensor, *_):
  return tensor


_STAND_INS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def _check_memo(file):
  """Raises `ValueError` where a pickle would remember more than it holds, or is too long.

  Python makes room for as many objects as the highest number under which one is remembered.
  """
  start = file.tell()
  for count, (opcode, argument, position) in enumerate(pickletools.genops(file), 1):
    if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument) > count:
      raise ValueError(f"object {argument} is remembered after {count} operations")
    if position - start > _MOST_PICKLED:
      raise ValueError(f"its pickle is longer than {_MOST_PICKLED:,} bytes")
  file.seek(start)


def _check_sizes(tensors, values):
  """Raises `ValueError` if tensors that share storages are far larger than those."""
  needed, there = sum(tensor.bytes for tensor in tensors), sum(v.nbytes for v in values.values())
  if needed > _MOST_SHARED * there:
    raise ValueError(f"its tensors have {needed:,} bytes, of {there:,} bytes in their storages")


def _is_pickle(name):
  return name.rpartition("/")[2] == _PICKLE


def _values(data, storage):
  if len(data) != storage.bytes:
    raise ValueError(f"storage {storage.key} is cut short")
  return np.frombuffer(data, storage.dtype)


def _require_little_endian(is_little):
  if not is_little:
    raise ValueError("its numbers are big-endian")


def _check_state(state):
  if not isinstance(state, dict):
    raise errors.UserError("holds no tensors by name, as torch.save(model.state_dict(), path) "
                           "writes them.")
  for name, tensor in state.items():
    if not (isinstance(name, str) and isinstance(tensor, _Tensor)):
      raise errors.UserError(f"holds a {type(tensor).__name__} as {name!r}; a state dict has "
                             "tensors by name alone.")
