"""Maps of distances: their means, their sizes, what has none."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.metrics import distances
from tests.metrics import readings


@pytest.fixture
def pair():
  return readings.pair()


def test_the_mean_of_the_spatial_map_is_the_local_distance(pair):
  result = distances.spatial_map(*pair)
  assert result.shape == (3, 4, 5) and result.dtype == "float32"
  np.testing.assert_array_equal(tf.reduce_mean(result, axis=(1, 2)), distances.get("local")(*pair))


def test_the_spatial_map_is_local_at_each_position(pair):
  result = distances.spatial_map(*pair)
  for row, column in ((0, 0), (3, 2)):
    np.testing.assert_allclose(
        result[:, row, column],
        distances.get("local")(pair[0][:, row, column], pair[1][:, row, column]), rtol=1e-6)


def test_the_spatial_map_of_vectors_is_one_by_one(pair):
  vectors = [features[:, 0, 0] for features in pair]
  result = distances.spatial_map(*vectors)
  assert result.shape == (3, 1, 1)
  np.testing.assert_allclose(np.ravel(result), distances.get("local")(*vectors), rtol=1e-6)


def test_tokens_have_no_spatial_map():
  tokens = np.ones((2, 16, 8), "float32")
  with pytest.raises(errors.UserError, match=r"\(2, 16, 8\)"):
    distances.spatial_map(tokens, tokens)
  with pytest.raises(errors.UserError, match=r"\(1, 2, 2, 3\) and \(1, 2, 3, 3\)"):
    distances.spatial_map(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 3, 3)))


@pytest.mark.parametrize("size", [(4, 5), (16, 20), (9, 7), (2, 3), (1, 1)])
def test_maps_are_resized_as_tensorflow_resizes_images(size, pair):
  stage_2 = [features[:, :2, :1] for features in pair]
  result = distances.spatial_map_at(
      {"stage1": pair[0], "stage2": stage_2[0]}, {"stage1": pair[1], "stage2": stage_2[1]}, size)
  expected = sum(
      tf.image.resize(distances.spatial_map(*taps)[..., None], size)[..., 0]
      for taps in (pair, stage_2))
  assert result.shape == (3, *size)
  np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_the_spatial_map_of_an_image_of_unknown_size(pair):
  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 7])] * 2
               + [tf.TensorSpec([None, None, None, 3])])
  def spatial_map(features_0, features_1, images):
    return distances.spatial_map_at(
        {"tap": features_0}, {"tap": features_1}, tf.shape(images)[1:3])

  np.testing.assert_allclose(
      spatial_map(*pair, np.zeros((3, 8, 9, 3), "float32")),
      distances.spatial_map_at({"tap": pair[0]}, {"tap": pair[1]}, (8, 9)), rtol=1e-6)


@pytest.mark.parametrize("name", ["local", "correlation", "l2", "local+correlation"])
def test_the_mean_of_a_distances_own_map_is_the_distance(name, pair):
  distance = distances.get(name)
  result = distances.spatial_map(*pair, distance)
  assert result.shape == (3, 4, 5)
  np.testing.assert_allclose(np.mean(result, axis=(1, 2)), distance(*pair), rtol=1e-6)


def test_distances_that_do_not_keep_places_apart_have_the_map_of_local(pair):
  np.testing.assert_array_equal(
      distances.spatial_map(*pair, distances.get("style")), distances.spatial_map(*pair))
