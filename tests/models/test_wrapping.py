"""Classifiers of other people as networks with taps: the same numbers, names, strides, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors, models
from perceptual.metrics import feature_metric
from perceptual.models import layers, taps
from perceptual.models.preprocessing import IMAGENET

RNG = np.random.default_rng(0)
CLASSES = 5


@pytest.fixture(autouse=True)
def _seeded():
  keras.utils.set_random_seed(0)


def images(*size):
  return RNG.integers(0, 256, (2, *size, 3), np.uint8)


def randomised(model):
  """Gives every weight its own value: fresh statistics and offsets would hide their loss."""
  for variable in model.weights:
    low = 0.5 if "variance" in variable.path else -0.3
    variable.assign(RNG.uniform(low, low + 1, variable.shape))
  return model


def classifier(*, activation="softmax", side=None, flatten=False):
  """A small classifier of images of -1 to 1: normalisation, dropout, a residual, an operation."""
  image = keras.Input((side, side, 3), name="pixels")
  x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
  x = keras.layers.BatchNormalization(name="stem_bn")(x)
  x = keras.layers.ReLU(name="stem_relu")(x)
  y = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(x)
  x = keras.ops.multiply(keras.layers.Add(name="add")([x, y]), 0.5)
  x = keras.layers.MaxPooling2D(2, name="down")(x)
  x = keras.layers.Dropout(0.5, name="drop")(x)
  pool = keras.layers.Flatten if flatten else keras.layers.GlobalAveragePooling2D
  x = pool(name="vector")(x)
  scores = keras.layers.Dense(CLASSES, activation=activation, name="scores")(x)
  return randomised(keras.Model(image, scores, name="small"))


def transferred():
  """What transfer learning makes: a rescaling, a frozen model and a classifier in a sequence."""
  base = keras.Sequential(
      [keras.Input((32, 32, 3)),
       keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="first"),
       keras.layers.BatchNormalization(name="bn"),
       keras.layers.Conv2D(7, 3, strides=2, padding="same", activation="relu", name="second")],
      name="base")
  base.trainable = False
  return randomised(keras.Sequential(
      [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255, name="scale"), base,
       keras.layers.GlobalAveragePooling2D(name="vector"),
       keras.layers.Dense(CLASSES, name="scores")], name="mine"))


def test_taps_and_logits_are_the_classifier_s_own():
  model = classifier()
  before = [np.array(v) for v in model.weights]
  network = models.wrap(model, ["stem_relu", "down", "vector"], preprocessing="-1,1")
  assert list(network.output) == ["logits", "stem_relu", "down", "vector"]
  assert taps.list_taps(network) == (
      taps.TapInfo("stem_relu", 8, 2), taps.TapInfo("down", 8, 4), taps.TapInfo("vector", 8, None))
  seen = images(36, 20)
  outputs = network(IMAGENET(seen))
  reference = keras.Model(model.input, {
      "output": model.output,
      **{name: model.get_layer(name).output for name in ("stem_relu", "down", "vector")}})
  expected = reference(seen / np.float32(127.5) - 1)
  for name in ("stem_relu", "down", "vector"):
    np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
      tf.nn.softmax(outputs["logits"]), expected["output"], rtol=1e-4, atol=1e-6)
  network.set_weights([w + 1 for w in network.get_weights()])
  for variable, value in zip(model.weights, before):
    np.testing.assert_array_equal(variable, value)


def test_a_wrapped_network_is_a_metric_of_any_size_without_what_lies_past_its_taps():
  network = models.wrap(classifier(side=32), ["stem_relu"], preprocessing="-1,1")
  wrapped = feature_metric.FeatureMetric(network, name="mine")
  assert {layer.name for layer in wrapped.trunk.layers} == {
      "image", "expected_input", "wrapped_stem", "wrapped_stem_bn", "wrapped_stem_relu",
      "stem_relu"}
  for size in ((32, 32), (17, 50)):
    a, b = images(*size), images(*size)
    np.testing.assert_array_equal(wrapped(a, a), [0, 0])
    assert np.all(wrapped(a, b).numpy() > 0)
    assert wrapped.spatial_map(a, b).shape == (2, *size)
  assert wrapped.fingerprint["name"] == "mine"


def test_layers_of_models_inside_are_tapped_by_both_names():
  model = transferred()
  network = models.wrap(model, ["base.first", "base", "base.second"], preprocessing="0,255")
  assert [(tap.name, tap.stride) for tap in taps.list_taps(network)] == [
      ("base.first", 2), ("base", 4), ("base.second", 4)]
  seen = images(32, 32)
  outputs = network(IMAGENET(seen))
  np.testing.assert_allclose(
      outputs["base"], model.layers[1](seen / np.float32(255)), rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(outputs["base"], outputs["base.second"])
  np.testing.assert_allclose(
      outputs["logits"], model(seen.astype("float32")), rtol=1e-4, atol=1e-5)
  trunk = taps.select_taps(network, ["base.first"])
  assert "wrapped_base-second" not in {layer.name for layer in trunk.layers}
  # What was frozen stays so.
  assert {v.path for v in network.trainable_variables} == {"logits/kernel", "logits/bias"}
  before = [np.array(v) for v in network.non_trainable_variables]
  network(IMAGENET(seen), training=True)
  for variable, value in zip(network.non_trainable_variables, before):
    np.testing.assert_array_equal(variable, value)


def test_normalisation_and_dropout_become_ours():
  network = models.wrap(classifier(), ["down"], preprocessing="-1,1")
  assert isinstance(network.get_layer("wrapped_stem_bn"), layers.BatchNormalization)
  assert isinstance(network.get_layer("wrapped_drop"), layers.Dropout)
  assert {"wrapped_stem/kernel", "wrapped_drop/seed_generator_state", "logits/kernel"} <= {
      v.path for v in network.variables}


def test_a_layer_that_derives_values_from_its_weights_has_them_in_the_copy():
  normalization = keras.layers.Normalization(axis=-1, name="norm")
  normalization.adapt(RNG.normal(3, 2, (8, 4, 4, 3)))
  image = keras.Input((None, None, 3))
  network = models.wrap(keras.Model(image, normalization(image)), ["norm"], preprocessing="0,1")
  seen = images(4, 4)
  np.testing.assert_allclose(
      network(IMAGENET(seen))["norm"], normalization(seen / np.float32(255)), atol=1e-5)


def test_taps_have_any_size_where_the_classifier_has_one():
  network = models.wrap(classifier(side=32, flatten=True), ["down"], preprocessing="-1,1")
  assert network(IMAGENET(images(32, 32)))["logits"].shape == (2, CLASSES)
  trunk = taps.select_taps(network)
  assert trunk(IMAGENET(images(20, 44)))["down"].shape == (2, 5, 11, 8)
  for ask in (lambda: network(keras.KerasTensor((1, 64, 64, 3))), lambda: network(images(64, 64))):
    with pytest.raises(errors.UserError, match="images of one size alone, that of 512 features"):
      ask()


def test_layers_that_need_one_size_keep_it():
  image = keras.Input((16, 16, 3))
  x = keras.layers.Conv2D(4, 2, strides=2, name="patches")(image)
  x = keras.layers.Reshape((64, 4), name="tokens")(x)
  x = keras.layers.Embedding(64, 4, name="positions")(keras.ops.arange(64)) + x
  x = keras.layers.Dense(6, name="mixed")(x)
  model = keras.Model(image, keras.layers.GlobalAveragePooling1D(name="vector")(x))
  network = models.wrap(model, ["patches", "tokens", "vector"], preprocessing="0,1")
  assert network.input.shape == (None, 16, 16, 3)
  assert taps.list_taps(network) == (
      taps.TapInfo("patches", 4, 2), taps.TapInfo("tokens", 4, None),
      taps.TapInfo("vector", 6, None))


@pytest.mark.parametrize("layer, stride", [
    (keras.layers.Conv2D(4, 11, strides=4, padding="valid"), 4),
    (keras.layers.Conv2D(4, 3, strides=(2, 1), padding="same"), None),
    (keras.layers.UpSampling2D(2), None),
    (keras.layers.GlobalAveragePooling2D(keepdims=True), None),
    (keras.layers.Conv2D(4, 3, padding="same"), 1),
])
def test_strides_are_read_off_from_shapes(layer, stride):
  image = keras.Input((None, None, 3))
  network = models.wrap(keras.Model(image, layer(image)), [layer.name], preprocessing="0,1")
  assert taps.list_taps(network)[0].stride == stride


def _logits(model, **options):
  network = models.wrap(model, ["down"], preprocessing="-1,1", **options)
  return network.output.get("logits"), network


def test_a_classifier_of_other_classes_is_replaced():
  kept, network = _logits(classifier(), num_classes=CLASSES)
  assert kept.shape == (None, CLASSES)
  kernel = np.array(network.get_layer("logits").kernel)
  replaced, network = _logits(classifier(), num_classes=3)
  assert replaced.shape == (None, 3)
  assert np.array(network.get_layer("logits").kernel).std() < 0.02 < kernel.std()
  assert _logits(classifier(), num_classes=0)[0] is None


def test_features_get_a_classifier_if_one_is_asked_for():
  whole = classifier()
  for end, added in (("down", {"pool", "logits"}), ("vector", {"logits"})):
    features = keras.Model(whole.input, whole.get_layer(end).output)
    assert _logits(features)[0] is None
    logits, network = _logits(features, num_classes=4)
    assert logits.shape == (None, 4)
    assert logits.dtype == "float32"
    assert added <= {layer.name for layer in network.layers}


@pytest.mark.parametrize("end", [keras.layers.Softmax(), keras.layers.Activation("softmax")])
def test_a_softmax_layer_is_taken_off(end):
  linear = classifier(activation=None)
  model = keras.Model(linear.input, end(linear.output))
  seen = images(8, 8)
  expected = linear(seen / np.float32(127.5) - 1)
  for options in ({}, {"num_classes": CLASSES}):
    _, network = _logits(model, **options)
    np.testing.assert_allclose(network(IMAGENET(seen))["logits"], expected, rtol=1e-4, atol=1e-5)


def test_a_softmax_after_other_layers_is_taken_off_but_not_replaced():
  whole = classifier()
  x = keras.layers.Conv2D(CLASSES, 1, name="scores_map")(whole.get_layer("down").output)
  x = keras.layers.GlobalMaxPooling2D(name="scores_vector")(x)
  model = keras.Model(whole.input, keras.layers.Softmax()(x), name="mapped")
  for options in ({}, {"num_classes": CLASSES}):
    assert _logits(model, **options)[0].shape == (None, CLASSES)
  with pytest.raises(errors.UserError, match="mapped has 5 classes, not 3, and no dense layer"):
    _logits(model, num_classes=3)


def test_what_makes_no_logits_is_refused_where_they_are_asked_for():
  sigmoid = classifier(activation="sigmoid")
  assert _logits(sigmoid)[0] is None
  with pytest.raises(errors.UserError, match="small ends in a sigmoid: training needs logits"):
    _logits(sigmoid, num_classes=CLASSES)
  _, network = _logits(classifier(activation="relu"), num_classes=CLASSES)
  assert network.get_layer("wrapped_scores").units == CLASSES  # a hidden layer, not the last
  two = classifier()
  two = keras.Model(two.input, [two.output, two.get_layer("down").output], name="two")
  assert _logits(two)[0] is None
  with pytest.raises(errors.UserError, match="two has several outputs"):
    _logits(two, num_classes=2)
  whole = classifier()
  tokens = keras.layers.Reshape((-1, 8))(whole.get_layer("down").output)
  with pytest.raises(errors.UserError, match="no classifier can be added"):
    _logits(keras.Model(whole.input, tokens), num_classes=2)


def test_an_unknown_layer_is_answered_with_similar_names_first():
  with pytest.raises(errors.UserError) as error:
    models.wrap(classifier(), ["stem_relo"], preprocessing="-1,1")
  message = str(error.value)
  assert message.startswith("Unknown layer of small 'stem_relo'. Available: stem_relu, stem")
  assert message.endswith("vector, scores.")
  assert "pixels" not in message


def test_of_hundreds_of_layers_a_message_names_some():
  image = x = keras.Input((None, None, 3))
  for number in range(100):
    x = keras.layers.ReLU(name=f"relu{number}")(x)
  with pytest.raises(errors.UserError) as error:
    models.wrap(keras.Model(image, x), ["relu_99"], preprocessing="0,1")
  assert "Available: relu99, " in str(error.value)
  assert str(error.value).endswith("and 60 more.")


def _shared():
  image = keras.Input((None, None, 3))
  twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
  return keras.Model(image, twice(twice(image)), name="shared")


def _with_states():
  image = keras.Input((4, 4, 3))
  x = keras.layers.Reshape((16, 3))(image)
  x = keras.layers.LSTM(2, return_state=True, name="lstm")(x)
  return keras.Model(image, x[0], name="stateful")


def _channels_first():
  image = keras.Input((8, 8, 3))
  x = keras.layers.MaxPooling2D(2, data_format="channels_first", name="first")(image)
  return keras.Model(image, x, name="first")


class _Subclassed(keras.Model):

  def call(self, inputs):
    return inputs


class _Uncopied(keras.layers.Layer):

  def __init__(self, function):
    super().__init__(name="uncopied")
    self.function = function

  def call(self, inputs):
    return self.function(inputs)


def _uncopied():
  image = keras.Input((None, None, 3))
  return keras.Model(image, _Uncopied(lambda x: x)(image), name="strange")


def _grey():
  image = keras.Input((8, 8, 1))
  return keras.Model(image, keras.layers.ReLU(name="relu")(image), name="grey")


@pytest.mark.parametrize("make, tapped, message", [
    (_shared, ["twice"], "'twice' cannot be tapped: shared uses it 2 times"),
    (_with_states, ["lstm"], "'lstm' cannot be tapped: it gives several tensors"),
    (_channels_first, ["first"], "'first' is channels_first"),
    (lambda: _Subclassed(name="own"), ["x"], "own is not functional"),
    (lambda: keras.Sequential([keras.layers.ReLU()], name="open"), ["x"], "open is not functional"),
    (lambda: "a model", ["x"], "Only a model of Keras 3 can be wrapped. Received: <class 'str'>"),
    (_uncopied, ["uncopied"], "'uncopied' cannot be copied: "),
    (_grey, ["relu"], r"grey must have one input, \[batch, height, width, 3\]\. Received: \(N"),
    (classifier, "stem", "taps must be a list of names of layers of small, not 'stem'"),
    (classifier, [], "Available: stem, stem_bn, stem_relu, conv"),
    (classifier, None, "not None. Available: stem, stem_bn"),
    (classifier, ["stem", "stem"], "'stem' is tapped twice"),
    (classifier, ["logits"], "No tap can be called 'logits'"),
    (classifier, ["pixels"], "Unknown layer of small 'pixels'"),
    (classifier, [3], "Unknown layer of small 3"),
])
def test_what_cannot_be_wrapped_says_why(make, tapped, message):
  with pytest.raises(errors.UserError, match=message) as error:
    models.wrap(make(), tapped, preprocessing="0,1")
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [-1, 2.0, "5", True])
def test_an_illegal_number_of_classes_is_refused(value):
  with pytest.raises(errors.UserError, match="num_classes must be an integer >= 0, or None"):
    models.wrap(classifier(), ["stem"], preprocessing="0,1", num_classes=value)


_ON_A_BACKEND = """
import sys
import keras, numpy as np
from perceptual import models
from perceptual.metrics import feature_metric
classifier = keras.models.load_model(sys.argv[1])
pixels = np.load(sys.argv[2])
network = models.wrap(classifier, ["base.first", "base"], preprocessing="caffe")
print(*keras.ops.convert_to_numpy(feature_metric.FeatureMetric(network, name="mine")(*pixels)))
"""


def test_other_backends_give_the_same_distances(on_another_backend, tmp_path):
  pixels = np.stack([images(20, 28), images(20, 28)])
  model = transferred()
  model.save(tmp_path / "mine.keras")
  np.save(tmp_path / "pixels.npy", pixels)
  printed = on_another_backend(_ON_A_BACKEND, tmp_path / "mine.keras", tmp_path / "pixels.npy")
  network = models.wrap(model, ["base.first", "base"], preprocessing="caffe")
  np.testing.assert_allclose(
      [float(number) for number in printed.split()[-2:]],
      feature_metric.FeatureMetric(network, name="mine")(*pixels), rtol=1e-5)
