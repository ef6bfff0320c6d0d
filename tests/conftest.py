"""Shared fixtures. The environment is set before TensorFlow is imported anywhere."""

import importlib.util
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest


def pytest_collection_modifyitems(items):
  """Puts the longest file first, with which one worker would else end alone."""
  items.sort(key=lambda item: item.path.name != "test_gin_runs.py")


@pytest.fixture(scope="session")
def testdata():
  """The folder of published reference data and photographs; skips, saying so, without it."""
  folder = os.environ.get("PERCEPTUAL_TESTDATA")
  if not folder:
    pytest.skip("PERCEPTUAL_TESTDATA is not set: reference data are not in the repository")
  return pathlib.Path(folder)


@pytest.fixture(scope="session", params=["jax", "torch"])
def on_another_backend(request):
  """(code, *arguments) -> what a process of its own prints that runs the code on another backend.

  A test that asks for this runs once for each backend; it skips, saying so, where that is missing.
  """
  backend = request.param
  if importlib.util.find_spec(backend) is None:
    pytest.skip(f"{backend} is not installed: its backend of Keras is not tried")

  def run(code, *arguments):
    root = str(pathlib.Path(__file__).parents[1])
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True,
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": root})
    assert process.returncode == 0, process.stderr
    return process.stdout

  return run


@pytest.fixture(scope="session", autouse=True)
def two_cpus():
  """Two logical CPU devices, for tests of two replicas without a GPU.

  TensorFlow takes their number before its first operation alone, so every session has two.
  """
  import tensorflow as tf

  physical = tf.config.list_physical_devices("CPU")[0]
  tf.config.set_logical_device_configuration(physical, [tf.config.LogicalDeviceConfiguration()] * 2)
  return ["/cpu:0", "/cpu:1"]
