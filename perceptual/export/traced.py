"""A metric as TensorFlow functions that check their images as they run: what a SavedModel holds."""

import copy

import tensorflow as tf

from perceptual.metrics.feature_metric import FeatureMetric

_PAIR = ("reference", "candidate")
# What a metric may offer besides a call, and the images that it takes.
_IMAGES = {
    "per_tap": _PAIR,
    "spatial_map": _PAIR,
    "features": ("image",),
    "two_afc": ("reference", "candidate_0", "candidate_1"),
}
# The capability of `base.Metric` that each needs.
_CAPABILITIES = {
    "per_tap": "has_taps", "spatial_map": "has_map", "features": "has_taps", "two_afc": None}

# float64 because that is what NumPy makes of `image / 255`.
_DTYPES = (tf.float32, tf.uint8, tf.float64)
_SIGNATURE_SUFFIXES = {tf.float32: "", tf.uint8: "_uint8"}


class GraphMetric:
  """A metric as functions of TensorFlow, whose network is traced once.

  Illegal images are an error, as the metric's own guards have it; where a graph has no assertions
  (compiled by XLA, converted to ONNX or LiteRT) what it gives for them is NaN.
  """

  def __init__(self, metric):
    """Wraps a `base.Metric` of `keras.ops`."""
    self._metric = copy.copy(metric)
    if isinstance(metric, FeatureMetric):
      # One function of the graph, which all others call instead of holding the network once more.
      self._metric.trunk = tf.function(
          lambda images, training: metric.trunk(images, training=training), autograph=False)
    self.result = "distance" if metric.lower_is_better else "similarity"
    self.names = [name for name, capability in _CAPABILITIES.items()
                  if capability is None or getattr(metric, capability)]
    # Traced once for a dtype; the forms of a call and the signatures hold calls of them.
    self.compare = tf.function(self._metric, autograph=False)
    for name in self.names:
      setattr(self, name, tf.function(getattr(self._metric, name), autograph=False))


class ServedMetric(tf.Module):
  """A perceptual metric. `fingerprint()` says what it is, and whether lower is better.

  It tracks the weights alone, not the Keras model, which would be saved as well and take more room
  than the weights of a small network. What the metric does not have is None.
  """

  def __init__(self, graphs, variables, fingerprint):
    """Traces everything that can be called.

    Args:
      graphs: `GraphMetric`.
      variables: the Keras variables of its network.
      fingerprint: JSON text.
    """
    super().__init__(name="perceptual_metric")
    self.weights = [variable.value for variable in variables]
    self._graphs = graphs
    self._fingerprint = fingerprint
    for dtype in _DTYPES:
      pair = _images(_PAIR, dtype)
      self.__call__.get_concrete_function(*pair)
      self.__call__.get_concrete_function(pair)
      self.__call__.get_concrete_function(dict(zip(_PAIR, pair)))
    for name in _IMAGES:
      if name in graphs.names:
        for dtype in _DTYPES:
          getattr(self, name).get_concrete_function(*_images(_IMAGES[name], dtype))
      else:
        setattr(self, name, None)

  @tf.function(autograph=False)
  def __call__(self, reference, candidate=None):
    if candidate is None and isinstance(reference, dict):
      reference, candidate = reference["reference"], reference["candidate"]
    elif candidate is None:
      reference, candidate = reference
    return self._graphs.compare(*map(_of_any_size, (reference, candidate)))

  @tf.function(autograph=False)
  def per_tap(self, reference, candidate):
    return self._graphs.per_tap(*map(_of_any_size, (reference, candidate)))

  @tf.function(autograph=False)
  def spatial_map(self, reference, candidate):
    return self._graphs.spatial_map(*map(_of_any_size, (reference, candidate)))

  @tf.function(autograph=False)
  def features(self, image):
    return self._graphs.features(_of_any_size(image))

  @tf.function(autograph=False)
  def two_afc(self, reference, candidate_0, candidate_1):
    return self._graphs.two_afc(*map(_of_any_size, (reference, candidate_0, candidate_1)))

  @tf.function(autograph=False, input_signature=[])
  def fingerprint(self):
    return tf.constant(self._fingerprint)

  def signatures(self):
    """Returns concrete functions with named inputs and outputs, for serving and conversion."""
    graphs = self._graphs
    functions = {"serving_default": (_PAIR, lambda reference, candidate: {
        graphs.result: graphs.compare(reference, candidate)})}
    for name in graphs.names:
      functions[name] = _IMAGES[name], _with_named_outputs(name, getattr(graphs, name))
    return {
        name + suffix: tf.function(function, autograph=False).get_concrete_function(
            *_images(images, dtype))
        for name, (images, function) in functions.items()
        for dtype, suffix in _SIGNATURE_SUFFIXES.items()}


def _with_named_outputs(name, function):
  """Returns a function with its results in a dictionary, as signatures have them."""
  if name == "spatial_map":
    return lambda reference, candidate: {name: function(reference, candidate)}
  if name == "two_afc":
    return lambda reference, candidate_0, candidate_1: dict(zip(
        ("distance_0", "distance_1"), function(reference, candidate_0, candidate_1)))
  return function


def _of_any_size(images):
  """Forgets the static size of images, so that two sizes are an error when run, as any other.

  TensorFlow would else refuse them while it traces the call, in terms of an operation inside.
  """
  return tf.compat.v1.placeholder_with_default(images, [None, None, None, 3])


def _images(names, dtype):
  return [tf.TensorSpec([None, None, None, 3], dtype, name=name) for name in names]
