"""The BUILD files say what the files and their imports say, and the check of it finds faults."""

import collections
import graphlib
import shutil
import subprocess

import pytest

from tools import build_files

_TREE = {
    "perceptual/__init__.py": "_LATE = ('models', 'scores', 'nothing')\n",
    "perceptual/__main__.py": "from perceptual import cli\n",
    "perceptual/cli.py": "MODULES = ['perceptual.train', 'perceptual', 'no.module']\n",
    "perceptual/config.py": "import gin\n",
    "perceptual/experiments/gin_files.py": "import pathlib\n",
    "perceptual/scores.py": "import numpy as np\n",
    "perceptual/train.py": (
        "from absl import flags\n"
        "def main():\n"
        "  from perceptual import config\n"
        "  import perceptual.models.resnet as network\n"),
    "perceptual/models/__init__.py": "from . import resnet\nfrom .. import scores\n",
    "perceptual/models/resnet.py": "from ..scores import two_afc\nfrom perceptual import models\n",
    "tests/conftest.py": "import pytest\n",
    "tests/models/test_resnet.py": "from perceptual.models import build, resnet\n",
    "tools/run_pytest.py": "import pytest\n",
}
_MODELS_BUILD = """\
# Written by tools/build_files.py from the files here and their imports: edit those.

package(default_visibility = ["//visibility:public"])

py_library(
    name = "models",
    srcs = ["__init__.py"],
    deps = [
        ":resnet",
        "//perceptual:scores",
    ],
)

py_library(
    name = "resnet",
    srcs = ["resnet.py"],
    deps = [
        ":models",
        "//perceptual:scores",
    ],
)
"""
_TESTS_BUILD = """\
# Written by tools/build_files.py from the files here and their imports: edit those.

package(default_visibility = ["//tests:__subpackages__"])

py_test(
    name = "test_resnet",
    srcs = [
        "test_resnet.py",
        "//tools:run_pytest.py",
    ],
    main = "//tools:run_pytest.py",
    args = ["$(location test_resnet.py)"],
    deps = [
        "//perceptual/models",
        "//perceptual/models:resnet",
        "//tests:conftest",
    ],
)
"""


def _write(root, files):
  for path, text in files.items():
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, "utf-8")


@pytest.fixture
def tree(tmp_path):
  """A small project whose BUILD files are right."""
  _write(tmp_path, _TREE)
  (tmp_path / "gin").mkdir()
  build_files.write(tmp_path)
  return tmp_path


def _read(root):
  """Returns the rules of all BUILD files by label, as another reader than the one that wrote them.

  A BUILD file is also Python: calls of functions named as the rules.
  """
  rules = {}
  for file in [root / "BUILD", *(f for top in ("gin", *build_files.FOLDERS)
                                 for f in (root / top).rglob("BUILD"))]:
    folder = file.parent.relative_to(root).as_posix().removeprefix(".")

    def rule(folder=folder, **attributes):
      label = f"//{folder}:{attributes['name']}"
      assert label not in rules, f"{label} is there twice"
      rules[label] = attributes

    names = collections.defaultdict(lambda: lambda *_, **__: [])
    names |= dict.fromkeys(("py_library", "py_test", "py_binary", "filegroup"), rule)
    exec(file.read_text("utf-8"), names)
  return rules


def _absolute(label, owner):
  if label.startswith(":"):
    return owner.partition(":")[0] + label
  return label if ":" in label else f"{label}:{label.rpartition('/')[2]}"


def test_the_build_files_are_right():
  assert build_files.differences() == [], "run python tools/build_files.py"


def test_every_python_file_is_the_source_of_one_target():
  sources = [f"{label.partition(':')[0]}/{rule['srcs'][0]}"
             for label, rule in _read(build_files.ROOT).items() if rule["srcs"]]  # else a glob
  files = [f"//{file.relative_to(build_files.ROOT).as_posix()}"
           for folder in build_files.FOLDERS
           for file in (build_files.ROOT / folder).rglob("*.py")]
  assert sorted(sources) == sorted(files)


def test_every_dependency_is_a_target_and_none_is_circular():
  rules = _read(build_files.ROOT)
  graph = {label: {_absolute(other, label) for other in [*rule.get("deps", []),
                                                         *rule.get("data", [])]}
           for label, rule in rules.items()}
  assert {other for others in graph.values() for other in others} <= set(rules)
  graphlib.TopologicalSorter(graph).prepare()


def test_bazel_reads_them(tmp_path):
  if not shutil.which("bazel"):
    pytest.skip("bazel is not on PATH (Debian: apt-get install bazel-bootstrap)")
  query = subprocess.run(
      ["bazel", "--batch", f"--output_user_root={tmp_path}", "query", "//..."],
      cwd=build_files.ROOT, capture_output=True, text=True)
  assert query.returncode == 0, query.stderr
  assert set(query.stdout.split()) == set(_read(build_files.ROOT))


def test_rules_hold_what_the_files_import(tree):
  assert (tree / "perceptual/models/BUILD").read_text("utf-8") == _MODELS_BUILD
  assert (tree / "tests/models/BUILD").read_text("utf-8") == _TESTS_BUILD
  rules = _read(tree)
  assert rules["//perceptual:perceptual"]["deps"] == [":scores", "//perceptual/models"]
  assert rules["//perceptual:__main__"]["deps"] == [":cli"]
  assert rules["//perceptual:cli"]["deps"] == [":train"]
  assert rules["//perceptual:train"]["deps"] == [":config", "//perceptual/models:resnet"]
  assert rules["//perceptual/experiments:gin_files"] == {
      "name": "gin_files", "srcs": ["gin_files.py"], "data": ["//gin"]}


def test_right_files_are_left_alone(tree):
  assert build_files.differences(tree) == []
  assert build_files.write(tree) == []


def _edit(path, old, new):
  def edit(root):
    text = (root / path).read_text("utf-8")
    assert old in text
    (root / path).write_text(text.replace(old, new), "utf-8")
  return edit


@pytest.mark.parametrize(("fault", "line"), [
    (_edit("perceptual/BUILD", '":train"', '":config"'), '+    deps = [":train"],'),
    (_edit("perceptual/models/BUILD", '        ":resnet",\n', ""), '+        ":resnet",'),
    (_edit("perceptual/BUILD", '":cli"', '":cli", ":scores"'), '-    deps = [":cli", ":scores"],'),
    (_edit("perceptual/scores.py", "import", "from perceptual import config\nimport"),
     '+    deps = [":config"],'),
    (_edit("perceptual/train.py", "from perceptual import config", "pass"),
     '-        ":config",'),
    (lambda root: (root / "tests/BUILD").unlink(), '+    name = "conftest",'),
    (lambda root: (root / "perceptual/scores.py").rename(root / "perceptual/figures.py")
     and _write(root, {"perceptual/models/__init__.py": "", "perceptual/models/resnet.py": ""}),
     '+    name = "figures",'),
    (lambda root: _write(root, {"perceptual/new.py": ""}), '+    name = "new",'),
    (lambda root: _write(root, {"tests/old/BUILD": "py_test()"}), "-py_test()"),
], ids=["wrong dep", "missing dep", "surplus dep", "new import", "import gone", "no BUILD file",
        "renamed file", "new file", "surplus BUILD file"])
def test_a_fault_is_found_and_mended(tree, fault, line):
  fault(tree)
  assert line in build_files.differences(tree)
  build_files.write(tree)
  assert build_files.differences(tree) == []


def test_an_import_of_nothing_is_an_error(tree):
  _write(tree, {"perceptual/train.py": "import perceptual.modles\n"})
  with pytest.raises(ValueError, match=r"perceptual\.train imports perceptual\.modles, which"):
    build_files.differences(tree)
