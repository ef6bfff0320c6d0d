"""Tries TensorFlow's own path on a GPU: training, resuming, evaluation, speed.

    python -m tools.gpu.trial --folder=DIR           on a machine with GPUs
    python -m tools.gpu.trial --folder=DIR --tiny    ResNet-6 alone, in small, on any machine
    python -m tools.gpu.trial --folder=DIR --part=train --steps=100 --only='resnet50-.*-jit'

Each part is the command that a user would give, in a process of its own, on the embedded
photographs:

    train       ResNet-6 and ResNet-50, by one_device and mirrored, in float32 and bfloat16, the
                first with and without --jit_compile: images a second, the median over the
                evaluations' lines
    resume      killed after its first checkpoint, and given again: every tensor of its last
                checkpoint against those of a run that was left alone, with TensorFlow's
                deterministic operations
    evaluate    the scores of a trained network on the GPU and on the CPU: the largest difference
    pytorch     the same networks by torch.compile (tools.benchmarks.networks); needs PyTorch

What is found is printed, and written to DIR/trial.json after each part.
"""

import argparse
import csv
import itertools
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

_ROOT = pathlib.Path(__file__).parents[2]
_ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1"}
_DETERMINISTIC = {"TF_DETERMINISTIC_OPS": "1"}  # as tf.config.experimental.enable_op_determinism
_PARTS = ("machine", "train", "resume", "evaluate", "pytorch")
NETWORKS = ("resnet6", "resnet50")
_FULL = ("train.batch_size = 1024", "train.eval_batch_size = 512")
_TINY = ("network.width = 0.1", "images.train_per_photograph = 2",
         "images.validation_per_photograph = 1", "judged.limit = 6", "train.batch_size = 8",
         "train.eval_batch_size = 8", "train.train_steps = 6", "train.eval_interval = 3",
         "train.checkpoint_interval = 1", "train.steps_per_loop = 1")


def main():
  """Goes through the parts."""
  options = _options()
  os.environ.update(PYTHONPATH=str(_ROOT))
  folder = pathlib.Path(options.folder).resolve()
  try:
    folder.mkdir(parents=True)
  except OSError as error:
    sys.exit(f"error: --folder must be new: {folder}: {error.strerror}.")
  networks = NETWORKS[:1] if options.tiny else NETWORKS
  params = _TINY if options.tiny else _FULL + _of_length(options.steps)
  parts = {"machine": _machine,
           "train": lambda: _speeds(folder, networks, params, options.only),
           "resume": lambda: _resumed(folder, params),
           "evaluate": lambda: _largest_difference(folder),
           "pytorch": lambda: _beside_pytorch(folder, options)}
  found, path = {}, folder / "trial.json"
  for name in options.part or _PARTS:
    found[name] = parts[name]()
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
  print(f"Written: {path}")


def _machine():
  """Returns what it is tried on: the version of TensorFlow and the devices that it sees."""
  code = ("import json, tensorflow as tf\n"
          "print(json.dumps({'tensorflow': tf.__version__, 'devices': [\n"
          "  tf.config.experimental.get_device_details(device).get('device_name', device.name)\n"
          "  for device in tf.config.list_physical_devices()]}))\n")
  found = json.loads(_answer(code))
  print(f"machine   {found}", flush=True)
  return found


def _of_length(steps):
  """Returns the bindings of a run of so many steps, evaluated three times."""
  third = steps // 3
  return (f"train.train_steps = {3 * third}", f"train.eval_interval = {third}",
          f"train.checkpoint_interval = {third // 2}", f"train.steps_per_loop = {third // 2}")


def _speeds(folder, networks, params, only):
  """Trains every combination; returns images a second by its name, or how it ended."""
  found = {}
  for network, strategy, precision, jit in itertools.product(
      networks, ("one_device", "mirrored"), ("float32", "bfloat16"), (False, True)):
    name = f"{network}-{strategy}-{precision}{'-jit' if jit else ''}"
    if not re.fullmatch(only, name) or (jit and strategy == "mirrored"):  # the latter is refused
      continue
    status = _run(*_training(folder / name, network, params, precision),
                  f"--distribution_strategy={strategy}", f"--jit_compile={str(jit).lower()}").wait()
    if status:
      found[name] = f"ended with status {status}"
    else:
      found[name] = round(_images_a_second(folder / name), 1)
    print(f"train     {name}: {found[name]}{'' if status else ' images/s'}", flush=True)
  return found


def _images_a_second(run):
  with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
    return statistics.median(
        float(row["images_per_second"]) for row in csv.DictReader(file) if int(row["step"]))


def _resumed(folder, params):
  """Kills a run after its first checkpoint and gives it again; returns what differs in the end."""
  arguments = _training(folder / "killed", NETWORKS[0], params, "float32")
  process = _run(*arguments, environment=_DETERMINISTIC)
  while process.poll() is None and not any((folder / "killed").glob("checkpoints/last/step-*")):
    time.sleep(0.1)
  process.send_signal(signal.SIGKILL)
  killed = process.wait() == -signal.SIGKILL
  undisturbed = _training(folder / "whole", NETWORKS[0], params, "float32")
  statuses = [_run(*each, environment=_DETERMINISTIC).wait() for each in (arguments, undisturbed)]
  result = {"killed": killed, "statuses": statuses}
  if not any(statuses):
    result["differing"] = _differing(folder / "killed", folder / "whole")
  print(f"resume    {result}", flush=True)
  return result


def _differing(*runs):
  """Returns the tensors of the last checkpoints of two runs that are not equal bit for bit."""
  code = ("import sys, tensorflow as tf, numpy as np\n"
          "from perceptual.training import model_dir\n"
          "a, b = (tf.train.load_checkpoint(model_dir.ModelDir(p).latest('last'))"
          " for p in sys.argv[1:])\n"
          "for key in a.get_variable_to_shape_map():\n"
          "  if 'CHECKPOINTABLE' not in key and not key.startswith('save_counter'):\n"
          "    if not np.array_equal(a.get_tensor(key), b.get_tensor(key)): print(key)\n")
  return _answer(code, *map(str, runs), environment=_ON_CPU).split()


def _answer(code, *arguments, environment=None):
  """Returns what a program prints, given as text."""
  return subprocess.run(
      [sys.executable, "-c", code, *arguments], cwd=_ROOT, stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}, text=True,
      check=True).stdout


def _largest_difference(folder):
  """Scores a trained network on the GPU and on the CPU; returns the largest difference."""
  values = []
  for name, environment in (("gpu", {}), ("cpu", _ON_CPU)):
    output = folder / f"scores-{name}"
    status = _run("evaluate", f"--model_dir={folder / 'whole'}", "--dataset=graded/nuisance",
                  f"--output_dir={output}", "--gin_param=evaluate.resamples = 2",
                  environment=environment).wait()
    if status:
      print(f"evaluate  on the {name}: ended with status {status}", flush=True)
      return None
    values.append(_scores(output / "scores.json"))
  difference = max(abs(a - b) for a, b in zip(*values, strict=True))
  print(f"evaluate  largest difference of {len(values[0])} scores: {difference:.3g}", flush=True)
  return difference


def _scores(path):
  """All scores of an evaluation, in their order."""
  return [row["score"] for row in json.loads(path.read_text("utf-8"))["scores"]]


def _beside_pytorch(folder, options):
  """Measures the steps beside PyTorch's; returns what `tools.benchmarks.networks` found."""
  path = folder / "pytorch.json"
  sizes = ["--networks=resnet6", "--rounds=1", "--seconds=0.1", "--batch=8"] if options.tiny else [
      f"--networks={','.join(NETWORKS)}", "--batch=1024"]
  subprocess.run([sys.executable, "-m", "tools.benchmarks.networks", f"--json={path}", *sizes],
                 cwd=_ROOT, check=True)
  return json.loads(path.read_text("utf-8"))


def _training(folder, network, params, precision):
  """Returns the arguments that train a network into a folder."""
  bindings = (f"network.name = '{network}'", f"train.precision = '{precision}'", *params,
              "step_decay.warmup_epochs = 0")
  return ["train", "--gin_file=gin/runs/demo.gin", f"--model_dir={folder}",
          *(f"--gin_param={binding}" for binding in bindings)]


def _run(*arguments, environment=None):
  """Starts a command of perceptual; what it prints goes to a file beside the folder it writes."""
  place = next(a.partition("=")[2] for a in reversed(arguments) if a.startswith(
      "--output_dir=" if arguments[0] == "evaluate" else "--model_dir="))
  with open(f"{place}.log", "a", encoding="utf-8") as log:
    return subprocess.Popen([sys.executable, "-m", "perceptual", *arguments], cwd=_ROOT,
                            stdout=log, stderr=log, env={**os.environ, **(environment or {})})


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--folder", required=True, help="to make; must not exist")
  parser.add_argument("--tiny", action="store_true", help="narrow networks, few steps")
  parser.add_argument("--part", action="append", choices=_PARTS,
                      help="a part to go through, again and again (default: all; evaluate needs "
                           "resume before it)")
  parser.add_argument("--steps", type=int, default=300,
                      help="of each training, at least 6 (default %(default)s)")
  parser.add_argument("--only", default=".*", metavar="REGEX",
                      help="the combinations of train to try, by their names")
  given = parser.parse_args()
  if given.steps < 6:
    parser.error(f"--steps={given.steps} is too few: at least 6, three evaluations of two loops.")
  return given


if __name__ == "__main__":
  main()
