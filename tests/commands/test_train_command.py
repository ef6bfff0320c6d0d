"""`perceptual train` as it is typed: killed and resumed, on two workers, and given mistakes."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from perceptual.commands import command_line, train
from perceptual.experiments import config
from perceptual.training import loop, model_dir, records

ROOT = pathlib.Path(__file__).resolve().parents[2]

TINY = """
include 'gin/runs/demo.gin'
network.name = 'resnet2'
network.width = 0.1
images.train_per_photograph = 2
images.validation_per_photograph = 1
judged.limit = 6
train.batch_size = 8
train.eval_batch_size = 8
train.train_steps = 4
train.steps_per_loop = 2
train.eval_interval = 4
step_decay.warmup_epochs = 0
"""


@pytest.fixture
def gin_file(tmp_path):
  """Writes a gin file: `TINY` and more bindings."""
  def write(*bindings):
    path = tmp_path / "tiny.gin"
    path.write_text("\n".join([TINY, *bindings]))
    return path
  return write


def _start(gin_file, model_dir, *flags, environment=None):
  """Starts the command in a process of its own, with the environment a user has."""
  inherited = {name: value for name, value in os.environ.items()
               if not name.startswith(("TF_", "KERAS_"))}
  return subprocess.Popen(
      [sys.executable, "-m", "perceptual", "train", f"--gin_file={gin_file}",
       f"--model_dir={model_dir}", *flags], cwd=ROOT, text=True, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, env={**inherited, **(environment or {})})


def _finish(process):
  out, err = process.communicate()
  assert process.returncode == 0, err
  return out, err


def _tensors(path):
  """Everything a checkpoint holds, by its key."""
  reader = tf.train.load_checkpoint(str(path))
  return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()
          if "CHECKPOINTABLE" not in key and not key.startswith("save_counter")}


def _without_speed(path):
  return [{key: value for key, value in row.items() if key != "images_per_second"}
          for row in records.read_metrics(path)]


def test_a_killed_run_given_again_ends_as_if_it_had_not_been_killed(tmp_path, gin_file):
  """kill -9 at a random moment after the first checkpoint; the same weights, bit for bit."""
  steps = 300
  gin_file = gin_file("network.dropout = 0.4", f"train.train_steps = {steps}",
                      "train.eval_interval = 60", "train.checkpoint_interval = 20")
  whole = _start(gin_file, tmp_path / "whole")
  killed = _start(gin_file, tmp_path / "killed")
  moment = random.randrange(24, 200, 2)
  for line in killed.stderr:
    if line.startswith("step") and int(line.split()[1].partition("/")[0]) >= moment:
      killed.send_signal(signal.SIGKILL)
      break
  assert killed.wait() == -signal.SIGKILL, killed.stderr.read()
  killed.stdout.close()
  killed.stderr.close()
  last = model_dir.ModelDir(tmp_path / "killed").latest("last")
  assert last is not None, f"killed at {moment}"
  assert not last.endswith(f"step-{steps}"), "killed before the end"

  out, err = _finish(whole)
  assert "Best score: local " in out
  for line in err.replace("\r", "\n").splitlines():
    assert not line or line.lstrip().startswith(
        ("step ", "evaluation at step ", "evaluating: ", "making graded", "warning: with "))
  out, _ = _finish(_start(gin_file, tmp_path / "killed"))
  assert f"resuming at step {last.rpartition('-')[2]}" in out
  for name in model_dir.CHECKPOINTS:
    paths = [model_dir.ModelDir(tmp_path / run).latest(name) for run in ("whole", "killed")]
    assert pathlib.Path(paths[0]).name == pathlib.Path(paths[1]).name
    expected, found = map(_tensors, paths)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
      np.testing.assert_array_equal(found[key], value, err_msg=f"{key}, killed at {moment}")
  assert _without_speed(tmp_path / "killed" / "metrics.csv") == _without_speed(
      tmp_path / "whole" / "metrics.csv")


# The command, and at its end a fingerprint of the weights that this worker holds.
_WORKER = """
import sys
from perceptual.commands import cli
from perceptual.metrics.feature_metric import weights_hash
from perceptual.training import loop
summary = loop.Run.summary
loop.Run.summary = lambda run: f"{summary(run)}\\nweights {weights_hash(run.model)}"
cli.main(sys.argv[1:])
"""


def _free_ports(count):
  sockets = [socket.socket() for _ in range(count)]
  for each in sockets:
    each.bind(("127.0.0.1", 0))
  ports = [each.getsockname()[1] for each in sockets]
  for each in sockets:
    each.close()
  return ports


def _start_workers(count, gin_file, model_dir):
  """Starts the command on several workers; returns their processes, the chief's first."""
  workers = [f"127.0.0.1:{port}" for port in _free_ports(count)]
  processes = []
  for index in range(count):
    cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    processes.append(subprocess.Popen(
        [sys.executable, "-c", _WORKER, "train", f"--gin_file={gin_file}",
         f"--model_dir={model_dir}", "--distribution_strategy=multi_worker_mirrored"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "TF_CONFIG": json.dumps(cluster)}))
  return processes


def test_two_workers_one_killed_then_one_asked_to_stop(tmp_path, gin_file):
  """Either ends the other with one line and status 75; given again, both go on."""
  gin_file = gin_file("train.train_steps = 3000", "train.eval_interval = 3000",
                      "train.checkpoint_interval = 10")
  for number, expected in ((signal.SIGKILL, "error: another worker has ended, or cannot be reach"),
                           (signal.SIGTERM, "stopped on request: saved at step ")):
    chief, other = _start_workers(2, gin_file, tmp_path / "run")
    for line in chief.stderr:
      if line.startswith("step") and int(line.split()[1].partition("/")[0]) % 20 == 0:
        other.send_signal(number)
        break
    out, err = chief.communicate()
    assert chief.returncode == 75, err
    assert err.splitlines()[-1].startswith(expected), err
    assert "Traceback" not in err
    other.communicate()
    assert other.returncode == (75 if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
      assert "resuming at step" in out


def test_three_workers_train_as_one_process(tmp_path, gin_file):
  """In three, of which no batch or set is a multiple by chance."""
  gin_file = gin_file("network.synchronized_batch_norm = True", "train.batch_size = 12",
                      "train.eval_batch_size = 12")
  processes = _start_workers(3, gin_file, tmp_path / "three")
  config.parse([gin_file])
  alone = loop.Run(tmp_path / "one", network=config.network(), images=config.images(None),
                   judged_set=config.all_judged_sets(None)[0], settings=config.train_settings())
  expected = alone.train()
  outputs = [_finish(process) for process in processes]
  hashes = {out.splitlines()[-1] for out, _ in outputs}
  assert len(hashes) == 1, "all workers hold the same weights"
  assert hashes.pop().startswith("weights ")
  assert all("3 replicas" in out for out, _ in outputs)
  assert ["evaluation at step 4" in err for _, err in outputs] == [True, False, False], "the chief"
  assert len(list((tmp_path / "three" / "tensorboard").iterdir())) == 1

  model, *_, step = model_dir.load_network(tmp_path / "three", "last")
  assert step == 4
  for found, variable in zip(model.weights, alone.model.weights):
    np.testing.assert_allclose(found.numpy(), variable.numpy(), atol=1e-4, err_msg=found.path)
  rows = records.read_metrics(tmp_path / "three" / "metrics.csv")
  for name in ("loss", "validation_loss", "validation_accuracy", "score/local"):
    assert rows[-1][name] == pytest.approx(expected[-1][name], rel=1e-3), name


@pytest.fixture
def perceptual_train(monkeypatch, capsys, tmp_path):
  """Runs the command in this process: exit status, output and errors."""
  monkeypatch.setattr(command_line, "configure_runtime", lambda: None)

  def call(*flags):
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
      # Deterministic kernels would be asked for in the whole session.
      command_line.run(train.main, train.FLAGS, train.__doc__,
                 ["perceptual train", "--nodeterministic", *flags])
    return caught.value.code or 0, *capsys.readouterr()
  return call


def test_a_dry_run_says_what_would_run_and_writes_nothing(perceptual_train, tmp_path, gin_file):
  gin_file = gin_file()
  status, out, err = perceptual_train(
      f"--gin_file={gin_file}", f"--model_dir={tmp_path / 'run'}", "--dry_run")
  assert status == 0
  assert "error" not in err
  for part in ("resnet2 width=0.1", "demo: 34 to train", "no benchmark", "from the start",
               "no human judged", "Dry run: nothing was trained or written."):
    assert part in out
  assert list(tmp_path.iterdir()) == [gin_file]


@pytest.mark.parametrize(("flags", "asked"), [
    (["--deterministic"], True), (["--deterministic", "--jit_compile"], False), ([], False)])
def test_determinism_is_asked_for_where_tensorflow_has_it(
    perceptual_train, monkeypatch, tmp_path, gin_file, flags, asked):
  """Asked for it, XLA refuses to compile the gradient of a max-pool."""
  calls = []
  monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(1))
  status, _, _ = perceptual_train(
      f"--gin_file={gin_file()}", f"--model_dir={tmp_path / 'run'}", "--dry_run", *flags)
  assert (status, bool(calls)) == (0, asked)


def test_the_configuration_is_kept_as_given_and_as_used(perceptual_train, tmp_path, gin_file):
  """Either of them, given instead, makes the same run; given again, it is complete."""
  folder = tmp_path / "run"
  flags = (f"--gin_file={gin_file()}", "--gin_param=train.seed = 7", f"--model_dir={folder}")
  assert perceptual_train(*flags)[0] == 0
  given = (folder / "config.gin").read_text()
  used = (folder / "operative_config.gin").read_text()
  assert "train.seed = 7" in given
  assert "label_smoothing = 0.0" in given
  assert "clip_norm" not in given
  assert "train.clip_norm = None" in used
  before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
  for name in ("config.gin", "operative_config.gin"):
    status, out, _ = perceptual_train(f"--gin_file={folder / name}", f"--model_dir={folder}")
    assert status == 0
    assert "changed" not in out
    assert "This run is complete: nothing was trained." in out
    assert "Best score: local " in out
  assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_divergence_is_one_line_and_status_1(perceptual_train, tmp_path, gin_file):
  flags = (f"--gin_file={gin_file()}", f"--model_dir={tmp_path / 'run'}")
  status, _, err = perceptual_train(*flags, "--gin_param=step_decay.learning_rate = 1e30")
  assert status == 1
  assert err.splitlines()[-1].startswith("error: Training diverged by step 2: the loss is ")
  assert "no checkpoint had been saved yet" in err
  assert not (tmp_path / "run" / "checkpoints").exists()
  status, out, _ = perceptual_train(*flags)
  assert status == 0, "and may be started again with a better rate"
  assert "from the start" in out


@pytest.mark.parametrize(("flags", "message"), [
    (["--gin_file=nowhere.gin"], "error: There is no gin file nowhere.gin. Available: gin/runs/"),
    (["--gin_file=gin/recipes/resnet.gin"], "error: network.name is not given. Available: resnet2"),
    (["--gin_param=train.bach_size = 8"], "error: Configurable 'train' doesn't have a parameter"),
    (["--gin_param=train.batch_size = '8'"], "error: batch_size must be a whole number"),
    (["--gin_param=network.depht = 6"], "error: Unknown option of resnet2 'depht'. Available: "),
    (["--gin_param=batch = 8"], "error: Nothing refers to the macro 'batch'."),
    (["--gin_param=slow/sgd.momentum = 0.5"], "error: The bindings of slow/sgd have no effect"),
    (["--gin_param=images.source = 'imagenet64'",
      "--gin_param=images.train_per_photograph = 3"], "error: Unknown option of the image source "),
    (["--gin_param=judged.name = 'bapps/2afc'"], "error: "),
    (["--distribution_strategy=tpu"], "error: --distribution_strategy=tpu is not possible here: "),
    (["--num_gpus=99"], "error: --num_gpus=99, but this host has "),
])
def test_mistakes_are_one_line_and_status_1_and_write_nothing(
    perceptual_train, tmp_path, gin_file, flags, message):
  if not flags[0].startswith("--gin_file"):
    flags = [f"--gin_file={gin_file()}", *flags]
  before = sorted(tmp_path.iterdir())
  status, out, err = perceptual_train(f"--model_dir={tmp_path / 'run'}", *flags)
  assert (status, out) == (1, "")
  *progress, line = err.splitlines()
  assert line.startswith(message)
  assert all(not other or "making graded" in other for other in progress)
  assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("flags", "message"), [
    ([], "error: The image source 'imagenet64' needs --data_dir, the folder in which it was "),
    (["--data_dir={}/none"], "error: No data set in "),
    (["--data_dir={}"], "error: The data set in "),
])
def test_data_that_are_not_there(perceptual_train, tmp_path, flags, message):
  """No --data_dir, none in it, and one half-written."""
  gin_file = tmp_path / "run.gin"
  gin_file.write_text("include 'gin/runs/resnet6.gin'")
  (tmp_path / "imagenet_resized" / "64x64" / "0.1.0").mkdir(parents=True)
  status, out, err = perceptual_train(
      f"--gin_file={gin_file}", f"--model_dir={tmp_path / 'run'}",
      *(flag.format(tmp_path) for flag in flags))
  assert (status, out) == (1, "")
  assert err.startswith(message)
  assert err.count("\n") == 1
  assert not (tmp_path / "run").exists()


def test_the_command_line_itself(perceptual_train):
  assert perceptual_train("--gin_file=a.gin")[0] == 2
  status, _, err = perceptual_train("--gin_file=a.gin", "--model_dir=b", "extra")
  assert status == 2
  assert "'extra'" in err
