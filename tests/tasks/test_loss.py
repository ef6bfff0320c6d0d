"""The loss of a task: closed forms, gradients, frozen networks, and what is refused."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual.errors import UserError
from perceptual.metrics import classical
from perceptual.tasks import loss


@pytest.fixture(scope="module")
def pair():
  target, output = np.random.default_rng(0).random((2, 3, 40, 40, 3), np.float32)
  return tf.constant(target), tf.constant(output)


def _value(made, target, output):
  return made(made.of_target(target), output).numpy()


def test_pixel_terms_are_weighted_and_averaged_over_each_image(pair):
  target, output = (images.numpy() for images in pair)
  made = loss.Loss(pixels={"mse": 2.0, "mae": 0.5, "bce": 0.1})
  crossed = -(target * np.log(output) + (1 - target) * np.log(1 - output))
  expected = (2.0 * np.square(target - output) + 0.5 * np.abs(target - output)
              + 0.1 * crossed).mean(axis=(1, 2, 3))
  np.testing.assert_allclose(_value(made, *pair), expected, rtol=1e-5)


def test_the_loss_of_the_study_is_the_mean_squared_difference_of_raw_features(pair, tiny_metric):
  metric = tiny_metric("vgg11", ["relu2_1"])
  made = loss.Loss(metric, normalised=False)
  features = [metric.trunk(images, training=False)["relu2_1"].numpy() for images in pair]
  expected = np.square(features[0] - features[1]).mean(axis=(1, 2, 3))
  np.testing.assert_allclose(_value(made, *pair), expected, rtol=1e-5)
  assert not np.allclose(_value(loss.Loss(metric), *pair), expected, rtol=1e-2), (
      "normalised images are others")


@pytest.mark.parametrize("distance", ["local", "l2", "style", "local+sort"])
def test_it_is_the_metric_at_any_tap_and_distance(pair, tiny_metric, distance):
  metric = tiny_metric(taps=("relu1", "relu3"), distance=distance)
  np.testing.assert_allclose(
      _value(loss.Loss(metric, weight=3.0), *pair), 3.0 * metric(*pair).numpy(), rtol=1e-4)


def test_a_similarity_counts_with_its_sign_changed(pair):
  ssim = classical.build("ssim")
  np.testing.assert_allclose(_value(loss.Loss(ssim), *pair), -ssim(*pair).numpy(), rtol=1e-5)


def test_masks_of_one_channel_are_seen_as_three_equal_ones(pair, tiny_metric):
  metric = tiny_metric()
  masks = [images[..., :1] for images in pair]
  repeated = [tf.repeat(mask, 3, axis=-1) for mask in masks]
  np.testing.assert_allclose(
      _value(loss.Loss(metric), *masks), _value(loss.Loss(metric), *repeated), rtol=1e-5)


def test_the_gradient_is_of_the_output_alone_and_leaves_the_network_as_it_is(pair, tiny_metric):
  metric = tiny_metric("vgg16_bn", ["relu2_2"])
  made = loss.Loss(metric)
  before = [weight.numpy().copy() for weight in metric.trunk.weights]
  target, output = pair
  with tf.GradientTape() as tape:
    tape.watch([target, output])
    values = made(made.of_target(target), output)
  gradients = tape.gradient(values, [target, output])
  assert gradients[0] is None
  assert np.abs(gradients[1].numpy()).max() > 0
  assert not metric.trunk.trainable_weights
  assert all(np.array_equal(weight.numpy(), old)
             for weight, old in zip(metric.trunk.weights, before)), "statistics do not drift"


def test_features_of_a_target_do_not_depend_on_its_batch(pair, tiny_metric):
  """As they would with a loss network in training mode, which the study's code had in two tasks."""
  made = loss.Loss(tiny_metric("vgg16_bn", ["relu2_2"]))
  target, output = pair
  alone = [_value(made, target[i:i + 1], output[i:i + 1])[0] for i in range(3)]
  np.testing.assert_allclose(_value(made, target, output), alone, rtol=1e-4)


def test_a_network_is_cut_behind_its_last_tap(tiny_metric):
  early, late = (tiny_metric("vgg11", [tap]).trunk for tap in ("relu1_1", "relu5_2"))
  assert len(early.layers) < 6 < len(late.layers)
  assert early.count_params() < late.count_params() / 10


def test_an_output_may_overshoot_and_a_taught_image_may_be_equal(pair, tiny_metric):
  made = loss.Loss(tiny_metric(), pixels={"mae": 1.0})
  target, output = pair
  assert np.isfinite(_value(made, target, 3 * output - 1)).all()
  np.testing.assert_array_equal(_value(made, target, target), 0)


def test_settings_load_what_they_name():
  made = loss.Settings(metric="gaussian-resnet2", distance="l2", taps=("stem",),
                       mse=0.5).make()
  assert made.name == "gaussian-resnet2 stem by l2 + 0.5 mse"
  assert made.as_data()["mse"] == 0.5 and len(made.as_data()["weights_sha256"]) == 64
  assert loss.Settings(mse=1.0).make().metric is None


@pytest.mark.parametrize(("given", "message"), [
    ({}, "The loss has no term: give loss.metric, loss.mse, loss.mae or loss.bce"),
    ({"metric": "ssim", "weight": 0.0}, "The loss has no term: loss.weight, of ssim, is 0, and so"),
    ({"mse": -1.0}, "loss.mse must be a number at least 0, not -1.0"),
    ({"mse": 1.0, "taps": ("relu1",), "distance": "l2"},
     "loss.taps is of a metric: give loss.metric, or set loss.taps = None, loss.distance = None"),
    ({"metric": ["alexnet"]}, "loss.metric must be the name of a metric, or the path of a folder"),
    ({"metric": "alexnet", "taps": "relu1"}, "loss.taps must be a list of names, not 'relu1'"),
    ({"metric": "ssim", "normalised": 1}, "loss.normalised must be True or False, not 1"),
])
def test_illegal_settings_are_named(given, message):
  with pytest.raises(UserError, match=message):
    loss.Settings(**given)


def test_a_learned_metric_must_see_normalised_images(monkeypatch, tiny_metric):
  learned = copy.copy(tiny_metric())
  learned.channel_weights = {"stem": [1.0]}
  monkeypatch.setattr(loss.Settings, "_metric", lambda *_: learned)
  with pytest.raises(UserError, match=r"lpips-alex was learned of .*loss.normalised = True"):
    loss.Settings(metric="lpips-alex", normalised=False).make()


@pytest.mark.parametrize(("given", "message"), [
    ({"metric": "ssim", "taps": ("relu1",)},
     "loss.taps: the metric ssim has no option taps: set loss.taps = None"),
    ({"metric": "psnr:crop=4", "distance": "l2"},
     "loss.distance: the metric psnr:crop=4 has no option distance"),
    ({"metric": "lpips-alex", "taps": ("relu1",)}, "has no option taps"),
    ({"metric": "nothing"}, "Unknown metric 'nothing'"),
    ({"metric": "gaussian-resnet2", "taps": ("relu9",)}, "Unknown tap 'relu9'. Available: "),
])
def test_a_metric_that_cannot_serve_is_named(given, message):
  with pytest.raises(UserError, match=message):
    loss.Settings(**given).make()


def test_an_export_takes_no_options(tmp_path):
  (tmp_path / "saved_model.pb").touch()
  with pytest.raises(UserError, match=r"has no option taps: set loss.taps = None, loss.distance"):
    loss.Settings(metric=str(tmp_path), taps=("relu1",), distance="l2").make()


def test_a_loss_drives_an_image_to_its_target(pair, tiny_metric):
  target = pair[0]
  image = keras.Variable(pair[1])
  made = loss.Loss(tiny_metric(taps=("relu1",)), pixels={"mse": 1.0})
  of_target, values = made.of_target(target), []
  for _ in range(3):
    with tf.GradientTape() as tape:
      value = tf.reduce_sum(made(of_target, image.value))
    image.assign(image.value - 0.02 * tf.sign(tape.gradient(value, image.value)))
    values.append(float(value))
  assert values[2] < values[1] < values[0]
