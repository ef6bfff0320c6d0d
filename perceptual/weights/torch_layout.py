"""How PyTorch names and lays out the weights that Keras's layers hold."""

import keras
import numpy as np
from keras import ops

from perceptual import errors
from perceptual.weights import state_dicts

_BIAS = ("bias", (0,))

# Layer: its variables, each with PyTorch's name of it and the order of PyTorch's axes in Keras.
# Convolutions in groups are laid out as others are.
_LAYOUTS = {
    keras.layers.Conv2D: {"kernel": ("weight", (2, 3, 1, 0)), "bias": _BIAS},
    keras.layers.DepthwiseConv2D: {"kernel": ("weight", (2, 3, 0, 1)), "bias": _BIAS},
    keras.layers.Dense: {"kernel": ("weight", (1, 0)), "bias": _BIAS},
    keras.layers.BatchNormalization: {
        "gamma": ("weight", (0,)),
        "beta": _BIAS,
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    },
}
# What PyTorch's batch normalisation counts, and neither it nor Keras's has a use for.
_COUNTER = "num_batches_tracked"
_NAMES_SHOWN = 3


def assign(model, state, modules):
  """Gives a model the weights of a state dict.

  Args:
    model: a `keras.Model` of convolutions, also in groups or by channel, dense layers and batch
      normalisations.
    state: a dict of PyTorch's names to arrays. It may hold the weights of modules that the model
      has no layers for, as long as `modules` names them.
    modules: a dict of layer to PyTorch's module.

  Raises:
    UserError: weights are missing, unknown, of another shape or dtype, not finite, or against a
      layer's constraint. The model is left as it was.
  """
  needed = _variables(model, modules)
  _check_names(model, state, needed, modules)
  values = {name: _value(name, state[name], *needed[name]) for name in needed}
  for name, (variable, _) in needed.items():
    variable.assign(values[name])


def tensors_hash(model, modules):
  """Returns `state_dicts.tensors_hash` of a model's weights, as PyTorch names and lays them out.

  It is that of the state dict which the model was given.
  """
  return state_dicts.tensors_hash(
      (name, ops.convert_to_numpy(variable.value).transpose(np.argsort(axes)))
      for name, (variable, axes) in sorted(_variables(model, modules).items()))


def _variables(model, modules):
  """Returns PyTorch's names to the variables of a model, each with its order of axes."""
  variables = {}
  for layer in model.layers:
    for variable in layer.weights:
      suffix, axes = _layout(layer)[variable.name]
      variables[f"{modules[layer.name]}.{suffix}"] = (variable, axes)
  return variables


def _layout(layer):
  return next(layout for kind, layout in _LAYOUTS.items() if isinstance(layer, kind))


def _check_names(model, state, needed, modules):
  known = {*needed, *_superfluous(model, modules)}
  missing = [name for name in needed if name not in state]
  unknown = [name for name in state if name not in known]
  found = [f"{what}: {_shown(names)}"
           for what, names in (("missing", missing), ("unknown", unknown)) if names]
  if found:
    raise errors.UserError(f"{'; '.join(found)}.")


def _superfluous(model, modules):
  """Returns the names that a state dict may have and the model has no variables for."""
  suffixes = {_COUNTER, *(suffix for layout in _LAYOUTS.values() for suffix, _ in layout.values())}
  present = {layer.name: layer for layer in model.layers}
  for name, module in modules.items():
    if name not in present:
      yield from (f"{module}.{suffix}" for suffix in suffixes)
    elif isinstance(present[name], keras.layers.BatchNormalization):
      yield f"{module}.{_COUNTER}"


def _value(name, value, variable, axes):
  """Returns what a variable is to hold, after checking that it can."""
  shape = tuple(variable.shape[axes.index(axis)] for axis in range(len(axes)))
  if value.shape != shape:
    raise errors.UserError(f"{name} has the shape {list(value.shape)}, not {list(shape)}.")
  if not np.issubdtype(value.dtype, np.floating):
    raise errors.UserError(f"{name} is {value.dtype}, not float.")
  if not np.isfinite(value).all():
    raise errors.UserError(f"{name} holds NaN or infinity.")
  if _must_not_be_negative(variable) and value.min() < 0:
    raise errors.UserError(f"{name} holds negative values.")
  return value.transpose(axes).astype("float32")


def _must_not_be_negative(variable):
  return (isinstance(variable.constraint, keras.constraints.NonNeg)
          or variable.name == "moving_variance")


def _shown(names):
  more = len(names) - _NAMES_SHOWN
  return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
