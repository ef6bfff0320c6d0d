"""What is installed on this machine, as data and as text: what `perceptual doctor` reports."""

import importlib.metadata
import os
import platform

from perceptual.common import backends, folders, packages, text_table
from perceptual.errors import UserError, first_line
from perceptual.version import __version__

# The name that is imported -> pip's.
_CORE = {"absl": "absl-py", "h5py": "h5py", "keras": "keras", "numpy": "numpy", "PIL": "pillow",
         "tqdm": "tqdm"}


def inspect():
  """Returns plain data: versions, packages, the backend and its devices, and weights.

  Keras's backend is imported, since only it knows its devices.
  """
  return {
      "perceptual": __version__,
      "python": platform.python_version(),
      "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
      "packages": [_package(name, modules) for name, modules in _modules().items()],
      "backend": _backend(),
      "tf_config": os.environ.get("TF_CONFIG"),
      "weights": _weights(),
  }


def as_text(found):
  """Returns what `inspect` found, for people."""
  backend, weights = found["backend"], found["weights"]
  head = [
      f"perceptual {found['perceptual']}, Python {found['python']}, {found['system']}",
      f"backend   {backend['name'] or 'none'}{backend['note'] and ': '}{backend['note']}",
      f"devices   {', '.join(backend['devices']) or 'none seen'}",
      *([f"workers   TF_CONFIG={found['tf_config']}"] if found["tf_config"] else []),
      f"weights   {weights['folder']}: {', '.join(weights['names']) or 'none yet'}"]
  lines = [["package", "version", "needed for", "to install"]]
  lines += [[package["name"], package["version"] or "missing", package["extra"] or "everything",
             package["install"] or ""] for package in found["packages"]]
  return "\n".join([*head, "", text_table.aligned(lines)])


def _modules():
  """Returns `{name for pip: names that are imported}`: the core's, then all others, by name."""
  optional = {}
  for module, package in packages.OPTIONAL.items():
    optional.setdefault(package.pip, []).append(module)
  return {name: [module] for module, name in _CORE.items()} | dict(sorted(optional.items()))


def _package(name, modules):
  """What is known of a package, by its name for pip and those that are imported."""
  package = packages.OPTIONAL.get(modules[0])
  extra = package.extra if package else None
  version = _version(modules[0]) if all(map(packages.is_installed, modules)) else None
  missing = packages.install(extra) if extra else "pip install perceptual"
  return {"name": name, "version": version, "extra": extra, "install": None if version else missing}


def _version(module):
  """The version of what brings a module, such as `9.1` for PIL of pillow."""
  for distribution in importlib.metadata.packages_distributions().get(module, ()):
    return importlib.metadata.version(distribution)
  return "unknown"


def _backend():
  """The backend of Keras that commands would take here, and the devices that it sees."""
  try:
    name = backends.choose()
  except UserError as error:
    return {"name": None, "devices": [], "note": str(error)}
  try:
    return {"name": name, "devices": _DEVICES[name](), "note": ""}
  except Exception as error:  # a broken installation fails in any way
    return {"name": None, "devices": [], "note": f"{name} cannot be imported: {first_line(error)}"}


def _tensorflow_devices():
  import tensorflow as tf

  return [f"{device.device_type} {device.name.rpartition(':')[2]}"
          for device in tf.config.list_physical_devices()]


def _jax_devices():
  import jax

  return [f"{device.device_kind} {device.id}" for device in jax.devices()]


def _torch_devices():
  import torch

  return ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))]


_DEVICES = {"tensorflow": _tensorflow_devices, "jax": _jax_devices, "torch": _torch_devices}


def _weights():
  """Where converted weights lie, and the names of those that are there."""
  folder = folders.weights_dir()
  return {"folder": str(folder),
          "names": sorted(path.stem for path in folder.glob("*.json")
                          if (folder / f"{path.stem}.weights.h5").exists())}
