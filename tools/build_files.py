"""Writes the Bazel BUILD files from the Python files and what they import.

    python tools/build_files.py           writes the BUILD files that are not right
    python tools/build_files.py --check   says what is not right, and fails if anything is

Every module is a py_library, every test a py_test which runs it with pytest, a `__main__.py` a
py_binary. Other packages are not targets: they come from the Python environment. The rules
are Bazel's own (until version 7), so that `bazel query //...` downloads nothing.

`modules` and `imports` also serve the tests of the layers and of the requirements.
"""

import ast
import difflib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("perceptual", "tests", "tools")

_HEADER = "# Written by tools/build_files.py from the files here and their imports: edit those.\n"
_PREAMBLES = {
    "": 'licenses(["notice"])\n',
    "gin": """\
filegroup(
    name = "gin",
    srcs = glob(["**/*.gin"]),
    visibility = ["//visibility:public"],
)
""",
    "perceptual": 'package(default_visibility = ["//visibility:public"])\n',
    "perceptual/metrics/bundled": """\
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "data",
    srcs = glob(["*.json", "*.md", "*.npz"]),
)
""",
    "perceptual/studies": """\
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "data",
    srcs = glob(["*.csv"]),
)
""",
    "tests": 'package(default_visibility = ["//tests:__subpackages__"])\n',
    "tools": """\
package(default_visibility = ["//:__subpackages__"])

exports_files(["run_pytest.py"])
""",
}
_RUN_PYTEST = "//tools:run_pytest.py"
_EXTRA_ATTRIBUTES = {
    "perceptual/metrics/bundled/package.py": {"data": [":data"]},
    "perceptual/experiments/gin_files.py": {"data": ["//gin"]},
    "perceptual/studies/tpu_costs.py": {"data": [":data"]},
    # These look at the whole checkout, which Bazel does not show to a test.
    "tests/test_build_files.py": {"tags": ["manual"]},
    "tests/test_layers.py": {"tags": ["manual"]},
    "tests/test_packaging.py": {"tags": ["manual"]},
}


def modules(root=ROOT):
  """Returns the project's modules: a dict of full name, such as `perceptual.errors`, to file."""
  files = sorted(file for folder in FOLDERS for file in (root / folder).rglob("*.py"))
  return {_module_name(file.relative_to(root)): file for file in files}


def imports(name, known):
  """Returns what a module imports, at its top or inside anything: a set of dotted names.

  Those of the project's own modules are full names; others may end in a name inside the module,
  such as `absl.flags`. Modules imported late, by `importlib`, count too: a string that is the full
  name of a module of the project, or in an `__init__.py` the last part of a submodule's.

  Args:
    name: the module, one of `known`.
    known: what `modules` returned.

  Raises:
    ValueError: it imports a module that the project should have and has not.
  """
  found = set()
  for node in ast.walk(ast.parse(known[name].read_text("utf-8"), str(known[name]))):
    if isinstance(node, ast.Import):
      found.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      found.update(_imported_from(node, name, known))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
      found.update(_imported_late(node.value, name, known))
  for module in found:
    if is_ours(module) and module not in known:
      raise ValueError(f"{name} imports {module}, which does not exist")
  return found - {name}


def is_ours(name):
  """Whether a dotted name is one of this project's."""
  return name.partition(".")[0] in FOLDERS


def build_files(root=ROOT):
  """Returns what the BUILD files under `root` should hold: a dict of relative path to text."""
  known = modules(root)
  texts = {folder: _PREAMBLES[folder] for folder in ("", "gin")}
  for name, file in known.items():
    folder = _folder(file, root)
    texts.setdefault(folder, _PREAMBLES.get(folder) or _PREAMBLES[folder.partition("/")[0]])
    texts[folder] += f"\n{_rule(name, known, root)}"
  return {f"{folder}/BUILD".lstrip("/"): f"{_HEADER}\n{text}" for folder, text in texts.items()}


def differences(root=ROOT):
  """Returns how the BUILD files differ from what they should be, as the lines of a diff."""
  present, expected = _present(root), build_files(root)
  return [line for path in sorted({*present, *expected}) for line in difflib.unified_diff(
      present.get(path, "").splitlines(), expected.get(path, "").splitlines(),
      f"{path} as it is", f"{path} as it should be", lineterm="")]


def write(root=ROOT):
  """Makes the BUILD files right, and returns the relative paths of those that were not."""
  present, expected = _present(root), build_files(root)
  wrong = [path for path in sorted({*present, *expected})
           if present.get(path) != expected.get(path)]
  for path in wrong:
    if path in expected:
      (root / path).write_text(expected[path], "utf-8")
    else:
      (root / path).unlink()
  return wrong


def main(arguments):
  """Runs the command line `arguments`; returns the exit status."""
  if arguments == ["--check"]:
    lines = differences()
    print("\n".join(lines) or "The BUILD files are right.")
    return 1 if lines else 0
  if arguments:
    print(__doc__, file=sys.stderr)
    return 2
  print("\n".join(f"Wrote {path}" for path in write()) or "The BUILD files were right.")
  return 0


def _module_name(path):
  parts = path.with_suffix("").parts
  return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_from(node, name, known):
  module = _absolute(node, name, known)
  for alias in node.names:
    full = f"{module}.{alias.name}"
    yield module if is_ours(full) and full not in known else full


def _imported_late(string, name, known):
  # Without a dot it is more likely a word: "perceptual".
  if "." in string and string in known:
    yield string
  if known[name].name == "__init__.py" and f"{name}.{string}" in known:
    yield f"{name}.{string}"


def _absolute(node, name, known):
  """The full name of the module that stands between `from` and `import`."""
  if not node.level:
    return node.module
  is_package = known[name].name == "__init__.py"
  parents = name.split(".")
  del parents[len(parents) - node.level + is_package:]
  return ".".join([*parents, *filter(None, [node.module])])


def _folder(file, root):
  return file.parent.relative_to(root).as_posix()


def _present(root):
  files = [root / "BUILD", *(file for folder in ("gin", *FOLDERS)
                             for file in (root / folder).rglob("BUILD"))]
  return {file.relative_to(root).as_posix(): file.read_text("utf-8")
          for file in files if file.exists()}


def _rule(name, known, root):
  """The text of one module's rule."""
  file = known[name]
  uses = {module for module in imports(name, known) if is_ours(module)}
  attributes = {"name": _target(file), "srcs": [file.name]}
  if file.name.startswith("test_"):
    kind = "py_test"
    attributes["srcs"].append(_RUN_PYTEST)
    attributes |= {"main": _RUN_PYTEST, "args": [f"$(location {file.name})"]}
    uses.update(_conftests(name, known))
  elif file.name == "__main__.py":
    kind = "py_binary"
  else:
    kind = "py_library"
  attributes |= _EXTRA_ATTRIBUTES.get(file.relative_to(root).as_posix(), {})
  labels = {_label(known[module], _folder(file, root), root) for module in uses}
  attributes["deps"] = sorted(labels, key=lambda label: (label.startswith("//"), label))
  lines = [f"    {key} = {_starlark(value)},\n" for key, value in attributes.items() if value]
  return f"{kind}(\n{''.join(lines)})\n"


def _target(file):
  return file.parent.name if file.name == "__init__.py" else file.stem


def _conftests(name, known):
  """The conftest.py files that pytest loads for a test: of its folder and of those above."""
  parts = name.split(".")
  names = (".".join([*parts[:depth], "conftest"]) for depth in range(1, len(parts)))
  return [conftest for conftest in names if conftest in known]


def _label(file, from_folder, root):
  folder, target = _folder(file, root), _target(file)
  if folder == from_folder:
    return f":{target}"
  return f"//{folder}" if target == file.parent.name else f"//{folder}:{target}"


def _starlark(value):
  if isinstance(value, str):
    return f'"{value}"'
  if len(value) == 1:
    return f'["{value[0]}"]'
  items = "".join(f'        "{item}",\n' for item in value)
  return f"[\n{items}    ]"


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
