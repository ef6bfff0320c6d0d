"""A metric as a SavedModel, loadable with nothing but TensorFlow.

Its functions are traced for two positional images, for a list of two, and for a dictionary of two,
so that it loads by `tf.saved_model.load`, `hub.load`, `hub.KerasLayer` and
`keras.layers.TFSMLayer(..., call_endpoint="__call__", trainable=False)`: the latter two take a
single input, hence the list and the dictionary.

    EXPORT_DIR/saved_model.pb, variables/   the SavedModel
    EXPORT_DIR/fingerprint.json             what the metric is: weights hash, taps, distance, ...
    EXPORT_DIR/metric.weights.h5            the weights of its trunk, for Keras on any backend
"""

import copy
import json
import os
import pathlib
import shutil

import tensorflow as tf

from perceptual.errors import UserError

FINGERPRINT = "fingerprint.json"
WEIGHTS = "metric.weights.h5"

# float64 because that is what NumPy makes of `image / 255`.
DTYPES = (tf.float32, tf.uint8, tf.float64)
SIGNATURE_SUFFIXES = {tf.float32: "", tf.uint8: "_uint8"}


def export(metric, export_dir, *, extra=None, overwrite=False):
  """Writes a metric as a SavedModel, beside its place, then renames it.

  The loaded object has `__call__` (the distance), `per_tap`, `spatial_map`, `features` and
  `two_afc` (the distances of two candidates), each for uint8, float32 and float64 images
  `[batch, height, width, 3]` of any size, and `fingerprint()`, which returns JSON. Signatures are
  `serving_default`, `per_tap`, `spatial_map`, `features` and `two_afc` for float32 images, and the
  same with `_uint8` appended. Inputs are named `reference` and `candidate` (`image` for `features`,
  `candidate_0` and `candidate_1` for `two_afc`). Values outside the declared range, and images of
  two sizes, raise `tf.errors.InvalidArgumentError`.

  Args:
    metric: `metric.Metric`.
    export_dir: the folder to write.
    extra: plain data to add to the fingerprint, for instance the training step.
    overwrite: whether an earlier export there may be replaced.

  Returns:
    The fingerprint.

  Raises:
    UserError: if there is something else at `export_dir`, or an export that may not be replaced, or
      it cannot be written.
  """
  export_dir = require_free(export_dir, overwrite)
  fingerprint = {**metric.fingerprint, **(extra or {})}
  text = json.dumps(fingerprint, indent=2) + "\n"
  beside = export_dir.with_name(f".{export_dir.name}.{os.getpid()}")
  try:
    export_dir.parent.mkdir(parents=True, exist_ok=True)
    _save(metric, text, beside)
    _put_in_place(beside, export_dir)
  except OSError as error:
    raise UserError(f"{export_dir} cannot be written: {error.strerror}.") from None
  finally:
    shutil.rmtree(beside, ignore_errors=True)
  return fingerprint


def require_free(export_dir, overwrite=False):
  """Returns the whole path of a folder, `~` expanded, to which an export may be written.

  Raises:
    UserError: if there is something else, or an export and not `overwrite`.
  """
  export_dir = pathlib.Path(export_dir).expanduser().resolve()
  above = next(place for place in export_dir.parents if place.exists())
  if not above.is_dir():
    raise UserError(f"{export_dir} cannot be written: {above} is no folder.")
  if not export_dir.exists() or (export_dir.is_dir() and not any(export_dir.iterdir())):
    return export_dir
  if not (export_dir / FINGERPRINT).exists():
    raise UserError(f"{export_dir} exists and is no export of a metric; name another folder.")
  if not overwrite:
    raise UserError(f"{export_dir} holds an export already; name another folder or pass "
                    "--overwrite.")
  return export_dir


def _save(metric, fingerprint, folder):
  checked = _CheckedMetric(metric)
  module = ExportedMetric(checked, metric.trunk.variables, fingerprint)
  tf.saved_model.save(module, str(folder), signatures=_signatures(checked))
  metric.trunk.save_weights(folder / WEIGHTS)
  (folder / FINGERPRINT).write_text(fingerprint)


def _put_in_place(beside, export_dir):
  """Renames the new folder to its place; an old one goes only once that has succeeded."""
  old = export_dir.with_name(f".{export_dir.name}.old.{os.getpid()}")
  if export_dir.exists():
    export_dir.rename(old)
  try:
    beside.rename(export_dir)
  except BaseException:
    if old.exists():
      old.rename(export_dir)
    raise
  shutil.rmtree(old, ignore_errors=True)


class _CheckedMetric:
  """A metric that checks its images when the graph runs, and whose network is traced once."""

  def __init__(self, metric):
    @tf.function(autograph=False)
    def trunk(images, training):
      return metric.trunk(images, training=training)

    self.taps = metric.taps
    self._metric = copy.copy(metric)
    # One function of the graph, which all others call instead of holding the network once more.
    self._metric.trunk = trunk

  def distance(self, reference, candidate):
    return self._metric(*self._together(reference=reference, candidate=candidate))

  def per_tap(self, reference, candidate):
    return self._metric.per_tap(*self._together(reference=reference, candidate=candidate))

  def spatial_map(self, reference, candidate):
    return self._metric.spatial_map(*self._together(reference=reference, candidate=candidate))

  def features(self, image):
    return self._metric.features(self._checked(image, "image"))

  def two_afc(self, reference, candidate_0, candidate_1):
    return self._metric.two_afc(*self._together(
        reference=reference, candidate_0=candidate_0, candidate_1=candidate_1))

  def _together(self, **images):
    """Asserts that images, by their names, have one shape and are in the declared range."""
    shapes = [tf.shape(image) for image in images.values()]
    one_shape = tf.debugging.Assert(
        tf.reduce_all(tf.equal(shapes[:1], shapes)),
        [f"{' and '.join(images)} must have one shape; received:", *shapes], summarize=4)
    with tf.control_dependencies([one_shape]):
      return [self._checked(image, name) for name, image in images.items()]

  def _checked(self, images, name):
    """Asserts that images are in the declared range; NaN is not."""
    if images.dtype == tf.uint8:
      return tf.identity(images)
    low, high = self._metric.preprocessing.accepted_float_range
    declared = self._metric.preprocessing.float_range
    in_range = tf.debugging.Assert(
        tf.reduce_all((images >= low) & (images <= high)),
        [f"{name} has values outside the declared range of float images, {declared[0]:g} to "
         f"{declared[1]:g}, or NaN; lowest and highest:",
         tf.reduce_min(images), tf.reduce_max(images)])
    with tf.control_dependencies([in_range]):
      return tf.identity(images)


class ExportedMetric(tf.Module):
  """A perceptual metric; lower is closer.

  It tracks the weights alone, not the Keras model, which would be saved as well and take more room
  than the weights of a small network.
  """

  def __init__(self, checked, variables, fingerprint):
    """Traces everything that can be called.

    Args:
      checked: `_CheckedMetric`.
      variables: the Keras variables of its network.
      fingerprint: JSON text.
    """
    super().__init__(name="perceptual_metric")
    self.weights = [variable.value for variable in variables]
    self._checked = checked
    self._fingerprint = fingerprint
    for dtype in DTYPES:
      pair = _pair(dtype)
      self.__call__.get_concrete_function(*pair)
      self.__call__.get_concrete_function(list(pair))
      self.__call__.get_concrete_function(dict(zip(("reference", "candidate"), pair)))
      self.per_tap.get_concrete_function(*pair)
      self.spatial_map.get_concrete_function(*pair)
      self.features.get_concrete_function(_images("image", dtype))
      self.two_afc.get_concrete_function(*_triplet(dtype))

  @tf.function(autograph=False)
  def __call__(self, reference, candidate=None):
    if candidate is None and isinstance(reference, dict):
      reference, candidate = reference["reference"], reference["candidate"]
    elif candidate is None:
      reference, candidate = reference
    per_tap = self.per_tap(reference, candidate)
    return sum(per_tap[tap] for tap in self._checked.taps)

  @tf.function(autograph=False)
  def per_tap(self, reference, candidate):
    return self._checked.per_tap(_of_any_size(reference), _of_any_size(candidate))

  @tf.function(autograph=False)
  def spatial_map(self, reference, candidate):
    return self._checked.spatial_map(_of_any_size(reference), _of_any_size(candidate))

  @tf.function(autograph=False)
  def features(self, image):
    return self._checked.features(image)

  @tf.function(autograph=False)
  def two_afc(self, reference, candidate_0, candidate_1):
    return self._checked.two_afc(
        *map(_of_any_size, (reference, candidate_0, candidate_1)))

  @tf.function(autograph=False, input_signature=[])
  def fingerprint(self):
    return tf.constant(self._fingerprint)


def _of_any_size(images):
  """Forgets the static size of images, so that two sizes are an error when run, as any other.

  TensorFlow would else refuse them while it traces the call, in terms of an operation inside.
  """
  return tf.compat.v1.placeholder_with_default(images, [None, None, None, 3])


def _signatures(checked):
  """Concrete functions with named inputs and outputs, by signature name, for serving and LiteRT."""
  functions = {
      "serving_default": lambda reference, candidate: {
          "distance": checked.distance(reference, candidate)},
      "per_tap": checked.per_tap,
      "spatial_map": lambda reference, candidate: {
          "spatial_map": checked.spatial_map(reference, candidate)},
  }

  def two_afc(reference, candidate_0, candidate_1):
    return dict(zip(("distance_0", "distance_1"),
                    checked.two_afc(reference, candidate_0, candidate_1)))

  signatures = {}
  for dtype, suffix in SIGNATURE_SUFFIXES.items():
    for name, function in functions.items():
      signatures[name + suffix] = tf.function(
          function, autograph=False).get_concrete_function(*_pair(dtype))
    signatures["features" + suffix] = tf.function(
        checked.features, autograph=False).get_concrete_function(_images("image", dtype))
    signatures["two_afc" + suffix] = tf.function(
        two_afc, autograph=False).get_concrete_function(*_triplet(dtype))
  return signatures


def _pair(dtype):
  return _images("reference", dtype), _images("candidate", dtype)


def _triplet(dtype):
  return tuple(_images(name, dtype) for name in ("reference", "candidate_0", "candidate_1"))


def _images(name, dtype):
  return tf.TensorSpec([None, None, None, 3], dtype, name=name)
