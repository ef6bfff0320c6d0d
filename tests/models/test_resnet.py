"""The ResNets of Kumar et al.: sizes, names, initial values, options, gradients."""

import collections
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.models import resnet, taps

# Convolutions in a block's branch, blocks of each group, output channels per channel of a group;
# typed in from the protocol, apart from the table under test.
ARCHITECTURES = {
    2: (1, [], 1),
    3: (1, [1], 1),
    4: (1, [1, 1], 1),
    6: (1, [1, 1, 1, 1], 1),
    10: (2, [1, 1, 1, 1], 1),
    18: (2, [2, 2, 2, 2], 1),
    34: (2, [3, 4, 6, 3], 1),
    50: (3, [3, 4, 6, 3], 4),
    101: (3, [3, 4, 23, 3], 4),
    152: (3, [3, 8, 36, 3], 4),
    200: (3, [3, 24, 36, 3], 4),
}

# Trainable parameters with 1000 classes. Those of 50, 101 and 152 are the published ones (as in
# torchvision); those of 18 and 34 are too, plus 4,224 for the projection of the first group.
TRAINABLE_PARAMETERS = {
    2: 74_536,
    3: 115_752,
    4: 262_184,
    6: 2_287_656,
    10: 5_423_016,
    18: 11_689_512 + 4_224,
    34: 21_797_672 + 4_224,
    50: 25_557_032,
    101: 44_549_160,
    152: 60_192_808,
    200: 64_673_832,
}

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")


@pytest.fixture(autouse=True)
def _seeded():
  keras.utils.set_random_seed(0)


def _count(variables):
  return sum(int(np.prod(variable.shape)) for variable in variables)


def _closed_form(depth, width, num_classes):
  """Trainable parameters and moving statistics, by arithmetic alone."""
  convolutions, blocks, expansion = ARCHITECTURES[depth]
  kernels, normalised, channels = 0, 0, 3

  def convolve(kernel_size, inputs, outputs):
    nonlocal kernels, normalised
    kernels += kernel_size ** 2 * inputs * outputs
    normalised += outputs
    return outputs

  channels = convolve(7, channels, int(64 * width))
  for group, count in enumerate(blocks):
    filters = int(64 * 2 ** group * width)
    for block in range(count):
      if block == 0:
        convolve(1, channels, filters * expansion)
      for index in range(convolutions):
        bottleneck_end = convolutions == 3 and index != 1
        channels = convolve(1 if bottleneck_end else 3, channels,
                            filters * (expansion if index == convolutions - 1 else 1))
  dense = channels * num_classes + num_classes
  return kernels + 2 * normalised + dense, 2 * normalised


@pytest.fixture(scope="module", params=resnet.VARIANTS)
def depth_and_model(request):
  return request.param, resnet.resnet(request.param)


def test_parameter_counts(depth_and_model):
  depth, model = depth_and_model
  assert _count(model.trainable_variables) == TRAINABLE_PARAMETERS[depth]
  assert (_count(model.trainable_variables),
          _count(model.non_trainable_variables)) == _closed_form(depth, 1, 1000)


def test_taps_are_the_groups(depth_and_model):
  depth, model = depth_and_model
  _, blocks, expansion = ARCHITECTURES[depth]
  groups = tuple(
      taps.TapInfo(f"reduction_{i + 1}", channels=64 * 2 ** i * expansion, stride=4 * 2 ** i)
      for i in range(len(blocks)))
  assert taps.list_taps(model) == (groups or (taps.TapInfo("stem", channels=64, stride=4),))


@pytest.mark.parametrize("size", [(57, 83), (2, 1)])
def test_maps_of_any_size_of_image(depth_and_model, size):
  _, model = depth_and_model
  outputs = model(np.ones((1, *size, 3), "float32"))
  assert outputs["logits"].shape == (1, 1000)
  for tap in taps.list_taps(model):
    rows, columns = (math.ceil(side / tap.stride) for side in size)
    assert outputs[tap.name].shape == (1, rows, columns, tap.channels)


def test_depth_is_the_layers_on_the_longest_path(depth_and_model):
  depth, model = depth_and_model
  on_the_path = [v.path for v in model.variables
                 if v.path.endswith("/kernel") and "projection" not in v.path]
  assert len(on_the_path) == depth


@pytest.mark.parametrize("depth, width", [
    (2, 0.5), (4, 2), (6, 0.25), (6, 0.5), (6, 2), (18, 0.5), (50, 0.25)])
def test_parameter_counts_of_other_widths(depth, width):
  model = resnet.resnet(depth, width=width, num_classes=10)
  assert (_count(model.trainable_variables),
          _count(model.non_trainable_variables)) == _closed_form(depth, width, 10)


def test_maps_of_64_pixel_images():
  outputs = resnet.resnet(6, width=0.25, image_size=64).output
  assert [outputs[f"reduction_{i}"].shape[1:3] for i in range(1, 5)] == [
      (16, 16), (8, 8), (4, 4), (2, 2)]


@pytest.mark.parametrize("width, channels", [
    (0.06, [4, 8, 15, 31]),  # 3.84, 7.68, 15.36, 30.72
    (1 / 128, [1, 1, 2, 4]),  # 0.5, 1, 2, 4: halves up
    (1e-9, [1, 1, 1, 1]),
    (3, [192, 384, 768, 1536]),
])
def test_channels_are_rounded_to_the_nearest_and_at_least_1(width, channels):
  assert [tap.channels for tap in taps.list_taps(resnet.resnet(6, width=width))] == channels


def test_a_bottleneck_ends_in_four_times_its_rounded_channels():
  model = resnet.resnet(50, width=0.06)
  assert [tap.channels for tap in taps.list_taps(model)] == [16, 32, 60, 124]


def test_variables_are_named_by_their_place():
  paths = [v.path for v in resnet.resnet(50, width=0.05, dropout=0.1, name="other").variables]
  assert set(paths) >= {
      "stem_conv/kernel", "stem_conv_bn/moving_mean", "group1_block1_conv1/kernel",
      "group1_block1_projection/kernel", "group1_block1_projection_bn/gamma",
      "group3_block6_conv3_bn/beta", "dropout/seed_generator_state", "logits/kernel",
      "logits/bias"}


def test_initial_values():
  model = resnet.resnet(18, width=0.5)
  values = {v.path: np.array(v) for v in model.variables}
  for path, value in values.items():
    kind = path.split("/")[1]
    if path == "logits/kernel":
      assert value.std() == pytest.approx(0.01, rel=0.05)
    elif kind == "kernel" and value.size > 5000:
      assert value.std() == pytest.approx(np.prod(value.shape[:3]) ** -0.5, rel=0.1), path
    elif kind in ("bias", "beta", "moving_mean"):
      assert not value.any(), path
  zero_scales = [path for path, value in values.items()
                 if path.endswith("/gamma") and not value.any()]
  assert zero_scales == [f"group{group}_block{block}_conv2_bn/gamma"
                         for group in range(1, 5) for block in (1, 2)]


def test_kernels_of_a_network_differ():
  model = resnet.resnet(18, width=0.25)
  first = model.get_layer("group1_block1_conv2").kernel
  second = model.get_layer("group1_block2_conv1").kernel
  assert first.shape == second.shape
  assert not np.any(np.array(first) == np.array(second))


def test_a_seed_gives_the_same_network():
  def build():
    keras.utils.set_random_seed(7)
    return resnet.resnet(6, width=0.25, dropout=0.5).variables

  for first, second in zip(build(), build()):
    np.testing.assert_array_equal(first, second)


def test_resnet6_blocks_are_one_convolution_and_a_projection():
  """One block by the layers' own weights: relu(bn(conv3x3(x)) + bn(conv1x1(x)))."""
  model = resnet.resnet(6, width=0.125)
  _randomise_batch_norms(model)
  features = {name: np.array(value) for name, value in model(IMAGES).items()}
  x = features["reduction_1"]

  def conv_bn(name, paddings):
    layer, bn = model.get_layer(name), model.get_layer(f"{name}_bn")
    y = tf.nn.conv2d(x, layer.kernel.value, strides=2, padding=paddings)
    return (y - bn.moving_mean) / np.sqrt(bn.moving_variance + 1e-5) * bn.gamma + bn.beta

  padded = conv_bn("group2_block1_conv1", [[0, 0], [1, 1], [1, 1], [0, 0]])
  expected = np.maximum(padded + conv_bn("group2_block1_projection", "VALID"), 0)
  np.testing.assert_allclose(features["reduction_2"], expected, rtol=1e-4, atol=1e-5)


def _randomise_batch_norms(model):
  rng = np.random.default_rng(1)
  for variable in model.variables:
    if "_bn/" in variable.path:
      variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def test_no_skip_has_neither_projections_nor_additions():
  model = resnet.resnet(50, width=0.05, skip_connections=False)
  assert not any(isinstance(layer, keras.layers.Add) for layer in model.layers)
  kinds = collections.Counter(type(layer).__name__ for layer in model.layers)
  assert kinds["Conv2D"] == 49
  assert [tap.name for tap in taps.list_taps(model)] == [f"reduction_{i}" for i in range(1, 5)]


@pytest.mark.parametrize("depth", [6, 18, 50])
def test_no_skip_can_be_trained(depth):
  model = resnet.resnet(depth, width=0.25, num_classes=5, skip_connections=False)
  with tf.GradientTape() as tape:
    logits = model(IMAGES, training=True)["logits"]
    loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(
        np.array([0, 1, 2, 3]), logits, from_logits=True))
  gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
  for variable, gradient in zip(model.trainable_variables, gradients):
    assert np.all(np.isfinite(gradient)), variable.path
    if variable.path.endswith("/kernel"):
      assert np.abs(gradient).max() > 1e-8, variable.path


@pytest.mark.parametrize("depth", [6, 50])
def test_eager_graph_and_compiled_agree(depth):
  model = resnet.resnet(depth, width=0.125, num_classes=5)
  _randomise_batch_norms(model)
  expected = model(IMAGES)
  for jit_compile in (False, True):
    outputs = tf.function(model, jit_compile=jit_compile)(IMAGES)
    for name, output in outputs.items():
      scale = np.abs(expected[name]).max()
      np.testing.assert_allclose(output / scale, expected[name] / scale, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_logits_are_float32_under_every_policy(policy):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    model = resnet.resnet(6, width=0.125, num_classes=5, dropout=0.5)
  finally:
    keras.config.set_dtype_policy(before)
  outputs = model(IMAGES, training=True)
  assert outputs["logits"].dtype == "float32"
  assert outputs["reduction_1"].dtype == keras.DTypePolicy(policy).compute_dtype
  assert {v.dtype for v in model.trainable_variables} == {"float32"}


def test_dropout_is_of_the_pooled_features_and_in_training_alone():
  model = resnet.resnet(6, width=0.125, num_classes=5, dropout=0.5)
  np.testing.assert_array_equal(model(IMAGES)["logits"], model(IMAGES)["logits"])
  first, second = (model(IMAGES, training=True) for _ in range(2))
  assert np.any(np.array(first["logits"]) != second["logits"])
  np.testing.assert_array_equal(first["reduction_4"], second["reduction_4"])
  assert [layer.name for layer in model.layers[-3:]] == ["pool", "dropout", "logits"]


def test_batch_norm_options_reach_every_layer():
  model = resnet.resnet(18, width=0.05, batch_norm_momentum=0.5, batch_norm_epsilon=0.1,
                        synchronized_batch_norm=True)
  norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
  assert len(norms) == 21  # 17 convolutions and 4 projections
  assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {(0.5, 0.1, True)}


@pytest.mark.parametrize("depth", [5, 0, "50", None])
def test_an_unknown_depth_names_the_known(depth):
  with pytest.raises(errors.UserError, match="Available: 2, 3, 4, 6, 10, 18, 34, 50, 101, 152"):
    resnet.resnet(depth)


@pytest.mark.parametrize("option, values, legal", [
    ("width", [0, -1, float("nan"), float("inf"), "1", None, True], "a number > 0"),
    ("skip_connections", [1, 0, "no", None], "True or False"),
    ("num_classes", [-5, 10.0, "7", None, True], "an integer >= 0"),
    ("dropout", [1, 1.5, -0.1, float("nan"), "0.1", None, False], r"a number in \[0, 1\)"),
    ("image_size", [0, "64", 64.0, (64,), (64, -1)], "an integer >= 1, a pair"),
    ("batch_norm_momentum", [1, -0.1, "0.9", None], r"a number in \[0, 1\)"),
    ("batch_norm_epsilon", [0, -1e-5, float("inf"), "1e-5"], "a number > 0"),
    ("synchronized_batch_norm", [1, "yes", None], "True or False"),
])
def test_an_illegal_value_names_the_option_and_the_legal_ones(option, values, legal):
  for value in values:
    with pytest.raises(errors.UserError, match=f"^{option} must be {legal}") as error:
      resnet.resnet(6, **{option: value})
    assert repr(value) in str(error.value)
    assert "\n" not in str(error.value)
