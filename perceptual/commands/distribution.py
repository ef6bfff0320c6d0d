"""The flags of how work is spread over devices, for all commands, and the strategy they ask for."""

import json
import os
import re
import signal
import sys
import threading

from absl import flags

from perceptual import errors

FLAG_NAMES = ("distribution_strategy", "num_gpus", "tpu", "jit_compile")
STRATEGIES = ("one_device", "mirrored", "multi_worker_mirrored", "tpu")
# Where Cloud TPU and GKE say which TPU is this host's. TensorFlow's resolver reads them too, but
# takes neither a missing nor a "local" one for the TPU attached to the host.
_TPU_VARIABLES = ("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_NAME")
_ATTACHED_TPU = "local"
_TF_CONFIG = ('{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
              '"task": {"type": "worker", "index": 0}}')


def define_flags(flag_values):
  """Defines the flags in a command's own `flags.FlagValues`."""
  flags.DEFINE_enum(
      "distribution_strategy", "one_device", STRATEGIES,
      "tf.distribute strategy. Several hosts (multi_worker_mirrored) read TF_CONFIG and share "
      "the folders.", flag_values=flag_values)
  flags.DEFINE_integer(
      "num_gpus", None, "GPUs of this host to use; by default all, and one for one_device.",
      lower_bound=0, flag_values=flag_values)
  flags.DEFINE_string(
      "tpu", "", "Name or address of the Cloud TPU; by default what TPU_NAME says, or the one "
      "attached to this host.", flag_values=flag_values)
  flags.DEFINE_bool(
      "jit_compile", False, "Compile steps by XLA: fast on GPU, slow on CPU. TPUs always do, "
      "with or without this flag.", flag_values=flag_values)


def define_training_flags(flag_values):
  """Defines the flags of `define_flags`, and whether training is to be exact."""
  flags.DEFINE_bool(
      "deterministic", True, "Use deterministic kernels, so that a resumed run is exact. It does "
      "not change those of XLA (--jit_compile, tpu).", flag_values=flag_values)
  define_flags(flag_values)


def given(flag_values):
  """Returns the flags of `define_training_flags` that were given, as they are typed."""
  return tuple(flag_values[name].serialize() for name in (*FLAG_NAMES, "deterministic")
               if flag_values[name].present)


def training_strategy(flag_values):
  """Returns `strategy(flag_values)`, with deterministic kernels if they are asked for.

  Raises:
    UserError: as `strategy`, or if XLA is to compile the steps of GPUs that keep copies of weights.
  """
  import tensorflow as tf

  xla = flag_values.jit_compile or flag_values.distribution_strategy == "tpu"
  if flag_values.deterministic and not xla:  # XLA would refuse to compile the max-pool's gradient
    tf.config.experimental.enable_op_determinism()
  made = strategy(flag_values)
  name = flag_values.distribution_strategy
  if jit_compile(flag_values) and "mirrored" in name and tf.config.get_visible_devices("GPU"):
    # The step counter of Keras's optimizers is updated on the first replica and sent to the others,
    # for which TensorFlow 2.20 has no way within what XLA compiles (seen on an H200).
    raise errors.UserError(f"--jit_compile does not go with --distribution_strategy={name} on "
                           "GPUs: leave it out, or take one_device.")
  return made


def strategy(flag_values):
  """Returns the `tf.distribute.Strategy` that the flags ask for, by the model garden's own maker.

  Call it before any other use of TensorFlow's devices.

  Raises:
    UserError: if there are fewer GPUs, no such TPU, or TF_CONFIG is malformed, or missing where
      several workers are asked for.
  """
  import tensorflow as tf
  from official.common import distribute_utils

  name = flag_values.distribution_strategy
  gpus = tf.config.list_physical_devices("GPU")
  wanted = flag_values.num_gpus
  if wanted is None:
    wanted = min(len(gpus), 1) if name == "one_device" else len(gpus)
  if wanted > len(gpus):
    raise errors.UserError(f"--num_gpus={wanted}, but this host has {len(gpus)}.")
  if wanted < len(gpus):
    tf.config.set_visible_devices(gpus[:wanted], "GPU")
  if "mirrored" in name:
    workers = _workers()
    if name == "multi_worker_mirrored" and not workers:  # TensorFlow would train alone
      raise errors.UserError(
          f"--distribution_strategy={name} needs TF_CONFIG in the environment of each worker, as "
          f"TF_CONFIG='{_TF_CONFIG}': see docs/scale.md#several-hosts.")
    _say_who_is_waited_for(workers)
  try:
    made = distribute_utils.get_distribution_strategy(
        name, num_gpus=wanted, tpu_address=_tpu_address(flag_values))
  except (ValueError, TypeError, KeyError, OSError, RuntimeError, tf.errors.OpError) as error:
    which = f" --tpu={flag_values.tpu}" if flag_values.tpu else ""
    raise errors.UserError(f"--distribution_strategy={name}{which} is not possible here: "
                           f"{_reason(error)}") from None
  if threading.current_thread() is threading.main_thread():
    # With several workers TensorFlow has taken SIGTERM for itself, and would only note it.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
  return made


def _reason(error):
  """Why TensorFlow makes no strategy; where it was built without TPUs it says that by a kernel."""
  if "No OpKernel was registered" in str(error):
    return ("no TPU was found. TensorFlow must be that for TPUs, tensorflow-tpu "
            "(tools/setup_venv.sh --tpu train): see docs/scale.md#cloud-tpu.")
  return errors.first_line(error)


def _workers():
  """Returns the addresses of the workers in TF_CONFIG; none where it is not used.

  Raises:
    UserError: if TF_CONFIG does not say which workers there are, and which of them this one is.
  """
  text = os.environ.get("TF_CONFIG", "{}")
  try:
    config = json.loads(text)
    if not config.get("cluster"):
      return []
    task = config["task"]
    workers = config["cluster"][task["type"]]
    if (not isinstance(workers, list) or int(task["index"]) not in range(len(workers))
        or not all(_is_address(worker) for worker in workers)):
      raise ValueError
  except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
    raise errors.UserError(f"TF_CONFIG={text} does not say which worker this is, of which: it "
                           f"must be as {_TF_CONFIG}, each worker with the index of its own "
                           "address.") from None
  return workers


def _is_address(text):
  found = re.fullmatch(r"\S+:(\d+)", text)
  return found is not None and 0 < int(found[1]) < 2**16


def _say_who_is_waited_for(workers):
  """Says that workers wait for each other, which TensorFlow does without a word."""
  if len(workers) > 1:
    print(f"waiting until all workers have been started: {', '.join(workers)}", file=sys.stderr)


def jit_compile(flag_values):
  """Returns whether the steps of replicas are to be compiled by XLA one by one.

  Not on a TPU, where the strategy compiles all that it runs.
  """
  return flag_values.jit_compile and flag_values.distribution_strategy != "tpu"


def _tpu_address(flag_values):
  """The name or the address of the TPU that the flags or the environment name."""
  named = (os.environ.get(variable) for variable in _TPU_VARIABLES)
  return flag_values.tpu or next(filter(None, named), _ATTACHED_TPU)
