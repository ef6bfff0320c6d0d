"""Networks by name that are somebody else's: of a file, and of `keras.applications`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors, models
from perceptual.metrics import feature_metric
from perceptual.models import taps
from perceptual.models.preprocessing import IMAGENET

RNG = np.random.default_rng(0)
TAPS = ["first", "second"]


def images(*size):
  return RNG.integers(0, 256, (2, *size, 3), np.uint8)


def small_classifier(classes=4):
  image = keras.Input((None, None, 3), name="pixels")
  x = image
  for name in TAPS:
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name=name)(x)
  x = keras.layers.GlobalAveragePooling2D(name="vector")(x)
  return keras.Model(image, keras.layers.Dense(classes, "softmax", name="scores")(x), name="small")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """A classifier, and the file it was saved in."""
  keras.utils.set_random_seed(0)
  model = small_classifier()
  path = tmp_path_factory.mktemp("files") / "small.keras"
  model.save(path)
  return model, str(path)


def build_file(path, **options):
  return models.build(
      "keras_file", **{"path": path, "taps": TAPS, "preprocessing": "0,255", **options})


def test_a_file_s_network_is_its_classifier(saved):
  model, path = saved
  network = build_file(path)
  assert network.name == "keras_file"
  assert taps.list_taps(network) == (taps.TapInfo("first", 6, 2), taps.TapInfo("second", 6, 4))
  seen = images(20, 12)
  np.testing.assert_allclose(
      tf.nn.softmax(network(IMAGENET(seen))["logits"]), model(seen.astype("float32")), atol=1e-5)


def test_a_file_s_network_has_as_many_classes_as_asked_for(saved):
  _, path = saved
  assert build_file(path, num_classes=4).output["logits"].shape == (None, 4)
  assert build_file(path, num_classes=9).output["logits"].shape == (None, 9)
  assert list(build_file(path, num_classes=0).output) == TAPS


def test_a_file_s_weights_can_be_left_behind(saved):
  _, path = saved
  keras.utils.set_random_seed(1)
  fresh = build_file(path, weights=None)
  kept = build_file(path)
  assert [v.path for v in fresh.weights] == [v.path for v in kept.weights]
  kernel = "wrapped_first/kernel"
  values = [{v.path: np.array(v) for v in network.weights}[kernel] for network in (fresh, kept)]
  assert np.all(values[0] != values[1])


def test_the_baseline_at_random_has_none_of_the_trained_weights(saved):
  _, path = saved
  options = {"path": path, "taps": TAPS, "preprocessing": "0,255", "num_classes": 4}
  own = feature_metric.FeatureMetric(
      models.build("keras_file", **options), name="keras_file", options=options)
  at_random = feature_metric.random_init(own)
  assert at_random.name == "keras_file, random init"
  assert feature_metric.weights_hash(at_random.trunk) != feature_metric.weights_hash(own.trunk)
  assert feature_metric.weights_hash(at_random.trunk) == feature_metric.weights_hash(
      feature_metric.random_init(own).trunk)
  assert options["path"] == path


def test_names_and_options_are_those_of_any_network():
  assert models.wrappers() == ("keras_file", "keras_applications")
  assert not set(models.wrappers()) & set(models.names())
  for name in models.wrappers():
    options = models.network_options(name)
    assert {"taps", "preprocessing", "weights", "num_classes"} <= set(options)
    assert "name" not in options
  with pytest.raises(errors.UserError, match="Unknown option of keras_file 'tap'"):
    models.build("keras_file", tap=1)


def test_what_is_no_file_of_keras_is_refused(saved, tmp_path):
  other = tmp_path / "other.keras"
  other.write_text("something else")
  model, path = saved
  weights = tmp_path / "small.weights.h5"
  model.save_weights(weights)
  for options, message in (
      ({"path": None}, "keras_file needs the option path."),
      ({"preprocessing": None}, "keras_file needs the option preprocessing."),
      ({"path": "nowhere.keras"}, "path: there is no file nowhere.keras (from /"),
      ({"path": str(other)}, f"{other} cannot be read as a Keras model: "),
      ({"path": str(weights)}, f"{weights} cannot be read as a Keras model: "),
      ({"weights": "imagenet"}, "Unknown kind of weights 'imagenet'. Available: 'file', None."),
      ({"taps": None}, "taps must be a list of names of layers of small, not None. Available: fi"),
      ({"taps": ["frist"]}, "Unknown layer of small 'frist'. Available: first, "),
  ):
    with pytest.raises(errors.UserError) as error:
      build_file(**{"path": path, **options})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_code_in_a_file_is_not_run(tmp_path):
  image = keras.Input((None, None, 3))
  path = tmp_path / "code.keras"
  keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(path)
  with pytest.raises(errors.UserError, match="cannot be read as a Keras model"):
    build_file(str(path))


# Keras takes a network's preprocessing from the module that its function is of: here, this one.


def preprocess_input(pixels):
  return pixels / 100 - 1


def numbered(*, include_top=True, weights=None, input_shape=None):
  """A network of `keras.applications`, in small, that leaves it to Keras to number its layers."""
  assert weights is None
  image = keras.Input(input_shape or (8, 8, 3))
  x = keras.layers.Conv2D(3, 3, strides=2, padding="same")(image)
  x = keras.layers.Conv2D(4, 3, padding="same")(keras.layers.ReLU()(x))
  x = keras.layers.Conv2D(5, 3, padding="same", name="stage_7")(x)
  if include_top:
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(6, "softmax", name="scores")(x)
  return keras.Model(image, x, name="numbered")


@pytest.fixture
def application(monkeypatch):
  """`models.build` of the small network, as one of Keras's."""
  monkeypatch.setattr(keras.applications, "Numbered", numbered, raising=False)

  def build(**options):
    return models.build("keras_applications", **{
        "model": "Numbered", "taps": ["conv2d", "conv2d_1", "stage_7"], **options})
  return build


def test_numbered_layers_have_the_names_of_a_fresh_process(application):
  keras.layers.Conv2D(1, 1)  # takes a number
  first, second = application(), application()
  assert [tap.name for tap in taps.list_taps(second)] == ["conv2d", "conv2d_1", "stage_7"]
  assert [v.path for v in first.weights] == [v.path for v in second.weights] == [
      f"wrapped_{name}/{part}" for name in ("conv2d", "conv2d_1", "stage_7")
      for part in ("kernel", "bias")]


def test_keras_s_own_preprocessing_is_the_default(application):
  seen = images(8, 8)
  network = application()
  kernel, bias = network.get_layer("wrapped_conv2d").get_weights()
  expected = tf.nn.conv2d(preprocess_input(seen.astype("float32")), kernel, 2, "SAME") + bias
  np.testing.assert_allclose(network(IMAGENET(seen))["conv2d"], expected, atol=1e-5)
  given = application(preprocessing="-1,1")(IMAGENET(seen))["conv2d"]
  assert np.abs(given - expected).max() > 0.01


def test_an_application_gets_the_classes_asked_for(application):
  assert list(application().output) == ["conv2d", "conv2d_1", "stage_7"]
  assert application(num_classes=3).output["logits"].shape == (None, 3)


@pytest.mark.parametrize("file", ["own.weights.h5", "own.h5"])
@pytest.mark.parametrize("include_top", [True, False])
def test_weights_come_from_a_file_with_or_without_a_classifier(
    application, tmp_path, file, include_top):
  keras.utils.set_random_seed(3)
  whole = numbered(include_top=include_top)
  (whole.save_weights if "weights" in file else whole.save)(tmp_path / file)
  seen = images(8, 8)
  expected = keras.Model(whole.input, [whole.get_layer("stage_7").output, whole.output])(
      preprocess_input(seen.astype("float32")))
  outputs = application(weights=str(tmp_path / file), num_classes=6)(IMAGENET(seen))
  np.testing.assert_allclose(outputs["stage_7"], expected[0], atol=1e-5)
  if include_top:
    np.testing.assert_allclose(tf.nn.softmax(outputs["logits"]), expected[1], atol=1e-5)


def test_nothing_is_downloaded_and_other_weights_are_refused(application, saved, tmp_path):
  path = str(tmp_path / "small.weights.h5")
  saved[0].save_weights(path)
  for weights, message in (
      ("imagenet", "weights must be a file: nothing is downloaded here. Where a download"),
      ("nowhere.h5", r"weights: there is no file nowhere.h5 \(from /"),
      (path, "small.weights.h5 does not hold weights of Numbered: ")):
    with pytest.raises(errors.UserError, match=message) as error:
      application(weights=weights)
    assert "\n" not in str(error.value)


def test_weights_of_a_network_that_begins_alike_are_refused(application, tmp_path):
  whole = numbered()
  longer = keras.Model(whole.input, keras.layers.Dense(2)(whole.output))
  longer.save_weights(tmp_path / "longer.weights.h5")
  with pytest.raises(errors.UserError, match="does not hold weights of Numbered: it holds 10 "
                                             "arrays, and the network has 6"):
    application(weights=str(tmp_path / "longer.weights.h5"))


def test_weights_come_with_the_state_of_their_optimizer(application, tmp_path):
  whole = numbered()
  whole.compile("adam", "mse")
  whole.fit(images(8, 8).astype("float32"), np.zeros((2, 6)), verbose=0)
  whole.save_weights(tmp_path / "trained.weights.h5")
  network = application(weights=str(tmp_path / "trained.weights.h5"))
  np.testing.assert_array_equal(
      network.get_layer("wrapped_conv2d").kernel, whole.layers[1].kernel)


def test_an_unknown_application_names_the_known():
  with pytest.raises(errors.UserError, match=r"Unknown network of keras\.applications 'VGG18'\. .*"
                                             "MobileNetV2.*VGG16"):
    models.build("keras_applications", model="VGG18", taps=["a"])
  with pytest.raises(errors.UserError, match="keras_applications needs the option model"):
    models.build("keras_applications")


def test_an_application_can_be_built_for_one_size(application):
  network = application(image_size=12)
  assert network(IMAGENET(images(12, 12)))["stage_7"].shape == (2, 6, 6, 5)
  for size in (0, "64", (64, 64)):
    with pytest.raises(errors.UserError, match="image_size must be an integer >= 1, or None"):
      application(image_size=size)
  with pytest.raises(errors.UserError, match="NASNetMobile cannot be built: Input size must be"):
    models.build("keras_applications", model="NASNetMobile", taps=["a"], image_size=8)


def ill_fitting(*, include_top=True, weights=None, input_shape=None):
  """A network that looks at the size of its maps as it is built, as NASNet does."""
  assert weights is None and not include_top
  image = keras.Input(input_shape)
  x = keras.layers.Conv2D(3, 3, strides=2 if image.shape[1] else 1, padding="same")(image)
  shortcut = keras.layers.MaxPooling2D(2, padding="same")(image)
  return keras.Model(image, keras.layers.Add()([x, shortcut]), name="ill_fitting")


def test_an_application_that_must_be_built_for_one_size_says_so(monkeypatch):
  monkeypatch.setattr(keras.applications, "IllFitting", ill_fitting, raising=False)
  with pytest.raises(errors.UserError, match="IllFitting must be built for one size of image"):
    models.build("keras_applications", model="IllFitting", taps=["conv2d"])
  network = models.build(
      "keras_applications", model="IllFitting", taps=["conv2d"], image_size=16)
  assert taps.list_taps(network)[0].stride == 2


def test_one_of_keras_s_own():
  keras.utils.set_random_seed(0)
  network = models.build(
      "keras_applications", model="MobileNetV3Small", taps=["conv", "expanded_conv_project"],
      num_classes=3)
  assert [tap.stride for tap in taps.list_taps(network)] == [2, 4]
  outputs = network(IMAGENET(images(64, 48)))
  assert outputs["logits"].shape == (2, 3)
  assert outputs["conv"].shape == (2, 32, 24, 16)
