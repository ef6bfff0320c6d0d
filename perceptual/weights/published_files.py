"""Published files of weights: where they may lie on this machine, and where they are downloaded.

Each is told by its contents: a trunk by the SHA-256 of which torchvision puts the beginning into
the file's name, LPIPS's heads by the hash of their tensors.
"""

import importlib.util
import os
import pathlib
import urllib.parse
import warnings

from perceptual import errors
from perceptual.common import files
from perceptual.weights import download, state_dicts, store

# A file of weights is at `Entry.path` below the address of its role, also on a mirror.
ADDRESSES = {
    "trunk": "https://download.pytorch.org/models",
    "heads": ("https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
              "lpips/weights"),
}
_DOWNLOADS = "downloads"  # below the folder of converted weights


def find(entry):
  """Returns the published file of some weights, if this machine has it; else None.

  A file of that name with other contents is ignored, with a warning.

  Args:
    entry: a `catalogue.Entry`.
  """
  for folder in _folders(entry):
    path = folder / entry.path
    if path.is_file():
      try:
        verify(entry, path)
        return path
      except errors.UserError as error:
        warnings.warn(f"Ignored: {error}", stacklevel=2)
  return None


def not_found(entries):
  """Returns the `UserError` for weights of which `find` found no file: where it looked, what to do.

  Args:
    entries: a list of `catalogue.Entry`.
  """
  looked = "; ".join(f"{entry.file}, looked for in {_places(entry)}" for entry in entries)
  flags = " ".join(f"--{entry.role}=FILE" for entry in entries)
  hosts = " and ".join(dict.fromkeys(
      urllib.parse.urlsplit(ADDRESSES[entry.role]).hostname for entry in entries))
  return errors.UserError(f"Not on this machine: {looked}. Add --download to fetch what is missing "
                          f"from {hosts}, or convert files that you have: {flags}.")


def _places(entry):
  folders = _folders(entry)
  return " and ".join(map(str, folders)) or "the lpips package, which is not installed"


def url(entry, mirror=None):
  """Returns the address of the file of an entry: its publisher's, or that below a mirror.

  Raises:
    UserError: the mirror is not an address.
  """
  if mirror is not None and not mirror.startswith(("https://", "http://")):
    raise errors.UserError(f"A mirror is an address, https://..., not {mirror!r}.")
  return f"{(mirror or ADDRESSES[entry.role]).rstrip('/')}/{entry.path}"


def fetch(entry, *, weights_dir=None, mirror=None):
  """Downloads the published file of some weights and checks that it is that.

  Args:
    entry: a `catalogue.Entry`.
    weights_dir: the folder of converted weights, as `store.weights_dir` takes it.
    mirror: the address of a copy of the publishers' files; None for the publishers' own.

  Returns:
    The file's path, below the folder of converted weights: `remove` it when it is converted.

  Raises:
    UserError: as `download.fetch`, or the file is not what was published.
  """
  path = store.weights_dir(weights_dir) / _DOWNLOADS / entry.path
  if path.is_file():  # an earlier call's, after which nothing was converted
    verify(entry, path)
  else:
    download.fetch(url(entry, mirror), path, verify=lambda part: verify(entry, part))
  return path


def remove(path):
  """Removes a file that `fetch` gave, and the folders that are empty without it."""
  path.unlink()
  for folder in path.parents:
    if any(folder.iterdir()):
      return
    folder.rmdir()
    if folder.name == _DOWNLOADS:
      return


def verify(entry, path):
  """Raises `UserError` unless a file is the published one of an entry."""
  if entry.hash_prefix:
    found = files.sha256(path)
    if not found.startswith(entry.hash_prefix):
      raise errors.UserError(
          f"{path} is not the published {entry.file}: its SHA-256 begins with "
          f"{found[:len(entry.hash_prefix)]}, not {entry.hash_prefix}.")
  elif state_dicts.tensors_hash(state_dicts.read(path)) != entry.published_sha256:
    raise errors.UserError(
        f"{path} is not the published {entry.file}: its tensors have another SHA-256.")


def _folders(entry):
  """The folders below which `entry.path` may be."""
  return _torch_folders() if entry.role == "trunk" else _lpips_folders()


def _torch_folders():
  """As `torch.hub.get_dir` finds its folder, without importing PyTorch."""
  cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
  home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
  return [files.expanded(home) / "hub" / "checkpoints"]


def _lpips_folders():
  """Where an installed lpips package keeps its heads; it is not imported."""
  spec = importlib.util.find_spec("lpips")
  return [pathlib.Path(place) / "weights"
          for place in (spec and spec.submodule_search_locations) or ()]
