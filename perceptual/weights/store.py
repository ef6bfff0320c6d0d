"""The folder of converted weights: where it is, and what it holds.

    <name>.weights.h5   the weights, as `keras.Model.save_weights` writes them
    <name>.json         the manifest: hashes, source, publisher, licence
"""

import json
import shlex
import warnings

from perceptual import errors
from perceptual.common import files
from perceptual.common.folders import weights_dir
from perceptual.weights import catalogue


def paths(name, folder=None):
  """Returns the files of weights by name: `(<name>.weights.h5, <name>.json)`, there or not."""
  folder = weights_dir(folder)
  return folder / f"{name}.weights.h5", folder / f"{name}.json"


def has(name, folder=None):
  """Whether weights have been converted."""
  return all(path.exists() for path in paths(name, folder))


def load(name, folder=None):
  """Returns the model with converted weights.

  Args:
    name: one of `catalogue.names()`.
    folder: as `weights_dir` takes it.

  Returns:
    The `keras.Model` of the weights' `catalogue.Entry`.

  Raises:
    UserError: an unknown name; no such weights, saying how to get them; or files that are damaged,
      of other weights, or written by a version that builds the network otherwise.
  """
  from perceptual.weights import torch_layout

  entry = catalogue.get(name)
  if not has(name, folder):
    raise errors.UserError(how_to_get([name], folder))
  weights, manifest_file = paths(name, folder)
  manifest = read_manifest(manifest_file)
  if manifest["name"] != name:
    raise errors.UserError(f"{manifest_file} is of {manifest['name']}, not of {name}: convert the "
                           "weights again.")
  if files.sha256(weights) != manifest["sha256"]:
    raise errors.UserError(f"The checksum of {weights} does not match {manifest_file.name}: "
                           "convert the weights again.")
  model = entry.build()
  try:
    with warnings.catch_warnings(action="ignore"):  # of what Keras accepts, but is an error here
      model.load_weights(weights)
  except (OSError, ValueError, KeyError) as error:
    raise errors.UserError(f"{weights} does not fit {name}: {errors.first_line(error)}") from None
  # Keras finds the layers of a file by their order, not by their names, and lets some be absent.
  if torch_layout.tensors_hash(model, entry.modules) != manifest["tensors_sha256"]:
    raise errors.UserError(f"{weights} was written by another version of this package or of Keras, "
                           "which orders the layers differently: convert the weights again.")
  return model


def read_manifest(path):
  """Returns a manifest, a dict.

  Raises:
    UserError: it cannot be read, or is not a manifest.
  """
  try:
    manifest = json.loads(path.read_text("utf-8"))
    if {"name", "sha256", "tensors_sha256"} <= manifest.keys():
      return manifest
  except OSError as error:
    raise errors.UserError(f"{path} cannot be read: {error.strerror}.") from None
  except (ValueError, AttributeError, RecursionError):
    pass
  raise errors.UserError(f"{path} is not a manifest of weights: convert the weights again.")


def how_to_get(names, folder=None):
  """Returns a message: what is missing, whose files it is in, and the command that gets them.

  Args:
    names: what is missing, names of the catalogue: a network, or an LPIPS's trunk and heads.
    folder: as `weights_dir` takes it.
  """
  published = " and ".join(
      f"{entry.file} ({entry.publisher})" for entry in map(catalogue.get, names))
  return (f"There are no weights of {' and '.join(names)} in {weights_dir(folder)}, and "
          f"nothing is downloaded unless you ask. They come from {published}. To download and "
          f"convert what this machine does not have yet, run: {command_to_get(names, folder)}")


def command_to_get(names, folder=None):
  """Returns the command that gets weights. Arguments: `how_to_get`."""
  entry = catalogue.get(names[-1])
  flags = [f"--network={entry.network}", "--download"]
  if entry.role == "heads" and entry.version != catalogue.LPIPS_VERSIONS[0]:
    flags.append(f"--version={entry.version}")
  if folder:
    flags.append(f"--weights_dir={shlex.quote(str(folder))}")
  return f"perceptual convert {' '.join(flags)}"
