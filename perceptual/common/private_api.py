"""Every use of a private name of Python, Keras, TensorFlow or PyTorch, each with its reason.

An upgrade of one of these libraries that breaks something breaks it here.
"""

import contextlib
import functools
import os
import sys

# Keras's global state that decides how variables are made and named: name scopes, the scopes in
# which variables are not made or not assigned, and the one that casts them.
_SCOPES = ("name_scope_stack", "stateless_scope", "symbolic_scope", "autocast_scope")
# What Keras on TensorFlow, and TensorFlow, import if it is there.
_UNUSED = ("jax", "matplotlib", "pandas", "sklearn")


@contextlib.contextmanager
def outside_of_keras_scopes():
  """Returns a context in which Keras makes variables as it does outside of every scope.

  Keras has no public way out of a `keras.name_scope`, which prefixes the paths of variables, nor
  out of the stateless scope in which it works out the shapes of a layer that is being built.
  """
  from keras.src.backend.common import global_state

  before = {name: global_state.get_global_attribute(name) for name in _SCOPES}
  for name in _SCOPES:
    global_state.set_global_attribute(name, None)
  try:
    yield
  finally:
    for name, value in before.items():
      global_state.set_global_attribute(name, value)


@contextlib.contextmanager
def unmade_variables_dropped():
  """Returns a context after which Keras forgets the variables declared in it but not made.

  Keras keeps a list of what a stateless scope declared, and makes it all when it next works out a
  shape. Nothing public empties that list.
  """
  from keras.src.backend.common import global_state

  waiting = global_state.get_global_attribute("uninitialized_variables", [], set_to_default=True)
  before = len(waiting)
  try:
    yield
  finally:
    del waiting[before:]


def run_through_graph(model, inputs, operation_fn):
  """Returns a functional model's outputs with `operation_fn(operation)` in place of each operation.

  This is Keras's own walk over a graph. `keras.models.clone_model` walks too, but makes a new model
  of what it visits, and cannot unfold a model inside another.
  """
  return model._run_through_graph(inputs, operation_fn=operation_fn)


def operation_of(tensor):
  """Returns the layer or operation that gave a symbolic tensor, which no public name does."""
  return tensor._keras_history.operation


def raised_as_it_is(error):
  """Returns an exception marked so that Keras does not wrap it into a page about its arguments."""
  error._keras_call_info_injected = True
  return error


def merge_call(function, strategy, *args):
  """Calls a function once for all replicas of a strategy of TensorFlow.

  The way Keras's optimizers go. The public `ReplicaContext.merge_call` is refused by strategies
  whose replicas update their variables together.
  """
  import tensorflow as tf

  tf.__internal__.distribute.interim.maybe_merge_call(function, strategy, *args)


class _LeftOut:
  """A finder of modules that refuses, while others are being imported, what they can do without."""

  def find_spec(self, name, path=None, target=None):
    """Returns None, for other finders to go on, or raises `ModuleNotFoundError`."""
    # On JAX or PyTorch Keras imports these, which need some of them.
    if (name in _UNUSED and os.environ.get("KERAS_BACKEND") == "tensorflow"
        and any(map(_is_being_imported, ("tensorflow", "keras", "tf_keras")))):
      raise ModuleNotFoundError(f"{name} is not imported by Keras and TensorFlow here", name=name)


def _is_being_imported(name):
  spec = getattr(sys.modules.get(name), "__spec__", None)
  return spec is not None and spec._initializing


@functools.cache
def lighten_import_of_tensorflow():
  """Has Keras and TensorFlow, once imported, leave out what they import only where it is installed.

  They use it for wrappers, pictures and converters that are not used here, and it is up to 40% of
  the start of a command. Everything else can import it, afterwards too.
  """
  sys.meta_path.insert(0, _LeftOut())


def traced_to_be_saved():
  """Returns a context in which TensorFlow traces functions as `tf.saved_model.save` wants them.

  It traces those again that were traced without, and writes both: twice the time, and most of twice
  the graph.
  """
  import tensorflow as tf
  from tensorflow.python.saved_model import save_context

  return save_context.save_context(tf.saved_model.SaveOptions())


@functools.cache
def untune_device_iterators():
  """Has strategies of TensorFlow hand batches to devices without the tuner of `tf.data`.

  Each device has a stream of its own for that, to which the options of what is distributed do not
  go and for which there are none to be given. `data.pipelines` says what is wrong with the tuner.
  """
  import tensorflow as tf
  from tensorflow.python.data.ops import multi_device_iterator_ops

  tuned = multi_device_iterator_ops._create_device_dataset
  options = tf.data.Options()
  options.autotune.enabled = False
  multi_device_iterator_ops._create_device_dataset = (
      lambda *args, **kwargs: tuned(*args, **kwargs).with_options(options))


def any_torch_layout():
  """Returns a context in which Keras's convolutions on PyTorch take maps as they lie.

  To be quick they lay each map out channels last, unless it lies so; `torch.vmap` cannot do either.
  That they ask `Tensor.is_contiguous` is an inner matter of Keras.
  """
  import torch
  from torch import overrides

  class EveryLayoutIsRight(overrides.TorchFunctionMode):

    def __torch_function__(self, func, types, args=(), kwargs=None):
      return func is torch.Tensor.is_contiguous or func(*args, **(kwargs or {}))

  return EveryLayoutIsRight()


def is_transformed_by_torch_func(tensor):
  """Whether a PyTorch tensor stands for others: in `torch.func.grad`, `torch.vmap` and the like.

  The values of such a tensor cannot be read, and no public name tells it from another.
  """
  import torch

  return torch._C._functorch.is_functorch_wrapped_tensor(tensor)
