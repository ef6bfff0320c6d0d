"""Networks inside metrics: how they are made, the same everywhere, and facts about them."""

import contextlib

import keras

from perceptual.common import private_api, tensors
from perceptual.errors import UserError, shown

# What metrics may compute in. The weights are always float32.
DTYPES = ("float32", "mixed_float16", "mixed_bfloat16")

_LARGEST_SIDE = 1024  # for `smallest_side`


@contextlib.contextmanager
def made_in(dtype="float32"):
  """Returns a context in which a metric's network is made, independent of its surroundings.

  Keras's global dtype policy, a `keras.name_scope`, a `Layer.build` and a function being traced do
  not affect its weights, their paths and so their hash.

  Args:
    dtype: one of `DTYPES`: what the network computes in.

  Raises:
    UserError: another dtype.
  """
  if dtype not in DTYPES:
    raise UserError(f"Unknown dtype {shown(dtype)}. Available: {', '.join(DTYPES)}.")
  before = keras.config.dtype_policy()
  with tensors.computed_now(), private_api.outside_of_keras_scopes():
    keras.config.set_dtype_policy(dtype)
    try:
      yield
    finally:
      keras.config.set_dtype_policy(before)


def dtype_of(model):
  """Returns the name of the dtype policy of a model's layers with weights, or all, if several."""
  names = {layer.dtype_policy.name for layer in model.layers if layer.weights}
  return ", ".join(sorted(names)) or "float32"


def smallest_side(model):
  """Returns the least side of a square image, in pixels, from which a model gives outputs.

  It is found by working out shapes: nothing is computed.

  Args:
    model: a functional `keras.Model` of images `[batch, height, width, 3]`.

  Raises:
    UserError: no side up to 1024 will do.
  """
  side = 1
  while not _takes(model, side):
    side *= 2
    if side > _LARGEST_SIDE:
      raise UserError(f"{model.name} takes no square image of up to {_LARGEST_SIDE} pixels a side.")
  too_small = side // 2
  while side - too_small > 1:
    middle = (side + too_small) // 2
    if _takes(model, middle):
      side = middle
    else:
      too_small = middle
  return side


def _takes(model, side):
  try:
    outputs = model.compute_output_spec(keras.KerasTensor((1, side, side, 3), dtype="float32"))
  except ValueError:  # and UserError, which is one
    return False
  return all(0 not in output.shape for output in keras.tree.flatten(outputs))
