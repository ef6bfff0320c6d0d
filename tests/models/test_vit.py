"""The Vision Transformers: sizes, names, initial values, options, sizes of images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors, models
from perceptual.models import costs, taps, vit, vit_layers

RNG = np.random.default_rng(0)

# Channels, MLP channels, blocks, heads and patch; typed in from the papers, apart from the table
# under test.
SIZES = {
    "vit_b8": (768, 3072, 12, 12, 8),
    "vit_b4": (768, 3072, 12, 12, 4),
    "vit_l8": (1024, 4096, 24, 16, 8),
    "vit_l4": (1024, 4096, 24, 16, 4),
}

PARAMETERS = {
    "vit_b8": 86_023_912,
    "vit_b4": 86_060_776,
    "vit_l8": 303_601_640,
    "vit_l4": 303_650_792,
}


def tiny(name="vit_b8", **options):
  """Two blocks of 48 channels."""
  keras.utils.set_random_seed(0)
  sixth = {"vit_b": 1 / 6, "vit_l": 1 / 12}[name[:5]]
  return models.build(name, **{"width": 1 / 16, "depth": sixth, "num_classes": 5, **options})


def images(*size):
  return RNG.normal(size=(2, *size, 3)).astype("float32")


def closed_form(channels, mlp, blocks, patch, *, side=64, classes=1000):
  """Parameters, by arithmetic alone."""
  embedded = (3 * patch ** 2 + 1) * channels + channels + (1 + (side // patch) ** 2) * channels
  attention = 4 * (channels + 1) * channels
  block = 4 * channels + attention + (channels + 1) * mlp + (mlp + 1) * channels
  return embedded + blocks * block + 2 * channels + (channels + 1) * classes


def test_the_arithmetic_gives_the_published_counts_of_224_pixels():
  # torchvision's vit_b_16, vit_b_32 and vit_l_16.
  assert closed_form(768, 3072, 12, 16, side=224) == 86_567_656
  assert closed_form(768, 3072, 12, 32, side=224) == 88_224_232
  assert closed_form(1024, 4096, 24, 16, side=224) == 304_326_632


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
  channels, mlp, blocks, heads, patch = SIZES[name]
  with costs.unallocated():
    model = models.build(name)
  assert model.count_params() == PARAMETERS[name] == closed_form(channels, mlp, blocks, patch)
  assert taps.list_taps(model) == tuple(
      taps.TapInfo(f"block_{i}", channels, None) for i in range(1, blocks + 1))
  attentions = [layer for layer in model.layers if isinstance(layer, vit_layers.SelfAttention)]
  assert [attention.heads for attention in attentions] == [heads] * blocks


@pytest.mark.parametrize("name, width, depth", [
    ("vit_b8", 1 / 16, 1 / 6), ("vit_b4", 1 / 64, 0.25), ("vit_l8", 1 / 8, 1 / 24),
    ("vit_b8", 1.25, 11 / 12)])
def test_sizes_of_other_widths_and_depths(name, width, depth):
  channels, mlp, blocks, heads, patch = SIZES[name]
  with costs.unallocated():
    model = models.build(name, width=width, depth=depth, num_classes=10)
  assert model.count_params() == closed_form(
      int(channels * width), int(mlp * width), round(blocks * depth), patch, classes=10)
  assert model.get_layer("block1_attention").heads == heads


def test_depths_written_short_mean_whole_blocks():
  for depth, blocks in ((0.167, 2), (0.0833, 1), (0.333, 4), (0.9167, 11)):
    with costs.unallocated():
      assert len(taps.list_taps(models.build("vit_b8", width=1 / 64, depth=depth))) == blocks


@pytest.mark.parametrize("name, option, value, message", [
    ("vit_b8", "width", 0.06, "64, a whole number of the 64 channels of each of the 12 heads of "
     "vit_b8: for instance 0.046875 (3) or 0.0625 (4)."),
    ("vit_l4", "width", 0.001, "64, a whole number of the 64 channels of each of the 16 heads of "
     "vit_l4: for instance 0.015625 (1) or 0.03125 (2)."),
    ("vit_b4", "depth", 0.3, "12, a whole number of the 12 blocks of vit_b4: for instance 0.25 (3) "
     "or 0.333333 (4)."),
    ("vit_l8", "depth", 0.02, "24, a whole number of the 24 blocks of vit_l8: for instance "
     "0.0416667 (1) or 0.0833333 (2)."),
])
def test_what_does_not_divide_names_what_does(name, option, value, message):
  with pytest.raises(errors.UserError) as error:
    models.build(name, **{option: value})
  assert str(error.value) == f"{option} must be a multiple of 1/{message} Received: {value}."


@pytest.mark.parametrize("option, values, legal", [
    ("width", [0, -1, float("nan"), float("inf"), "1", None, True], "a number > 0"),
    ("depth", [0, -1, 2, float("nan"), "1", None, True], "a fraction of the published depth"),
    ("patch_taps", [1, "no", None], "True or False"),
    ("num_classes", [-5, 10.0, "7", None, True], "an integer >= 0"),
    ("dropout", [1, 1.5, -0.1, float("nan"), "0.1", None, False], r"a number in \[0, 1\)"),
    ("image_size", [0, "64", 64.0, (64,), (64, -1)], "an integer >= 1, a pair"),
])
def test_an_illegal_value_names_the_option_and_the_legal_ones(option, values, legal):
  for value in values:
    with pytest.raises(errors.UserError, match=f"^{option} must be {legal}") as error:
      vit.vit("vit_b8", **{option: value})
    assert repr(value) in str(error.value)


def test_an_unknown_variant_names_the_known():
  with pytest.raises(errors.UserError, match="Available: vit_b8, vit_b4, vit_l8, vit_l4"):
    vit.vit("vit_b16")


def test_without_classes_there_are_the_taps_alone():
  model = tiny(num_classes=0)
  assert list(model.output) == ["block_1", "block_2"]
  assert "norm" not in {layer.name for layer in model.layers}


def test_patches_can_be_tapped_as_maps():
  model = tiny("vit_b4", patch_taps=True)
  assert taps.list_taps(model) == (
      taps.TapInfo("block_1", 48, None), taps.TapInfo("patches_1", 48, 4),
      taps.TapInfo("block_2", 48, None), taps.TapInfo("patches_2", 48, 4))
  outputs = model(images(64, 32))
  assert outputs["block_2"].shape == (2, 48)
  assert outputs["patches_2"].shape == (2, 16, 8, 48)
  plain = tiny("vit_b4")
  assert [v.path for v in plain.variables] == [v.path for v in model.variables]
  batch = images(64, 32)
  np.testing.assert_array_equal(plain(batch)["block_2"], model(batch)["block_2"])


def test_variables_are_named_by_their_place():
  assert {v.path for v in tiny(dropout=0.1).variables} >= {
      "patches/kernel", "tokens/class_token", "tokens/position_embedding",
      "tokens_dropout/seed_generator_state", "block1_attention_norm/gamma",
      "block1_attention/query/kernel", "block2_attention/output/bias",
      "block2_attention_dropout/seed_generator_state", "block2_mlp_norm/beta",
      "block2_mlp_hidden/kernel", "block2_mlp_out/bias", "norm/gamma", "logits/kernel"}


def test_initial_values():
  values = {v.path: np.array(v) for v in tiny(width=0.25).variables}
  assert values["tokens/position_embedding"].shape == (65, 192)
  assert values["tokens/position_embedding"].std() == pytest.approx(0.02, rel=0.05)
  assert values["patches/kernel"].std() == pytest.approx((8 * 8 * 3) ** -0.5, rel=0.05)
  glorot = values["block1_attention/key/kernel"], values["block2_mlp_out/kernel"]
  for kernel in glorot:
    assert np.abs(kernel).max() == pytest.approx((6 / sum(kernel.shape)) ** 0.5, rel=0.01)
  for path in ("tokens/class_token", "logits/kernel", "block1_attention/query/bias"):
    assert not values[path].any(), path
  assert 0 < np.abs(values["block1_mlp_hidden/bias"]).max() < 1e-5


def test_positions_are_interpolated_as_tensorflow_resizes_images():
  layer = vit_layers.Tokens(8)
  layer.build((None, None, None, 6))
  layer.position_embedding.assign(RNG.normal(size=(65, 6)))
  class_position, learned = np.split(np.array(layer.position_embedding), [1])
  for grid in ((8, 8), (4, 12), (1, 1), (16, 9)):
    positions = layer(np.zeros((2, *grid, 6), "float32"))
    expected = tf.reshape(tf.image.resize(learned.reshape(1, 8, 8, 6), grid), (-1, 6))
    for tokens in positions:
      np.testing.assert_array_equal(tokens[:1], class_position)
      np.testing.assert_allclose(tokens[1:], expected, atol=1e-6)
  exact = layer(np.zeros((1, 8, 8, 6), "float32"))
  np.testing.assert_array_equal(exact[0], layer.position_embedding)


def test_eager_graph_compiled_and_a_graph_of_any_size_agree():
  model = tiny(patch_taps=True)
  any_size = tf.function(model, input_signature=[tf.TensorSpec([None, None, None, 3])])
  for size in ((64, 64), (8, 24)):
    batch = images(*size)
    expected = model(batch)
    for function in (any_size, tf.function(model), tf.function(model, jit_compile=True)):
      for name, output in function(batch).items():
        np.testing.assert_allclose(output, expected[name], atol=1e-4)


@pytest.mark.parametrize("size", [(60, 64), (64, 4), (1, 1)])
def test_images_that_are_no_whole_patches_are_refused(size):
  message = "The sides of the images must be multiples of 8 pixels"
  model = tiny()
  for ask in (lambda: model(images(*size)), lambda: tiny(image_size=size)):
    with pytest.raises(errors.UserError, match=message) as error:
      ask()
    assert f"Received: {size[0]}x{size[1]}." in str(error.value)
    assert "\n" not in str(error.value)
  function = tf.function(model, input_signature=[tf.TensorSpec([None, None, None, 3])])
  with pytest.raises(tf.errors.InvalidArgumentError, match=message):
    function(images(*size))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_logits_are_float32_under_every_policy(policy):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    model = tiny(dropout=0.5, patch_taps=True)
  finally:
    keras.config.set_dtype_policy(before)
  for size in ((64, 64), (32, 32)):
    outputs = model(images(*size), training=True)
    assert outputs["logits"].dtype == "float32"
    assert outputs["block_1"].dtype == keras.DTypePolicy(policy).compute_dtype
    assert outputs["patches_2"].dtype == keras.DTypePolicy(policy).compute_dtype
  assert {v.dtype for v in model.trainable_variables} == {"float32"}


def test_dropout_is_in_training_alone():
  model, batch = tiny(dropout=0.5), images(64, 64)
  np.testing.assert_array_equal(model(batch)["block_2"], model(batch)["block_2"])
  first, second = (model(batch, training=True)["block_1"] for _ in range(2))
  assert np.mean(np.array(first) != second) > 0.5
  dropouts = [layer.name for layer in model.layers if layer.name.endswith("_dropout")]
  assert len(dropouts) == 1 + 2 * 3


def test_every_weight_has_a_gradient():
  model = tiny()
  model.get_layer("logits").kernel.assign(RNG.normal(size=(48, 5)))
  with tf.GradientTape() as tape:
    logits = model(images(64, 64), training=True)["logits"]
    loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(
        np.array([0, 3]), logits, from_logits=True))
  gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
  for variable, gradient in zip(model.trainable_variables, gradients):
    assert np.all(np.isfinite(gradient)), variable.path
    # A bias of the keys moves all scores of a query alike, which softmax does not see.
    if not variable.path.endswith("key/bias"):
      assert np.abs(gradient).max() > 1e-8, variable.path
