"""Campaign (d), short form: readers of files that strangers send, given files damaged at random.

    python -m tools.faults.fuzzing [--reader=images] [--inputs=100000] [--seed=0] [--memory_gb=16]

Whole files are changed at random: bits flipped, bytes set to extremes, parts cut, doubled, moved or
taken from another file. A reader may return what it read or refuse it by the exceptions that it
documents, within the limits of time and memory. Everything else is a fault; the input is shown in
base 64. Prints a table. `guided` goes further: there coverage chooses what is changed next.
"""

import argparse
import base64
import logging
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import warnings

from perceptual.commands import command_line
from tools.faults.readers import READERS, whole_files

SECONDS = 10  # for one input
_EXTREMES = (b"\0", b"\xff", b"\x7f", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80")


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
  reader, whole = READERS[name], whole_files(name)
  rng = random.Random(f"{name} {seed}")
  accepted, faults = 0, []
  with tempfile.TemporaryDirectory() as folder:
    for data in whole:  # what readers import with their first file takes none of the time of others
      reader.read(data, pathlib.Path(folder))
    for _ in range(inputs):
      data = changed(rng.choice(whole), whole, rng)
      signal.setitimer(signal.ITIMER_REAL, SECONDS)
      try:
        reader.read(data, pathlib.Path(folder))
        accepted += 1
      except _TooLong:
        faults.append(f"longer than {SECONDS} s: {base64.b64encode(data).decode()}")
      except MemoryError as error:
        faults.append(f"{error!r}: {base64.b64encode(data).decode()}")
      except reader.refusals:
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
  command_line.configure_runtime()  # what TensorFlow says would stand in the table
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
