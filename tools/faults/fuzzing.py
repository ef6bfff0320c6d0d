"""Campaign (d): readers of files that strangers send, given damaged ones.

    python -m tools.faults.fuzzing [--reader=images] [--inputs=100000] [--seed=0] [--memory_gb=16]

Whole files are changed at random: bits flipped, bytes set to extremes, parts cut, doubled, moved or
taken from another file. A reader may return what it read or refuse it by the one exception that it
documents, within the limits of time and memory. Everything else is a fault; the input is shown in
base 64. Prints a table.
"""

import argparse
import base64
import io
import logging
import pathlib
import random
import resource
import signal
import sys
import tarfile
import tempfile
import time
import warnings

import numpy as np
from PIL import Image

from perceptual.common import budgets
from perceptual.data.images import archives, image_files
from perceptual.data.judged import source_files
from perceptual.errors import UserError
from perceptual.weights import torch_files

SECONDS = 10  # for one input
_EXTREMES = (b"\0", b"\xff", b"\x7f", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80")


def _images():
  image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
  for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "TGA"):
    stream = io.BytesIO()
    image.save(stream, kind)
    yield stream.getvalue()


def _archives():
  for mode in ("w", "w:gz", "w:xz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
      for name in ("a/1.png", "b/2.png"):
        member = tarfile.TarInfo(name)
        member.size = 700
        archive.addfile(member, io.BytesIO(bytes(700)))
    yield stream.getvalue()


def _arrays():
  for save in (np.savez, np.savez_compressed):
    stream = io.BytesIO()
    save(stream, a=np.arange(12.0).reshape(3, 4), b=np.int64(3))
    yield stream.getvalue()


def _pickles():
  yield (b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aq\x02ctorch._utils\n"
         b"_rebuild_tensor_v2\nq\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05"
         b"X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K\x04tq\x08QK\x00K\x02K\x02\x86q\x09K\x02"
         b"K\x01\x86q\nh\x00)Rq\x0btq\x0cRq\ru.")


def _read_pickle(data, folder):
  del folder
  return torch_files._Unpickler(io.BytesIO(data)).load()


def _read_archive(data, folder):
  path = folder / "archive.tar"
  path.write_bytes(data)
  for _, size, read in archives.members(path):
    if size < 2**20:
      read()


def _read_arrays(data, folder):
  del folder
  return budgets.read_npz(io.BytesIO(data))


def _read_csv(data, folder):
  del folder
  return list(source_files.csv_rows(source_files.decoded(data, "x.csv"), "x.csv"))


# Name -> (whole files, reader of bytes and a folder to work in, what it may raise).
READERS = {
    "images": (_images, lambda data, folder: image_files.decode(data, "x"),
               (image_files.UnreadableImage,)),
    "archives": (_archives, _read_archive, (UserError, OSError)),
    "arrays": (_arrays, _read_arrays, (UserError, *budgets.NPZ_DAMAGE)),
    # `torch_files.read` turns whatever a damaged pickle raises into one line.
    "pickles": (_pickles, _read_pickle, (Exception,)),
    "csv": (lambda: [b"reference,a,b,p\nr.png,a.png,b.png,0.5\n"], _read_csv, (UserError,)),
}


def changed(data, others, rng):
  """Returns a file with one to four changes at random."""
  data = bytearray(data)
  for _ in range(rng.randint(1, 4)):
    place = rng.randrange(len(data) + 1)
    length = rng.randrange(1, 2 + len(data) // 4)
    other = rng.choice(others)
    start = rng.randrange(len(other))
    data[place:place + rng.choice((0, 1, length))] = rng.choice((
        b"", rng.choice(_EXTREMES), bytes([rng.randrange(256)]), bytes(data[place:place + length]),
        other[start:start + length]))
  return bytes(data)


def run(name, inputs, seed=0):
  """Gives a reader so many changed files; returns how many it read, and texts about faults."""
  whole, read, refusals = READERS[name]
  whole = list(whole())
  rng = random.Random(f"{name} {seed}")
  accepted, faults = 0, []
  with tempfile.TemporaryDirectory() as folder:
    for _ in range(inputs):
      data = changed(rng.choice(whole), whole, rng)
      signal.setitimer(signal.ITIMER_REAL, SECONDS)
      try:
        read(data, pathlib.Path(folder))
        accepted += 1
      except _TooLong:
        faults.append(f"longer than {SECONDS} s: {base64.b64encode(data).decode()}")
      except MemoryError as error:
        faults.append(f"{error!r}: {base64.b64encode(data).decode()}")
      except refusals:
        pass
      except Exception as error:
        faults.append(f"{error!r}: {base64.b64encode(data).decode()}")
      finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
  return accepted, faults


class _TooLong(BaseException):
  """An input took too long; no reader may take it for damage."""


def limit_time():
  """Has an input that takes too long end with `_TooLong`."""
  def stop(number, frame):
    raise _TooLong
  signal.signal(signal.SIGALRM, stop)


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--reader", choices=READERS, action="append", help="by default all")
  parser.add_argument("--inputs", type=int, default=100_000, help="files for each reader")
  parser.add_argument("--seed", type=int, default=0, help="of the changes")
  parser.add_argument("--memory_gb", type=float, default=16.0, help="address space at most")
  given = parser.parse_args()
  limit_time()
  logging.disable()  # what readers say of damaged files
  warnings.simplefilter("ignore")
  resource.setrlimit(resource.RLIMIT_AS, (int(given.memory_gb * 2**30),) * 2)
  print("| reader | inputs | read | refused | faults | inputs/s |\n|---|---|---|---|---|---|")
  failed = False
  for name in given.reader or READERS:
    begin = time.monotonic()
    accepted, faults = run(name, given.inputs, given.seed)
    failed |= bool(faults)
    numbers = (given.inputs, accepted, given.inputs - accepted - len(faults), len(faults),
               round(given.inputs / (time.monotonic() - begin)))
    print(" | ".join([f"| {name}", *(f"{number:,}" for number in numbers)]), "|", flush=True)
    for fault in faults[:5]:
      print(fault, flush=True)
  return 1 if failed else 0


if __name__ == "__main__":
  sys.exit(main())
