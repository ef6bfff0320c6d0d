"""Taps on small models made here: `perceptual.models.taps`."""

import keras
import numpy as np
import pytest

from perceptual import errors
from perceptual.models import taps

IMAGES = np.random.default_rng(0).normal(size=(2, 9, 11, 3)).astype("float32")


@pytest.fixture(scope="module")
def chain():
  """Three taps in a row whose names sort otherwise than the network, and a head."""
  image = x = keras.Input((None, None, 3), name="image")
  for index, name in enumerate(("tap_2", "tap_10", "tap_1")):
    x = keras.layers.Conv2D(2 + index, 3, strides=2, padding="same", name=f"conv{index}")(x)
    x = taps.Tap(stride=2 ** (index + 1), name=name)(x)
  x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
  return keras.Model(image, keras.layers.Dense(5, name="head")(x), name="chain")


def test_taps_are_listed_in_network_order(chain):
  assert taps.list_taps(chain) == (
      taps.TapInfo("tap_2", channels=2, stride=2),
      taps.TapInfo("tap_10", channels=3, stride=4),
      taps.TapInfo("tap_1", channels=4, stride=8))


def test_taps_that_nothing_reads_are_in_network_order():
  # As a token taken out of a transformer: Keras lists such layers by name.
  image = x = keras.Input((None, None, 3))
  leaves = {}
  for index in range(12):
    x = keras.layers.Conv2D(4, 1)(x)
    token = keras.layers.GlobalAveragePooling2D()(x)
    leaves[f"block_{index}"] = taps.Tap(stride=None, name=f"block_{index}")(token)
  model = keras.Model(image, {"logits": x, **leaves})
  assert [tap.name for tap in taps.list_taps(model)] == list(leaves)
  assert {(tap.channels, tap.stride) for tap in taps.list_taps(model)} == {(4, None)}
  assert list(taps.select_taps(model)(IMAGES)) == list(leaves)


def test_a_selection_is_in_network_order_whatever_the_order_asked_for(chain):
  assert list(taps.select_taps(chain)(IMAGES)) == ["tap_2", "tap_10", "tap_1"]
  assert list(taps.select_taps(chain, ["tap_1", "tap_2"])(IMAGES)) == ["tap_2", "tap_1"]


def test_a_selection_computes_what_the_network_computes(chain):
  x = IMAGES
  for index, features in enumerate(taps.select_taps(chain)(IMAGES).values()):
    x = chain.get_layer(f"conv{index}")(x)
    np.testing.assert_array_equal(features, x)


def test_a_selection_holds_nothing_past_its_last_tap(chain):
  selection = taps.select_taps(chain, ["tap_10"])
  assert [layer.name for layer in selection.layers] == ["image", "conv0", "tap_2", "conv1",
                                                        "tap_10"]
  assert [v.path for v in selection.variables] == ["conv0/kernel", "conv0/bias", "conv1/kernel",
                                                   "conv1/bias"]


def test_a_selection_shares_the_weights_of_the_network(chain):
  selection = taps.select_taps(chain)
  before = selection(IMAGES)["tap_1"]
  chain.get_layer("conv2").bias.assign_add([1.0, 2.0, 3.0, 4.0])
  np.testing.assert_allclose(
      selection(IMAGES)["tap_1"] - before, np.broadcast_to([1, 2, 3, 4], before.shape), atol=1e-5)


def test_a_selection_can_be_selected_from(chain):
  selection = taps.select_taps(taps.select_taps(chain, ["tap_2", "tap_10"]), ["tap_10"])
  assert taps.list_taps(selection)[-1] == taps.TapInfo("tap_10", channels=3, stride=4)


def test_taps_outlive_serialisation(chain):
  restored = keras.models.model_from_json(chain.to_json())
  assert taps.list_taps(restored) == taps.list_taps(chain)
  restored.set_weights(chain.get_weights())
  np.testing.assert_array_equal(taps.select_taps(restored)(IMAGES)["tap_1"],
                                taps.select_taps(chain)(IMAGES)["tap_1"])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
def test_a_tap_casts_nothing(policy):
  values = np.float32([[1.0001, -2.0003]])
  for dtype in ("float32", "bfloat16"):
    x = keras.ops.cast(values, dtype)
    tapped = taps.Tap(stride=1, name="tap", dtype=policy)(x)
    assert keras.backend.standardize_dtype(tapped.dtype) == dtype
    np.testing.assert_array_equal(keras.ops.cast(tapped, "float32"), keras.ops.cast(x, "float32"))


def test_an_unknown_tap_names_the_known(chain):
  with pytest.raises(errors.UserError) as error:
    taps.select_taps(chain, ["tap_2", "stage9"])
  assert str(error.value) == "Unknown tap 'stage9'. Available: tap_2, tap_10, tap_1."


@pytest.mark.parametrize("names, culprit", [
    (["tap_2", "tap_1", "tap_2"], "'tap_2' is selected twice"),
    ([], "Available: tap_2, tap_10, tap_1"),
    ("tap_2", "must be a list of names. Received: 'tap_2'"),
])
def test_a_bad_selection_is_refused(chain, names, culprit):
  with pytest.raises(errors.UserError, match=culprit) as error:
    taps.select_taps(chain, names)
  assert "\n" not in str(error.value)


def test_a_network_without_taps_is_refused():
  image = keras.Input((None, None, 3))
  model = keras.Model(image, keras.layers.Conv2D(1, 1)(image), name="bare")
  assert taps.list_taps(model) == ()
  with pytest.raises(errors.UserError, match="bare has no taps"):
    taps.select_taps(model)


@pytest.mark.parametrize("stride", [0, -4, 4.0, "4", True])
def test_an_illegal_stride_is_refused(stride):
  with pytest.raises(errors.UserError, match="stride of tap 'x' must be an integer >= 1, or None"):
    taps.Tap(stride=stride, name="x")
