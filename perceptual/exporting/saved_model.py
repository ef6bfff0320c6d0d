"""A metric as a SavedModel, loadable with nothing but TensorFlow.

One function traced for two positional images, for a list of two, and for a dictionary of two, in float
and in uint8, loads by `tf.saved_model.load`, `hub.load`, `hub.KerasLayer` and
`keras.layers.TFSMLayer`; the latter two take a single input, hence the list and the dictionary.

    EXPORT_DIR/saved_model.pb, variables/   the SavedModel
    EXPORT_DIR/fingerprint.json             what the metric is: weights hash, taps, distance, range, ...
    EXPORT_DIR/metric.weights.h5            the weights of its trunk, for Keras on any backend
"""

import json
import os
import pathlib
import shutil

import tensorflow as tf

from perceptual.errors import UserError

FINGERPRINT = "fingerprint.json"
WEIGHTS = "metric.weights.h5"
DTYPES = (tf.float32, tf.uint8)


def export(metric, export_dir, *, extra=None, overwrite=False):
  """Writes a metric as a SavedModel, beside its place, then renames it.

  The loaded object has `__call__` (the distance), `per_tap`, `spatial_map` and `features`, each for
  float32 and uint8 images `[batch, height, width, 3]` of any size, and `fingerprint()`, which returns
  JSON. Signatures are `serving_default`, `per_tap`, `spatial_map`, `features` for float32 images, and
  the same with `_uint8` appended. Inputs are named `reference` and `candidate` (`image` for
  `features`). Values outside the declared range, and pairs of two sizes, raise
  `tf.errors.InvalidArgumentError`.

  Args:
    metric: `metric.Metric`.
    export_dir: the folder to write.
    extra: plain data to add to the fingerprint, for instance the training step.
    overwrite: whether an earlier export there may be replaced.

  Returns:
    The fingerprint.

  Raises:
    UserError: if there is something else at `export_dir`, or an export that may not be replaced.
  """
  export_dir = pathlib.Path(export_dir).expanduser()
  require_free(export_dir, overwrite)
  fingerprint = {**metric.fingerprint(), **(extra or {})}
  text = json.dumps(fingerprint, indent=2) + "\n"
  module = _module(metric, text)
  export_dir.parent.mkdir(parents=True, exist_ok=True)
  beside = export_dir.with_name(f".{export_dir.name}.{os.getpid()}")
  try:
    tf.saved_model.save(module, str(beside), signatures=_signatures(module))
    metric.trunk.save_weights(beside / WEIGHTS)
    (beside / FINGERPRINT).write_text(text)
    _put_in_place(beside, export_dir)
  finally:
    shutil.rmtree(beside, ignore_errors=True)
  return fingerprint


def require_free(export_dir, overwrite):
  """Raises `UserError` unless an export may be written to a folder."""
  export_dir = pathlib.Path(export_dir).expanduser()
  if not export_dir.exists() or (export_dir.is_dir() and not any(export_dir.iterdir())):
    return
  if not (export_dir / FINGERPRINT).exists():
    raise UserError(f"{export_dir} exists and is no export of a metric; name another folder.")
  if not overwrite:
    raise UserError(f"{export_dir} holds an export already; name another folder or pass "
                    "--overwrite.")


def _put_in_place(beside, export_dir):
  """Renames the new folder to its place, after moving an old one out of the way."""
  old = export_dir.with_name(f".{export_dir.name}.old.{os.getpid()}")
  if export_dir.exists():
    export_dir.rename(old)
  beside.rename(export_dir)
  shutil.rmtree(old, ignore_errors=True)


def _signatures(module):
  """Concrete functions with named inputs and outputs, by signature name."""
  signatures = {}
  for dtype in DTYPES:
    suffix = "_uint8" if dtype == tf.uint8 else ""
    pair = (_images("reference", dtype), _images("candidate", dtype))
    for name, function in (("serving_default", module.named_distance),
                           ("per_tap", module.per_tap), ("spatial_map", module.named_map)):
      signatures[name + suffix] = function.get_concrete_function(*pair)
    signatures["features" + suffix] = module.features.get_concrete_function(
        _images("image", dtype))
  return signatures


def _module(metric, fingerprint):
  """Returns the `tf.Module` to save.

  It closes over the metric and tracks the weights alone, not the Keras model, which would be saved
  as well and take more room than the weights of a small network.
  """

  def checked(images, name):
    """Asserts that images are in the declared range; NaN is not."""
    if images.dtype != tf.uint8:
      low, high = metric.preprocessing.accepted_range(images.dtype)
      declared = metric.preprocessing.float_range
      tf.debugging.Assert(
          tf.reduce_all((images >= low) & (images <= high)),
          [f"{name} has values outside the declared range of float images, {declared[0]:g} to "
           f"{declared[1]:g}, or NaN; lowest and highest:",
           tf.reduce_min(images), tf.reduce_max(images)])
    return images

  def checked_pair(reference, candidate):
    tf.debugging.assert_equal(tf.shape(reference), tf.shape(candidate),
                              message="reference and candidate must have one shape")
    return checked(reference, "reference"), checked(candidate, "candidate")

  class ExportedMetric(tf.Module):
    """A perceptual metric; lower is closer."""

    def __init__(self):
      super().__init__(name="perceptual_metric")
      self.weights = [variable.value for variable in metric.trunk.variables]
      for dtype in DTYPES:
        pair = (_images("reference", dtype), _images("candidate", dtype))
        self.__call__.get_concrete_function(*pair)
        self.__call__.get_concrete_function(list(pair))
        self.__call__.get_concrete_function({"reference": pair[0], "candidate": pair[1]})

    @tf.function(autograph=False)
    def __call__(self, reference, candidate=None):
      if candidate is None and isinstance(reference, dict):
        reference, candidate = reference["reference"], reference["candidate"]
      elif candidate is None:
        reference, candidate = reference
      return metric(*checked_pair(reference, candidate))

    @tf.function(autograph=False)
    def named_distance(self, reference, candidate):
      return {"distance": metric(*checked_pair(reference, candidate))}

    @tf.function(autograph=False)
    def per_tap(self, reference, candidate):
      return metric.per_tap(*checked_pair(reference, candidate))

    @tf.function(autograph=False)
    def spatial_map(self, reference, candidate):
      return metric.spatial_map(*checked_pair(reference, candidate))

    @tf.function(autograph=False)
    def named_map(self, reference, candidate):
      return {"spatial_map": metric.spatial_map(*checked_pair(reference, candidate))}

    @tf.function(autograph=False)
    def features(self, image):
      return metric.features(checked(image, "image"))

    @tf.function(autograph=False, input_signature=[])
    def fingerprint(self):
      return tf.constant(fingerprint)

  module = ExportedMetric()
  for dtype in DTYPES:
    module.spatial_map.get_concrete_function(
        _images("reference", dtype), _images("candidate", dtype))
  return module


def _images(name, dtype):
  return tf.TensorSpec([None, None, None, 3], dtype, name=name)
