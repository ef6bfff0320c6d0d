"""The backend for a part of the package: who chooses it, and what is said where it is not there."""

import importlib
import os
import sys

import pytest

import perceptual
from perceptual.common import native_backend
from perceptual.errors import UserError


@pytest.mark.parametrize(("chosen", "then"), [(None, "jax"), ("torch", "torch")])
def test_the_first_to_choose_the_backend_keeps_it(chosen, then, monkeypatch):
  monkeypatch.delitem(sys.modules, "keras")
  monkeypatch.delenv("KERAS_BACKEND")
  if chosen:
    monkeypatch.setenv("KERAS_BACKEND", chosen)
  native_backend.prefer("jax")
  assert os.environ["KERAS_BACKEND"] == then


def test_once_keras_is_imported_nothing_is_chosen(monkeypatch):
  monkeypatch.delenv("KERAS_BACKEND")
  native_backend.prefer("torch")
  assert "KERAS_BACKEND" not in os.environ


@pytest.mark.parametrize(("backend", "name", "make"), [
    ("torch", "PyTorch", lambda: perceptual.torch.PerceptualMetric()),
    ("jax", "JAX", lambda: perceptual.jax.metric())])
def test_keras_on_another_backend_is_one_line_that_says_what_to_do(backend, name, make):
  pytest.importorskip(backend, reason=f"{name} is not installed")
  with pytest.raises(UserError) as error:
    make()
  assert str(error.value) == (
      f"perceptual.{backend} needs Keras on {name}, and Keras runs on tensorflow: set the "
      f"environment variable KERAS_BACKEND={backend}, or import perceptual.{backend} before Keras.")


@pytest.mark.parametrize(("backend", "name"), [("torch", "PyTorch"), ("jax", "JAX")])
def test_without_the_framework_the_command_that_installs_it_is_said(backend, name, monkeypatch):
  monkeypatch.setitem(sys.modules, backend, None)
  monkeypatch.delitem(sys.modules, f"perceptual.{backend}", raising=False)
  with pytest.raises(UserError) as error:
    importlib.import_module(f"perceptual.{backend}")
  assert str(error.value) == (f"perceptual.{backend} needs {name}, which is not installed: "
                              f'pip install "perceptual[{backend}]"')


def test_another_module_that_is_missing_is_named_as_ever():
  error = ModuleNotFoundError("No module named 'other'", name="other")
  assert native_backend.missing("torch", error) is error
