"""The published weights that can be converted: for each, its network and PyTorch's names.

To add weights, add a row to `torchvision_modules.TRUNKS` or to `LPIPS_TRUNKS`: which of our layers
is which of PyTorch's modules, which file holds them, and who publishes it. What is asked of this
list needs Keras where an entry's network or layers are asked for, and nothing before.
"""

import dataclasses
import functools
import re
from collections.abc import Callable

from perceptual import errors
from perceptual.weights import torchvision_modules

LPIPS_VERSIONS = ("0.1", "0.0")


@dataclasses.dataclass(frozen=True)
class Entry:
  """Published weights.

  Attributes:
    name: what they are called here: the network, or `lpips-<net>-v<version>` for linear heads.
    network: what they are of: one of `models.names()`, or `lpips-<net>` for linear heads.
    version: the publisher's name of the version.
    role: "trunk" for a network's weights, "heads" for linear heads.
    build: takes nothing and returns the `keras.Model` whose weights they are.
    find_modules: takes nothing and returns `modules`.
    path: the published file, below its publisher's address or the folder of a package.
    publisher: whose file it is, and where it is found.
    licence: an SPDX identifier of what its publisher distributes it under.
    published_sha256: `state_dicts.tensors_hash` of what is published, where that is known.
    old_names: as `torchvision_modules.Trunk` has it.
  """

  name: str
  network: str
  version: str
  role: str
  build: Callable
  find_modules: Callable
  path: str
  publisher: str
  licence: str
  published_sha256: str | None = None
  old_names: tuple | None = None

  @property
  def modules(self):
    """Our layers to PyTorch's modules, those of the whole network; the model may be part of it."""
    return self.find_modules()

  @property
  def file(self):
    """The name of the published file."""
    return self.path.rpartition("/")[2]

  @property
  def hash_prefix(self):
    """The first digits of the file's SHA-256, which torchvision puts into its name; or None."""
    named = re.search(r"-([0-9a-f]{8,})\.pth$", self.path)
    return named and named[1]

  def with_current_names(self, state):
    """Returns a state dict with what `old_names` finds renamed.

    Raises:
      UserError: it has a tensor by the old and by the current name.
    """
    if self.old_names is None:
      return state
    names = {name: re.sub(*self.old_names, name) for name in state}
    for old, name in names.items():
      if old != name and name in state:
        raise errors.UserError(f"both {old} and {name}, which are the same.")
    return {names[name]: tensor for name, tensor in state.items()}


@dataclasses.dataclass(frozen=True)
class LpipsTrunk:
  """The trunk of one of LPIPS's networks.

  Attributes:
    network: the name of the network, and of its weights.
    channels: the taps that LPIPS compares, in the order of its heads, to their channels.
    published_sha256: the heads' versions to the hash of their tensors, as they are in the lpips
      package 0.1.4 of the Python package index.
  """

  network: str
  channels: dict
  published_sha256: dict


LPIPS_TRUNKS = {
    "alex": LpipsTrunk(
        "alexnet",
        {"relu1": 64, "relu2": 192, "relu3": 384, "relu4": 256, "relu5": 256},
        {"0.0": "fea471f584ae42c70965e036d681c97d69a002b3ed4b4858a125f0862ecba25c",
         "0.1": "b38b3fb8b0590668c2af08608e2d0b78add952ef3aed33b39d7fa4b3e4f9a123"}),
    "vgg": LpipsTrunk(
        "vgg16",
        {"relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512, "relu5_3": 512},
        {"0.0": "b265c955725283cded8ac314b7d7390aef348a59fa7b7651f99900d0f0e8af0c",
         "0.1": "026c5bfab73612599c4341afb3bb2fedcc13eb8152e79c689826883038e65406"}),
    "squeeze": LpipsTrunk(
        "squeezenet1_1",
        {"relu1": 64, "fire3": 128, "fire5": 256, "fire6": 384, "fire7": 384, "fire8": 512,
         "fire9": 512},
        {"0.0": "bf810b7bf47fbe74f9db02da639e1af69c5a797c872d19fdde90546f43b70e22",
         "0.1": "319da41de36cabc383f80559c8342ed1d8a09f5bb5e21b8b9750287d2039eacb"}),
}


def names():
  """Returns the names of all weights, a tuple of strings."""
  return tuple(_ENTRIES)


def get(name):
  """Returns the `Entry` of that name.

  Raises:
    UserError: there is none.
  """
  if name not in _ENTRIES:
    raise errors.unknown("weights", name, _ENTRIES)
  return _ENTRIES[name]


def lpips_heads(net, version):
  """Returns the name of LPIPS's linear heads for a net and a version."""
  return f"lpips-{net}-v{version}"


def needed(network, version="0.1"):
  """Returns the names of the weights that make a network: its own, or LPIPS's trunk and heads.

  Args:
    network: `lpips-<net>`, or a network of torchvision.
    version: of LPIPS's heads, one of `LPIPS_VERSIONS`.

  Raises:
    UserError: no published weights of that network are known.
  """
  of_lpips = {f"lpips-{net}": (trunk.network, lpips_heads(net, version))
              for net, trunk in LPIPS_TRUNKS.items()}
  if network not in of_lpips and network not in torchvision_modules.TRUNKS:
    raise errors.unknown("network", network, [*of_lpips, *torchvision_modules.TRUNKS])
  return of_lpips.get(network, (network,))


def _trunk(network):
  from perceptual import models

  return models.build(network, num_classes=0, kernel_initializer="zeros")


def _heads(channels):
  from perceptual.models import linear_heads

  return linear_heads.linear_heads(channels)


def _modules_of_heads(channels):
  return {f"{tap}_head": f"lin{place}.model.1" for place, tap in enumerate(channels)}


def _trunk_entries():
  version = torchvision_modules.VERSION
  for network, trunk in torchvision_modules.TRUNKS.items():
    yield Entry(
        name=network, network=network, version=version, role="trunk",
        build=functools.partial(_trunk, network), find_modules=trunk.find_modules, path=trunk.file,
        publisher=f"torchvision's {network.removeprefix('torchvision_')}, {version}",
        licence="BSD-3-Clause", old_names=trunk.old_names)


def _head_entries():
  for net, trunk in LPIPS_TRUNKS.items():
    for version in LPIPS_VERSIONS:
      yield Entry(
          name=lpips_heads(net, version), network=f"lpips-{net}", version=version,
          role="heads", build=functools.partial(_heads, trunk.channels),
          find_modules=functools.partial(_modules_of_heads, trunk.channels),
          path=f"v{version}/{net}.pth",
          publisher=f"the lpips package's lpips/weights/v{version}/{net}.pth",
          licence="BSD-2-Clause", published_sha256=trunk.published_sha256[version])


_ENTRIES = {entry.name: entry for entry in (*_trunk_entries(), *_head_entries())}
