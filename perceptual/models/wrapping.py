"""Any Keras classifier as one of our networks: its layers tapped, its input made from ours.

The classifier is copied with its weights: later training and renaming of layers leave the original
as it is. Models inside it are unfolded, so that their layers too can be tapped and those past the
last tap are dropped.
"""

import dataclasses

import keras

from perceptual import errors
from perceptual.models import expected_input, layer_copies, layers, taps, wrapped_logits

# Names of layers that a wrapped network has besides the classifier's.
_OURS = ("image", "expected_input", "pool", "logits")

# Two sizes of image at which strides are read off, in pixels.
_PROBES = (512, 1024)


def wrap(model, tapped, *, preprocessing, num_classes=None, names=None, name=None):
  """Returns a classifier as a network with feature taps, for `FeatureMetric` and all the rest.

      network = models.wrap(classifier, ["conv3", "conv5"], preprocessing="-1,1")
      distance = feature_metric.FeatureMetric(network, name="mine")(reference, candidate)

  A layer inside a model that is itself a layer is named by both, as `mobilenetv2.block_6_expand`.

  What the classifier is, for training: its last dense layer of a vector, linear or with a softmax,
  which is taken off. With another number of classes it is replaced by a new one; a classifier that
  ends in features, as `keras.applications` ones do with `include_top=False`, gets a mean pool, for
  maps, and a new dense layer.

  Images may have any size that the layers before the taps can take, also if the model was built for
  another. The stride of a tap is read off from its shapes; it is None for vectors and tokens, and
  for maps that have no stride, the same along both sides. Layers keep their dtype policies.
  Batch normalisation and dropout become those of `perceptual.models.layers`, which compute the same
  and can be trained under every strategy.

  Args:
    model: a functional or sequential `keras.Model` of one input, `[batch, height, width, 3]`. It
      stays as it is.
    tapped: the names of the layers to tap, each used once, whose output is one tensor: a map
      `[batch, rows, columns, channels]`, tokens or a vector.
    preprocessing: what the model expects of its images: "imagenet", "0,1", "-1,1", "0,255",
      "caffe"; (mean, std) of images in [0, 1], or (mean, std, "BGR"); or a function of RGB images
      of 0 to 255, such as `keras.applications.vgg16.preprocess_input`.
    num_classes: the number of logits; 0 for the taps alone; None for the model's own classifier, if
      it has one.
    names: what to call the model's layers, a dict; None for their own names.
    name: the network's name; None for the model's.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` as
    `preprocessing.IMAGENET` normalises it, to a dict of `logits`, `[batch, num_classes] float32`,
    and each tap.

  Raises:
    UserError: the model is of another kind, a layer is unknown or cannot be tapped or copied, or
      there is no classifier of that many classes.
  """
  layers.require(
      num_classes is None or (layers.is_integer(num_classes) and num_classes >= 0), "num_classes",
      num_classes, must_be="an integer >= 0, or None for the classes that the model has")
  wanted = expected_input.expected(preprocessing)
  graph = _graph(model)
  _check_taps(tapped, graph)
  copied = _copied(graph, wanted, tapped, names or {})
  features = {tap: taps.Tap(stride=copied.strides[tap], name=tap)(tensor)
              for tap, tensor in copied.tapped.items()}
  logits = wrapped_logits.logits(copied.output, num_classes, model.name)
  return keras.Model(copied.image, {**logits, **features}, name=name or model.name)


@dataclasses.dataclass(frozen=True)
class _Copied:
  """A copy of a classifier, as symbolic tensors.

  Attributes:
    image: our input.
    output: the classifier's output; None if it has several.
    tapped: name -> output of a tapped layer.
    strides: name -> stride or None.
  """

  image: keras.KerasTensor
  output: keras.KerasTensor | None
  tapped: dict
  strides: dict


def _graph(model):
  """Returns a classifier as a functional model, of one image to one output or to a list of them."""
  if not isinstance(model, keras.Model):
    raise errors.UserError(f"Only a model of Keras 3 can be wrapped. Received: {type(model)}.")
  if not layer_copies.is_graph(model):
    raise errors.UserError(
        f"{model.name} is not functional, so that its layers cannot be tapped. Build it by "
        "keras.Model(inputs, outputs), or as keras.Sequential with a keras.Input.")
  shapes = [tuple(image.shape) for image in model.inputs]
  if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] != 3:
    raise errors.UserError(f"{model.name} must have one input, [batch, height, width, 3]. "
                           f"Received: {', '.join(map(str, shapes))}.")
  outputs = model.outputs
  return keras.Model(
      model.inputs[0], outputs[0] if len(outputs) == 1 else outputs, name=model.name)


def _check_taps(tapped, graph):
  if not isinstance(tapped, (list, tuple)) or not tapped:
    available = layer_copies.listed([layer.name for layer in graph.layers[1:]])
    raise errors.UserError(f"taps must be a list of names of layers of {graph.name}, not "
                           f"{tapped!r}. Available: {available}.")
  for name in tapped:
    if tapped.count(name) > 1:
      raise errors.UserError(f"The layer {name!r} is tapped twice.")
    if name in _OURS:
      raise errors.UserError(f"No tap can be called {name!r}: the wrapped network has a layer of "
                             "that name. Tap the layer before it.")


def _copied(graph, wanted, tapped, names):
  """Copies a classifier for images of any size or, if its layers do not allow it, of its own."""
  try:
    return _copied_for(graph, wanted, tapped, names, (None, None, 3))
  except errors.UserError:
    raise
  except ValueError:
    pass
  try:
    return _copied_for(graph, wanted, tapped, names, graph.input.shape[1:])
  except errors.UserError:
    raise
  except ValueError as error:
    raise errors.UserError(f"{graph.name} cannot be wrapped: {errors.first_line(error)}") from None


def _copied_for(graph, wanted, tapped, names, shape):
  image = keras.Input(shape, name="image", dtype="float32")
  x = expected_input.ExpectedInput(
      **dataclasses.asdict(wanted), dtype="float32", name="expected_input")(image)
  copier = layer_copies.Copier(names)
  output = copier.run(graph, x)
  tensors = {tap: copier.output_of(tap, graph.name) for tap in tapped}
  strides = _strides(image, tensors)
  return _Copied(image, output if isinstance(output, keras.KerasTensor) else None, tensors, strides)


def _strides(image, tensors):
  """Returns the stride of each tensor, or None, a dict."""
  if image.shape[1] is None:
    model = keras.Model(image, tensors)
    small, large = (model(keras.KerasTensor((1, side, side, 3))) for side in _PROBES)
    grown = {name: [b - a for a, b in zip(small[name].shape[1:3], large[name].shape[1:3])]
             for name, tensor in tensors.items() if len(tensor.shape) == 4}
    sides = [_PROBES[1] - _PROBES[0]] * 2
  else:
    grown = {name: tensor.shape[1:3] for name, tensor in tensors.items() if len(tensor.shape) == 4}
    sides = image.shape[1:3]
  strides = {name: {side / growth if growth else None for side, growth in zip(sides, growths)}
             for name, growths in grown.items()}
  return {name: _whole(strides.get(name, {None})) for name in tensors}


def _whole(strides):
  """Returns the one stride of a set, if it is one and whole."""
  stride, *others = strides
  return None if others or stride is None or stride % 1 else int(stride)
