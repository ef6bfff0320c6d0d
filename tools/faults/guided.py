"""Campaign (d): readers of files that strangers send, given damaged ones that coverage chooses.

    pip install atheris
    python -m tools.faults.guided --folder=DIR [--reader=images] [--inputs=100000] [--seed=1]

Atheris changes further what has reached new code of this package or of the libraries in Python that
it reads with (`_MEASURED`), each reader in a process of its own. A reader may return what it read
or refuse it by the exceptions that it documents, within `_SECONDS` and `_MEGABYTES`. Everything
else is a fault, of which the input is kept in DIR/READER/faults. Prints a table; "new code" counts
the inputs that reached some.
"""

import argparse
import hashlib
import json
import logging
import pathlib
import subprocess
import sys
import time
import traceback
import warnings

from tools.faults import own_folder

_SECONDS, _MEGABYTES = 10, 4096  # for one input, and for a process
_STARTS = 5  # processes for one reader
_LONGEST = 4096  # bytes of an input
_MEASURED = ("perceptual", "PIL", "gin", "tarfile", "zipfile", "pickletools", "csv", "json",
             "tokenize", "numpy.lib._format_impl", "numpy.lib.format")
_COUNTS = "counts.json"


def _fuzz(name, folder, inputs, seed):
  """Gives a reader so many inputs, in this process, which ends with them."""
  import atheris

  with atheris.instrument_imports(include=list(_MEASURED)):
    from tools.faults import readers

    reader = readers.READERS[name]
    for number, data in enumerate(readers.whole_files(name)):
      (folder / "corpus" / f"whole-{number}").write_bytes(data)
      reader.read(data, folder / "work")  # what it imports is measured too
  counts = _counted(folder)
  inputs -= counts["inputs"]
  end = counts["inputs"] + inputs

  def one(data):
    counts["inputs"] += 1
    try:
      reader.read(data, folder / "work")
      counts["read"] += 1
    except reader.refusals:
      counts["refused"] += 1
    except Exception:
      counts["faults"] += 1
      _keep(folder / "faults", data, traceback.format_exc())
    if counts["inputs"] % 1000 == 0 or counts["inputs"] == end:
      (folder / _COUNTS).write_text(json.dumps(counts))

  atheris.Setup([
      sys.argv[0], str(folder / "corpus"), f"-runs={inputs}", f"-seed={seed}",
      f"-max_len={_LONGEST}", "-len_control=0", f"-timeout={_SECONDS}",
      f"-rss_limit_mb={_MEGABYTES}", f"-artifact_prefix={folder}/faults/", "-verbosity=0"], one)
  atheris.Fuzz()


def _counted(folder):
  """Returns what was counted so far."""
  path = folder / _COUNTS
  if path.exists():
    return json.loads(path.read_text())
  return {"inputs": 0, "read": 0, "refused": 0, "faults": 0}


def _keep(folder, data, text):
  """Keeps an input with its traceback, once for each place where one came from."""
  place = text.rstrip().splitlines()[-3:-1]
  name = hashlib.sha256("".join(place).encode()).hexdigest()[:12]
  if not (folder / name).exists():
    (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_text(text)


def run(name, folder, inputs, seed):
  """Runs the campaign of one reader in a process.

  Args:
    name: of the reader.
    folder: where it may work.
    inputs: how many.
    seed: of the changes.

  Returns:
    What was counted: "inputs", "read", "refused", "faults", "new code", "inputs/s". A process that
    was ended, for time or memory, counts as a fault; another one goes on, at most `_STARTS` in all.
  """
  for part in ("corpus", "faults", "work"):
    (folder / part).mkdir(parents=True)
  begin, ended = time.monotonic(), 0
  with open(folder / "log.txt", "wb") as log:
    for start in range(_STARTS):
      command = [sys.executable, "-m", "tools.faults.guided", f"--folder={folder}",
                 f"--child={name}", f"--inputs={inputs}", f"--seed={seed + start}"]
      if subprocess.run(command, stdout=log, stderr=log, check=False).returncode == 0:
        break
      ended += 1
  seconds = time.monotonic() - begin
  counts = _counted(folder)
  counts["faults"] += ended
  return {**counts, "new code": len(list((folder / "corpus").iterdir())),
          "inputs/s": round(counts["inputs"] / seconds)}


def main():
  """Runs the campaign; see above. Returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--folder", type=pathlib.Path, required=True, help=own_folder.HELP)
  parser.add_argument("--reader", action="append", help="by default all")
  parser.add_argument("--inputs", type=int, default=100_000, help="files for each reader")
  parser.add_argument("--seed", type=int, default=1, help="of the changes; not 0")
  parser.add_argument("--child", help=argparse.SUPPRESS)
  given = parser.parse_args()
  folder = given.folder.absolute()
  if given.child:
    logging.disable()  # what readers say of damaged files
    warnings.simplefilter("ignore")
    _fuzz(given.child, folder, given.inputs, given.seed)
  own_folder.emptied(folder)
  from tools.faults import readers

  faults, head = 0, None
  for name in given.reader or readers.READERS:
    counts = run(name, folder / name, given.inputs, given.seed)
    if head is None:
      head = f"| reader | {' | '.join(counts)} |"
      print(f"{head}\n|{'---|' * (len(counts) + 1)}")
    print(f"| {name} | {' | '.join(f'{count:,}' for count in counts.values())} |", flush=True)
    faults += counts["faults"]
  return 1 if faults else 0


if __name__ == "__main__":
  sys.exit(main())
