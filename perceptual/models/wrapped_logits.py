"""The logits of a wrapped classifier, found at its end or put there."""

import keras

from perceptual import errors
from perceptual.common import private_api


def logits(output, num_classes, name):
  """Returns the logits of a copied classifier by their name, or nothing: a dict.

  Args:
    output: its output, a symbolic tensor; None if it has several.
    num_classes: the number of classes; 0 for none, None for those that it has.
    name: its name, for messages.

  Raises:
    UserError: there is no classifier of that many classes, nor a place for one.
  """
  if num_classes == 0 or (num_classes is None and output is None):
    return {}
  if output is None:
    raise errors.UserError(f"{name} has several outputs, so which are its logits is unknown. Wrap "
                           "keras.Model(model.input, the_logits).")
  found = _classifier(output, num_classes, name)
  return {} if found is None else {"logits": found}


def _classifier(output, num_classes, name):
  """Returns the logits: the classifier's own, or of a new one; None if it has none, nor need be."""
  scores = _before_softmax(output)
  layer = private_api.operation_of(scores)
  is_vector = len(scores.shape) == 2
  if is_vector and isinstance(layer, keras.layers.Dense):
    _check_activation(layer, num_classes, name)
    if _activation(layer) in ("linear", "softmax"):
      own = num_classes in (None, layer.units)
      return _of_copied_dense(layer) if own else _of_new_dense(layer.input, num_classes)
  elif is_vector and scores is not output:
    return _of_other_layer(scores, num_classes, name)
  return None if num_classes is None else _of_new_dense(_pooled(scores, name), num_classes)


def _before_softmax(output):
  """Returns what goes into a softmax at the end, if there is a layer of that."""
  layer = private_api.operation_of(output)
  is_softmax = isinstance(layer, keras.layers.Softmax) or (
      isinstance(layer, keras.layers.Activation) and _activation(layer) == "softmax")
  return layer.input if is_softmax else output


def _activation(layer):
  return getattr(layer.activation, "__name__", type(layer.activation).__name__)


def _check_activation(dense, num_classes, name):
  """Refuses a sigmoid; after other activations, of hidden units, a new dense layer can follow."""
  if _activation(dense) == "sigmoid" and num_classes is not None:
    raise errors.UserError(
        f"{name} ends in a sigmoid: training needs logits of classes that exclude one another. "
        "Wrap it up to the layer before its last.")


def _of_copied_dense(dense):
  """Applies a last dense layer again without its softmax, in float32 whatever its policy."""
  layer = keras.layers.Dense(dense.units, use_bias=dense.use_bias, dtype="float32", name="logits")
  logits = layer(dense.input)
  layer.set_weights(dense.get_weights())
  return logits


def _of_other_layer(scores, num_classes, name):
  """Returns what goes into a softmax and comes from no dense layer, in float32."""
  if num_classes not in (None, scores.shape[-1]):
    raise errors.UserError(
        f"{name} has {scores.shape[-1]} classes, not {num_classes}, and no dense layer at its end "
        "to replace. Wrap it without its classifier (include_top=False).")
  return keras.layers.Activation("linear", dtype="float32", name="logits")(scores)


def _pooled(features, name):
  """Applies mean pooling to a map; vectors stay as they are."""
  shape = tuple(features.shape)
  if len(shape) not in (2, 4) or shape[-1] is None:
    raise errors.UserError(f"{name} ends in {shape}, to which no classifier can be added: that "
                           "takes a map or a vector, of a length that no image's size changes.")
  return features if len(shape) == 2 else keras.layers.GlobalAveragePooling2D(
      data_format="channels_last", dtype="float32", name="pool")(features)


def _of_new_dense(features, num_classes):
  """Applies a new dense layer, initialised as those of our own networks are."""
  return keras.layers.Dense(
      num_classes, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
      dtype="float32", name="logits")(features)
