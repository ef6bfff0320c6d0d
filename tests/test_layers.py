"""Dependencies point one way: the table of CONTRIBUTING.md, read and enforced."""

import dataclasses
import re
import sys

import pytest

from perceptual import cli
from tools import build_files

_CONTRIBUTING = build_files.ROOT / "CONTRIBUTING.md"
_MODULES = build_files.modules()
_PACKAGE = sorted(name for name in _MODULES if name.partition(".")[0] == "perceptual")


@dataclasses.dataclass(frozen=True)
class Row:
  """One row of the table: the modules it speaks of, their layer, and the layers they may import."""

  layer: int
  where: tuple
  may_import: frozenset

  def holds(self, path):
    return any(path == where or (where.endswith("/") and path.startswith(where))
               for where in self.where)


def read_table(text):
  """Returns the `Row`s of the one table whose head begins with `| layer | where |`."""
  lines = iter(text.splitlines())
  for line in lines:
    if line.startswith("| layer | where |"):
      break
  next(lines)
  rows = []
  for line in lines:
    if not line.startswith("|"):
      break
    layer, where, _, may_import = (cell.strip() for cell in line.strip("|").split("|"))
    rows.append(Row(int(layer), _paths(where), _layers(may_import, int(layer))))
  return rows


def violations(rows, name, imported):
  """Returns the modules among `imported` that the module `name` may not import."""
  own = _row(rows, name)
  return sorted(other for other in imported
                if _row(rows, other) is not own and _row(rows, other).layer not in own.may_import)


def _paths(cell):
  """The paths of a cell such as `` `perceptual/{train,evaluate}.py`, `perceptual/data/` ``."""
  paths = []
  for path in re.findall(r"`([^`]+)`", cell):
    head, choices, tail = re.fullmatch(r"([^{]*)(?:\{(.*)\})?(.*)", path).groups()
    paths += [f"{head}{choice}{tail}" for choice in (choices or "").split(",")]
  return tuple(paths)


def _layers(cell, own):
  """The layers of a cell: `nothing`, `all` below, or numbers and ranges such as `0-1, 7`."""
  words = {"nothing": "", "all": f"0-{own - 1}"}
  ranges = re.findall(r"(\d+)(?:-(\d+))?", words.get(cell, cell))
  return frozenset(layer for first, last in ranges
                   for layer in range(int(first), int(last or first) + 1))


def _row(rows, name):
  path = _MODULES[name].relative_to(build_files.ROOT).as_posix()
  found = [row for row in rows if row.holds(path)]
  assert len(found) == 1, f"{path} stands in {len(found)} rows of the table in CONTRIBUTING.md"
  return found[0]


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


@pytest.fixture(scope="module")
def rows():
  return read_table(_CONTRIBUTING.read_text("utf-8"))


@pytest.mark.parametrize("name", _PACKAGE)
def test_a_module_imports_only_what_its_layer_may(rows, name):
  assert violations(rows, name, _imported(name)) == []


def test_every_path_of_the_table_exists(rows):
  missing = [where for row in rows for where in row.where
             if not (build_files.ROOT / where).exists()]
  assert missing == []


def test_no_layer_may_import_itself_or_one_above(rows):
  assert all(layer < row.layer for row in rows for layer in row.may_import)


def test_the_table_is_read_as_it_is_meant():
  rows = read_table(
      "| layer | where | what | may import |\n|---|---|---|---|\n"
      "| 0 | `perceptual/errors.py` | . | nothing |\n"
      "| 3 | `perceptual/models/`, `perceptual/{a,b}.py` | . | 0-1, 2 |\n"
      "| 4 | `perceptual/c.py` | . | all |\n\nText. | 5 |")
  assert rows == [
      Row(0, ("perceptual/errors.py",), frozenset()),
      Row(3, ("perceptual/models/", "perceptual/a.py", "perceptual/b.py"), frozenset({0, 1, 2})),
      Row(4, ("perceptual/c.py",), frozenset({0, 1, 2, 3})),
  ]


def test_a_forbidden_import_is_found(rows):
  assert violations(rows, "perceptual.scores", {"perceptual.errors"}) == []
  assert violations(rows, "perceptual.scores", {"perceptual.metric"}) == ["perceptual.metric"]
  assert violations(rows, "perceptual.scores", {"perceptual.distances"}) == ["perceptual.distances"]


def test_gin_is_imported_by_config_alone():
  assert _users("gin") == {"perceptual.config"}


def test_absl_flags_are_imported_by_the_binaries_and_what_they_share_alone():
  binaries = {module for module, _ in cli.COMMANDS.values()}
  assert _users("absl.flags") == {*binaries, "perceptual.binary", "perceptual.distribution"}


@pytest.mark.parametrize(("name", "allowed"), [
    ("perceptual.errors", set()),
    ("perceptual.version", set()),
    ("perceptual.scores", {"numpy"}),
    ("perceptual.distances", {"keras", "numpy"}),
    ("perceptual.binary", {"absl"}),
    ("perceptual.cli", set()),
    ("perceptual", set()),
])
def test_a_pure_module_imports_nothing_else_from_outside(name, allowed):
  assert {other.partition(".")[0] for other in _external(name)} <= allowed
