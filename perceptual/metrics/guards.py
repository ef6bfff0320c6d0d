"""What a metric refuses: by an error where values are known, and in a traced function otherwise.

Eagerly a wrong image raises `UserError`. While a function is traced or transformed, its tensors
have shapes alone. What is wrong with their values then shows as it runs: in a graph of TensorFlow
an assertion raises `tf.errors.InvalidArgumentError`; where nothing can raise (XLA, `jax.jit`,
`torch.vmap`, a model converted to ONNX) the result of that image is NaN, and so is its gradient:
but not that of a prediction in training, which would spoil all weights.
"""

import keras
from keras import ops

from perceptual import errors
from perceptual.common import tensors
from perceptual.errors import UserError
from perceptual.metrics import masks
from perceptual.models import preprocessing


class Admitted:
  """The images of one call, let in: what a metric computes its results of.

  Attributes:
    images: a list of tensors, in the order given.
  """

  def __init__(self, images, conditions, *, unasserted=(), in_training):
    """Takes tensors and what must hold of them as they run: `[(bool tensor, message), ...]`.

    A condition is a scalar, or `[batch]`, one for each sample; a message is a list of text and
    tensors. `unasserted` are bool tensors for which the result is NaN, and nothing else is done.
    In training a wrong sample has no gradient, so that no weight is spoiled.
    """
    self.images = images
    self._holds = None
    self._in_training = in_training
    if any(tensors.is_in_tensorflow_graph(holds) for holds, _ in conditions):
      self.images = _after_assertions(images, conditions)
    for holds in (*(holds for holds, _ in conditions), *unasserted):
      self._holds = holds if self._holds is None else ops.logical_and(self._holds, holds)

  def guard(self, results):
    """Returns results, a nest of tensors `[batch, ...]`, with NaN for samples that were wrong."""
    if self._holds is None:
      return results

    def guarded(values):
      holds = ops.reshape(self._holds, (-1, *(1,) * (len(values.shape) - 1)))
      if self._in_training:
        return ops.where(holds, values, ops.cast(float("nan"), values.dtype))
      # A factor makes the gradient NaN as well, which a choice between two values does not.
      return values * ops.cast(ops.where(holds, 1.0, float("nan")), values.dtype)

    return keras.tree.map_structure(guarded, results)


def admit(images, metric, *, mask=None, predictions=()):
  """Lets the images of a call in, or raises.

  Args:
    images: `{name for messages: array or tensor}`, of one shape and dtype.
    metric: the `base.Metric`, which says its name, range and least side.
    mask: a mask for the images, an array or a tensor, or None; see `masks`.
    predictions: names of images whose values may be anything; what is not finite gives NaN.

  Returns:
    `Admitted`, the mask, if there is one, the last of its images.

  Raises:
    UserError: not images of one shape and dtype in the declared range, too small, or a wrong mask.
  """
  declared = metric.preprocessing
  found = {name: _tensor(image, name) for name, image in images.items()}
  first_name, first = next(iter(found.items()))
  for name, image in found.items():
    (declared.check_kind if name in predictions else declared.check)(image, name)
    preprocessing.check_pair(first, image, (first_name, name))
    _check_side(image, name, metric)
  conditions = [
      *_size_conditions(found, metric),
      *(_range_condition(image, name, declared) for name, image in found.items()
        if name not in predictions and _is_float(image) and not tensors.has_values(image))]
  admitted = list(found.values())
  if mask is not None:
    mask = _tensor(mask, "mask")
    masks.check(mask, first)
    admitted.append(mask)
    if not tensors.has_values(mask):
      conditions += masks.conditions(mask)
  # Some kernels of ReLU and pooling make a number of NaN: a model that diverged would have a loss.
  finite = [ops.all(ops.isfinite(found[name]), axis=(1, 2, 3)) for name in predictions
            if _is_float(found[name])]
  return Admitted(admitted, conditions, unasserted=finite, in_training=bool(predictions))


def _tensor(images, name):
  """Returns images as a tensor of Keras's backend."""
  array = preprocessing.as_array(images, name)
  try:
    return ops.convert_to_tensor(array)
  except (TypeError, ValueError, RuntimeError) as error:
    raise UserError(f"{name}: not an array that {keras.backend.backend()} can take: "
                    f"{errors.first_line(error)}") from None


def _is_float(image):
  return keras.backend.standardize_dtype(image.dtype) != "uint8"


def _check_side(image, name, metric):
  height, width = image.shape[1:3]
  least = metric.required_side
  if any(side is not None and side < least for side in (height, width)):
    raise UserError(f"{name} has {width}x{height} pixels; {metric.name} needs at least {least} "
                    f"a side{metric.size_note}.")


def _size_conditions(images, metric):
  """Yields what must hold of sizes that only a running graph of TensorFlow knows."""
  first = next(iter(images.values()))
  if None not in tuple(first.shape) or not tensors.is_in_tensorflow_graph(first):
    return
  shapes = [ops.convert_to_tensor(ops.shape(image)) for image in images.values()]
  if len(images) > 1:
    same = ops.all(ops.stack([ops.all(shape == shapes[0]) for shape in shapes]))
    yield same, [f"{' and '.join(images)} must have one shape; received:", *shapes]
  if metric.required_side > 1:
    yield (ops.all(shapes[0][1:3] >= metric.required_side),
           [f"{metric.name} needs at least {metric.required_side} pixels a side; received:",
            shapes[0]])


def _range_condition(image, name, declared):
  low, high = declared.float_range
  return declared.in_range(image), [
      f"{name} has values outside the declared range of float images, {low:g} to {high:g}, or NaN; "
      "lowest and highest:", ops.min(image), ops.max(image)]


def _after_assertions(images, conditions):
  """Returns tensors of a TensorFlow graph which are there only if the conditions hold."""
  import tensorflow as tf

  assertions = [tf.debugging.Assert(tf.reduce_all(holds), message, summarize=4)
                for holds, message in conditions]
  with tf.control_dependencies(assertions):
    return [tf.identity(image) for image in images]
