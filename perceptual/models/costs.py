"""What a network costs: its parameters, and its floating-point operations at a size of image.

Both come from shapes alone: under `unallocated()` a network is built without a single weight being
made, so that the largest takes a second.
"""

import contextlib
import math

import keras

from perceptual.common import private_api

# What these do is not counted, though they hold weights: a few operations for each value.
_ELEMENTWISE = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


@contextlib.contextmanager
def unallocated():
  """Returns a context in which networks are built of shapes alone: they can be read, but not run.

      with costs.unallocated():
        model = models.build("vit_l4")
      costs.parameters(model)
  """
  with private_api.unmade_variables_dropped(), keras.StatelessScope(initialize_variables=False):
    yield


def parameters(model):
  """Returns the number of parameters as papers count them: of the weights that training changes.

  `model.count_params()` counts the moving statistics of batch normalisation too.
  """
  return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def flops(model, image_size):
  """Returns the floating-point operations for one image, an integer.

  A multiplication and an addition are two. Counted are the products of convolutions, dense layers
  and attention; biases, normalisations, activations and pooling are not, as in the figures that
  papers give (half of these, where they count a multiplication with its addition as one).

  Args:
    model: a functional `keras.Model` of images.
    image_size: the side or (height, width) of the images, in pixels.

  Raises:
    ValueError: a layer holds weights and is of a kind that is not known here; or, as `UserError`,
      the images are too small for the network.
  """
  return _of_graph(model, _image(model, image_size), _of_operation)[0]


def activations(model, image_size):
  """Returns the number of values that all layers together put out for one image, an integer.

  Training keeps about these for the way back, for every image of a batch.

  Args:
    model: a functional `keras.Model` of images.
    image_size: the side or (height, width) of the images, in pixels.
  """
  def count(operation, args, outputs):
    del operation, args
    return sum(math.prod(tensor.shape) for tensor in keras.tree.flatten(outputs))

  return _of_graph(model, _image(model, image_size), count)[0]


def _image(model, image_size):
  height, width = image_size if isinstance(image_size, (list, tuple)) else (image_size, image_size)
  return keras.KerasTensor((1, height, width, model.inputs[0].shape[-1]), dtype="float32")


def _of_graph(model, inputs, count):
  """Returns `count` summed over the nodes of a functional model, and the shapes of its outputs.

  Args:
    model: the model.
    inputs: `keras.KerasTensor`.
    count: takes an operation, its arguments and its outputs, and returns an integer.
  """
  total = 0

  def counting(operation):
    def call(*args, **kwargs):
      nonlocal total
      if isinstance(operation, keras.Model):
        inner, outputs = _of_graph(operation, *args, count)
      else:
        outputs = operation.compute_output_spec(*args, **kwargs)
        inner = count(operation, args, outputs)
      total += inner
      return outputs
    return call

  outputs = private_api.run_through_graph(model, inputs, counting)
  return total, outputs


def _of_operation(operation, args, outputs):
  kind = type(operation).__name__
  if kind == "Matmul":  # of no layer: attention
    return 2 * math.prod(outputs.shape) * args[0].shape[-1]
  if not getattr(operation, "weights", ()) or isinstance(operation, _ELEMENTWISE):
    return 0
  if hasattr(operation, "flops"):
    return operation.flops(*(tensor.shape for tensor in args))
  if isinstance(getattr(operation, "kernel", None), keras.Variable):
    # Every weight of a kernel is multiplied once for each position of the output, or, of a
    # transposed convolution, of the input.
    transposed = isinstance(operation, keras.layers.Conv2DTranspose)
    positions = (args[0] if transposed else outputs).shape[1:-1]
    return 2 * math.prod(operation.kernel.shape) * math.prod(positions)
  raise ValueError(f"The operations of layer {operation.name}, of kind {kind}, are not known.")
