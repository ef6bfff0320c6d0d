"""AutoAugment: the model garden's operations, in its directions, chosen by our seeds."""

import numpy as np
import pytest
import tensorflow as tf
from official.vision.ops import augment as garden

from perceptual.data.labelled import auto_augment
from perceptual.data.labelled.augment import Augmentation

SIZE = 32
POLICY = garden.AutoAugment.policy_v0()


@pytest.fixture(scope="module")
def image():
  return tf.constant(np.random.default_rng(0).integers(40, 200, [SIZE, SIZE, 3], np.uint8))


@pytest.mark.parametrize("name", sorted({name for part in POLICY for name, _, _ in part}))
def test_every_operation_of_the_policy_keeps_shape_and_type(image, name):
  for level in (0, 9):
    result = auto_augment.operation(image, name, level, tf.constant(1.0))
    assert (result.shape, result.dtype) == (image.shape, tf.uint8)


def test_operations_are_the_model_gardens(image):
  for name, level, expected in (
      ("Equalize", 3, garden.equalize(image)), ("Invert", 9, garden.invert(image)),
      ("Posterize", 6, garden.posterize(image, 2)), ("Solarize", 5, garden.solarize(image, 128)),
      ("Color", 5, garden.color(image, 1.0)),
      ("Rotate", 10, garden.wrapped_rotate(image, -30.0, [128] * 3)),
      ("TranslateY", 10, garden.translate_y(image, -150 / 331 * SIZE, [128] * 3))):
    found = auto_augment.operation(image, name, level, tf.constant(-1.0))
    np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.fixture(scope="module")
def varied(image):
  """The image by 60 seeds, twice."""
  augmentation = Augmentation("none", flip=False, policy="autoaugment")
  seeds = tf.data.Dataset.range(60).repeat(2)
  made = seeds.map(lambda i: augmentation.train(image, tf.stack([tf.constant(7, tf.int64), i])))
  return np.stack(list(made.as_numpy_iterator())).reshape(2, 60, SIZE, SIZE, 3)


def test_the_seed_alone_decides(varied):
  np.testing.assert_array_equal(varied[0], varied[1])
  assert len(np.unique(varied[0], axis=0)) > 20


def test_some_images_stay_as_they_are(varied, image):
  """Of a sub-policy's two operations both are left out now and then."""
  same = (varied[0] == image.numpy()).all(axis=(1, 2, 3))
  assert 0 < same.sum() < 30
