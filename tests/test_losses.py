"""The loss and the metric for `compile` and `fit`: what they compute, train, and write down."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import PerceptualDistance, PerceptualLoss, models
from perceptual.errors import UserError
from perceptual.export import saved_model
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models.taps import Tap

SIZE = 32


@pytest.fixture(scope="module")
def metric():
  keras.utils.set_random_seed(1)
  return FeatureMetric(models.build("resnet4", width=0.0625, num_classes=3), name="resnet4")


@pytest.fixture(scope="module")
def images():
  rng = np.random.default_rng(0)
  return rng.random([8, SIZE, SIZE, 3], np.float32)


@pytest.fixture(scope="module")
def pair(images):
  return images[:4], images[4:]


def denoiser(activation="sigmoid"):
  keras.utils.set_random_seed(2)
  image = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
  return keras.Model(image, keras.layers.Conv2D(3, 3, padding="same", activation=activation)(x))


# What they compute.


@pytest.mark.parametrize(("reduction", "reduce"), [
    ("sum_over_batch_size", np.mean), ("mean", np.mean), ("sum", np.sum), ("none", np.asarray),
    (None, np.asarray), ("mean_with_sample_weight", np.mean)])
def test_the_loss_is_the_distance_reduced_as_asked(metric, pair, reduction, reduce):
  loss = PerceptualLoss(metric, reduction=reduction)(*pair)
  np.testing.assert_allclose(loss, reduce(metric(*pair).numpy()), rtol=1e-6)


def test_samples_have_weights(metric, pair):
  values, weights = metric(*pair).numpy(), np.array([1.0, 0.0, 2.0, 0.5], np.float32)
  loss = PerceptualLoss(metric)(*pair, sample_weight=weights)
  np.testing.assert_allclose(loss, np.mean(values * weights), rtol=1e-6)
  mean = PerceptualDistance(metric)
  mean.update_state(*pair, sample_weight=weights)
  np.testing.assert_allclose(mean.result(), np.average(values, weights=weights), rtol=1e-6)


def test_the_metric_is_the_mean_over_batches_until_it_is_reset(metric, pair):
  mean = PerceptualDistance(metric)
  for i in (0, 2):
    mean.update_state(pair[0][i:i + 2], pair[1][i:i + 2])
  np.testing.assert_allclose(mean.result(), np.mean(metric(*pair)), rtol=1e-6)
  mean.reset_state()
  assert mean.result() == 0


@pytest.mark.parametrize("name", ["ssim", "psnr"])
def test_similarities_are_negated_in_the_loss_and_not_in_the_metric(name, pair):
  similarity = perceptual.load_metric(name)
  expected = np.mean(similarity(*pair))
  np.testing.assert_allclose(PerceptualLoss(name)(*pair), -expected, rtol=1e-6)
  mean = PerceptualDistance(name)
  mean.update_state(*pair)
  np.testing.assert_allclose(mean.result(), expected, rtol=1e-6)


@pytest.mark.parametrize("float_range", ["0,1", "0,255", "-1,1"])
def test_targets_of_uint8_mean_the_same_as_floats(pair, float_range):
  metric = perceptual.load_metric("mse", float_range=float_range)
  low, high = metric.preprocessing.float_range
  targets = np.round(255 * pair[0]).astype(np.uint8)
  as_floats = (low + (high - low) * targets / 255).astype(np.float32)
  outputs = low + (high - low) * pair[1]
  np.testing.assert_allclose(
      PerceptualLoss(metric)(targets, outputs), PerceptualLoss(metric)(as_floats, outputs),
      rtol=1e-5)
  mean = PerceptualDistance(metric)
  mean.update_state(targets, np.round(255 * pair[1]).astype(np.uint8))
  np.testing.assert_allclose(mean.result(), PerceptualLoss(metric)(targets, outputs), rtol=1e-2)


@pytest.mark.parametrize(("of_true", "of_pred"), [
    ("float64", "float32"), ("float32", "float16"), ("bfloat16", "float32")])
def test_dtypes_may_differ(metric, pair, of_true, of_pred):
  mixed = tf.cast(pair[0], of_true), tf.cast(pair[1], of_pred)
  loss = PerceptualLoss(metric)(*mixed)
  assert loss.dtype == tf.float32
  np.testing.assert_allclose(loss, PerceptualLoss(metric)(*pair), rtol=2e-2)
  mean = PerceptualDistance(metric)
  mean.update_state(*mixed)
  np.testing.assert_allclose(mean.result(), loss, rtol=1e-6)


def test_greyscale_models_have_a_loss(metric, pair):
  grey = [images[..., :1] for images in pair]
  np.testing.assert_allclose(
      PerceptualLoss(metric)(*grey), np.mean(metric(*(np.repeat(g, 3, -1) for g in grey))),
      rtol=1e-5)


@pytest.mark.parametrize("name", [None, "ssim", "psnr", "fsim", "mse"])
def test_the_gradient_is_finite_and_where_images_are_equal_zero(pair, name):
  loss = PerceptualLoss(name)
  for candidate, is_zero in ((pair[0], True), (pair[1], False)):
    candidate = tf.Variable(candidate)
    with tf.GradientTape() as tape:
      value = loss(pair[0], candidate)
    slope = tape.gradient(value, candidate).numpy()
    assert np.isfinite(slope).all()
    assert (np.abs(slope).max() < 1e-5) == is_zero


# What they refuse.


def test_eagerly_targets_out_of_range_are_errors(metric, pair):
  for compare in (PerceptualLoss(metric), PerceptualDistance(metric).update_state):
    with pytest.raises(UserError, match="the declared range of float images is 0 to 1"):
      compare(255 * pair[0], pair[1])


@pytest.mark.parametrize("compiled", [
    lambda metric: {"loss": PerceptualLoss(metric)},
    lambda metric: {"loss": "mse", "metrics": [PerceptualDistance(metric)]}])
def test_fit_refuses_targets_out_of_range_and_spoils_no_weight(metric, images, compiled):
  model = denoiser()
  model.compile("adam", **compiled(metric))
  with pytest.raises(tf.errors.InvalidArgumentError, match="y_true has values outside the declar"):
    model.fit(images, 255 * images, verbose=0)
  assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_where_xla_compiles_targets_out_of_range_give_nan_and_spoil_no_weight(metric, images):
  model = denoiser()
  model.compile("adam", loss=PerceptualLoss(metric), jit_compile=True)
  targets = images.copy()
  targets[0, 0, 0, 0] = 2
  assert np.isnan(model.fit(images, targets, verbose=0).history["loss"]).all()
  assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_fit_lets_outputs_overshoot(metric, images):
  model = denoiser("linear")
  model.layers[-1].bias.assign([2.0, 2.0, -1.0])
  model.compile("adam", loss=PerceptualLoss(metric), metrics=[PerceptualDistance(metric)])
  assert np.isfinite(model.fit(images, images, verbose=0).history["loss"]).all()


def _tiny_metric():
  keras.utils.set_random_seed(4)
  image = keras.Input([None, None, 3])
  x = keras.layers.Conv2D(4, 3, strides=2, activation="tanh")(image)
  return FeatureMetric(keras.Model(image, {"map": Tap(stride=2, name="map")(x)}), name="tiny")


def test_an_export_is_a_loss_on_tensorflow_alone(pair, tmp_path, monkeypatch):
  metric = _tiny_metric()
  saved_model.export(metric, tmp_path / "metric")
  exported = perceptual.load_metric(tmp_path / "metric")
  candidate = tf.Variable(pair[1])
  slopes = []
  for each in (metric, exported):
    with tf.GradientTape() as tape:
      value = PerceptualLoss(each)(pair[0], candidate)
    slopes.append(tape.gradient(value, candidate))
  np.testing.assert_allclose(*slopes, rtol=1e-3, atol=1e-7)
  monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
  with pytest.raises(UserError, match="An export has no gradients on jax"):
    PerceptualLoss(exported)


# What they train.


def test_fit_lowers_the_loss_and_leaves_the_metric_as_it_was(metric, images):
  before = [weight.copy() for weight in metric.trunk.get_weights()]
  model = denoiser()
  model.compile(keras.optimizers.Adam(0.01), loss=PerceptualLoss(metric),
                metrics=[PerceptualDistance(metric)])
  noisy = np.clip(images + np.random.default_rng(3).normal(0, 0.1, images.shape), 0, 1)
  history = model.fit(noisy, images, batch_size=4, epochs=6, verbose=0).history
  assert history["loss"][-1] < 0.8 * history["loss"][0]
  np.testing.assert_allclose(history["perceptual_distance"], history["loss"], rtol=1e-5)
  for weight, old in zip(metric.trunk.get_weights(), before):
    np.testing.assert_array_equal(weight, old)
  assert len(model.trainable_variables) == 4


def test_early_stopping_knows_the_direction(metric):
  assert PerceptualDistance(metric)._direction == "down"
  assert PerceptualDistance("ssim")._direction == "up"


# What they write down.


@pytest.mark.parametrize("cls", [PerceptualLoss, PerceptualDistance])
@pytest.mark.parametrize("options", [
    {"source": None}, {"source": None, "distance": "mean_pool", "float_range": "-1,1"},
    {"source": "ssim", "channels": "luma"}])
def test_a_configuration_makes_the_same_again(cls, options, pair):
  made = cls(perceptual.load_metric(**options), name="mine")
  config = json.loads(json.dumps(made.get_config()))
  again = cls.from_config(config)
  assert again.get_config() == made.get_config() == config
  assert again.name == "mine"
  np.testing.assert_array_equal(made.metric(*pair), again.metric(*pair))


def test_the_reduction_is_written_down_too():
  loss = keras.losses.deserialize(keras.losses.serialize(PerceptualLoss("mse", reduction="sum")))
  assert isinstance(loss, PerceptualLoss) and loss.reduction == "sum"


def test_a_metric_from_elsewhere_cannot_be_written_down(metric):
  for made in (PerceptualLoss(metric), PerceptualDistance(metric)):
    with pytest.raises(UserError, match=r"Only a metric made by perceptual\.load_metric can be"):
      made.get_config()


def test_a_compiled_model_is_saved_and_trained_on(images, tmp_path):
  model = denoiser()
  model.compile("adam", loss=PerceptualLoss(), metrics=[PerceptualDistance("ssim", name="ssim")])
  model.fit(images, images, verbose=0)
  expected = model.evaluate(images, images, verbose=0)
  model.save(tmp_path / "model.keras")
  loaded = keras.saving.load_model(tmp_path / "model.keras")
  assert isinstance(loaded.loss, PerceptualLoss)
  np.testing.assert_allclose(loaded.evaluate(images, images, verbose=0), expected, rtol=1e-5)
  loaded.fit(images, images, verbose=0)


# Elsewhere.


_ELSEWHERE = """
import json, sys
import keras, numpy as np
import perceptual
from perceptual.errors import UserError
images = np.load(sys.argv[1])
noisy = np.clip(images + np.random.default_rng(3).normal(0, 0.1, images.shape), 0, 1)
metric = perceptual.load_metric()
before = [np.array(weight) for weight in metric.trunk.get_weights()]
image = keras.Input(images.shape[1:])
x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
model = keras.Model(
    image, keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid")(x))
model.compile(keras.optimizers.Adam(0.01), loss=perceptual.PerceptualLoss(metric),
              metrics=[perceptual.PerceptualDistance(metric)])
history = model.fit(noisy, images, batch_size=4, epochs=5, verbose=0).history
same = all((np.array(a) == b).all() for a, b in zip(metric.trunk.get_weights(), before))
try:
  refused = np.isnan(model.fit(images, 255 * images, verbose=0).history["loss"]).all()
except UserError:
  refused = True
print(json.dumps({"loss": history["loss"], "metric": history["perceptual_distance"],
                  "same": same, "refused": bool(refused),
                  "value": float(perceptual.PerceptualLoss()(images[:4], images[4:]))}))
"""


def test_other_backends_train_too(on_another_backend, images, tmp_path):
  np.save(tmp_path / "images.npy", images)
  printed = on_another_backend(_ELSEWHERE, tmp_path / "images.npy")
  found = json.loads(printed.splitlines()[-1])
  assert found["same"] and found["refused"]
  assert found["loss"][-1] < 0.9 * found["loss"][0]
  np.testing.assert_allclose(found["metric"], found["loss"], rtol=1e-4)
  np.testing.assert_allclose(
      found["value"], PerceptualLoss()(images[:4], images[4:]), rtol=1e-4)
