"""The package as others get it: version, requirements, lock file, wheel, what it does installed."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from perceptual.commands import cli
from perceptual.common import packages
from perceptual.version import __version__
from tools import build_files

_ROOT = build_files.ROOT
_MODULES = build_files.modules()

_FINDS_ITS_FILES = """
import sys
import numpy as np
import perceptual
assert perceptual.__file__.startswith(sys.argv[1])
image = np.zeros((1, 32, 32, 3), np.uint8)
print(np.asarray(perceptual.load_metric()(image, image)))
from perceptual.experiments import config
config.parse(["gin/runs/demo.gin"])
print(config.network()[0])
"""

# None in sys.modules: Python holds such a package for missing.
_CORE_ALONE = """
import sys
from perceptual.common import packages
for name in packages.OPTIONAL:
  if name != "tensorflow":
    sys.modules[name] = None
from PIL import Image
Image.new("RGB", (32, 32)).save("a.png")
from perceptual.commands import cli
cli.main(["compare", "--metric=perceptual", "--metric=ssim", "--metric=gaussian-alexnet",
          "--output_dir=out", "a.png", "a.png"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """The wheel, built without a network from a copy of what stands in the repository."""
  copy = tmp_path_factory.mktemp("copy")
  for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(_ROOT / name, copy)
  for name in ("perceptual", "gin", "tests", "tools"):
    shutil.copytree(_ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
  subprocess.run(
      [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps",
       "--no-build-isolation", "--no-index", "--wheel-dir", "wheels", "."],
      cwd=copy, check=True, capture_output=True)
  return next((copy / "wheels").glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel):
  """The wheel's metadata, as `importlib.metadata` reads them."""
  archive = zipfile.ZipFile(wheel)
  name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
  return importlib.metadata.PathDistribution(zipfile.Path(archive, f"{pathlib.Path(name).parent}/"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
  """(*arguments of Python) -> its process, where the wheel is installed in a folder of its own.

  The other packages are this environment's. It runs in an empty folder, away from the checkout.
  """
  target, empty = tmp_path_factory.mktemp("target"), tmp_path_factory.mktemp("empty")
  subprocess.run(
      [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
       "--no-deps", "--no-index", "--target", target, wheel], check=True, capture_output=True)

  def run(*arguments):
    return subprocess.run(
        [sys.executable, *(str(argument).format(target=target) for argument in arguments)],
        cwd=empty, env={**os.environ, "PYTHONPATH": str(target)}, text=True, capture_output=True)

  return run


def _lock():
  """Returns the pins of requirements.lock: a dict of canonical name to version."""
  lines = (_ROOT / "requirements.lock").read_text("utf-8").splitlines()
  pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[:1] != "#"]
  return {canonicalize_name(pin[1]): pin[2] for pin in pins}


def test_the_wheel_holds_the_package_and_the_gin_files_and_nothing_else(wheel):
  expected = [f"perceptual/{file.relative_to(_ROOT).as_posix()}"
              for file in (_ROOT / "gin").rglob("*.gin")]
  expected += [file.relative_to(_ROOT).as_posix() for name, file in _MODULES.items()
               if name.partition(".")[0] == "perceptual"]
  expected += [f"perceptual/metrics/onnx/{name}.onnx" for name in (
      "mse", "ms-ssim", "perceptual", "psnr", "ssim")]
  expected += [f"perceptual/metrics/bundled/{name}" for name in (
      "MODEL_CARD.md", "manifest.json", "scores.json", "weights.npz")]
  expected.append("perceptual/studies/tpu_costs.csv")
  held = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
  assert sorted(held) == sorted(expected)
  assert "perceptual/gin/runs/demo.gin" in expected


def test_every_folder_of_the_package_is_a_package():
  folders = {file.parent for file in _MODULES.values() if "perceptual" in file.parts}
  assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_version_is_the_same_everywhere(metadata):
  assert metadata.version == __version__
  assert f"\n## [{__version__}]" in (_ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_console_script_and_its_commands_exist(metadata):
  script, = metadata.entry_points
  assert (script.name, script.group, script.value) == (
      "perceptual", "console_scripts", "perceptual.commands.cli:main")
  assert {module for module, _ in cli.COMMANDS.values()} <= set(_MODULES)


def _required(metadata, extra):
  """Returns the canonical names of what the core or an extra requires."""
  requirements = [Requirement(line) for line in metadata.requires]
  return {canonicalize_name(requirement.name) for requirement in requirements
          if requirement.marker is None or requirement.marker.evaluate({"extra": extra})}


def test_every_import_from_elsewhere_is_required(metadata):
  required = _required(metadata, "all")
  providers = importlib.metadata.packages_distributions()
  missing = {
      top: name for name in _MODULES if name.partition(".")[0] == "perceptual"
      for top in {other.partition(".")[0] for other in build_files.imports(name, _MODULES)}
      if not build_files.is_ours(top) and top not in sys.stdlib_module_names
      and not {canonicalize_name(provider) for provider in providers[top]} & required}
  assert missing == {}


def test_the_core_is_light(metadata):
  assert _required(metadata, "") == {"absl-py", "h5py", "keras", "numpy", "pillow", "tqdm"}


@pytest.mark.parametrize(("extra", "name", "version"), [
    ("", "numpy", "2.0.2"), ("", "numpy", "2.3.5"), ("", "keras", "3.10.0"),
    ("tensorflow", "tensorflow", "2.21.0"), ("jax", "jax", "0.4.34"), ("torch", "torch", "2.6.0")])
def test_what_users_have_is_not_shut_out(metadata, extra, name, version):
  ranges = [requirement.specifier for requirement in map(Requirement, metadata.requires)
            if canonicalize_name(requirement.name) == name
            and (requirement.marker is None or requirement.marker.evaluate({"extra": extra}))]
  assert ranges and all(version in each for each in ranges)


def test_the_extra_all_has_the_others(metadata):
  extras = set(metadata.metadata.get_all("Provides-Extra")) - {"test"}
  assert _required(metadata, "all") == set.union(*(_required(metadata, name) for name in extras))


def test_an_extra_that_a_message_names_installs_what_it_says(metadata):
  providers = importlib.metadata.packages_distributions()
  for module, package in packages.OPTIONAL.items():
    distributions = {canonicalize_name(name) for name in providers[module]}
    assert distributions & _required(metadata, package.extra), module


def test_installed_elsewhere_it_starts(installed):
  process = installed("{target}/bin/perceptual", "--help")
  assert (process.returncode, process.stderr) == (0, "")
  assert "Usage: perceptual COMMAND" in process.stdout


def test_installed_elsewhere_it_finds_its_weights_and_gin_files(installed):
  process = installed("-c", _FINDS_ITS_FILES, "{target}")
  assert process.returncode == 0, process.stderr
  assert process.stdout.splitlines() == ["[0.]", "resnet6"]


def test_the_core_alone_measures_and_compares(installed):
  process = installed("-c", _CORE_ALONE)
  assert process.returncode == 0, process.stderr
  assert "a.png" in process.stdout


def test_the_lock_pins_every_requirement_within_its_range(metadata):
  lock = _lock()
  for line in metadata.requires:
    requirement = Requirement(line)
    assert lock[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_the_lock_pins_what_the_pinned_require_in_turn():
  """Of PyTorch's two builds that for CPUs is meant: the other requires much more."""
  lock = _lock()
  missing = {
      (package.name, requirement.name) for package in importlib.metadata.distributions()
      if canonicalize_name(package.name) in lock
      for requirement in map(Requirement, package.requires or ())
      if (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
      and canonicalize_name(requirement.name) not in lock
      and not requirement.name.startswith(("nvidia-", "cuda-", "triton"))}
  assert missing == set()


def test_the_licence_is_apache_2():
  assert "Apache License\n                           Version 2.0, January 2004" in (
      _ROOT / "LICENSE").read_text("utf-8")
