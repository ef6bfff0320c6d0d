"""Our normalised images as other networks expect them."""

import keras
import numpy as np
import pytest

from perceptual import errors
from perceptual.models import expected_input
from perceptual.models.preprocessing import IMAGENET

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 5, 6, 3), np.uint8)
UNIT = IMAGES / 255

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
CAFFE = IMAGES[..., ::-1] - np.array([103.939, 116.779, 123.68])

EXPECTED = {
    "imagenet": (UNIT - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "0,1": UNIT,
    "-1, 1": UNIT * 2 - 1,
    "0,255": IMAGES,
    "caffe": CAFFE,
    (MEAN, STD): (UNIT - MEAN) / STD,
    (MEAN, STD, "BGR"): ((UNIT - MEAN) / STD)[..., ::-1],
}


def seen(preprocessing):
  """What a network gets that is wrapped with a preprocessing."""
  expected = expected_input.expected(preprocessing)
  layer = expected_input.ExpectedInput(mean=expected.mean, std=expected.std, bgr=expected.bgr)
  return np.array(layer(IMAGENET(IMAGES)))


@pytest.mark.parametrize("preprocessing", EXPECTED)
def test_a_network_gets_what_it_expects(preprocessing):
  expected = EXPECTED[preprocessing]
  np.testing.assert_allclose(seen(preprocessing), expected, atol=1e-6 * np.abs(expected).max())


def test_lists_mean_the_same_as_tuples():
  assert expected_input.expected([list(MEAN), list(STD), "BGR"]) == expected_input.expected(
      (MEAN, STD, "BGR"))


@pytest.mark.parametrize("module, name", [
    ("vgg16", "caffe"), ("resnet", "caffe"), ("mobilenet", "-1,1"), ("inception_v3", "-1,1"),
    ("densenet", "imagenet"), ("efficientnet", "0,255"), ("convnext", "0,255")])
def test_keras_s_own_functions_are_read_off(module, name):
  function = getattr(keras.applications, module).preprocess_input
  assert expected_input.expected(function) == expected_input.EXPECTED[name]


def test_a_function_that_scales_and_shifts_is_read_off():
  def function(images):
    return (images[..., ::-1] / 255 - MEAN[::-1]) / STD[::-1]

  np.testing.assert_allclose(seen(function), function(IMAGES.astype(float)), atol=1e-5)


@pytest.mark.parametrize("function", [
    lambda images: images ** 2, lambda images: 255 - images, lambda images: images * 0,
    lambda images: images - images.mean(), lambda images: images.mean(-1, keepdims=True) + images])
def test_a_function_that_does_more_is_refused(function):
  with pytest.raises(errors.UserError, match="must scale and shift each colour"):
    expected_input.expected(function)


@pytest.mark.parametrize("value", [
    "0,2", None, 3, (MEAN,), (MEAN, (1.0, 1.0)), (MEAN, (1.0, 0.0, 1.0)), (MEAN, STD, "RGB"),
    (MEAN, ("1", 1, 1)), (MEAN, (float("nan"),) * 3)])
def test_anything_else_is_refused_with_the_legal_forms(value):
  with pytest.raises(errors.UserError, match=r"^preprocessing must be one of imagenet; 0,1; ") as e:
    expected_input.expected(value)
  assert repr(value) in str(e.value)


def test_outlives_serialisation_and_is_float32_under_every_policy():
  layer = expected_input.ExpectedInput(mean=MEAN, std=STD, bgr=True, dtype="float32")
  restored = keras.layers.deserialize(keras.layers.serialize(layer))
  images = IMAGENET(IMAGES)
  np.testing.assert_array_equal(restored(images), layer(images))
  assert layer(images).dtype == "float32"
