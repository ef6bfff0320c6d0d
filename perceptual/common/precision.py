"""Scores in all of float32's digits, whatever the device.

GPUs and TPUs compute products of float32 in a shorter format unless they are told otherwise (on
NVIDIA's TF32, 10 bits of mantissa instead of 23). For training that is well; of scores, where close
distances then change places, it makes others than a CPU's.
"""

import contextlib
import sys


@contextlib.contextmanager
def full_float32():
  """Returns a context in which Keras's backend computes float32 products in float32.

  What XLA compiles, and what JAX traces, has the precision of the place where that happened. Where
  Keras has not been imported, nothing is done.
  """
  keras = sys.modules.get("keras")
  with _CONTEXTS[keras.backend.backend()]() if keras else contextlib.nullcontext():
    yield


@contextlib.contextmanager
def _tensorflow():
  import tensorflow as tf

  before = tf.config.experimental.tensor_float_32_execution_enabled()
  tf.config.experimental.enable_tensor_float_32_execution(False)
  try:
    yield
  finally:
    tf.config.experimental.enable_tensor_float_32_execution(before)


def _jax():
  import jax

  return jax.default_matmul_precision("float32")


@contextlib.contextmanager
def _torch():
  import torch

  places = (torch.backends.cuda.matmul, torch.backends.cudnn)
  before = [place.allow_tf32 for place in places]
  for place in places:
    place.allow_tf32 = False
  try:
    yield
  finally:
    for place, allowed in zip(places, before):
      place.allow_tf32 = allowed


_CONTEXTS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
