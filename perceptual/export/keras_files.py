"""A metric as files for Keras on any backend, beside its SavedModel: written, and read strictly.

    fingerprint.json      what the metric is
    trunk.json            its network, from images to taps, as Keras describes it
    metric.weights.h5     the weights of that
    channel_weights.npz   the learned weights of channels, an array a tap; of the distance `lin`

A metric without a network has a fingerprint alone.
"""

import json
import warnings

import keras
import numpy as np

from perceptual import errors
from perceptual.common import budgets, files
from perceptual.errors import UserError
from perceptual.export import checksums
from perceptual.metrics import classical, distances, networks
from perceptual.metrics.feature_metric import FeatureMetric, weights_hash
from perceptual.models.preprocessing import Preprocessing

FINGERPRINT = "fingerprint.json"
TRUNK = "trunk.json"
WEIGHTS = "metric.weights.h5"
CHANNEL_WEIGHTS = "channel_weights.npz"

_OF_ALL = {"name", "options", "preprocessing"}
_OF_NETWORKS = {"taps", "distance", "weights_sha256"}


def write(metric, fingerprint, folder):
  """Writes the files of a metric.

  Args:
    metric: `feature_metric.FeatureMetric`, or a `classical.ClassicalMetric`.
    fingerprint: JSON text.
    folder: `pathlib.Path` of a folder that is there.

  Raises:
    UserError: if the network has a layer without a configuration.
  """
  (folder / FINGERPRINT).write_text(fingerprint, "utf-8")
  if not isinstance(metric, FeatureMetric):
    return
  try:
    description = metric.trunk.to_json()
  except NotImplementedError as error:
    raise UserError(f"{metric.name} cannot be exported: {errors.first_line(error)}") from None
  (folder / TRUNK).write_text(description, "utf-8")
  metric.trunk.save_weights(folder / WEIGHTS)
  if metric.channel_weights:
    np.savez(folder / CHANNEL_WEIGHTS, **metric.channel_weights)


def keras_metric(folder):
  """Returns the metric that was exported to a folder, in `keras.ops` on any backend.

  Args:
    folder: a folder that `perceptual export` wrote.

  Returns:
    `FeatureMetric`, frozen, or `ClassicalMetric`: what was exported, with gradients and masks.

  Raises:
    UserError: if there is no export, a file is missing or damaged, the weights are not those of the
      fingerprint, or the network has layers that Keras does not know.
  """
  folder = files.place(folder)
  fingerprint = _read_fingerprint(folder / FINGERPRINT)
  checksums.verify(folder)
  declared = {name: tuple(value) for name, value in fingerprint["preprocessing"].items()}
  del declared["uint8_range"]
  if "taps" not in fingerprint:
    return classical.build(fingerprint["name"], **declared, **fingerprint["options"])
  with networks.made_in(_dtype(fingerprint)):
    trunk = _read_trunk(folder)
  metric = FeatureMetric(
      trunk, name=fingerprint["name"], options=fingerprint["options"], taps=fingerprint["taps"],
      learned=fingerprint.get("learned"), preprocess=Preprocessing(**declared),
      required_side=fingerprint.get("smallest_side", 1), **_distance(fingerprint, folder))
  if weights_hash(metric.trunk, metric.channel_weights) != fingerprint["weights_sha256"]:
    raise UserError(f"{folder} cannot be used: its weights do not match {FINGERPRINT}. Export the "
                    "metric again.")
  return metric.loaded_from(None)


def tap_distances(fingerprint, folder):
  """Returns what compares the features of an exported metric: `{tap: distances.Distance}`.

  Args:
    fingerprint: that of the export, a dict.
    folder: its folder.

  Raises:
    UserError: if the learned weights of channels are missing or damaged.
  """
  of_taps = _distance(fingerprint, files.place(folder))
  if "channel_weights" not in of_taps:
    return dict.fromkeys(fingerprint["taps"], distances.get(of_taps["distance"]))
  return {tap: distances.linear(of_taps["channel_weights"][tap]) for tap in fingerprint["taps"]}


def _distance(fingerprint, folder):
  """Returns the distance at the taps as arguments of `FeatureMetric`."""
  if fingerprint["distance"] != "lin":
    return {"distance": fingerprint["distance"]}
  return {"channel_weights": _read_channel_weights(folder / CHANNEL_WEIGHTS)}


def _dtype(fingerprint):
  # A network of several policies is made in that of each layer, which trunk.json has.
  dtype = fingerprint.get("dtype")
  return dtype if dtype in networks.DTYPES else "float32"


def _read_fingerprint(path):
  try:
    fingerprint = json.loads(path.read_text("utf-8"))
  except OSError as error:
    raise UserError(f"{path.parent} is not an exported metric: {FINGERPRINT} cannot be read: "
                    f"{errors.reason(error)}.") from None
  except (ValueError, RecursionError):
    fingerprint = None
  needed = _OF_ALL | (_OF_NETWORKS if isinstance(fingerprint, dict) and "taps" in fingerprint
                      else set())
  if not isinstance(fingerprint, dict) or not fingerprint.keys() >= needed:
    raise UserError(f"{path} is not the fingerprint of a metric, which holds "
                    f"{', '.join(sorted(needed))}.")
  return fingerprint


def _read_trunk(folder):
  """Returns the network with its weights, which are still to be checked by their hash."""
  for name in (TRUNK, WEIGHTS):
    if not (folder / name).is_file():
      raise UserError(f"{folder} has no {name}: it was exported by an earlier version of this "
                      "package, or is not complete. Export the metric again.")
  try:
    trunk = keras.models.model_from_json((folder / TRUNK).read_text("utf-8"))
  except (TypeError, ValueError, KeyError) as error:
    # What is wrong with a layer stands between the configurations of the network and of the layer.
    reason = str(error).rpartition("Exception encountered: ")[2].partition(" Full object config")[0]
    raise UserError(f"{folder / TRUNK} is not a network that Keras can load (import what "
                    f"registers its layers first): {errors.first_line(reason)}") from None
  if not isinstance(trunk, keras.Model):
    raise UserError(f"{folder / TRUNK} does not describe a network.")
  try:
    with (warnings.catch_warnings(action="ignore"),  # the hash will detect what they warn of
          files.local_copy(folder / WEIGHTS) as local):
      trunk.load_weights(local)
  except (OSError, ValueError, KeyError) as error:
    raise UserError(f"{folder / WEIGHTS} cannot be used: {errors.first_line(error)}") from None
  return trunk


def _read_channel_weights(path):
  try:
    with files.local_copy(path) as local:
      return budgets.read_npz(local)
  except UserError:
    raise
  except (OSError, *budgets.NPZ_DAMAGE) as error:
    raise UserError(f"{path} cannot be used: {errors.first_line(error)}") from None
