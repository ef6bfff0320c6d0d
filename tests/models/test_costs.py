"""Operations and parameters, against what the networks' publishers print and TensorFlow counts."""

import keras
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.models import costs

# Millions of parameters, and billions of multiply-adds for one image of a side, as torchvision's
# documentation prints them.
PUBLISHED = [
    ("alexnet", 61.100840, 224, 0.714),
    ("vgg11", 132.863336, 224, 7.609),
    ("vgg16", 138.357544, 224, 15.47),
    ("vgg16_bn", 138.365992, 224, 15.47),
    ("vgg19", 143.667240, 224, 19.632),
    ("squeezenet1_1", 1.235496, 224, 0.349),
    ("densenet121", 7.978856, 224, 2.834),
    ("torchvision_resnet18", 11.689512, 224, 1.814),
    ("torchvision_resnet50", 25.557032, 224, 4.089),
    ("resnext50_32x4d", 25.028904, 224, 4.23),
    ("googlenet", 6.624904, 224, 1.498),
    ("inception_v3", 23.834568, 299, 5.713),  # without the auxiliary classifier's 3,326,696
    ("torchvision_efficientnet_b0", 5.288548, 224, 0.386),
    ("torchvision_efficientnet_b7", 66.347960, 600, 37.744),
]


@pytest.mark.parametrize("name, millions, side, billions", PUBLISHED)
def test_published_counts(name, millions, side, billions):
  with costs.unallocated():
    model = models.build(name)
  assert costs.parameters(model) == round(millions * 1e6)
  # What they print is a count cut off or rounded at the third place.
  assert costs.flops(model, side) / 2e9 == pytest.approx(billions, abs=0.002)


def test_alexnets_trunk_by_hand():
  with costs.unallocated():
    model = models.build("alexnet", num_classes=0)
  sides, kernels = (15, 7, 3, 3, 3), (11 * 11 * 3, 25 * 64, 9 * 192, 9 * 384, 9 * 256)
  channels = (64, 192, 384, 256, 256)
  by_hand = sum(
      2 * side**2 * kernel * count for side, kernel, count in zip(sides, kernels, channels))
  assert costs.flops(model, 64) == costs.flops(model, (64, 64)) == by_hand
  assert costs.flops(model, (64, 130)) > by_hand


def _profiled(model, side):
  """TensorFlow's own count of the products in a graph."""
  profiler = tf.compat.v1.profiler
  function = tf.function(model).get_concrete_function(tf.TensorSpec([1, side, side, 3]))
  options = profiler.ProfileOptionBuilder(
      profiler.ProfileOptionBuilder.float_operation()).with_empty_output().build()
  node = profiler.profile(function.graph, options=options, cmd="op")
  products = 0
  while node is not None:
    if node.name in ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum"):
      products += node.float_ops
    node = node.children[0] if node.children else None
  return products


@pytest.mark.parametrize("name", ["resnet6", "efficientnet_b0", "vit_b8"])
def test_tensorflow_counts_as_many(name):
  model = models.build(name, width=0.125, num_classes=7)
  assert costs.flops(model, 64) == _profiled(model, 64)


def test_a_transposed_convolution_multiplies_at_the_positions_of_its_input():
  image = keras.Input((None, None, 4))
  model = keras.Model(image, keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same")(image))
  assert costs.flops(model, 8) == 2 * 3 * 3 * 4 * 5 * 8 * 8


def test_nothing_is_allocated():
  with costs.unallocated():
    model = models.build("vgg16")
  assert costs.parameters(model) == 138_357_544
  assert all(variable._value is None for variable in model.variables)
  # and what is built afterwards is real
  assert models.build("resnet2", width=0.1).variables[0].value is not None


def test_nothing_is_allocated_later_either():
  with costs.unallocated():
    model = models.build("resnet2", width=0.1)
  keras.layers.Lambda(lambda x: 2 * x)(keras.Input([3]))
  assert all(variable._value is None for variable in model.variables)


def test_layers_that_are_not_known_are_no_zero():
  class Strange(keras.layers.Layer):
    def build(self, shape):
      self.mixing = self.add_weight(shape=(3, 3))

    def call(self, x):
      return x

  image = keras.Input((None, None, 3))
  model = keras.Model(image, Strange(name="strange")(image))
  with pytest.raises(ValueError, match="layer strange, of kind Strange, are not known"):
    costs.flops(model, 8)
