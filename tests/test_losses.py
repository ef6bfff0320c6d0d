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
from perceptual.losses import WeightedSum
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


@pytest.mark.parametrize("shape", [
    (4, SIZE, SIZE, 1), (4, SIZE, SIZE), (4, 3), (3,), (1, 1, 1)])
def test_weights_that_are_not_one_a_sample_are_refused(shape, metric, pair):
  weights = np.ones(shape, np.float32)
  for take in (PerceptualLoss(metric), PerceptualDistance(metric).update_state,
               WeightedSum({PerceptualLoss(metric): 1.0})):
    with pytest.raises(UserError, match=r"sample_weight: shape .*; expected \[batch\]"):
      take(*pair, sample_weight=weights)


def test_fit_refuses_weights_of_pixels(metric, images):
  model = denoiser()
  model.compile("adam", loss=PerceptualLoss(metric))
  with pytest.raises(UserError, match=r"sample_weight: shape .*; expected \[batch\]"):
    model.fit(images, images, sample_weight=np.ones([8, SIZE, SIZE, 1]), verbose=0)


@pytest.mark.parametrize("weights", [2.0, [[1.0], [0.0], [2.0], [0.5]]])
def test_a_number_and_a_column_are_weights_too(weights, metric, pair):
  found = PerceptualLoss(metric)(*pair, sample_weight=weights)
  expected = np.mean(metric(*pair).numpy() * np.ravel(weights))
  np.testing.assert_allclose(found, expected, rtol=1e-6)


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


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_outputs_may_overshoot(run_eagerly, metric, images):
  model = denoiser("linear")
  model.layers[-1].bias.assign([2.0, 2.0, -1.0])
  model.compile("adam", loss=PerceptualLoss(metric), metrics=[PerceptualDistance(metric)],
                run_eagerly=run_eagerly)
  history = model.fit(images, images, verbose=0).history
  assert np.isfinite(history["loss"]).all() and np.isfinite(history["perceptual_distance"]).all()


@pytest.mark.parametrize("call", [lambda loss: loss, tf.function], ids=["eager", "graph"])
def test_a_sample_with_an_output_that_is_not_finite_has_no_finite_loss(call, metric, pair):
  """ReLU and pooling on TensorFlow make numbers of NaN."""
  for value in (np.nan, np.inf):
    wrong = np.array(pair[1])
    wrong[1, 0, 0, 0] = value
    found = call(PerceptualLoss(metric, reduction="none"))(pair[0], wrong)
    assert np.isnan(found).tolist() == [index == 1 for index in range(len(wrong))]


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
  # A SavedModel checks its images itself: what overshoots is clipped, with a gradient all the same.
  overshooting = tf.Variable(pair[1] + 0.5)
  with tf.GradientTape() as tape:
    value = PerceptualLoss(exported)(pair[0], overshooting)
  assert np.abs(tape.gradient(value, overshooting)[overshooting.numpy() > 1]).max() > 0
  np.testing.assert_allclose(
      value, PerceptualLoss(metric)(pair[0], np.clip(pair[1] + 0.5, 0, 1)), rtol=1e-4)
  monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
  with pytest.raises(UserError, match="An export has no gradients on jax"):
    PerceptualLoss(exported)


# Sums.


def test_a_sum_is_that_of_its_losses(metric, pair):
  perceptual_loss = PerceptualLoss(metric)
  found = WeightedSum({"mean_absolute_error": 1.0, perceptual_loss: 0.1,
                       keras.losses.MeanSquaredError(): 3, keras.losses.huber: -1})(*pair)
  expected = (np.abs(pair[0] - pair[1]).mean() + 0.1 * perceptual_loss(*pair)
              + 3 * np.square(pair[0] - pair[1]).mean() - keras.losses.Huber()(*pair))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "none", "sum_over_batch_size"])
def test_a_sum_weighs_and_reduces_as_its_losses_would(reduction, metric, pair):
  weights = np.array([1.0, 0.0, 2.0, 0.5], np.float32)
  found = WeightedSum({"mse": 2.0, PerceptualLoss(metric): 1}, reduction=reduction)(*pair, weights)
  by_sample = 2 * np.square(pair[0] - pair[1]).mean(axis=(1, 2, 3)) + metric(*pair).numpy()
  reduce = {"sum": np.sum, "none": np.asarray, "sum_over_batch_size": np.mean}[reduction]
  np.testing.assert_allclose(found, reduce(weights * by_sample), rtol=1e-5)


def test_all_losses_of_a_sum_take_uint8_targets_for_the_declared_range(pair):
  targets = np.round(255 * pair[0]).astype(np.uint8)
  loss = WeightedSum({"mae": 1.0, PerceptualLoss("mse"): 1.0})
  np.testing.assert_allclose(
      loss(targets, pair[1]), loss((targets / 255).astype(np.float32), pair[1]), rtol=1e-5)


@pytest.mark.parametrize(("losses", "message"), [
    ({}, "losses must be a dict of at least one loss: weight"),
    ([("mse", 1.0)], "losses must be a dict of at least one loss: weight"),
    ({"nothing": 1.0}, "Unknown loss 'nothing'"),
    ({3: 1.0}, "3 is not a loss"),
    ({"mse": "1"}, "The weight of mse must be a number, not '1'"),
    ({"mse": float("nan")}, "The weight of mse must be a number"),
    ({keras.losses.MeanSquaredError(reduction="sum", name="a"): 1.0}, "a has the reduction 'sum'"),
])
def test_what_is_no_sum_of_losses_is_refused(losses, message):
  with pytest.raises(UserError, match=message) as error:
    WeightedSum(losses)
  assert "\n" not in str(error.value)


def test_the_losses_of_a_sum_are_of_one_range_and_of_every_sample(pair):
  ranges = {PerceptualLoss(perceptual.load_metric("mse", float_range=each)): 1.0
            for each in ("0,1", "-1,1")}
  with pytest.raises(UserError, match="two ranges of images, -1 to 1 and 0 to 1"):
    WeightedSum(ranges)
  with pytest.raises(UserError, match="total gives one value for a batch"):
    def total(y_true, y_pred):
      return keras.ops.sum(y_true - y_pred)
    WeightedSum({total: 1.0})(*pair)


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
  loss = WeightedSum({"mean_absolute_error": 1.0, PerceptualLoss(): 0.1, keras.losses.huber: 0.5})
  model.compile("adam", loss=loss, metrics=[PerceptualDistance("ssim", name="ssim")])
  model.fit(images, images, verbose=0)
  expected = model.evaluate(images, images, verbose=0)
  model.save(tmp_path / "model.keras")
  loaded = keras.saving.load_model(tmp_path / "model.keras")
  assert isinstance(loaded.loss, WeightedSum) and loaded.loss.weights == [1.0, 0.1, 0.5]
  np.testing.assert_allclose(loaded.evaluate(images, images, verbose=0), expected, rtol=1e-5)
  loaded.fit(images, images, verbose=0)


# Elsewhere.


_ELSEWHERE = """
import json, sys
import perceptual
import keras, numpy as np
loaded = keras.saving.load_model(sys.argv[2])
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
overshooting = perceptual.PerceptualLoss("mse")(images, images + 1)
loaded.layers[-1].bias.assign([2.0, 2.0, -1.0])
print(json.dumps({"loss": history["loss"], "metric": history["perceptual_distance"],
                  "overshooting": [float(overshooting), float(loaded.train_on_batch(
                      images, images)), *map(float, loaded.get_weights()[-1])],
                  "same": same, "refused": bool(refused),
                  "value": float(perceptual.PerceptualLoss()(images[:4], images[4:]))}))
"""


def test_other_backends_train_too(on_another_backend, images, tmp_path):
  np.save(tmp_path / "images.npy", images)
  model = denoiser("linear")
  model.compile("sgd", loss=WeightedSum({"mae": 1.0, PerceptualLoss("mse"): 0.1}))
  model.save(tmp_path / "model.keras")
  printed = on_another_backend(_ELSEWHERE, tmp_path / "images.npy", tmp_path / "model.keras")
  found = json.loads(printed.splitlines()[-1])
  assert found["overshooting"][0] == pytest.approx(1)
  assert np.isfinite(found["overshooting"]).all()
  assert found["same"] and found["refused"]
  assert found["loss"][-1] < 0.9 * found["loss"][0]
  np.testing.assert_allclose(found["metric"], found["loss"], rtol=1e-4)
  np.testing.assert_allclose(
      found["value"], PerceptualLoss()(images[:4], images[4:]), rtol=1e-4)
