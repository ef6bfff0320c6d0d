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

# Operations of pickles.
_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
_HASHABLE = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")  # what they make
_UNHASHABLE = ("LIST", "DICT")
_IN_PLACE = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS")

_MOST_PICKLED = 2**26  # bytes; a pickle of a hundred thousand tensors has a tenth of them
_MOST_SHARED = 4  # all tensors may be so much larger than their storages, since some share one
_MOST_AXES = 64  # as NumPy has
_MOST_IN_TUPLE = 1000  # objects; a tensor is made of some thirty
_LONGEST_REASON = 300  # letters of another library's message, which may quote the file

# NumPy's dtype of each kind of storage, little-endian.
_STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2",
    "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}


class _Fixed:
  """What a pickle cannot change once it is made, and checked."""

  def __setstate__(self, state):
    raise ValueError("it changes a tensor that is made")


@dataclasses.dataclass(frozen=True, eq=False)
class _Storage(_Fixed):
  """A run of numbers in the file, read once its place is known."""

  key: str | int
  dtype: np.dtype
  numel: int

  @property
  def bytes(self):
    return self.numel * self.dtype.itemsize


@dataclasses.dataclass(frozen=True, eq=False)
class _Tensor(_Fixed):
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
        f"({errors.first_line(error)[:_LONGEST_REASON].rstrip('.')}).") from None


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
  return budgets.read_member(archive, name)


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
      if not (_is_key(key) and key in unpickler.storages):
        raise ValueError("it holds a storage that no tensor is of")
      storage = unpickler.storages[key]
      file.read(8)  # the length, which the pickle says too
      if storage.bytes > os.path.getsize(path) - file.tell():
        raise ValueError(f"storage {errors.shown(storage.key)} is cut short")
      values[key] = _values(file.read(storage.bytes), storage)
    return state, values


class _Unpickler(pickle.Unpickler):
  """Unpickles tensors as `_Tensor`s, and remembers their storages by key."""

  def __init__(self, file):
    _check_pickle(file)
    super().__init__(file, encoding="utf-8")
    self.storages = {}

  def find_class(self, module, name):
    if module == "torch" and name in _STORAGES:
      return np.dtype(_STORAGES[name])
    if (module, name) in _STAND_INS:
      return _STAND_INS[module, name]
    raise errors.UserError(
        f"refers to {errors.shown(f'{module}.{name}')}, which is not read: only tensors by name "
        "are, as torch.save(model.state_dict(), path) writes them.")

  def persistent_load(self, pid):
    if not _is_storage(pid):
      raise ValueError("it describes a storage otherwise than PyTorch does")
    kind, dtype, key, _, numel, *view = pid
    if kind != "storage":
      raise ValueError(f"it holds a {errors.shown(kind)}")
    if view not in ([], [None]):
      raise ValueError("it holds a view of a storage, as PyTorch has long ceased to write")
    if numel < 0:
      raise ValueError(f"storage {errors.shown(key)} has {errors.shown(numel)} numbers")
    return self.storages.setdefault(key, _Storage(key, dtype, numel))


def _is_storage(pid):
  """Whether what describes a storage is of the types that PyTorch gives it."""
  return (isinstance(pid, tuple) and len(pid) >= 5 and isinstance(pid[0], str)
          and isinstance(pid[1], np.dtype) and _is_key(pid[2]) and isinstance(pid[4], int))


def _is_key(key):
  """Whether a storage may be called so; an object of any other type might take for ever to show."""
  return isinstance(key, (str, int))


def _tensor(storage, offset, size, strides, *_):
  tensor = _Tensor(storage, offset, tuple(size), tuple(strides))
  numbers = (tensor.offset, *tensor.size, *tensor.strides)
  if not (isinstance(storage, _Storage) and len(tensor.size) == len(tensor.strides) <= _MOST_AXES
          and all(isinstance(n, int) and abs(n) < 2**63 for n in numbers)):
    raise ValueError("it describes a tensor otherwise than PyTorch does")
  return tensor


def _parameter(tensor, *_):
  return tensor


_STAND_INS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def _check_pickle(file):
  """Raises `ValueError` where a pickle would take far more memory or time than it has bytes.

  Python makes room for as many objects as the highest number under which one is remembered. A tuple
  may hold another one many times, and that a third one: to hash the outer one, as a dict does,
  takes a step for each path to the innermost.
  """
  start = file.tell()
  counts = _Counts()
  for count, (opcode, argument, position) in enumerate(pickletools.genops(file), 1):
    if opcode.name in _PUTS and int(argument) > count:
      raise ValueError(f"object {argument} is remembered after {count} operations")
    if position - start > _MOST_PICKLED:
      raise ValueError(f"its pickle is longer than {_MOST_PICKLED:,} bytes")
    counts.follow(opcode, argument)
  file.seek(start)


class _Counts:
  """Of each object on the stack of an unpickler, how many objects are hashed to hash it, at most.

  One that is held several times counts as often; no count goes on beyond one too many. Hashing ends
  at a list or a dict, whatever that holds. What an operation takes from the stack and puts there is
  as `pickletools` describes it.
  """

  def __init__(self):
    self._stack, self._marks, self._memo = [], [], {}

  def follow(self, opcode, argument):
    """Does what an operation does; raises `ValueError` where it makes too large a tuple."""
    name = opcode.name
    if name == "MARK":
      self._marks.append(len(self._stack))
    elif name == "POP" and self._marks and self._marks[-1] == len(self._stack):
      self._marks.pop()
    elif name in _PUTS:
      self._memo[int(argument)] = self._stack[-1]
    elif name == "MEMOIZE":
      self._memo[len(self._memo)] = self._stack[-1]
    elif name in _GETS:
      self._stack.append(self._memo[int(argument)])
    else:
      made = self._made(name, self._taken(opcode.stack_before))
      self._stack += [made] * len(opcode.stack_after)

  def _made(self, name, taken):
    if name in _IN_PLACE:
      return taken[0]
    if name in _UNHASHABLE:
      return 1
    if sum(taken) >= _MOST_IN_TUPLE and name in _HASHABLE:
      raise ValueError(f"a tuple is made of more than {_MOST_IN_TUPLE:,} objects")
    return min(1 + sum(taken), _MOST_IN_TUPLE + 1)

  def _taken(self, before):
    """Returns the counts of what an operation takes: all down to the last mark, and those below."""
    below, start = len(before), len(self._stack)
    if pickletools.markobject in before:
      below, start = before.index(pickletools.markobject), self._marks.pop()
    start = max(start - below, 0)
    taken = self._stack[start:]
    del self._stack[start:]
    return taken


def _check_sizes(tensors, values):
  """Raises `ValueError` if tensors that share storages are far larger than those."""
  needed, there = sum(tensor.bytes for tensor in tensors), sum(v.nbytes for v in values.values())
  if needed > _MOST_SHARED * there:
    raise ValueError(f"its tensors have {needed:,} bytes, of {there:,} bytes in their storages")


def _is_pickle(name):
  return name.rpartition("/")[2] == _PICKLE


def _values(data, storage):
  if len(data) != storage.bytes:
    raise ValueError(f"storage {errors.shown(storage.key)} is cut short")
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
      raise errors.UserError(f"holds a {type(tensor).__name__} as {errors.shown(name)}; a state "
                             "dict has tensors by name alone.")
