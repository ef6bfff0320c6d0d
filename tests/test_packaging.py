"""The package as others get it: version, requirements, lock file, wheel."""

import importlib.metadata
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
from perceptual.version import __version__
from tools import build_files

_ROOT = build_files.ROOT
_MODULES = build_files.modules()


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
  return zipfile.ZipFile(next((copy / "wheels").glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel):
  """The wheel's metadata, as `importlib.metadata` reads them."""
  name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
  return importlib.metadata.PathDistribution(zipfile.Path(wheel, f"{pathlib.Path(name).parent}/"))


def _lock():
  """Returns the pins of requirements.lock: a dict of canonical name to version."""
  lines = (_ROOT / "requirements.lock").read_text("utf-8").splitlines()
  pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[:1] != "#"]
  return {canonicalize_name(pin[1]): pin[2] for pin in pins}


def test_the_wheel_holds_the_package_and_the_gin_files_and_nothing_else(wheel):
  data = f"perceptual-{__version__}.data/data/share/perceptual/"
  expected = [f"{data}{file.relative_to(_ROOT).as_posix()}"
              for file in (_ROOT / "gin").rglob("*.gin")]
  expected += [file.relative_to(_ROOT).as_posix() for name, file in _MODULES.items()
               if name.partition(".")[0] == "perceptual"]
  expected += [f"perceptual/metrics/bundled/{name}" for name in (
      "MODEL_CARD.md", "manifest.json", "scores.json", "weights.npz")]
  held = [name for name in wheel.namelist() if ".dist-info/" not in name]
  assert sorted(held) == sorted(expected)
  assert f"{data}gin/runs/" in "".join(expected)


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


def test_every_import_from_elsewhere_is_required(metadata):
  required = {canonicalize_name(Requirement(line).name) for line in metadata.requires
              if "extra ==" not in line}
  providers = importlib.metadata.packages_distributions()
  missing = {
      top: name for name in _MODULES if name.partition(".")[0] == "perceptual"
      for top in {other.partition(".")[0] for other in build_files.imports(name, _MODULES)}
      if not build_files.is_ours(top) and top not in sys.stdlib_module_names
      and not {canonicalize_name(provider) for provider in providers[top]} & required}
  assert missing == {}


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
