"""Checkpoints of PyTorch, read with NumPy: those that PyTorch writes, and those that it would not.

Where PyTorch is not installed, files of the same bytes are written by stand-ins for its classes.
"""

import collections
import io
import pickle
import struct
import sys
import tracemalloc
import types
import zipfile

import numpy as np
import pytest

from perceptual import errors
from perceptual.weights import state_dicts, torch_files

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STATE = {
    "features.0.weight": np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype("float32"),
    "features.0.bias": np.float32([0.5, -1.0, 2.0, 3.0]),
    "count": np.array(7),
}
KINDS = {"float32": "FloatStorage", "int64": "LongStorage"}


class Storage:
  """Stands for a torch storage: pickled as a persistent id."""

  def __init__(self, key, values, view=()):
    self.key, self.values, self.view = key, values, view


class Tensor:
  """Stands for a torch tensor: pickled as a call of `_rebuild_tensor_v2`."""

  def __init__(self, storage, offset, size, strides):
    self.arguments = (storage, offset, size, strides, False, collections.OrderedDict())


class Pickler(pickle.Pickler):

  def __init__(self, file, torch):
    super().__init__(file, protocol=2)
    self.torch = torch

  def persistent_id(self, thing):
    if isinstance(thing, Storage):
      kind = getattr(self.torch, KINDS[str(thing.values.dtype)])
      return ("storage", kind, thing.key, "cpu", thing.values.size, *thing.view)

  def reducer_override(self, thing):
    if isinstance(thing, Tensor):
      return (self.torch._utils._rebuild_tensor_v2, thing.arguments,
              getattr(thing, "state", None))
    return NotImplemented


@pytest.fixture
def torch_stub(monkeypatch):
  """Modules with the names that PyTorch's pickles refer to."""
  torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
  for kind in (*KINDS.values(), "BFloat16Storage"):
    setattr(torch, kind, type(kind, (), {"__module__": "torch"}))

  def rebuild(*arguments):
    raise AssertionError("only its name is pickled")

  rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
  torch._utils, utils._rebuild_tensor_v2 = utils, rebuild
  monkeypatch.setitem(sys.modules, "torch", torch)
  monkeypatch.setitem(sys.modules, "torch._utils", utils)
  return torch


def tensors(state):
  """Tensors over storages of their own, and the storages."""
  found = collections.OrderedDict()
  for name, value in state.items():
    storage = Storage(str(len(found)), value.ravel())
    strides = tuple(step // value.itemsize for step in value.strides)
    found[name] = Tensor(storage, 0, value.shape, strides)
  return found, [tensor.arguments[0] for tensor in found.values()]


def pickled(thing, torch):
  file = io.BytesIO()
  Pickler(file, torch).dump(thing)
  return file.getvalue()


def write_archive(path, thing, storages, torch, byteorder=b"little"):
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("model/data.pkl", pickled(thing, torch))
    archive.writestr("model/byteorder", byteorder)
    for storage in storages:
      archive.writestr(f"model/data/{storage.key}", storage.values.tobytes())


def write_stream(path, thing, storages, torch):
  parts = [pickled(part, torch) for part in (
      MAGIC_NUMBER, 1001, {"little_endian": True}, thing, [s.key for s in storages])]
  for storage in storages:
    parts += [struct.pack("<q", storage.values.size), storage.values.tobytes()]
  path.write_bytes(b"".join(parts))


WRITERS = {"archive": write_archive, "stream": write_stream}


@pytest.fixture(params=WRITERS)
def write(request, torch_stub, tmp_path):
  """Writes a checkpoint in one of the formats, and returns its path."""

  def write(thing, storages=()):
    path = tmp_path / "model.pth"
    WRITERS[request.param](path, thing, storages, torch_stub)
    return path
  return write


def assert_equal_states(found, expected):
  assert list(found) == list(expected)
  for name, value in expected.items():
    assert found[name].dtype == value.dtype and found[name].shape == value.shape
    np.testing.assert_array_equal(found[name], value)


def refusal(path):
  with pytest.raises(errors.UserError) as error:
    state_dicts.read(path)
  assert "\n" not in str(error.value)
  assert path.name in str(error.value)
  return str(error.value)


def test_tensors_by_name_in_their_order(write):
  assert_equal_states(state_dicts.read(write(*tensors(STATE))), STATE)


def test_views_of_a_storage(write):
  values = np.arange(24, dtype="float32")
  storage = Storage("0", values)
  views = {"transposed": Tensor(storage, 4, (3, 2), (1, 3)), "every_fifth": Tensor(
      storage, 1, (4,), (5,)), "empty": Tensor(storage, 24, (0, 3), (3, 1))}
  assert_equal_states(state_dicts.read(write(views, [storage])), {
      "transposed": values[4:10].reshape(2, 3).T, "every_fifth": values[1::5][:4],
      "empty": np.zeros((0, 3), "float32")})


@pytest.mark.parametrize("tensor", [
    (0, (25,), (1,)), (20, (5,), (1,)), (0, (2, 5), (20, 1)), (-1, (2,), (1,)), (5, (3,), (-1,)),
    (0, (-2,), (1,))])
def test_a_tensor_cannot_reach_beyond_its_storage(write, tensor):
  storage = Storage("0", np.arange(24, dtype="float32"))
  assert "beyond its storage" in refusal(write({"a": Tensor(storage, *tensor)}, [storage]))


def test_views_of_storages_are_refused(write):
  # The oldest files say that a storage is part of another one, or by None that it is not.
  values = np.arange(24, dtype="float32")
  for view, fits in ((None, True), (("0", 3, 10), False)):
    storage = Storage("0", values, (view,))
    path = write({"a": Tensor(storage, 0, (24,), (1,))}, [storage])
    if fits:
      np.testing.assert_array_equal(state_dicts.read(path)["a"], values)
    else:
      assert "a view of a storage" in refusal(path)


class Command:
  """Asks whoever unpickles it to make a file."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), "w")


def test_a_checkpoint_runs_nothing(write, tmp_path):
  bait = tmp_path / "bait"
  assert "refers to" in refusal(write({"weight": Command(bait)}))
  assert not bait.exists()


def test_other_storages_are_named(write, torch_stub):
  assert "torch.BFloat16Storage" in refusal(write({"weight": torch_stub.BFloat16Storage}))


def test_what_is_no_state_dict_is_refused(write):
  found, storages = tensors(STATE)
  assert "no tensors by name" in refusal(write(list(found.values()), storages))
  assert "holds a int as 'epoch'" in refusal(write({**found, "epoch": 3}, storages))
  assert "holds a OrderedDict as 'state_dict'" in refusal(write({"state_dict": found}, storages))


def test_damaged_files_are_refused(write):
  path = write(*tensors(STATE))
  whole = path.read_bytes()
  for length in (0, 1, 2, 30, len(whole) // 2, len(whole) - 1):
    path.write_bytes(whole[:length])
    assert "damaged" in refusal(path)


def test_an_archive_with_a_changed_byte_is_refused(torch_stub, tmp_path):
  path = tmp_path / "model.pth"
  write_archive(path, *tensors(STATE), torch_stub)
  weights = STATE["features.0.weight"].tobytes()
  path.write_bytes(path.read_bytes().replace(weights, bytes(len(weights))))
  assert "damaged" in refusal(path)


def test_big_endian_numbers_are_refused(torch_stub, tmp_path):
  path = tmp_path / "model.pth"
  write_archive(path, *tensors(STATE), torch_stub, byteorder=b"big")
  assert "big-endian" in refusal(path)


@pytest.mark.parametrize("name", ["absent.pth", "folder.pth"])
def test_what_cannot_be_read_is_named(tmp_path, name):
  (tmp_path / "folder.pth").mkdir()
  assert "cannot be read" in refusal(tmp_path / name)


def test_another_file_is_refused(tmp_path):
  path = tmp_path / "notes.pth"
  path.write_text("# Weights\n")
  assert "not a PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("as_archive", [True, False])
def test_what_pytorch_writes(tmp_path, as_archive):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: none of its own files")
  model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
  values = torch.arange(24.0)
  state = model.state_dict()
  state.update({
      "half": values.half(), "bool": values > 3, "view": values[3:].reshape(7, 3).t()[::2],
      "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
      "parameter": torch.nn.Parameter(values.double())})
  path = tmp_path / "model.pth"
  torch.save(state, path, _use_new_zipfile_serialization=as_archive)
  assert torch_files.is_torch_archive(path) == as_archive
  assert_equal_states(
      state_dicts.read(path), {name: tensor.detach().numpy() for name, tensor in state.items()})
  torch.save(model, path, _use_new_zipfile_serialization=as_archive)
  assert "torch.nn.modules.container.Sequential" in refusal(path)


def test_npz_files(tmp_path):
  path = tmp_path / "model.npz"
  np.savez_compressed(path, **STATE)
  assert_equal_states(state_dicts.read(path), STATE)
  whole = path.read_bytes()
  path.write_bytes(whole[:-30])
  assert "damaged" in refusal(path)


def test_npz_files_of_pickled_objects_are_refused(tmp_path):
  path = tmp_path / "model.npz"
  np.savez(path, weight=np.array([Command(tmp_path / "bait")], object))
  assert "not an .npz file of arrays" in refusal(path)
  assert not (tmp_path / "bait").exists()


def test_other_archives_are_refused(tmp_path):
  path = tmp_path / "model.npz"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("notes.txt", "weights")
  assert "other things than arrays: notes.txt" in refusal(path)


# Files that claim more than they hold.


def _read_refused(path, reason):
  with pytest.raises(errors.UserError, match=reason) as caught:
    state_dicts.read(path)
  assert str(path) in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_tensor_larger_than_its_storage_is_refused(write):
  storage = Storage("0", np.float32([1.0]))
  for size, reason in (((2,), "a tensor is larger than its storage"),
                       ((10**6, 10**6), "its tensors have 4,000,000,000,000 bytes, of 4 bytes")):
    _read_refused(
        write({"a": Tensor(storage, 0, size, (0,) * len(size))}, [storage]), reason)


def test_many_tensors_of_one_storage_are_refused(write):
  storage = Storage("0", np.zeros(1000, np.float32))
  state = {str(i): Tensor(storage, 0, (1000,), (1,)) for i in range(100)}
  _read_refused(write(state, [storage]), "its tensors have 400,000 bytes, of 4,000 bytes")


def test_a_storage_longer_than_the_file_is_refused(torch_stub, tmp_path):
  class Long(Storage):
    pass

  storage = Long("0", np.zeros(3, np.float32))
  storage.values = types.SimpleNamespace(
      dtype="float32", size=10**12, tobytes=lambda: b"\0" * 12)
  for name, writer in WRITERS.items():
    path = tmp_path / name
    writer(path, {"a": Tensor(storage, 0, (3,), (1,))}, [storage], torch_stub)
    _read_refused(path, "cut short|is not read")


def test_a_pickle_that_would_remember_more_than_it_holds_is_refused(tmp_path):
  """285 bytes for which Python would take 12 GB."""
  path = tmp_path / "model.pth"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("model/data.pkl", b"\x80\x02}r\xff\xff\xff\x5f.")
  _read_refused(path, "object 1610612735 is remembered after")


def test_an_archive_that_grows_out_of_proportion_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr("perceptual.common.budgets.ALWAYS_ALLOWED", 1000)
  path = tmp_path / "bomb.npz"
  np.savez_compressed(path, a=np.zeros(10**6, np.uint8))
  _read_refused(path, "unpacks to more than 200 times")


@pytest.mark.parametrize("header", [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f4'", "[" * 3000])
def test_an_array_that_is_not_as_its_header_tells_is_refused(tmp_path, header):
  path = tmp_path / "weights.npz"
  text = header.encode().ljust(117) + b"\n"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"1234")
  _read_refused(path, "is not an .npz file of arrays, or is damaged")


def zip_of_a_lie(path, name, content, method):
  """Writes an archive whose only member declares 129 bytes, whatever it unpacks to."""
  with zipfile.ZipFile(path, "w", method) as archive:
    archive.writestr(name, content)
  data = bytearray(path.read_bytes())
  for size in (22, data.index(b"PK\x01\x02") + 24):  # in both of its headers
    data[size:size + 4] = struct.pack("<I", 129)
  path.write_bytes(data)


@pytest.mark.parametrize(("name", "file"), [("a.npy", "a.npz"), ("model/data.pkl", "a.pth")])
@pytest.mark.parametrize(("method", "reason"), [
    (zipfile.ZIP_BZIP2, "compressed otherwise than by deflate"),
    (zipfile.ZIP_LZMA, "compressed otherwise than by deflate"), (zipfile.ZIP_DEFLATED, "CRC-32")])
def test_no_more_is_unpacked_than_a_piece_beyond_what_is_declared(
    tmp_path, monkeypatch, name, file, method, reason):
  monkeypatch.setattr("perceptual.common.budgets._PIECE", 2**16)
  header = io.BytesIO()
  np.lib.format.write_array_header_1_0(
      header, {"descr": "|u1", "fortran_order": False, "shape": (1,)})
  zip_of_a_lie(tmp_path / file, name, header.getvalue() + bytes(2**24), method)
  tracemalloc.start()
  try:
    _read_refused(tmp_path / file, reason)
    assert tracemalloc.get_traced_memory()[1] < 2**22
  finally:
    tracemalloc.stop()


_TWICE = b"K\x01\x85" + 40 * b"2\x86"  # (1,), and 40 times the pair of a tuple with itself
_REMEMBERED = b"K\x01\x85q\x00" + 40 * b"h\x00h\x00\x86q\x00"  # the same with a memo
_LIST = b"]q\x01K\x01a" + 40 * b"0](h\x01h\x01eq\x01"  # and lists


@pytest.mark.parametrize(("operations", "reason"), [
    (b"(" + _TWICE + b"NNNK\x01tQ", "a tuple is made of more than 1,000 objects"),
    (b"}" + _REMEMBERED + b"Ns", "a tuple is made of more than 1,000 objects"),
    (b"(" + _LIST + b"NNNK\x01tQ", "describes a storage otherwise than PyTorch does"),
    (b"(X\x07\0\0\0storagectorch\nFloatStorage\n" + _LIST + b"NK\x01tQ", "describes a storage"),
    (b"}" + b"K\x01" + _LIST + b"s", "holds a list as 1"),
    (b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00J\xff\xff\xff\x7f](K\x01e\x86]tR",
     "describes a tensor otherwise than PyTorch does")])
def test_a_pickle_that_grows_with_every_step_is_refused(tmp_path, operations, reason):
  path = tmp_path / "model.pth"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("model/data.pkl", b"\x80\x02" + operations + b".")
  _read_refused(path, reason)
  with pytest.raises(errors.UserError) as caught:
    state_dicts.read(path)
  assert len(str(caught.value)) < 500


def test_a_tensor_cannot_be_changed(write):
  class Changed(Tensor):
    def __init__(self, *arguments):
      super().__init__(*arguments)
      self.state = {"size": (2,)}

  storage = Storage("0", np.float32([1.0]))
  _read_refused(write({"a": Changed(storage, 0, (1,), (1,))}, [storage]), "it changes a tensor")
