"""A trained metric as two files of package data, written and read back strictly.

    weights.npz    the weights that the taps need, and no others, in float16: an array a variable,
                   by its path
    manifest.json  the network and its options, what it was trained on, the hash of weights.npz, and
                   the shape of every weight in it
"""

import hashlib
import importlib.resources
import io
import json
import pathlib
import zipfile

import keras
import numpy as np

from perceptual import errors, models
from perceptual.common import files
from perceptual.metrics import networks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing
from perceptual.models import taps as feature_taps

FOLDER = pathlib.Path(str(importlib.resources.files(__package__)))
WEIGHTS = "weights.npz"
MANIFEST = "manifest.json"
SMALLEST_SIDE = 32

_MANIFEST_KEYS = {"name", "network", "options", "trained", "sha256", "weights"}


def metric(*, distance="correlation", taps=None, float_range=(0.0, 1.0), dtype="float32",
           folder=FOLDER):
  """Returns the built-in metric, or another one that `write` packed.

  Args:
    distance: name of the distance between features; the card's scores are those of
      `correlation`.
    taps: names of the taps to use; None for all, as in the card.
    float_range: what the lowest and highest value of a float image mean, one of
      `preprocessing.FLOAT_RANGES`' values. uint8 is always 0 to 255.
    dtype: what the network computes in, one of `networks.DTYPES`.
    folder: where its two files are.

  Returns:
    `FeatureMetric`; lower is better. Its fingerprint names the network, its options and what it was
    trained on.

  Raises:
    UserError: an unknown distance, tap or dtype, or files that are missing, damaged, or do not fit
      together or this version of the package.
  """
  folder = pathlib.Path(folder)
  manifest = _read_manifest(folder / MANIFEST)
  with networks.made_in(dtype):
    model = models.build(manifest["network"], **manifest["options"])
    _assign(feature_taps.select_taps(model), _read_weights(folder / WEIGHTS, manifest),
            folder / WEIGHTS)
  return FeatureMetric(
      model, name=manifest["name"], required_side=SMALLEST_SIDE,
      options={"network": manifest["network"], **manifest["options"], **manifest["trained"]},
      taps=taps, distance=distance,
      preprocess=preprocessing.Preprocessing(float_range=tuple(float_range)))


def write(folder, model, *, name, network, options, trained):
  """Packs a network with all of its taps: writes the two files that `metric` reads.

  Args:
    folder: where to; made if it is not there.
    model: the `keras.Model`, with its trained weights.
    name: what the metric is called in its fingerprint.
    network: the network's name for `models.build`.
    options: its options for `models.build`.
    trained: what it was trained on and how far, plain data that goes into the fingerprint.

  Raises:
    UserError: if a weight has no place among float16 numbers.
  """
  folder = pathlib.Path(folder)
  weights = {variable.path: _half(variable) for variable in feature_taps.select_taps(model).weights}
  packed = io.BytesIO()
  np.savez(packed, **weights)
  manifest = {
      "name": name, "network": network, "options": options, "trained": trained,
      "sha256": hashlib.sha256(packed.getvalue()).hexdigest(),
      "weights": {path: list(value.shape) for path, value in weights.items()},
  }
  with files.beside(folder / WEIGHTS) as beside:
    beside.write_bytes(packed.getvalue())
  files.write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _half(variable):
  with np.errstate(over="ignore"):  # an infinity is found below
    value = keras.ops.convert_to_numpy(variable).astype(np.float16)
  if not np.isfinite(value).all():
    raise errors.UserError(f"Weight {variable.path} is not finite in half precision.")
  return value


def _read_manifest(path):
  try:
    manifest = json.loads(path.read_text("utf-8"))
  except OSError as error:
    raise _damaged(path, error.strerror) from None
  except ValueError:
    manifest = None
  if not isinstance(manifest, dict) or not manifest.keys() >= _MANIFEST_KEYS:
    raise _damaged(path, f"it must hold {', '.join(sorted(_MANIFEST_KEYS))}")
  return manifest


def _read_weights(path, manifest):
  """Returns {variable path: float16 array}, exactly as the manifest says."""
  try:
    packed = path.read_bytes()
  except OSError as error:
    raise _damaged(path, error.strerror) from None
  if hashlib.sha256(packed).hexdigest() != manifest["sha256"]:
    raise _damaged(path, f"its checksum does not match {MANIFEST}")
  try:
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
      weights = dict(archive)
  except (ValueError, zipfile.BadZipFile):
    raise _damaged(path, "it is not an archive of arrays") from None
  _require_same({name: list(value.shape) for name, value in weights.items()},
                manifest["weights"], path, MANIFEST)
  return weights


def _assign(trunk, weights, path):
  """Gives a network its weights, all of them and no others."""
  _require_same({name: list(value.shape) for name, value in weights.items()},
                {variable.path: list(variable.shape) for variable in trunk.weights},
                path, f"the network {trunk.name}")
  for variable in trunk.weights:
    variable.assign(weights[variable.path].astype(np.float32))


def _require_same(shapes, wanted, path, wanting):
  for name in [*wanted, *shapes]:
    if shapes.get(name) != wanted.get(name):
      raise _damaged(path, f"weight {name} has shape {shapes.get(name, 'none')}, and "
                           f"{wanted.get(name, 'none')} in {wanting}")


def _damaged(path, reason):
  return errors.UserError(f"{path} cannot be used: {reason}. Install perceptual again.")
