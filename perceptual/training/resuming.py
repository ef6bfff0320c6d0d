"""When a folder may be taken up again: by the run it was made for, on all workers at one step."""

import json

import tensorflow as tf

from perceptual.errors import UserError

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


def check_workers(step, strategy):
  """Raises `UserError` unless all workers of a strategy take up the run at the same step."""
  replicas = strategy.num_replicas_in_sync
  steps = strategy.run(tf.function(lambda: tf.constant(step, tf.int32)))
  if int(strategy.reduce("SUM", steps, axis=None)) != step * replicas:
    raise UserError(f"This worker would start at step {step}, others elsewhere: all workers must "
                    "be given one --model_dir that they share.")
