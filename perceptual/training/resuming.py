"""When a run may be resumed: only the one the folder was made for, on all workers at one step."""

import contextlib
import json
import sys

import tensorflow as tf

from perceptual import errors
from perceptual.errors import UserError
from perceptual.training import progress_file, records

# Another network, other images or another score make another run, as does another way to learn a
# metric, another task or another loss: weights do not fit, or what was best cannot be compared. The
# rest of a recipe may change from one start to the next.
_FIXED = ("network", "images", "learned", "score", "task", "loss")


def changes(before, now, *, folder):
  """Returns what has changed in a run since it was last started, as text for people.

  Args:
    before: what the run was, nested dictionaries of plain data; None if that is not known.
    now: what it is to be.
    folder: the run directory, for the message.

  Returns:
    A list of texts like `train.weight_decay: 0.0001 before, 0.001 now`.

  Raises:
    UserError: if one of `_FIXED` has changed.
  """
  if before is None:
    return []
  old, new = _flat(before), _flat(json.loads(json.dumps(now)))
  changed = {key: f"{key}: {old.get(key)} before, {new.get(key)} now"
             for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)}
  for key, text in changed.items():
    if key.partition(".")[0] in _FIXED:
      raise UserError(f"{folder} holds another run ({text}): choose another --model_dir.")
  return list(changed.values())


def _flat(data, prefix=""):
  """Nested dictionaries as one, with keys like `train.optimizer.momentum`."""
  flat = {}
  for key, value in data.items():
    nested = isinstance(value, dict)
    flat.update(_flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value})
  return flat


# What a collective operation raises where one of its workers does not answer.
_NO_ANSWER = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
              tf.errors.DeadlineExceededError, tf.errors.InternalError, tf.errors.UnknownError)


# Strategy -> what can be lost of it, and how its run goes on.
_LOST = {
    tf.distribute.MultiWorkerMirroredStrategy: (
        "another worker", "Give all workers their commands again"),
    tf.distribute.TPUStrategy: ("the TPU", "Give the command again"),
}


@contextlib.contextmanager
def ended_by_lost_workers(strategy):
  """A context that ends by one line and `errors.Stopped` where another worker has ended.

  Or a TPU, which is taken away without its host where it is preempted.
  """
  try:
    yield
  except _NO_ANSWER as error:
    for kind, (lost, again) in _LOST.items():
      if isinstance(strategy, kind):
        print(f"error: {lost} has ended, or cannot be reached ({errors.first_line(error)[:200]}). "
              f"{again} to go on from the last checkpoint.", file=sys.stderr, flush=True)
        raise errors.Stopped from None
    raise


def refuse_lost_checkpoints(folder):
  """Raises `UserError` if a run that would be started from zero, of `ModelDir`, has saved itself.

  A run that was killed in its first save has not: nothing names that checkpoint.
  """
  saved = progress_file.last_checkpoint(folder.progress)
  tells = saved and f"progress.json names {errors.shown(saved)}"
  with contextlib.suppress(UserError):  # a damaged file says nothing
    rows = records.read_metrics(folder.metrics)
    if sum(row["step"] > 0 for row in rows) > 1:  # it saves after each evaluation
      tells = f"metrics.csv has step {rows[-1]['step']}"
  if tells:
    raise UserError(f"{folder.path} has lost checkpoints/last: {tells}. Nothing was changed: put "
                    "it back, or choose another --model_dir.")


def check_workers(step, strategy):
  """Raises `UserError` unless all workers of a strategy take up the run at the same step."""
  replicas = strategy.num_replicas_in_sync
  steps = strategy.run(tf.function(lambda: tf.constant(step, tf.int32)))
  if int(strategy.reduce("SUM", steps, axis=None)) != step * replicas:
    raise UserError(f"This worker would start at step {step}, others elsewhere: all workers must "
                    "be given one --model_dir that they share.")
