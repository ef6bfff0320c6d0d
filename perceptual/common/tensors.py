"""What may be asked of a tensor of any backend: whether its values are known, and what they are.

While a function is traced (by `tf.function`, `jax.jit`, `torch.compile`) or transformed (by
`jax.grad`, `torch.vmap`), its tensors have shapes but no values yet.
"""

import contextlib
import sys

import keras
import numpy as np

from perceptual.common import private_api


def has_values(tensor):
  """Whether the values of an array or tensor can be read now, without an error or a wrong answer.

  Args:
    tensor: a NumPy array, or a tensor of TensorFlow, JAX or PyTorch, whatever Keras's backend.
  """
  if isinstance(tensor, np.ndarray):
    return True
  # What is not imported has made no tensor.
  torch, jax, tf = map(sys.modules.get, ("torch", "jax", "tensorflow"))
  if torch is not None and isinstance(tensor, torch.Tensor):
    return _torch_has_values(torch, tensor)
  if jax is not None and isinstance(tensor, (jax.Array, jax.core.Tracer)):
    return not isinstance(tensor, jax.core.Tracer)
  return tf is not None and tf.is_tensor(tensor) and not tf.is_symbolic_tensor(tensor)


def is_in_tensorflow_graph(tensor):
  """Whether a tensor is part of a graph of TensorFlow, which can hold assertions."""
  tf = sys.modules.get("tensorflow")
  return tf is not None and tf.is_tensor(tensor) and bool(tf.is_symbolic_tensor(tensor))


@contextlib.contextmanager
def computed_now():
  """Returns a context in which `keras.ops` compute at once, also while a function is traced."""
  backend = keras.backend.backend()
  if backend == "tensorflow":
    import tensorflow as tf

    with tf.init_scope():
      yield
  elif backend == "jax":
    import jax

    with jax.ensure_compile_time_eval():
      yield
  else:
    yield


@contextlib.contextmanager
def computed_in_float32(*tensors):
  """Returns a context in which `keras.ops` of float32 tensors lose no digits to global settings.

  Keras's default dtype, in which constants are made, is float32; `torch.autocast` does not lower
  the precision. Convolutions run under `torch.vmap` as well.

  Args:
    *tensors: what is computed of, at least one.
  """
  before = keras.config.floatx()
  if before != "float32":
    keras.config.set_floatx("float32")
  try:
    with _without_torch_modes(tensors):
      yield
  finally:
    if before != "float32":
      keras.config.set_floatx(before)


def _without_torch_modes(tensors):
  torch = sys.modules.get("torch")
  contexts = contextlib.ExitStack()
  if torch is not None and isinstance(tensors[0], torch.Tensor):
    contexts.enter_context(torch.autocast(tensors[0].device.type, enabled=False))
    if any(map(private_api.is_transformed_by_torch_func, tensors)):
      contexts.enter_context(private_api.any_torch_layout())
  return contexts


def _torch_has_values(torch, tensor):
  traced = torch.compiler.is_compiling() or torch.jit.is_tracing() or tensor.is_meta
  captured = tensor.is_cuda and torch.cuda.is_current_stream_capturing()
  return not (traced or captured or private_api.is_transformed_by_torch_func(tensor))
