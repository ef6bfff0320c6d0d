"""Shared fixtures. The environment is set before TensorFlow is imported anywhere."""

import gc
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

# Its tests, long and many, are handed out to the workers one by one; other files as a whole.
_HANDED_OUT_SINGLY = "test_gin_runs.py"


def pytest_collection_modifyitems(items):
  """Groups the tests as workers get them; those singly come last, to end the workers together."""
  for item in items:
    if item.path.name != _HANDED_OUT_SINGLY:
      item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
  items.sort(key=lambda item: item.path.name == _HANDED_OUT_SINGLY)


@pytest.fixture(autouse=True, scope="module")
def _garbage_goes_with_its_file():
  """Frees the graphs of a file's tests, and exempts what stays from being searched ever again.

  What TensorFlow and Keras keep are millions of objects: Python would search them all, many times.
  """
  yield
  gc.collect()
  gc.freeze()


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
