"""What a network sees: closed forms, every dtype and range, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual.errors import UserError
from perceptual.models import preprocessing
from perceptual.models.preprocessing import IMAGENET, Preprocessing

_MEAN = np.array([0.485, 0.456, 0.406])
_STD = np.array([0.229, 0.224, 0.225])


@pytest.fixture
def uint8_images():
  return np.random.default_rng(0).integers(0, 256, [2, 5, 7, 3], np.uint8)


def _papers(uint8_images):
  """0-255 minus 255 times the mean, divided by 255 times the standard deviation."""
  return (uint8_images - 255 * _MEAN) / (255 * _STD)


def test_uint8_is_normalised_as_in_the_papers(uint8_images):
  result = IMAGENET(uint8_images)
  assert result.dtype == tf.float32 and result.shape == uint8_images.shape
  np.testing.assert_allclose(result, _papers(uint8_images), rtol=0, atol=1e-6)


def test_the_mean_colour_becomes_zero_and_one_deviation_more_becomes_one():
  images = np.stack([_MEAN, _MEAN + _STD]).reshape(2, 1, 1, 3).astype(np.float32)
  result = IMAGENET(images)
  np.testing.assert_allclose(result, np.arange(2.0).reshape(2, 1, 1, 1) * np.ones(3), atol=1e-6)


@pytest.mark.parametrize("name", preprocessing.FLOAT_RANGES)
@pytest.mark.parametrize(("dtype", "tolerance"), [
    ("float32", 1e-6), ("float64", 1e-6), ("float16", 5e-3), ("bfloat16", 4e-2)])
def test_a_float_image_in_its_declared_range_is_the_uint8_image(
    uint8_images, name, dtype, tolerance):
  low, high = preprocessing.float_range(name)
  images = tf.cast(low + (high - low) * uint8_images / 255, dtype)
  declared = Preprocessing(float_range=(low, high))
  declared.check(images)
  np.testing.assert_allclose(declared(images), IMAGENET(uint8_images), rtol=0, atol=tolerance)


def test_uint8_means_0_to_255_whatever_the_range_of_floats(uint8_images):
  for float_range in preprocessing.FLOAT_RANGES.values():
    declared = Preprocessing(float_range=float_range)
    np.testing.assert_array_equal(declared(uint8_images), IMAGENET(uint8_images))


def test_greyscale_is_the_colour_image_of_three_equal_channels(uint8_images):
  grey = uint8_images[..., :1]
  for images in (grey, (grey / 255).astype(np.float32)):
    IMAGENET.check(images)
    np.testing.assert_array_equal(IMAGENET(images), IMAGENET(np.repeat(images, 3, axis=-1)))


def test_eager_and_graph_agree(uint8_images):
  graph = tf.function(IMAGENET, autograph=False)
  np.testing.assert_allclose(graph(tf.constant(uint8_images)), IMAGENET(uint8_images), atol=2e-6)


@pytest.mark.parametrize(("name", "expected"), [
    ("0,1", (0, 1)), ("0,255", (0, 255)), ("-1,1", (-1, 1)), ("-1, 1", (-1, 1))])
def test_ranges_have_names(name, expected):
  assert preprocessing.float_range(name) == expected
  assert preprocessing.float_range(expected) == expected
  assert preprocessing.float_range(list(expected)) == expected


def test_an_unknown_range_lists_the_known_ones():
  with pytest.raises(UserError, match=r"Unknown float range '0,2'. Available: 0,1  0,255  -1,1."):
    preprocessing.float_range("0,2")


def _of(*values, dtype=np.float32):
  """An image whose first values are those, and whose others are 0.5."""
  images = np.full([1, 2, 2, 3], 0.5, dtype)
  images.reshape(-1)[:len(values)] = values
  return images


@pytest.mark.parametrize("images", [
    _of(0, 1), _of(-0.01, 1.01), _of(0, 1, dtype=np.float64), np.zeros([1, 1, 1, 3], np.uint8),
    np.full([1, 2, 2, 3], 255, np.uint8)])
def test_images_in_range_pass_and_so_does_one_percent_more(images):
  IMAGENET.check(images)
  IMAGENET.check(tf.constant(images))


@pytest.mark.parametrize(("images", "message"), [
    (_of(0, 1.02), "values from 0 to 1.02; the declared range of float images is 0 to 1"),
    (_of(-0.02, 1), "values from -0.02 to 1;"),
    (_of(0, 255), "values from 0 to 255;"),
    (_of(-1, 1), "values from -1 to 1;"),
    (_of(np.inf), "values from 0.5 to inf;"),
    (_of(np.nan), "NaN among the values;"),
    (_of(np.inf, -np.inf, np.nan), "NaN among the values;"),
    (_of(1).astype(np.int32), r"dtype int32; images are uint8 \(0 to 255\) or float \(0 to 1\)"),
    (_of(1).astype(bool), "dtype bool;"),
    (_of(1).astype(np.int8), "dtype int8;"),
    (_of(1)[0], r"shape \[2, 2, 3\]; expected \[batch, height, width, 3\]"),
    (_of(1)[..., 0], r"shape \[1, 2, 2\]; .* or 1 channel for greyscale"),
    (_of(1)[..., :2], r"shape \[1, 2, 2, 2\];"),
    (np.zeros([1, 2, 2, 4], np.uint8), r"shape \[1, 2, 2, 4\]; .*lay RGBA over a background"),
    (np.zeros([1, 3, 8, 8], np.uint8), r"shape \[1, 3, 8, 8\];"),
    (np.zeros([0, 8, 8, 3], np.uint8), r"empty, shape \[0, 8, 8, 3\]"),
    (np.zeros([1, 0, 8, 3], np.float32), "empty"),
])
def test_other_images_are_refused_in_one_line_that_names_them(images, message):
  with pytest.raises(UserError, match=f"^candidate: {message}") as caught:
    IMAGENET.check(images, "candidate")
  assert "\n" not in str(caught.value)
  with pytest.raises(UserError) as of_tensor:
    IMAGENET.check(tf.constant(images), "candidate")
  assert str(of_tensor.value) == str(caught.value)


@pytest.mark.parametrize(("name", "legal", "illegal"), [
    ("0,255", (0, 255), (-3, 100)), ("-1,1", (-1, 1), (0, 255)), ("0,1", (0, 1), (-1, 1))])
def test_the_check_is_that_of_the_declared_range(name, legal, illegal):
  declared = Preprocessing(float_range=preprocessing.float_range(name))
  declared.check(_of(*legal))
  with pytest.raises(UserError, match="declared range"):
    declared.check(_of(*illegal))


def test_a_graph_checks_what_it_knows():
  @tf.function(autograph=False)
  def check(images):
    IMAGENET.check(images)
    return images

  check(tf.constant(_of(0, 255)))  # no values yet
  with pytest.raises(UserError, match="dtype int32"):
    check(tf.zeros([1, 2, 2, 3], tf.int32))
  with pytest.raises(UserError, match="expected"):
    check(tf.zeros([2, 2, 3]))
  IMAGENET.check(keras.Input([None, None, 3]))


def test_a_call_refuses_a_dtype_without_a_range():
  with pytest.raises(UserError, match="dtype int64"):
    IMAGENET(np.zeros([1, 2, 2, 3], np.int64))


def test_a_pair_has_one_size_and_one_dtype():
  images = _of(1)
  preprocessing.check_pair(images, images.copy())
  preprocessing.check_pair(images, tf.constant(images))
  for other in (images[:, :1], np.concatenate([images, images]), images[0]):
    with pytest.raises(UserError, match="a pair must have one size"):
      preprocessing.check_pair(images, other)
  with pytest.raises(UserError, match="reference is float32 and candidate uint8"):
    preprocessing.check_pair(images, images.astype(np.uint8))


def test_a_pair_of_unknown_size_passes():
  unknown = keras.Input([None, None, 3])
  preprocessing.check_pair(unknown, keras.Input([8, 8, 3]))
  with pytest.raises(UserError, match="one size"):
    preprocessing.check_pair(keras.Input([8, None, 3]), keras.Input([9, 9, 3]))
