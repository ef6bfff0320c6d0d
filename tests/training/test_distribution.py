"""Flags to strategies, workers that must agree, and what a TPU would be asked for."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import tensorflow as tf
from absl import flags
from official.common import distribute_utils

from perceptual import errors
from perceptual.commands import distribution
from perceptual.errors import UserError
from perceptual.training import resuming


def _strategy(*arguments):
  values = flags.FlagValues()
  distribution.define_flags(values)
  values(["program", *arguments])
  return distribution.strategy(values)


_CLUSTER = '{"cluster": {"worker": ["127.0.0.1:2222"]}'
_TASK = '"task": {"type": "worker", "index": 0}}'


@pytest.fixture
def alone(monkeypatch):
  """A TF_CONFIG of one worker."""
  monkeypatch.setenv("TF_CONFIG", f"{_CLUSTER}, {_TASK}")


@pytest.fixture
def asked(monkeypatch):
  """What the model garden's maker of strategies was asked for."""
  calls = []
  monkeypatch.setattr(distribute_utils, "get_distribution_strategy",
                      lambda name, **options: calls.append((name, options)))
  return calls


@pytest.fixture
def gpus(monkeypatch):
  """A host with four GPUs; collects those that are made visible."""
  there = [f"gpu{i}" for i in range(4)]
  visible = []
  monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: there)
  monkeypatch.setattr(tf.config, "set_visible_devices", lambda some, kind: visible.append(some))
  return visible


def test_without_flags_it_is_one_device():
  assert isinstance(_strategy(), tf.distribute.OneDeviceStrategy)


def test_mirrored_without_gpus_is_the_cpu():
  strategy = _strategy("--distribution_strategy=mirrored")
  assert isinstance(strategy, tf.distribute.MirroredStrategy)
  assert strategy.num_replicas_in_sync == 1


@pytest.mark.parametrize(("arguments", "wanted", "made_visible"), [
    ([], 1, ["gpu0"]),
    (["--num_gpus=0"], 0, []),
    (["--distribution_strategy=mirrored"], 4, None),
    (["--distribution_strategy=mirrored", "--num_gpus=2"], 2, ["gpu0", "gpu1"]),
    (["--distribution_strategy=multi_worker_mirrored", "--num_gpus=1"], 1, ["gpu0"]),
])
def test_gpus(asked, gpus, alone, arguments, wanted, made_visible):
  _strategy(*arguments)
  assert asked[0][1]["num_gpus"] == wanted
  assert gpus == ([] if made_visible is None else [made_visible])


@pytest.mark.parametrize(("arguments", "refused"), [
    (["--distribution_strategy=mirrored", "--jit_compile"], True),
    (["--distribution_strategy=multi_worker_mirrored", "--jit_compile", "--num_gpus=1"], True),
    (["--distribution_strategy=mirrored", "--jit_compile", "--num_gpus=0"], False),
    (["--distribution_strategy=mirrored"], False),
    (["--jit_compile"], False),
])
def test_xla_is_not_for_replicas_on_gpus(
    asked, gpus, alone, monkeypatch, arguments, refused):
  monkeypatch.setattr(tf.config, "get_visible_devices",
                      lambda kind: gpus[-1] if gpus else [f"gpu{i}" for i in range(4)])
  values = flags.FlagValues()
  distribution.define_training_flags(values)
  values(["program", "--nodeterministic", *arguments])
  if refused:
    with pytest.raises(UserError, match=r"^--jit_compile does not go with .*mirrored on GPUs"):
      distribution.training_strategy(values)
  else:
    distribution.training_strategy(values)


def test_more_gpus_than_there_are(gpus):
  with pytest.raises(UserError, match=r"^--num_gpus=5, but this host has 4.$"):
    _strategy("--num_gpus=5")


@pytest.mark.parametrize(("arguments", "environment", "address"), [
    ([], {}, "local"), ([], {"TPU_NAME": "local"}, "local"), ([], {"TPU_NAME": "pod"}, "pod"),
    ([], {"KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS": "grpc://10.0.0.2:8470"}, "grpc://10.0.0.2:8470"),
    (["--tpu=my-tpu"], {"TPU_NAME": "pod"}, "my-tpu")])
def test_a_tpu_is_asked_for_by_its_address(asked, monkeypatch, arguments, environment, address):
  """Without one it is "local": an empty one TensorFlow would look for in the project's list."""
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  _strategy("--distribution_strategy=tpu", *arguments)
  assert asked == [("tpu", {"num_gpus": 0, "tpu_address": address})]


@pytest.mark.parametrize(("name", "compiled"), [("one_device", True), ("tpu", False)])
def test_a_tpu_compiles_all_that_it_runs_and_not_single_steps(name, compiled):
  values = flags.FlagValues()
  distribution.define_flags(values)
  values(["program", "--jit_compile", f"--distribution_strategy={name}"])
  assert distribution.jit_compile(values) is compiled


def test_no_tpu_is_one_line():
  with pytest.raises(UserError) as caught:
    _strategy("--distribution_strategy=tpu")
  assert str(caught.value) == (
      "--distribution_strategy=tpu is not possible here: no TPU was found. TensorFlow must be that "
      "for TPUs, tensorflow-tpu (tools/setup_venv.sh --tpu train): see docs/scale.md#cloud-tpu.")


@pytest.mark.parametrize("error", [
    ValueError("first\nsecond"), OSError("first"), KeyError("first"), RuntimeError("first\nsecond"),
    tf.errors.NotFoundError(None, None, "first")])
def test_what_tensorflow_says_is_passed_on_in_one_line(monkeypatch, alone, error):
  def fail(*args, **kwargs):
    raise error

  monkeypatch.setattr(distribute_utils, "get_distribution_strategy", fail)
  with pytest.raises(UserError) as caught:
    _strategy("--distribution_strategy=multi_worker_mirrored")
  assert "first" in str(caught.value)
  assert "second" not in str(caught.value)


@pytest.mark.parametrize("text", [
    "", "{", "5", "[]", _CLUSTER + "}", _CLUSTER + ', "task": 3}',
    _CLUSTER + ', "task": {"type": "worker", "index": 1}}',
    _CLUSTER + ', "task": {"type": "worker", "index": -1}}',
    _CLUSTER + ', "task": {"type": "worker", "index": "x"}}',
    _CLUSTER + ', "task": {"type": "wrker", "index": 0}}',
    *('{"cluster": {"worker": ' + workers + "}, " + _TASK for workers in (
        '"127.0.0.1:2222"', '["127.0.0.1"]', '["127.0.0.1:99999"]', "[5]", "[]"))])
@pytest.mark.parametrize("name", ["multi_worker_mirrored", "mirrored"])
def test_a_tf_config_that_does_not_say_who_this_is(asked, monkeypatch, name, text):
  monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(UserError) as caught:
    _strategy(f"--distribution_strategy={name}")
  assert str(caught.value).startswith(f"TF_CONFIG={text} does not say which worker this is")
  assert not asked


def test_who_is_waited_for(asked, monkeypatch, capsys):
  for cluster, said in (
      ('{"worker": ["a:1"]}', ""),
      ('{"worker": ["a:1", "b:2"]}', "waiting until all workers have been started: a:1, b:2\n")):
    monkeypatch.setenv("TF_CONFIG", f'{{"cluster": {cluster}, {_TASK}')
    _strategy("--distribution_strategy=multi_worker_mirrored")
    assert capsys.readouterr().err == said
  assert len(asked) == 2


@pytest.mark.parametrize("text", [None, "{}", '{"cluster": {}}'])
def test_several_workers_are_named_by_tf_config(asked, monkeypatch, text):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  if text is not None:
    monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(UserError) as caught:
    _strategy("--distribution_strategy=multi_worker_mirrored")
  assert str(caught.value).startswith(
      "--distribution_strategy=multi_worker_mirrored needs TF_CONFIG in the environment of each "
      "worker, as TF_CONFIG='{\"cluster\"")
  assert not asked
  _strategy("--distribution_strategy=mirrored")
  assert len(asked) == 1


def test_a_worker_that_does_not_train_yet_ends_by_sigterm():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  code = """
import signal
from absl import flags
from perceptual.commands import distribution
values = flags.FlagValues()
distribution.define_flags(values)
values(["program", "--distribution_strategy=multi_worker_mirrored"])
distribution.strategy(values)
signal.raise_signal(signal.SIGTERM)
"""
  config = f'{{"cluster": {{"worker": ["{address}"]}}, {_TASK}'
  process = subprocess.run([sys.executable, "-c", code], capture_output=True,
                           env={**os.environ, "TF_CONFIG": config})
  assert process.returncode == -signal.SIGTERM, process.stderr


class _Workers:
  """A strategy of workers, the others of which start at the steps given."""

  def __init__(self, *others):
    self.num_replicas_in_sync = 1 + len(others)
    self._others = others

  def run(self, function):
    return function()

  def reduce(self, how, value, axis):
    assert (how, axis) == ("SUM", None)
    return value + sum(self._others)


def test_workers_must_start_at_one_step():
  resuming.check_workers(60, _Workers(60, 60))
  with pytest.raises(UserError, match="This worker would start at step 60, others elsewhere"):
    resuming.check_workers(60, _Workers(0))
  with pytest.raises(UserError, match="one --model_dir that they share"):
    resuming.check_workers(0, _Workers(60))


def test_replicas_of_one_process_always_agree(mirrored, one_device):
  for strategy in (mirrored, one_device, tf.distribute.get_strategy()):
    resuming.check_workers(7, strategy)


@pytest.mark.parametrize(("kind", "line"), [
    (tf.distribute.TPUStrategy, "error: the TPU has ended, or cannot be reached (socket closed). "
     "Give the command again to go on from the last checkpoint.\n"),
    (tf.distribute.MultiWorkerMirroredStrategy, "error: another worker has ended, or cannot be "
     "reached (socket closed). Give all workers their commands again to go on from the last "
     "checkpoint.\n")])
def test_what_is_lost_ends_the_run_in_one_line(capsys, kind, line):
  lost = kind.__new__(kind)  # of a TPU there is none
  with pytest.raises(errors.Stopped), resuming.ended_by_lost_workers(lost):
    raise tf.errors.UnavailableError(None, None, "socket closed\nmore")
  assert capsys.readouterr().err == line


def test_on_one_device_nothing_can_be_lost(one_device):
  with pytest.raises(tf.errors.UnavailableError), resuming.ended_by_lost_workers(one_device):
    raise tf.errors.UnavailableError(None, None, "socket closed")
