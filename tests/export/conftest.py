"""Metrics that take no time to build, to trace and to convert; what the page on exports says."""

import pathlib

import keras
import numpy as np
import pytest

from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import taps

_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "exporting.md"


@pytest.fixture(scope="session")
def documented():
  """(words) -> the one block of the page on exports whose fence has them, or that begins so.

  Snippets that need what not everyone has are run here rather than with the others of the page.
  """
  fenced = [block.split("\n", 1) for block in _PAGE.read_text("utf-8").split("```")[1::2]]

  def find(words):
    [code] = [code for fence, code in fenced if words in fence or code.startswith(words)]
    return code

  return find


@pytest.fixture(scope="session")
def small():
  """(options of a metric) -> a metric with a map and a vector to tap."""
  def make(**options):
    keras.utils.set_random_seed(2)
    image = keras.Input([None, None, 3], name="image")
    x = keras.layers.Conv2D(
        4, 3, strides=2, padding="same", activation="relu", data_format="channels_last",
        name="conv")(image)
    x = taps.Tap(stride=2, name="map")(x)
    vector = keras.layers.GlobalAveragePooling2D(data_format="channels_last")(x)
    vector = taps.Tap(stride=None, name="vector")(vector)
    return FeatureMetric(
        keras.Model(image, {"map": x, "vector": vector}), name="small", **options)
  return make


@pytest.fixture(scope="session")
def learned(small):
  """A metric with weights for its channels, as LPIPS has."""
  return small(channel_weights={"map": [0.0, 1.0, 3.0, 0.5], "vector": [2.0, 0.25, 1.0, 0.0]})


@pytest.fixture(scope="session")
def images():
  """(height, width, batch=2, count=2) -> that many batches of images, uint8."""
  def make(height, width, batch=2, count=2):
    return np.random.default_rng(height).integers(
        0, 256, [count, batch, height, width, 3], np.uint8)
  return make
