"""A missing package is one line with the command that installs it."""

import sys

import pytest

import perceptual
from perceptual.common import packages
from perceptual.errors import UserError


def test_what_is_installed_is_found_and_not_imported(tmp_path, monkeypatch):
  (tmp_path / "some_module.py").write_text("raise AssertionError('imported')\n", "utf-8")
  monkeypatch.syspath_prepend(tmp_path)
  assert packages.is_installed("some_module")
  assert not packages.is_installed("no_such_module")


def test_a_folder_of_the_same_name_is_no_package(tmp_path, monkeypatch):
  (tmp_path / "some_folder").mkdir()
  monkeypatch.syspath_prepend(tmp_path)
  assert not packages.is_installed("some_folder")


@pytest.mark.parametrize(("missing", "message"), [
    ([], None),
    (["tensorflow"], "Training needs TensorFlow, which is not installed: "
     'pip install "perceptual[train]"'),
    (["orbit", "official"], "Training needs tf-models-official, which is not installed: "
     'pip install "perceptual[train]"'),
    (["tensorflow", "orbit", "gin"], "Training needs TensorFlow, tf-models-official and "
     'gin-config, which are not installed: pip install "perceptual[train]"'),
    (["tensorflow", "gin"], "Training needs TensorFlow and gin-config, which are not installed: "
     'pip install "perceptual[train]"'),
])
def test_what_is_required_and_missing_is_named(monkeypatch, missing, message):
  for name in missing:
    monkeypatch.setitem(sys.modules, name, None)
  modules = ("tensorflow", "orbit", "official", "gin")
  if message is None:
    packages.require(*modules, extra="train", purpose="Training")
    return
  with pytest.raises(UserError) as caught:
    packages.require(*modules, extra="train", purpose="Training")
  assert str(caught.value) == message


def test_a_failed_import_is_explained_where_an_extra_helps():
  error = ModuleNotFoundError(name="tensorflow_hub.resolver")
  assert str(packages.explained(error)) == (
      'TensorFlow Hub is needed and not installed: pip install "perceptual[hub]"')
  assert packages.explained(ModuleNotFoundError(name="no_such_module")) is None
  assert packages.explained(ModuleNotFoundError("no name")) is None


def test_a_public_name_whose_module_needs_a_missing_package_says_so(monkeypatch):
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  monkeypatch.delitem(sys.modules, "perceptual.comparison.heatmaps", raising=False)
  monkeypatch.setitem(perceptual._MODULES, "heatmaps", "perceptual.comparison.heatmaps")
  with pytest.raises(UserError, match=r"^Matplotlib is needed .*perceptual\[report\]"):
    _ = perceptual.heatmaps
