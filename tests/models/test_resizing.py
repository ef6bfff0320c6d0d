"""Bilinear resizing, against TensorFlow's."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual.models import resizing

MAPS = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


@pytest.mark.parametrize("size", [(10, 16), (3, 20), (7, 1), (1, 1), (2, 3)])
def test_is_tensorflow_s_whether_the_size_is_known_or_not(size):
  expected = tf.image.resize(MAPS[..., None], size)[..., 0]
  np.testing.assert_allclose(resizing.bilinear(MAPS, size), expected, atol=1e-6)
  function = tf.function(resizing.bilinear, input_signature=[
      tf.TensorSpec([None, None, None]), (tf.TensorSpec([], tf.int32),) * 2])
  np.testing.assert_allclose(function(MAPS, size), expected, atol=1e-6)


def test_maps_of_the_size_stay_as_they_are():
  np.testing.assert_array_equal(resizing.bilinear(MAPS, (5, 8)), MAPS)
