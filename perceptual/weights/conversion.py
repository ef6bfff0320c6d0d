"""Converts PyTorch's state dicts to Keras's `.weights.h5`: all fits, or nothing is written.

Every weight that the network needs must be there with its shape, and nothing that the published
network does not have. Beside the weights goes a manifest, JSON that says where they come from.
"""

import dataclasses
import json
import pathlib
import tempfile
import warnings

import keras

from perceptual import errors
from perceptual.common import files
from perceptual.version import __version__
from perceptual.weights import catalogue, state_dicts, store, torch_layout


@dataclasses.dataclass(frozen=True)
class Converted:
  """Weights that fit, not yet written.

  Attributes:
    entry: the `catalogue.Entry` that they are.
    model: the `keras.Model` that holds them.
    source: the file that they come from.
    tensors_sha256: `torch_layout.tensors_hash` of the model.
  """

  entry: catalogue.Entry
  model: keras.Model
  source: pathlib.Path
  tensors_sha256: str

  @property
  def is_published(self):
    """Whether they are the published weights to the last bit; None where those are not known."""
    if self.entry.published_sha256 is None:
      return None
    return self.tensors_sha256 == self.entry.published_sha256

  def write(self, weights_dir=None, *, overwrite=False):
    """Writes `<name>.weights.h5` and `<name>.json`, beside their places, then renames them.

    Args:
      weights_dir: the folder; None for `store.weights_dir()`.
      overwrite: whether other weights of that name may be replaced.

    Returns:
      The manifest: the content of the JSON file.

    Raises:
      UserError: there are other weights of that name, or the folder cannot be written to.
    """
    weights, manifest_file = store.paths(self.entry.name, weights_dir)
    if not overwrite:
      self._require_free(weights, manifest_file)
    try:
      weights.parent.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryDirectory(dir=weights.parent, prefix=".converting.") as beside:
        beside = pathlib.Path(beside)
        self.model.save_weights(beside / weights.name)
        manifest = self._manifest(beside / weights.name)
        (beside / manifest_file.name).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
        for path in (weights, manifest_file):
          (beside / path.name).replace(path)
    except OSError as error:
      raise errors.UserError(
          f"{weights} cannot be written: {error.strerror or errors.first_line(error)}.") from None
    return manifest

  def _require_free(self, weights, manifest_file):
    if not weights.exists():
      return
    try:
      present = store.read_manifest(manifest_file)["tensors_sha256"]
    except errors.UserError:
      present = None
    if present != self.tensors_sha256:
      raise errors.UserError(f"{weights} exists and holds other weights; pass overwrite to replace "
                             "them, or name another folder.")

  def _manifest(self, weights):
    return {
        "name": self.entry.name,
        "network": self.entry.network,
        "version": self.entry.version,
        "weights": weights.name,
        "sha256": files.sha256(weights),
        "tensors_sha256": self.tensors_sha256,
        "parameters": self.model.count_params(),
        "source": {"file": self.source.name, "sha256": files.sha256(self.source)},
        "published": {"file": self.entry.file, "by": self.entry.publisher,
                      "licence": self.entry.licence, "identical": self.is_published},
        "versions": {"perceptual": __version__, "keras": keras.version()},
    }


def convert(path, name, weights_dir=None, *, overwrite=False):
  """Converts a state dict and writes it: `read`, then `Converted.write`. Returns the manifest."""
  return read(path, name).write(weights_dir, overwrite=overwrite)


def read(path, name):
  """Reads a state dict and fits it to the network that it should be of.

  Args:
    path: a `.pth` or `.npz` file, as `state_dicts.read` takes it.
    name: one of `catalogue.names()`.

  Returns:
    `Converted`.

  Raises:
    UserError: an unknown name, a file that cannot be read, or one that does not fit: the first
      names that differ are told.
  """
  entry = catalogue.get(name)
  path = files.expanded(path)
  state = state_dicts.read(path)
  model = entry.build()
  try:
    torch_layout.assign(model, entry.with_current_names(state), entry.modules)
  except errors.UserError as error:
    raise errors.UserError(f"{path} does not fit {name}: {error}") from None
  converted = Converted(entry, model, path, torch_layout.tensors_hash(model, entry.modules))
  _refuse_another_version(converted)
  if converted.is_published is False:
    warnings.warn(f"{path} fits {name}, but is not what was published as such.", stacklevel=2)
  return converted


def _refuse_another_version(converted):
  """Raises `UserError` if the weights are known to be published under another name."""
  for name in catalogue.names():
    if name != converted.entry.name and (
        converted.tensors_sha256 == catalogue.get(name).published_sha256):
      raise errors.UserError(f"{converted.source} holds {name}, not {converted.entry.name}.")
