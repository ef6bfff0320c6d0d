"""What the campaigns run: small commands, each in a folder, and what must be equal at their end."""

import hashlib
import json
import os
import pathlib
import shutil
import sys
import traceback
from typing import NamedTuple

_TINY = """
include 'gin/runs/demo.gin'
network.name = 'resnet2'
network.width = 0.1
network.dropout = 0.4
images.train_per_photograph = 2
images.validation_per_photograph = 1
judged.limit = 6
train.batch_size = 8
train.eval_batch_size = 8
train.train_steps = 6
train.steps_per_loop = 2
train.eval_interval = 4
train.checkpoint_interval = 2
step_decay.warmup_epochs = 0
"""


class Command(NamedTuple):
  """A command to be ended by force and given again.

  Attributes:
    arguments: `(folder) -> list` of arguments of `perceptual`; it writes below `folder / "out"`.
    needs: names of the commands whose folders `out` must be there, as `folder / NAME`.
  """

  arguments: object
  needs: tuple[str, ...] = ()


def _train(folder):
  (folder / "tiny.gin").write_text(_TINY)
  return ["train", f"--gin_file={folder / 'tiny.gin'}", f"--model_dir={folder / 'out'}"]


COMMANDS = {
    "train": Command(_train),
    "prepare": Command(lambda folder: [
        "prepare", "graded", "--source=demo", "--limit=4", f"--data_dir={folder / 'out'}"]),
    "export": Command(lambda folder: [
        "export", f"--model_dir={folder / 'train'}", f"--export_dir={folder / 'out' / 'metric'}",
        "--overwrite"], needs=("train",)),
    "compare": Command(lambda folder: [
        "compare", "--metric=mse", "--noheatmap", f"--output_dir={folder / 'out'}",
        f"--reference_dir={folder / 'images'}", f"--candidate_dir={folder / 'images'}"]),
}


def in_child(function):
  """Runs a function in a forked process, silent; returns its exit status.

  What was imported before need not be imported again. TensorFlow must be imported only, not used.
  """
  process = os.fork()
  if process:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
  status = 99
  try:
    with open(os.environ.get("FAULTS_LOG", os.devnull), "a") as log:
      os.dup2(log.fileno(), 1)
      os.dup2(log.fileno(), 2)
    function()
    status = 0
  except SystemExit as error:
    status = error.code or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


def contents_in_child(folder):
  """Returns `contents(folder)`, worked out in a process that may use TensorFlow."""
  answer = folder.parent / "contents.json"

  def write():
    answer.write_text(json.dumps(contents(folder)))

  status = in_child(write)
  return json.loads(answer.read_text()) if status == 0 else {"status": status}


def import_all():
  """Imports what the commands import, once for all that is forked; nothing of it is used."""
  os.environ.setdefault("KERAS_BACKEND", "tensorflow")
  from perceptual.commands import command_line

  command_line.configure_runtime()
  from perceptual.data.judged import prepare_graded  # noqa: F401
  from perceptual.experiments import config, runs  # noqa: F401
  from perceptual.export import saved_model  # noqa: F401


def contents(folder):
  """Returns what must be equal of two runs: file -> a hash, without what tells of time or speed."""
  found = {}
  for path in sorted(pathlib.Path(folder).rglob("*")):
    name = path.relative_to(folder).as_posix()
    if path.is_file() and not _is_of_its_time(name):
      found[name] = hashlib.sha256(_normalized(path)).hexdigest()
  return found


def _is_of_its_time(name):
  return "tensorboard/" in name or name.endswith((".png", "fingerprint.pb", ".h5")) or (
      name.rpartition("/")[2] == "saved_model.pb")


def _normalized(path):
  """The bytes of a file; of checkpoints the tensors, of metrics.csv all but the speed."""
  if path.suffix == ".index":
    return _tensors(path.with_suffix(""))
  if path.name.startswith("step-") or ".data-" in path.name:
    return b""  # their index stands for them
  if path.name == "metrics.csv":
    lines = [line.split(",") for line in path.read_text().splitlines()]
    kept = [i for i, name in enumerate(lines[0]) if not name.endswith("_per_second")]
    return "\n".join(",".join(line[i] for i in kept) for line in lines).encode()
  if path.suffix in (".json", ".jsonl"):
    return b"" if path.suffix == ".jsonl" else _json(path)
  return path.read_bytes()


def _json(path):
  data = json.loads(path.read_text())
  return json.dumps(data, sort_keys=True).replace(str(path.parents[1]), "").encode()


def _tensors(path):
  import tensorflow as tf

  reader = tf.train.load_checkpoint(str(path))
  return b"".join(
      f"{key}".encode() + reader.get_tensor(key).tobytes()
      for key in sorted(reader.get_variable_to_shape_map())
      if "CHECKPOINTABLE" not in key and not key.startswith("save_counter"))


def make_folder(folder, command, made):
  """Makes an empty folder for a command, with the folders that it needs from `made`."""
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  for name in COMMANDS[command].needs:
    shutil.copytree(made / name / "out", folder / name)
  if command == "compare":
    _write_images(folder / "images")


def _write_images(folder):
  import numpy as np
  from PIL import Image

  folder.mkdir()
  rng = np.random.default_rng(0)
  for i in range(6):
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
