"""Dependencies point one way: each part of the package imports only what stands below it."""

import sys

import pytest

from perceptual.commands import cli
from tools import build_files

# From the top: a part may import itself and the parts of the lines below its own.
_LAYERS = (
    ("perceptual", "perceptual.__main__"),
    ("perceptual.serialization",),
    ("perceptual.commands",),
    ("perceptual.studies",),
    ("perceptual.experiments",),
    ("perceptual.tasks",),
    ("perceptual.losses", "perceptual.torch", "perceptual.jax"),
    ("perceptual.loading",),
    ("perceptual.comparison", "perceptual.training"),
    ("perceptual.export", "perceptual.evaluation"),
    ("perceptual.metrics",),
    ("perceptual.weights",),
    ("perceptual.models",),
    ("perceptual.data",),
    ("perceptual.common",),
    ("perceptual.errors", "perceptual.version"),
)

# `perceptual.scores` is NumPy alone, though evaluation, where it lives, is not: checked below.
_MODULES = build_files.modules()
_PACKAGE = sorted(name for name in _MODULES if name.partition(".")[0] == "perceptual")


def _part(name):
  """The part of the package that a module belongs to: the package's own init, a folder, a file."""
  return ".".join(name.split(".")[:2])


def _layer(name):
  """The number of a module's line, from the top."""
  found = [number for number, parts in enumerate(_LAYERS) if _part(name) in parts]
  assert len(found) == 1, f"{_part(name)} stands in {len(found)} of the lines of _LAYERS"
  return found[0]


def violations(name, imported):
  """Returns the modules among `imported` that the module `name` may not import."""
  return sorted(other for other in imported
                if _part(other) != _part(name) and _layer(other) <= _layer(name))


def _imported(name):
  return {other for other in build_files.imports(name, _MODULES) if build_files.is_ours(other)}


def _external(name):
  return {other for other in build_files.imports(name, _MODULES)
          if not build_files.is_ours(other)
          and other.partition(".")[0] not in sys.stdlib_module_names}


def _users(module):
  """The modules of the package that import `module`, or from it."""
  return {name for name in _PACKAGE
          if any(f"{other}.".startswith(f"{module}.") for other in _external(name))}


@pytest.mark.parametrize("name", _PACKAGE)
def test_a_module_imports_only_what_stands_below_it(name):
  assert violations(name, _imported(name)) == []


def test_every_part_of_the_layers_exists():
  assert [part for parts in _LAYERS for part in parts if part not in _MODULES] == []


def test_a_forbidden_import_is_found():
  assert violations("perceptual.evaluation.scores", {"perceptual.errors"}) == []
  assert violations("perceptual.metrics.masks", {"perceptual.training.loop"}) == [
      "perceptual.training.loop"]
  assert violations("perceptual.comparison.run", {"perceptual.training.loop"}) == [
      "perceptual.training.loop"]


def test_gin_is_imported_by_the_experiments_alone():
  assert _users("gin") == {
      f"perceptual.experiments.{name}" for name in ("config", "private_gin", "restricted_gin")}


def test_absl_flags_are_imported_by_the_commands_alone():
  assert {_part(user) for user in _users("absl.flags")} == {"perceptual.commands"}
  assert {module for module, _ in cli.COMMANDS.values()} <= _users("absl.flags")


@pytest.mark.parametrize(("name", "allowed"), [
    ("perceptual.errors", set()),
    ("perceptual.version", set()),
    *((f"perceptual.evaluation.{module}", {"numpy"}) for module in (
        "scores", "two_afc", "jnd", "correlations", "weighted_correlations", "clustered", "paired",
        "checks")),
    ("perceptual.evaluation.logistic", {"numpy", "scipy"}),
    ("perceptual.data.judged.prepared", {"numpy"}),
    ("perceptual.metrics.distances", {"keras", "numpy"}),
    ("perceptual.metrics.registry", set()),
    ("perceptual.metrics.options", set()),
    ("perceptual.commands.command_line", {"absl"}),
    ("perceptual.commands.cli", set()),
    ("perceptual", set()),
])
def test_a_pure_module_imports_nothing_else_from_outside(name, allowed):
  assert {other.partition(".")[0] for other in _external(name)} <= allowed
