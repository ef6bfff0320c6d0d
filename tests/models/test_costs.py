"""Operations and parameters, against what the networks' publishers print and TensorFlow counts."""

import keras
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.models import costs

# Billions of multiply-adds for one image of a side, as torchvision's documentation prints them.
PUBLISHED = [
    ("alexnet", 224, 0.714),
    ("vgg11", 224, 7.609),
    ("vgg16", 224, 15.47),
    ("vgg19", 224, 19.632),
    ("squeezenet1_1", 224, 0.349),
    ("resnet50", 224, 4.089),  # ours differs in padding alone
    ("resnet101", 224, 7.801),
]


@pytest.mark.parametrize("name, side, billions", PUBLISHED)
def test_published_counts(name, side, billions):
  with costs.unallocated():
    model = models.build(name)
  # What they print is a count cut off or rounded at the third place, pooling and the like left out.
  assert costs.flops(model, side) / 2e9 == pytest.approx(billions, abs=0.0011)


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


@pytest.mark.parametrize("name", ["resnet6", "resnet50", "squeezenet1_1", "vit_b8"])
def test_tensorflow_counts_as_many(name):
  model = models.build(name, width=0.125, num_classes=7)
  assert costs.flops(model, 64) == _profiled(model, 64)


def test_nothing_is_allocated():
  with costs.unallocated():
    model = models.build("vgg16")
  assert model.count_params() == 138_357_544
  assert all(variable._value is None for variable in model.variables)
  # and what is built afterwards is real
  assert models.build("resnet2", width=0.1).variables[0].value is not None


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
