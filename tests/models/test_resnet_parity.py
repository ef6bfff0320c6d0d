"""Forward numbers of the ResNets against the TensorFlow model garden's, with the same weights.

The garden pads strided convolutions by TensorFlow's "same", the paper's code (tensorflow/tpu) by
equal zeros on each side. The two are the same where every map that meets a stride has odd sides,
so images of 65x33 pixels (maps 33x17, 17x9, 9x5, 5x3, 3x2) compare the networks as they are. For
64x64, the size the papers use, the garden's strided convolutions are given the padding of the
paper's code, and nothing else.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official.vision.modeling.backbones import resnet as garden_resnet
from official.vision.modeling.layers import nn_blocks

from perceptual.models import resnet, taps

# Depth to width: the deepest are a quarter as wide, to save time.
WIDTHS = {18: 1.0, 34: 1.0, 50: 1.0, 101: 0.25, 152: 0.25}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", params=WIDTHS)
def pair(request):
  """Our taps and the garden's backbone of one depth, with the same random weights."""
  keras.utils.set_random_seed(0)
  depth, width = request.param, WIDTHS[request.param]
  ours = resnet.resnet(depth, width=width, num_classes=1)
  garden = garden_resnet.ResNet(
      depth, depth_multiplier=width, norm_momentum=0.9, norm_epsilon=1e-5)
  _randomise_batch_norms(ours)
  for name, conv, norm in _garden_layers(garden):
    _copy(ours.get_layer(name), conv)
    _copy(ours.get_layer(f"{name}_bn"), norm)
  return taps.select_taps(ours), garden


def _randomise_batch_norms(model):
  """Gives every normalisation its own scale, offset and statistics: fresh ones do nothing."""
  for variable in model.variables:
    if "_bn/" in variable.path:
      low = -0.3 if variable.path.endswith(("beta", "moving_mean")) else 0.5
      variable.assign(RNG.uniform(low, low + 1.0, variable.shape))


def _garden_layers(garden):
  """Yields our name, the convolution and the normalisation of every pair in the garden's model."""
  stem_conv, stem_norm = garden.layers[1:3]
  yield "stem_conv", stem_conv, stem_norm
  group, block = 1, 0
  for layer in garden.layers[3:]:
    if layer.name.startswith("block_group_"):
      group, block = group + 1, 0
    elif isinstance(layer, (nn_blocks.ResidualBlock, nn_blocks.BottleneckBlock)):
      block += 1
      yield from _block_layers(layer, f"group{group}_block{block}")


def _block_layers(block, name):
  if block._use_projection:
    yield f"{name}_projection", block._shortcut, block._norm0
  yield f"{name}_conv1", block._conv1, block._norm1
  yield f"{name}_conv2", block._conv2, block._norm2
  if isinstance(block, nn_blocks.BottleneckBlock):
    yield f"{name}_conv3", block._conv3, block._norm3


def _copy(ours, theirs):
  values = {v.path.split("/")[-1]: np.array(v) for v in ours.variables}
  theirs.set_weights([values[v.name.split("/")[-1].split(":")[0]] for v in theirs.weights])


def _assert_same_features(ours, garden, images):
  expected = garden(images, training=False)
  features = ours(images, training=False)
  assert len(features) == len(expected) == 4
  for level in range(1, 5):
    feature, reference = features[f"reduction_{level}"], expected[str(level + 1)]
    scale = np.abs(reference).max()
    assert np.mean(reference > 0) > 0.05, "a comparison of zeros would prove nothing"
    np.testing.assert_allclose(feature / scale, reference / scale, atol=1e-5)


def test_features_are_the_garden_s(pair):
  _assert_same_features(*pair, RNG.normal(size=(2, 65, 33, 3)).astype("float32"))


def test_features_of_64_pixels_are_the_garden_s_with_the_papers_padding(pair, monkeypatch):
  ours, garden = pair
  images = RNG.normal(size=(2, 64, 64, 3)).astype("float32")
  unpatched = garden(images, training=False)
  for _, conv, _ in _garden_layers(garden):
    if conv.strides[0] > 1:
      monkeypatch.setattr(conv, "convolution_op", _convolution_padded_alike(conv))
  _assert_same_features(ours, garden, images)
  patched = garden(images, training=False)
  assert np.abs(patched["5"] - unpatched["5"]).max() > 1e-2, "the patch must take effect"


def _convolution_padded_alike(conv):
  """The convolution of tensorflow/tpu's conv2d_fixed_padding, by `tf.nn` alone."""
  side = (conv.kernel_size[0] - 1) // 2
  padding = [[0, 0], [side, side], [side, side], [0, 0]]
  return lambda inputs, kernel: tf.nn.conv2d(inputs, kernel, conv.strides, padding)
