"""The EfficientNets: sizes, names, initial values, options, stochastic depth, gradients."""

import collections
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors, models
from perceptual.models import costs, efficientnet, layers, taps

# Trainable parameters with 1000 classes, as torchvision publishes them.
TRAINABLE_PARAMETERS = {
    "b0": 5_288_548,
    "b1": 7_794_184,
    "b2": 9_109_994,
    "b3": 12_233_232,
    "b4": 19_341_616,
    "b5": 30_389_784,
    "b6": 43_040_704,
    "b7": 66_347_960,
}
# Those of keras.applications with its 7 numbers of preprocessing, moving statistics included.
KERAS_PARAMETERS = {
    "b0": 5_330_571,
    "b1": 7_856_239,
    "b2": 9_177_569,
    "b3": 12_320_535,
    "b4": 19_466_823,
    "b5": 30_562_527,
    "b6": 43_265_143,
    "b7": 66_658_687,
}
# Channels of the stem and of the seven stages, by hand from the rule of tensorflow/tpu's code.
CHANNELS = {
    "b0": (32, 16, 24, 40, 80, 112, 192, 320),
    "b1": (32, 16, 24, 40, 80, 112, 192, 320),
    "b2": (32, 16, 24, 48, 88, 120, 208, 352),
    "b3": (40, 24, 32, 48, 96, 136, 232, 384),
    "b4": (48, 24, 32, 56, 112, 160, 272, 448),
    "b5": (48, 24, 40, 64, 128, 176, 304, 512),
    "b6": (56, 32, 40, 72, 144, 200, 344, 576),
    "b7": (64, 32, 48, 80, 160, 224, 384, 640),
}
BLOCKS = {
    "b0": (1, 2, 2, 3, 3, 4, 1),
    "b1": (2, 3, 3, 4, 4, 5, 2),
    "b2": (2, 3, 3, 4, 4, 5, 2),
    "b3": (2, 3, 3, 5, 5, 6, 2),
    "b4": (2, 4, 4, 6, 6, 8, 2),
    "b5": (3, 5, 5, 7, 7, 9, 3),
    "b6": (3, 6, 6, 8, 8, 11, 3),
    "b7": (4, 7, 7, 10, 10, 13, 4),
}
DROPOUT = {
    "b0": 0.2, "b1": 0.2, "b2": 0.3, "b3": 0.3, "b4": 0.4, "b5": 0.4, "b6": 0.5, "b7": 0.5}

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")


@pytest.fixture(autouse=True)
def _seeded():
  keras.utils.set_random_seed(0)


@pytest.fixture(scope="module", params=efficientnet.VARIANTS)
def variant_and_shapes(request):
  """A whole network of shapes alone: too large to fill with numbers."""
  with costs.unallocated():
    return request.param, efficientnet.efficientnet(request.param, image_size=64)


def _narrow(variant="b0", **options):
  return efficientnet.efficientnet(variant, **{"width": 1 / 8, "num_classes": 5, **options})


def _count(variables):
  return sum(math.prod(variable.shape) for variable in variables)


def _layers(model, kind):
  return [layer for layer in model.layers if isinstance(layer, kind)]


def test_parameter_counts(variant_and_shapes):
  variant, model = variant_and_shapes
  assert _count(model.trainable_variables) == TRAINABLE_PARAMETERS[variant]
  assert model.count_params() == KERAS_PARAMETERS[variant] - 7


def test_taps_are_the_last_maps_before_each_stride(variant_and_shapes):
  variant, model = variant_and_shapes
  assert taps.list_taps(model) == tuple(
      taps.TapInfo(f"reduction_{i}", channels=CHANNELS[variant][stage], stride=2 ** i)
      for i, stage in ((2, 2), (3, 3), (4, 5), (5, 7)))


def test_maps_of_64_pixel_images(variant_and_shapes):
  _, model = variant_and_shapes
  sides = [model.output[f"reduction_{i}"].shape[1:3] for i in range(2, 6)]
  assert sides == [(16, 16), (8, 8), (4, 4), (2, 2)]


def test_blocks_and_channels(variant_and_shapes):
  variant, model = variant_and_shapes
  assert efficientnet.stage_blocks(variant) == BLOCKS[variant]
  assert model.get_layer("stem_conv").filters == CHANNELS[variant][0]
  for stage, (blocks, channels) in enumerate(zip(BLOCKS[variant], CHANNELS[variant][1:]), start=1):
    projections = [layer for layer in model.layers
                   if layer.name.startswith(f"stage{stage}_") and layer.name.endswith("_project")]
    assert [layer.filters for layer in projections] == [channels] * blocks
  assert model.get_layer("head_conv").filters == 4 * CHANNELS[variant][-1]


def test_dropout_is_the_variant_s(variant_and_shapes):
  variant, model = variant_and_shapes
  assert model.get_layer("dropout").rate == DROPOUT[variant]


def test_dropout_as_asked_for():
  with costs.unallocated():
    assert _narrow(depth=0.1, dropout=0.7).get_layer("dropout").rate == 0.7
    assert "dropout" not in [layer.name for layer in _narrow(depth=0.1, dropout=0).layers]


def test_stochastic_depth_grows_linearly_over_the_blocks_with_a_shortcut(variant_and_shapes):
  variant, model = variant_and_shapes
  place, expected = 0, {}
  for stage, blocks in enumerate(BLOCKS[variant], start=1):
    for block in range(1, blocks + 1):
      # The first block of a stage has a stride or another number of channels than its input.
      if block > 1:
        expected[f"stage{stage}_block{block}_drop"] = 0.2 * place / sum(BLOCKS[variant])
      place += 1
  rates = {layer.name: layer.rate for layer in _layers(model, layers.StochasticDepth)}
  assert rates == pytest.approx(expected)


@pytest.mark.parametrize("variant, parameters", [("b0", 5_288_548), ("b7", 66_347_960)])
def test_torchvision_s_parameter_counts_and_taps(variant, parameters):
  with costs.unallocated():
    model = efficientnet.torchvision_efficientnet(variant)
  assert _count(model.trainable_variables) == parameters
  assert taps.list_taps(model) == tuple(
      taps.TapInfo(f"features_{i}", channels=CHANNELS[variant][i], stride=stride)
      for i, stride in enumerate((2, 2, 4, 8, 16, 16, 32, 32)))


@pytest.mark.parametrize("name", ["efficientnet_b0", "torchvision_efficientnet_b0"])
@pytest.mark.parametrize("size", [(57, 83), (2, 1), (1, 1)])
def test_maps_of_any_size_of_image(name, size):
  model = models.build(name, width=0.1, depth=0.1, num_classes=5)
  outputs = model(np.ones((1, *size, 3), "float32"))
  assert outputs["logits"].shape == (1, 5)
  for tap in taps.list_taps(model):
    rows, columns = (math.ceil(side / tap.stride) for side in size)
    assert outputs[tap.name].shape == (1, rows, columns, tap.channels)


@pytest.mark.parametrize("width, channels", [
    (1.3, (40, 24, 32, 56, 104, 144, 248, 416)),  # 20.8 and 31.2 up: 52, 145.6, 249.6
    (0.5, (16, 8, 16, 24, 40, 56, 96, 160)),  # 12 and 20 are halves, and go up
    (0.3, (16, 8, 8, 16, 24, 32, 56, 96)),  # 9.6 and 33.6: 8 would lose more than a tenth of 9.6
    (1e-9, (8,) * 8),
])
def test_channels_are_rounded_to_multiples_of_8(width, channels):
  with costs.unallocated():
    model = efficientnet.torchvision_efficientnet("b0", width=width, num_classes=0)
  assert tuple(tap.channels for tap in taps.list_taps(model)) == channels


@pytest.mark.parametrize("depth, blocks", [
    (1e-9, (1,) * 7), (0.5, (1, 1, 1, 2, 2, 2, 1)), (2, (2, 4, 4, 6, 6, 8, 2))])
def test_blocks_are_rounded_up(depth, blocks):
  assert efficientnet.stage_blocks("b0", depth) == blocks
  with costs.unallocated():
    model = _narrow(depth=depth)
  assert len(_layers(model, keras.layers.DepthwiseConv2D)) == sum(blocks)


def test_kernels_and_strides():
  with costs.unallocated():
    model = _narrow()
  blocks = collections.defaultdict(list)
  for layer in _layers(model, keras.layers.DepthwiseConv2D):
    blocks[layer.name.split("_")[0]].append((layer.kernel_size[0], layer.strides[0]))
  assert dict(blocks) == {
      "stage1": [(3, 1)],
      "stage2": [(3, 2), (3, 1)],
      "stage3": [(5, 2), (5, 1)],
      "stage4": [(3, 2), (3, 1), (3, 1)],
      "stage5": [(5, 1), (5, 1), (5, 1)],
      "stage6": [(5, 2), (5, 1), (5, 1), (5, 1)],
      "stage7": [(3, 1)],
  }


def test_variables_are_named_by_their_place():
  paths = {v.path for v in _narrow(name="other").variables}
  assert paths >= {
      "stem_conv/kernel", "stem_conv_bn/gamma", "stage1_block1_depthwise/kernel",
      "stage2_block1_expand/kernel", "stage2_block1_expand_bn/moving_mean",
      "stage6_block4_se_reduce/bias", "stage6_block4_se_expand/kernel",
      "stage6_block4_project_bn/beta", "stage6_block4_drop/seed_generator_state",
      "head_conv/kernel", "head_conv_bn/moving_variance", "dropout/seed_generator_state",
      "logits/kernel", "logits/bias"}
  assert "stage1_block1_expand/kernel" not in paths


def test_initial_values():
  model = _narrow(width=0.5, depth=0.5, num_classes=400)
  for variable in model.variables:
    value, kind = np.array(variable.value), variable.path.split("/")[1]
    if variable.path == "logits/kernel":
      assert np.abs(value).max() == pytest.approx(400 ** -0.5, rel=0.01)
      assert value.std() == pytest.approx((3 * 400) ** -0.5, rel=0.05)
    elif kind == "kernel" and value.size > 1000:
      # A depthwise kernel has one output for each of its channels.
      fan_out = np.prod(value.shape[:2]) * value.shape[3]
      assert value.std() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1), variable.path
    elif kind in ("bias", "beta", "moving_mean"):
      assert not value.any(), variable.path
    elif kind in ("gamma", "moving_variance"):
      assert np.all(value == 1), variable.path


def test_initial_kernels_are_not_truncated():
  model = _narrow(depth=0.1, width=1)
  value = np.array(model.get_layer("head_conv").kernel)
  deviations = np.abs(value) / (2 / value.shape[3]) ** 0.5
  assert np.mean(deviations > 2) == pytest.approx(0.0455, rel=0.05)


def test_kernels_of_a_network_differ():
  model = _narrow()
  first, second = (np.array(model.get_layer(f"stage6_block{block}_depthwise").kernel)
                   for block in (2, 3))
  assert first.shape == second.shape
  assert not np.any(first == second)


def test_without_classes_there_are_the_taps_alone():
  with costs.unallocated():
    model = _narrow(num_classes=0)
  assert list(model.output) == [f"reduction_{i}" for i in range(2, 6)]
  assert not any(layer.name.startswith(("head", "pool", "logits")) for layer in model.layers)


def test_a_block_is_expansion_depthwise_squeeze_and_excite_projection():
  """The second block of a stage by the layers' own weights, outside training."""
  model = _narrow(num_classes=0)
  _randomise(model)
  inputs = {f"input_{name}": model.get_layer(f"stage2_block{name}_project_bn").output
            for name in (1, 2)}
  outputs = keras.Model(
      model.input, {**inputs, "reduction_2": model.output["reduction_2"]})(IMAGES)
  x = outputs["input_1"]

  def norm(x, name):
    layer = model.get_layer(f"stage2_block2_{name}_bn")
    scaled = (x - layer.moving_mean) / tf.sqrt(layer.moving_variance + 1e-3)
    return scaled * layer.gamma + layer.beta

  def conv(x, name):
    layer = model.get_layer(f"stage2_block2_{name}")
    return tf.einsum("bhwi,io->bhwo", x, layer.kernel.value[0, 0]), layer.bias

  y = tf.nn.silu(norm(conv(x, "expand")[0], "expand"))
  kernel = model.get_layer("stage2_block2_depthwise").kernel.value
  y = tf.nn.silu(norm(tf.nn.depthwise_conv2d(y, kernel, [1, 1, 1, 1], "SAME"), "depthwise"))
  mean = tf.reduce_mean(y, (1, 2), keepdims=True)
  reduced = tf.nn.silu(tf.add(*conv(mean, "se_reduce")))
  y = y * tf.sigmoid(tf.add(*conv(reduced, "se_expand")))
  assert model.get_layer("stage2_block2_se_reduce").filters == 2  # of 8 inputs, not of 48
  y = norm(conv(y, "project")[0], "project")
  np.testing.assert_allclose(outputs["reduction_2"], x + y, rtol=1e-4, atol=1e-5)


def _randomise(model):
  rng = np.random.default_rng(1)
  for variable in model.variables:
    if "_bn/" in variable.path or variable.path.endswith("/bias"):
      variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def test_survival_is_drawn_for_each_image_in_training_alone():
  model = _narrow(depth=0.5, survival_probability=0.01, dropout=0, batch_norm_momentum=0)
  np.testing.assert_array_equal(model(IMAGES)["logits"], model(IMAGES)["logits"])
  copies = np.repeat(IMAGES[:1], 16, axis=0)
  features = np.array(model(copies, training=True)["reduction_5"])
  assert 1 < len(np.unique(features.reshape(16, -1).round(4), axis=0)) <= 16
  certain = _narrow(depth=0.5, survival_probability=1, dropout=0)
  assert not _layers(certain, layers.StochasticDepth)


def test_every_kernel_can_be_trained():
  model = _narrow(survival_probability=1)
  with tf.GradientTape() as tape:
    logits = model(IMAGES, training=True)["logits"]
    loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(
        np.array([0, 1, 2, 3]), logits, from_logits=True))
  gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
  for variable, gradient in zip(model.trainable_variables, gradients):
    assert np.all(np.isfinite(gradient)), variable.path
    if variable.path.endswith("/kernel"):
      assert np.abs(gradient).max() > 1e-8, variable.path


def test_eager_and_graph_agree():
  model = _narrow(depth=0.5)
  _randomise(model)
  expected = model(IMAGES)
  for name, output in tf.function(model)(IMAGES).items():
    scale = np.abs(expected[name]).max()
    np.testing.assert_allclose(output / scale, expected[name] / scale, atol=1e-5)


def test_logits_are_float32_under_every_policy():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    model = _narrow(depth=0.5)
  finally:
    keras.config.set_dtype_policy(before)
  outputs = model(IMAGES, training=True)
  assert outputs["logits"].dtype == "float32"
  assert outputs["reduction_2"].dtype == "bfloat16"
  assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("name, momentum, epsilon", [
    ("efficientnet_b0", 0.9, 1e-3), ("efficientnet_b5", 0.9, 1e-3),
    ("torchvision_efficientnet_b0", 0.9, 1e-5), ("torchvision_efficientnet_b7", 0.99, 1e-3)])
def test_batch_norm_options_reach_every_layer(name, momentum, epsilon):
  options = {"batch_norm_momentum": 0.5, "batch_norm_epsilon": 0.1,
             "synchronized_batch_norm": True}
  for given, expected in (({}, (momentum, epsilon, False)), (options, (0.5, 0.1, True))):
    with costs.unallocated():
      model = models.build(name, depth=0.1, **given)
    norms = _layers(model, keras.layers.BatchNormalization)
    assert {(n.momentum, n.epsilon, n.synchronized) for n in norms} == {expected}


@pytest.mark.parametrize("variant", ["b8", "B0", 0, None])
def test_an_unknown_variant_names_the_known(variant):
  with pytest.raises(errors.UserError, match="Available: b0, b1, b2, b3, b4, b5, b6, b7"):
    efficientnet.efficientnet(variant)
  with pytest.raises(errors.UserError, match="Available: b0, b7"):
    efficientnet.torchvision_efficientnet(variant)


@pytest.mark.parametrize("option, values, legal", [
    ("width", [0, -1, float("nan"), float("inf"), "1", None, True], "a number > 0"),
    ("depth", [0, -1, float("nan"), float("inf"), "1", None, True], "a number > 0"),
    ("num_classes", [-5, 10.0, "7", None, True], "an integer >= 0"),
    ("dropout", [1, 1.5, -0.1, float("nan"), "0.1", False], r"a number in \[0, 1\)"),
    ("survival_probability", [0, 1.1, float("nan"), "1", None, True], r"a number in \(0, 1\]"),
    ("image_size", [0, "64", 64.0, (64,), (64, -1)], "an integer >= 1, a pair"),
    ("batch_norm_momentum", [1, -0.1, "0.9"], r"a number in \[0, 1\)"),
    ("batch_norm_epsilon", [0, -1e-5, float("inf"), "1e-5"], "a number > 0"),
    ("synchronized_batch_norm", [1, "yes", None], "True or False"),
])
@pytest.mark.parametrize("name", ["efficientnet_b0", "torchvision_efficientnet_b0"])
def test_an_illegal_value_names_the_option_and_the_legal_ones(name, option, values, legal):
  for value in values:
    with pytest.raises(errors.UserError, match=f"^{option} must be {legal}") as error:
      models.build(name, **{option: value})
    assert repr(value) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_initializer_is_refused():
  with pytest.raises(errors.UserError, match=r"^kernel_initializer must be the name"):
    models.build("torchvision_efficientnet_b0", kernel_initializer="he_abnormal")
