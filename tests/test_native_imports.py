"""`perceptual.torch` and `perceptual.jax` where they cannot run: one line that says what to do."""

import importlib
import sys

import pytest

from perceptual.errors import UserError

_NAMES = {"torch": "PyTorch", "jax": "JAX"}


def _refusal(framework, monkeypatch):
  monkeypatch.delitem(sys.modules, f"perceptual.{framework}", raising=False)
  with pytest.raises(UserError) as error:
    importlib.import_module(f"perceptual.{framework}")
  return str(error.value)


@pytest.mark.parametrize("framework", _NAMES)
def test_keras_on_another_backend_is_refused(framework, monkeypatch):
  pytest.importorskip(framework, reason=f"{_NAMES[framework]} is not installed")
  assert _refusal(framework, monkeypatch) == (
      f"perceptual.{framework} runs on {_NAMES[framework]}, and Keras already runs on "
      f"'tensorflow': set KERAS_BACKEND to {framework} before Keras is imported.")


@pytest.mark.parametrize("framework", _NAMES)
def test_without_the_framework_the_command_that_installs_it_is_told(framework, monkeypatch):
  monkeypatch.setitem(sys.modules, framework, None)
  assert _refusal(framework, monkeypatch) == (
      f'{_NAMES[framework]} is needed and not installed: pip install "perceptual[{framework}]"')
