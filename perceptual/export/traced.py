"""A metric as TensorFlow functions that check their images as they run: what a SavedModel holds."""

import copy

import tensorflow as tf

from perceptual.errors import UserError

_PAIR = ("reference", "candidate")
# What a metric may offer besides a call, and the images that it takes.
_IMAGES = {
    "per_tap": _PAIR,
    "spatial_map": _PAIR,
    "features": ("image",),
    "two_afc": ("reference", "candidate_0", "candidate_1"),
}

# float64 because that is what NumPy makes of `image / 255`.
_DTYPES = (tf.float32, tf.uint8, tf.float64)
_SIGNATURE_SUFFIXES = {tf.float32: "", tf.uint8: "_uint8"}


class CheckedMetric:
  """A metric that checks its images when the graph runs, and whose network is traced once.

  Illegal images are an error in TensorFlow. Where a graph has no assertions - compiled by XLA,
  converted to ONNX or LiteRT - what it gives for them is NaN.
  """

  def __init__(self, metric):
    """Wraps a metric, with a network or without."""
    self._metric = copy.copy(metric)
    if hasattr(metric, "trunk"):
      # One function of the graph, which all others call instead of holding the network once more.
      self._metric.trunk = tf.function(
          lambda images, training: metric.trunk(images, training=training), autograph=False)
    self.result = "distance" if metric.lower_is_better else "similarity"
    # Traced once for a dtype; the forms of a call and the signatures hold calls of them.
    for name in ("compare", *_IMAGES):
      setattr(self, name, tf.function(getattr(self, name), autograph=False))

  def has(self, name):
    return hasattr(self._metric, name)

  def compare(self, reference, candidate):
    return self._checked(self._metric, reference=reference, candidate=candidate)

  def per_tap(self, reference, candidate):
    return self._checked(self._metric.per_tap, reference=reference, candidate=candidate)

  def spatial_map(self, reference, candidate):
    return self._checked(self._metric.spatial_map, reference=reference, candidate=candidate)

  def features(self, image):
    return self._checked(self._metric.features, image=image)

  def two_afc(self, reference, candidate_0, candidate_1):
    return self._checked(self._metric.two_afc, reference=reference, candidate_0=candidate_0,
                         candidate_1=candidate_1)

  def _checked(self, function, **images):
    """Returns what a function makes of images, by their names in errors, if they are legal."""
    conditions = list(self._conditions(images))
    assertions = [tf.debugging.Assert(holds, message, summarize=4) for holds, message in conditions]
    with tf.control_dependencies(assertions):
      results = function(*map(tf.identity, images.values()))
    legal = tf.reduce_all([holds for holds, _ in conditions])
    return tf.nest.map_structure(lambda values: tf.where(legal, values, float("nan")), results)

  def _conditions(self, images):
    """Yields what must hold of images, a scalar, and what is to be said where it does not."""
    first, *_ = shapes = [tf.shape(image) for image in images.values()]
    yield (tf.reduce_all(tf.equal(shapes[:1], shapes)),
           [f"{' and '.join(images)} must have one shape; received:", *shapes])
    if hasattr(self._metric, "index"):  # of a network its layers say so
      least = self._metric.index.smallest_side
      yield (tf.reduce_all(first[1:3] >= least),
             [f"{self._metric.name} needs at least {least} pixels a side; received:", first])
    for name, image in images.items():
      if image.dtype != tf.uint8:
        yield self._in_range(name, image)

  def _in_range(self, name, image):
    low, high = self._metric.preprocessing.accepted_float_range
    declared = self._metric.preprocessing.float_range
    return (tf.reduce_all((image >= low) & (image <= high)),  # NaN is not
            [f"{name} has values outside the declared range of float images, {declared[0]:g} to "
             f"{declared[1]:g}, or NaN; lowest and highest:",
             tf.reduce_min(image), tf.reduce_max(image)])


class ExportedMetric(tf.Module):
  """A perceptual metric. `fingerprint()` tells what it is, and whether lower is better.

  It tracks the weights alone, not the Keras model, which would be saved as well and take more room
  than the weights of a small network. What the metric does not have is None.
  """

  def __init__(self, checked, variables, fingerprint):
    """Traces everything that can be called.

    Args:
      checked: `CheckedMetric`.
      variables: the Keras variables of its network.
      fingerprint: JSON text.
    """
    super().__init__(name="perceptual_metric")
    self.weights = [variable.value for variable in variables]
    self._checked = checked
    self._fingerprint = fingerprint
    for dtype in _DTYPES:
      pair = _images(_PAIR, dtype)
      self.__call__.get_concrete_function(*pair)
      self.__call__.get_concrete_function(pair)
      self.__call__.get_concrete_function(dict(zip(_PAIR, pair)))
    for name in _IMAGES:
      if not self._trace(name):
        setattr(self, name, None)

  @tf.function(autograph=False)
  def __call__(self, reference, candidate=None):
    if candidate is None and isinstance(reference, dict):
      reference, candidate = reference["reference"], reference["candidate"]
    elif candidate is None:
      reference, candidate = reference
    return self._checked.compare(*map(_of_any_size, (reference, candidate)))

  @tf.function(autograph=False)
  def per_tap(self, reference, candidate):
    return self._checked.per_tap(*map(_of_any_size, (reference, candidate)))

  @tf.function(autograph=False)
  def spatial_map(self, reference, candidate):
    return self._checked.spatial_map(*map(_of_any_size, (reference, candidate)))

  @tf.function(autograph=False)
  def features(self, image):
    return self._checked.features(_of_any_size(image))

  @tf.function(autograph=False)
  def two_afc(self, reference, candidate_0, candidate_1):
    return self._checked.two_afc(*map(_of_any_size, (reference, candidate_0, candidate_1)))

  @tf.function(autograph=False, input_signature=[])
  def fingerprint(self):
    return tf.constant(self._fingerprint)

  def signatures(self):
    """Returns concrete functions with named inputs and outputs, for serving and conversion."""
    checked = self._checked
    functions = {"serving_default": (_PAIR, lambda reference, candidate: {
        checked.result: checked.compare(reference, candidate)})}
    for name, images in _IMAGES.items():
      if getattr(self, name) is not None:
        functions[name] = images, _with_named_outputs(name, getattr(checked, name))
    return {
        name + suffix: tf.function(function, autograph=False).get_concrete_function(
            *_images(images, dtype))
        for name, (images, function) in functions.items()
        for dtype, suffix in _SIGNATURE_SUFFIXES.items()}

  def _trace(self, name):
    """Traces a function; returns False where the metric has none."""
    if not self._checked.has(name):
      return False
    try:
      for dtype in _DTYPES:
        getattr(self, name).get_concrete_function(*_images(_IMAGES[name], dtype))
    except UserError:
      if name != "spatial_map":  # which not every metric can draw
        raise
      return False
    return True


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
