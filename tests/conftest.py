"""Shared fixtures. The environment is set before TensorFlow is imported anywhere."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest


@pytest.fixture(scope="session")
def testdata():
  """The folder of published reference data and photographs; skips, saying so, without it."""
  folder = os.environ.get("PERCEPTUAL_TESTDATA")
  if not folder:
    pytest.skip("PERCEPTUAL_TESTDATA is not set: reference data are not in the repository")
  return pathlib.Path(folder)


@pytest.fixture(scope="session", autouse=True)
def two_cpus():
  """Two logical CPU devices, for tests of two replicas without a GPU.

  TensorFlow takes their number before its first operation alone, so every session has two.
  """
  import tensorflow as tf

  physical = tf.config.list_physical_devices("CPU")[0]
  tf.config.set_logical_device_configuration(physical, [tf.config.LogicalDeviceConfiguration()] * 2)
  return ["/cpu:0", "/cpu:1"]
