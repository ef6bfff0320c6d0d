"""A metric as a SavedModel, loadable with nothing but TensorFlow.

Its functions are traced for two positional images, for a list of two, and for a dictionary of two,
so that it loads by `tf.saved_model.load`, `hub.load`, `hub.KerasLayer` and
`keras.layers.TFSMLayer(..., call_endpoint="__call__", trainable=False)`: the latter two take a
single input, hence the list and the dictionary.

    EXPORT_DIR/saved_model.pb, variables/   the SavedModel
    EXPORT_DIR/fingerprint.json             what the metric is: weights hash, taps, distance, ...
    EXPORT_DIR/checksums.json               of all files: `checksums`
    EXPORT_DIR/assets.extra/                requests by which a server warms up, if asked for
    EXPORT_DIR/...                          the same metric for Keras on any backend: `keras_files`
"""

import json
import shutil

import tensorflow as tf

from perceptual import errors
from perceptual.common import files, private_api, remote
from perceptual.errors import UserError
from perceptual.export import checksums, keras_files, warm_up
from perceptual.export.traced import GraphMetric, ServedMetric
from perceptual.metrics.feature_metric import FeatureMetric

_SAVED_MODEL = "saved_model.pb"


def export(metric, export_dir, *, overwrite=False, warm_up_sizes=()):
  """Writes a metric as a SavedModel, beside its place, then renames it; to an address, uploads it.

  The loaded object has `__call__` (the distance, or what else the metric gives) and `two_afc` (the
  distances of two candidates), of a network also `per_tap`, `features` and `spatial_map`, of other
  metrics a `spatial_map` if they draw one; each for uint8, float32 and float64 images
  `[batch, height, width, 3]` of any size. What a metric does not have is None or missing.
  `fingerprint()` returns JSON. Signatures are `serving_default` and those names for float32 images,
  and the same with `_uint8` appended. Inputs are named `reference` and `candidate` (`image` for
  `features`, `candidate_0` and `candidate_1` for `two_afc`). Values outside the declared range, and
  images of two sizes, raise `tf.errors.InvalidArgumentError`; where XLA compiles a call they give
  NaN.

  Args:
    metric: `feature_metric.FeatureMetric`, or `classical.ClassicalMetric`.
    export_dir: the folder to write.
    overwrite: whether an earlier export there may be replaced.
    warm_up_sizes: pairs (height, width) of images for whose requests TensorFlow Serving is to be
      ready before the first.

  Returns:
    The fingerprint, with the smallest side of an image, and of a run directory its checkpoint and
    step.

  Raises:
    UserError: if there is something else at `export_dir`, or an export that may not be replaced, or
      it cannot be written.
  """
  export_dir = require_free(export_dir, overwrite)
  fingerprint = {**metric.fingerprint, "smallest_side": metric.smallest_side,
                 **(metric.trained or {})}
  text = json.dumps(fingerprint, indent=2) + "\n"
  try:
    if not files.is_remote(export_dir):
      export_dir.parent.mkdir(parents=True, exist_ok=True)
      _recover(export_dir)
    with files.staging(files.temporary(export_dir)) as beside:
      beside.mkdir(exist_ok=True)  # where that is not possible, TensorFlow tells less
      _save(metric, text, beside)
      if warm_up_sizes:
        warm_up.write(beside, warm_up_sizes)
      checksums.write(beside)
      _put_in_place(beside, export_dir)
  except OSError as error:
    raise UserError(f"{export_dir} cannot be written: {errors.reason(error)}.") from None
  return fingerprint


def require_free(export_dir, overwrite=False):
  """Returns the whole path of a folder, `~` expanded, or the address to which an export may be
  written.

  Raises:
    UserError: if there is something else, or an export and not `overwrite`.
  """
  export_dir = files.folder_for_tensorflow(files.resolved(export_dir))
  if not files.is_remote(export_dir):
    above = next(place for place in export_dir.parents if place.exists())
    if not above.is_dir():
      raise UserError(f"{export_dir} cannot be written: {above} is not a directory.")
  if not export_dir.exists() or (export_dir.is_dir() and not any(export_dir.iterdir())):
    return export_dir
  if not (export_dir / keras_files.FINGERPRINT).exists():
    raise UserError(f"{export_dir} exists and is not an exported metric; name another folder.")
  if not overwrite and (export_dir / _SAVED_MODEL).exists():  # else its upload was cut short
    raise UserError(f"{export_dir} holds an export already; name another folder or pass "
                    "--overwrite.")
  return export_dir


def _save(metric, fingerprint, folder):
  variables = metric.trunk.variables if isinstance(metric, FeatureMetric) else []
  with private_api.traced_to_be_saved():
    module = ServedMetric(GraphMetric(metric), variables, fingerprint)
    signatures = module.signatures()
  tf.saved_model.save(module, str(folder), signatures=signatures)
  keras_files.write(metric, fingerprint, folder)


def _put_in_place(beside, export_dir):
  """Renames the new folder to its place, for good, and replaces an old one in the same step.

  At an address the new files take the places of the old ones, and `saved_model.pb`, without which
  there is no export, goes first and comes last.

  Where the system cannot exchange the two, `_recover` finds the old one again after a crash.
  """
  if files.is_remote(export_dir):
    remote.upload_folder(beside, export_dir, first=keras_files.FINGERPRINT, last=_SAVED_MODEL)
    return
  files.sync_folder(beside)
  if export_dir.exists() and files.exchanged(beside, export_dir):
    return
  old = files.temporary(export_dir, "old")
  if export_dir.exists():
    export_dir.rename(old)
  try:
    beside.rename(export_dir)
  except BaseException:
    if old.exists():
      old.rename(export_dir)
    raise
  files.sync(export_dir.parent)
  shutil.rmtree(old, ignore_errors=True)


def _recover(export_dir):
  """Restores an export that a killed process had moved aside, and removes its other leftovers."""
  for path in files.left_of(export_dir, "old"):
    if export_dir.exists():
      files.remove(path)
    else:
      path.rename(export_dir)
  for path in files.left_of(export_dir):
    files.remove(path)
