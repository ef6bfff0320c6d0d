"""Keras finds this package's classes when it loads a model, though nothing has imported them."""

import ast
import importlib
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import perceptual
from perceptual import models, serialization

_PACKAGE = pathlib.Path(perceptual.__file__).parent


def _registered_classes():
  """Returns the classes of the package that are registered with Keras: {(module, class name)}."""
  return {
      (".".join(("perceptual", *path.relative_to(_PACKAGE).with_suffix("").parts)), node.name)
      for path in _PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))
      if isinstance(node, ast.ClassDef)
      and any("register_keras_serializable" in ast.unparse(each) for each in node.decorator_list)}


@pytest.fixture
def as_if_nothing_were_imported(monkeypatch):
  """Leaves Keras with the stand-ins alone."""
  registered = keras.saving.get_custom_objects()
  for module, name in _registered_classes():
    importlib.import_module(module)
    monkeypatch.delitem(registered, f"perceptual>{name}", raising=False)
  serialization.register_with_keras()


def test_every_registered_class_has_a_stand_in():
  listed = {(module, name) for module, names in serialization._CLASSES.items() for name in names}
  assert listed == _registered_classes()
  assert ("perceptual.losses", "PerceptualLoss") in listed


@pytest.mark.parametrize(("name", "options"), [
    ("resnet4", {"width": 0.0625}), ("vit_b8", {"width": 0.25, "depth": 1 / 6}),
    ("efficientnet_b0", {"width": 0.25, "depth": 0.25}), ("squeezenet1_1", {})])
def test_networks_are_saved_and_loaded(name, options, tmp_path, as_if_nothing_were_imported):
  model = models.build(name, num_classes=3, **options)
  model.save(tmp_path / "model.keras")
  loaded = keras.saving.load_model(tmp_path / "model.keras")
  assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]


_LOAD = """
import sys
import perceptual
assert "keras" not in sys.modules
import keras
assert "perceptual.losses" not in sys.modules
model = keras.saving.load_model(sys.argv[1])
print(type(model.loss).__name__, keras.__spec__.loader is keras.__loader__,
      type(keras.__loader__).__name__)
"""


def test_the_import_of_perceptual_is_enough(tmp_path):
  image = keras.Input([4, 4, 3])
  model = keras.Model(image, keras.layers.Conv2D(3, 1)(image))
  model.compile("sgd", loss=perceptual.PerceptualLoss("mse"),
                metrics=[perceptual.PerceptualDistance("mse")])
  model.fit(np.zeros([1, 4, 4, 3]), np.zeros([1, 4, 4, 3]), verbose=0)
  model.save(tmp_path / "model.keras")
  process = subprocess.run(
      [sys.executable, "-c", _LOAD, tmp_path / "model.keras"], capture_output=True, text=True,
      env={**os.environ, "PYTHONPATH": str(_PACKAGE.parent)})
  assert process.returncode == 0, process.stderr
  assert process.stdout.split() == ["PerceptualLoss", "True", "SourceFileLoader"]
