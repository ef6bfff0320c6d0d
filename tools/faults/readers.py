"""The readers of files that strangers send: whole files of each, and the errors that it documents.

A reader takes bytes, and a folder that it may write to. It may return what it read or raise what it
documents; `fuzzing` and `guided` give it damaged files.
"""

import functools
import io
import json
import pathlib
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from perceptual.common import budgets
from perceptual.comparison import journal, pairing
from perceptual.data import tfds_files, tfrecords
from perceptual.data.images import archives, image_files
from perceptual.data.judged import prepared, source_files
from perceptual.errors import UserError
from perceptual.evaluation import distance_files
from perceptual.weights import store, torch_files


class Reader(NamedTuple):
  """A reader of files.

  Attributes:
    whole: returns whole files, an iterable of bytes.
    read: `(bytes, folder) -> object`.
    refusals: exceptions by which it may refuse a file.
  """

  whole: Callable
  read: Callable
  refusals: tuple[type[Exception], ...] = (UserError,)


def _images():
  image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
  for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA"):
    stream = io.BytesIO()
    image.save(stream, kind)
    yield stream.getvalue()


def _read_image(data, folder):
  del folder
  return image_files.decode(data, "x")


def _archives():
  for mode in ("w", "w:gz", "w:xz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
      for name in ("a/1.png", "b/2.png"):
        member = tarfile.TarInfo(name)
        member.size = 700
        archive.addfile(member, io.BytesIO(bytes(700)))
    yield stream.getvalue()


def _read_archive(data, folder):
  path = folder / "archive.tar"
  path.write_bytes(data)
  for _, size, read in archives.members(path):
    if size < 2**20:
      read()


def _npz():
  for save in (np.savez, np.savez_compressed):
    stream = io.BytesIO()
    save(stream, a=np.arange(12.0).reshape(3, 4), b=np.int64(3))
    yield stream.getvalue()


def _read_npz(data, folder):
  path = folder / "x.npz"
  path.write_bytes(data)
  return budgets.read_npz(path)


def _npy():
  for array in (np.arange(12.0).reshape(3, 4), np.int64(3)):
    stream = io.BytesIO()
    np.save(stream, array)
    yield stream.getvalue()


def _read_npy(data, folder):
  """Reads an array of a sound archive, past whose checksums no damage would come."""
  return _read_npz(_zipped({"a.npy": data}), folder)


def _pickles():
  yield _state_dict(2)


def _state_dict(protocol):
  """The pickle of a state dict with one tensor, as PyTorch writes it, less the protocol's frame."""
  start = b"\x80" + bytes([protocol])
  return start + (
      b"ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aq\x02ctorch._utils\n"
      b"_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05"
      b"X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x04tq\x08QK\x00K\x02K\x02\x86q\x09K\x02"
      b"K\x01\x86q\nh\x00)Rq\x0btq\x0cRq\ru.")


def _read_pickle(data, folder):
  """Reads a pickle in a sound checkpoint, past whose checksums no damage would come."""
  return _read_checkpoint(_checkpoint(data), folder)


def _checkpoint(pickled):
  return _zipped({"archive/data.pkl": pickled, "archive/byteorder": b"little",
                  "archive/data/0": np.arange(4, dtype=np.float32).tobytes()})


def _checkpoints():
  yield _checkpoint(_state_dict(2))
  about = {"little_endian": True, "protocol_version": 1001, "type_sizes": {}}
  yield b"".join([*(pickle.dumps(part, 2) for part in (torch_files._MAGIC_NUMBER, 1001, about)),
                  _state_dict(2), pickle.dumps(["0"], 2), (4).to_bytes(8, "little"), bytes(16)])


def _read_checkpoint(data, folder):
  path = folder / "x.pth"
  path.write_bytes(data)
  return torch_files.read(path)


def _zipped(members):
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, "w") as archive:
    for name, data in members.items():
      archive.writestr(name, data)
  return stream.getvalue()


def _csv():
  yield b"reference,a,b,p\nr.png,a.png,b.png,0.5\n"
  yield b"reference,candidate\nr.png,~/a.png\n"
  yield b"step,epoch,loss,score/local\n0,0.0,,61.5\n4,0.25,2.5,62.25\n"


def _read_csv(data, folder):
  from perceptual.training import records, step_scores  # TensorFlow is slow to come

  path = folder / "x.csv"
  path.write_bytes(data)
  return _each(lambda: list(source_files.csv_rows(source_files.decoded(data, path), path)),
               lambda: pairing.from_csv(path), lambda: records.read_metrics(path),
               lambda: step_scores.lines(path))


def _gin():
  yield (b"include 'gin/models/resnet6.gin'\nnetwork.width = 0.5\ntrain.batch_size = %batch\n"
         b"batch = 64\ntrain.optimizer = @sgd()\nsgd.schedule = @step_decay()\n"
         b"step_decay.decay_epochs = (8, 10)\n")
  yield b"a/sgd.momentum = 0.9\ntrain.optimizer = @a/sgd()\njudged.name = ['bapps/2afc', 'mine']\n"


def _read_gin(data, folder):
  from perceptual.experiments import config

  path = folder / "x.gin"
  path.write_bytes(data)
  config.parse([path])
  return _each(config.network, config.train_settings, config.judged, config.learn_settings)


def _json():
  yield b'{"name": "resnet6", "options": {"width": 0.5}}'
  yield json.dumps({"name": "alexnet", "sha256": "0" * 64, "tensors_sha256": "1"}).encode()
  yield json.dumps({"format": 1, "kind": "2afc", "sha256": "0", "note": "", "provenance": {},
                    "higher_is_better": None}).encode()
  yield json.dumps({"name": "x", "splits": [{"name": "train", "shardLengths": ["1"],
                                             "numBytes": "3"}]}).encode()
  yield json.dumps({"files": {"step-1.index": {"bytes": 3, "sha256": "0"}},
                    "notes": {"metrics": []}, "crc32": 1}).encode()
  yield json.dumps({"ranking": ["mse"], "settings": {}, "fingerprints": {"mse": {}},
                    "judged_set": {"kind": "2afc"}, "distances": {"examples": 1, "sha256": "0"},
                    }).encode()


def _read_json(data, folder):
  """Reads a file as each of those that a run, a data set or an evaluation keeps."""
  from perceptual.export import keras_files
  from perceptual.training import checkpoint_files, model_dir

  run = model_dir.ModelDir(folder)
  for name in ("network.json", "learned.json", "task.json", "run.json", "step-1.json",
               "dataset_info.json", "features.json", "judged.json", "scores.json", "x.json"):
    (folder / name).write_bytes(data)
  (folder / "distances.csv").write_text("example,candidate,answer,mse\n0,0,1.0,0.5\n")
  checkpoint_files.fault(folder, 1)  # these three refuse nothing, they tell
  checkpoint_files.notes(folder, 1)
  tfds_files.is_complete(folder)
  return _each(
      run.read_network, run.read_learned, run.read_task, run.read_run,
      lambda: prepared.read(folder, "x"),
      lambda: distance_files.read(folder), lambda: store.read_manifest(folder / "x.json"),
      lambda: keras_files._read_fingerprint(folder / "x.json"))


def _journals():
  yield b"".join([journal._line(_HEAD), *(journal._line(journal._summed({
      "files": ["a.png", f"{i}.png"], "stamps": [[1, 2], [3, 4]], "values": [0.5]}))
      for i in range(3))])


_HEAD = {"journal": journal._FORMAT, "columns": ["mse"], "fingerprints": {"mse": {}}}


def _read_journal(data, folder):
  path = folder / journal.FILE
  path.write_bytes(data)
  files = tuple(map(pathlib.Path, ("a.png", "0.png", "1.png", "2.png")))
  pairs = pairing.Pairing("x", files, np.array([[0, 1], [0, 2], [0, 3]], np.int32))
  with journal.Journal(folder, columns=["mse"], fingerprints={"mse": {}}) as book:
    return book.load(pairs, [None] * len(files))


def _tfrecords():
  record, = _examples()
  head = len(record).to_bytes(8, "little")
  yield 2 * b"".join([head, tfrecords._checksum(head), record, tfrecords._checksum(record)])


def _read_tfrecords(data, folder):
  path = folder / "x.tfrecord"
  path.write_bytes(data)
  return list(tfrecords.records(path))


def _examples():
  """A `tf.train.Example` with a list of bytes, one of float32 and one of int64: -1 and 300."""
  yield (b"\n4\n\x0c\n\x01i\x12\x07\n\x05\n\x03png\n\r\n\x01j\x12\x08\x12\x06\n\x04\0\0\x80>"
         b"\n\x15\n\x01l\x12\x10\x1a\x0e\n\x0c" + 9 * b"\xff" + b"\x01\xac\x02")


def _read_example(data, folder):
  del folder
  return tfrecords.example(data)


def _each(*readers):
  """Calls readers; raises what the last one that refused has raised, so that all are called."""
  refusal, read = None, []
  for reader in readers:
    try:
      read.append(reader())
    except UserError as error:
      refusal = error
  if refusal is not None and not read:
    raise refusal
  return read


READERS = {
    "images": Reader(_images, _read_image, (image_files.UnreadableImage,)),
    "archives": Reader(_archives, _read_archive, (UserError, OSError)),
    "npz": Reader(_npz, _read_npz, (UserError, OSError, *budgets.NPZ_DAMAGE)),
    "npy": Reader(_npy, _read_npy, (UserError, OSError, *budgets.NPZ_DAMAGE)),
    "pth": Reader(_checkpoints, _read_checkpoint),
    "pickles": Reader(_pickles, _read_pickle),
    "csv": Reader(_csv, _read_csv),
    "gin": Reader(_gin, _read_gin),
    "json": Reader(_json, _read_json),
    "journals": Reader(_journals, _read_journal),
    "tfrecords": Reader(_tfrecords, _read_tfrecords),
    "examples": Reader(_examples, _read_example, (ValueError,)),
}


@functools.cache
def whole_files(name):
  """Returns the whole files of a reader, a tuple."""
  return tuple(READERS[name].whole())
