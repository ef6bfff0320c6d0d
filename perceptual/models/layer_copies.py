"""Copies of the layers of a functional model, applied to another input and unfolded.

A model that is a layer of another is unfolded: its layers are copied one by one, under the names of
both, as `mobilenetv2.block_6_expand`.
"""

import difflib

import keras

from perceptual import errors
from perceptual.common import private_api
from perceptual.models import layers

# Of copies, so that a tap can have the name of the layer that it taps.
_PREFIX = "wrapped_"

# Names in a message; a large network has hundreds of layers.
_MOST_NAMES = 40


@keras.saving.register_keras_serializable("perceptual")
class KnownLength(keras.layers.Layer):
  """Lets vectors through whose length is known: those of a map of one size, flattened.

  Args:
    length: the number of values.
    **options: as `keras.layers.Layer` has them.

  Raises:
    UserError: in a call, if there are more or fewer; in a graph that does not know, the next layer
      raises an error of its own.
  """

  def __init__(self, length, **options):
    super().__init__(**options)
    self.length = length

  def call(self, inputs):
    self._check(inputs.shape)
    return inputs

  def compute_output_spec(self, inputs):
    self._check(inputs.shape)
    return keras.KerasTensor((inputs.shape[0], self.length), dtype=inputs.dtype)

  def get_config(self):
    return {**super().get_config(), "length": self.length}

  def _check(self, shape):
    if shape[-1] not in (None, self.length):
      raise private_api.raised_as_it_is(errors.UserError(
          f"The classifier takes images of one size alone, that of {self.length} features; these "
          f"have {shape[-1]}."))


class Copier:
  """Copies layers with their weights, and applies the copies.

  Attributes:
    outputs: name -> what each use of the layer gave.
  """

  def __init__(self, names):
    """Takes what layers are to be called, where not by their own names."""
    self.outputs = {}
    self._names = names
    self._copies = {}

  def run(self, graph, inputs, prefix=""):
    """Returns a functional model's outputs from copies of its layers, models in it unfolded."""
    def applied(operation):
      def call(*args, **kwargs):
        name = prefix + self._names.get(operation.name, operation.name)
        if is_graph(operation):
          outputs = self.run(_unfolded(operation), args[0], f"{name}.")
        else:
          outputs = self._copy(operation, name)(*args, **kwargs)
        if isinstance(operation, keras.layers.Flatten):
          outputs = _of_known_length(outputs, operation.output.shape[-1], name)
        self.outputs.setdefault(name, []).append(outputs)
        return outputs
      return call

    return private_api.run_through_graph(graph, inputs, applied)

  def output_of(self, name, model_name):
    """Returns the output of a layer that can be tapped; raises `UserError` if it cannot."""
    if name not in self.outputs:
      raise _unknown_layer(name, model_name, self.outputs)
    uses = self.outputs[name]
    if len(uses) > 1:
      raise errors.UserError(f"The layer {name!r} cannot be tapped: {model_name} uses it "
                             f"{len(uses)} times.")
    if not isinstance(uses[0], keras.KerasTensor):
      raise errors.UserError(f"The layer {name!r} cannot be tapped: it gives several tensors.")
    shape = tuple(uses[0].shape)
    if len(shape) not in (2, 3, 4) or shape[-1] is None:
      raise errors.UserError(
          f"The layer {name!r} cannot be tapped: it gives {shape}, which is not a map [batch, "
          "rows, columns, channels], tokens [batch, tokens, channels] or vector [batch, channels].")
    return uses[0]

  def _copy(self, operation, name):
    if id(operation) not in self._copies:
      self._copies[id(operation)] = _copy_of(operation, name)
    return self._copies[id(operation)]


def is_graph(operation):
  """Whether a layer of a functional model is such a model itself, or a sequential one."""
  return isinstance(operation, keras.Model) and bool(getattr(operation, "inputs", None))


def _unfolded(model):
  """Returns a model inside another as a functional one."""
  if isinstance(model, keras.Sequential):
    return keras.Model(model.inputs[0], model.outputs[0])
  return model


def _of_known_length(vectors, length, name):
  """Returns flattened maps with the length they had, if images of any size leave it unknown."""
  if vectors.shape[-1] is None and length is not None:
    return KnownLength(length, name=f"{_name_of_copy(name)}-length")(vectors)
  return vectors


def _copy_of(operation, name):
  """Returns a copy of a layer, or of an operation of a functional model, with the same weights."""
  if getattr(operation, "data_format", None) == "channels_first":
    raise errors.UserError(f"The layer {name!r} is channels_first; only channels_last can be "
                           "wrapped.")
  try:
    kind, config = _kind_and_config(operation)
    copy = kind.from_config({**config, "name": _name_of_copy(name)})
    if isinstance(operation, keras.layers.Layer) and operation.built:
      copy.build_from_config(operation.get_build_config())
      copy.set_weights(operation.get_weights())
  except (NotImplementedError, TypeError, ValueError) as error:
    raise errors.UserError(
        f"The layer {name!r} cannot be copied: {errors.first_line(error)}") from None
  if hasattr(copy, "finalize_state"):  # Normalization keeps what it makes of its weights
    copy.finalize_state()
  return copy


def _name_of_copy(name):
  return _PREFIX + name.replace(".", "-")  # PyTorch has no dots in the names of weights


def _kind_and_config(operation):
  """Returns the class and configuration of a copy: of our own layers where Keras's have a fault."""
  config = operation.get_config()
  if type(operation) is keras.layers.BatchNormalization:
    return layers.BatchNormalization, config
  if type(operation) is keras.layers.Dropout and operation.rate > 0 and (
      config.pop("noise_shape", None) is None):
    return layers.Dropout, config
  return type(operation), config


def listed(names):
  """Returns names as text: all of them, or the first and how many more there are."""
  more = len(names) - _MOST_NAMES
  return ", ".join([*names[:_MOST_NAMES], *([f"and {more} more"] if more > 0 else [])])


def _unknown_layer(name, model_name, available):
  """Returns the error for a layer that is not there, with similar names first."""
  similar = difflib.get_close_matches(str(name), available, n=5, cutoff=0.5)
  others = [other for other in available if other not in similar]
  return errors.unknown(f"layer of {model_name}", name, [listed([*similar, *others])])
