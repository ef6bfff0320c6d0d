"""Recipes: the papers' schedule at steps in closed form, their optimizer, their L2."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.data.augment import Augmentation
from perceptual.errors import UserError
from perceptual.training import recipe
from perceptual.training.settings import Settings


def _rates(schedule, steps):
  return [float(schedule(step)) for step in steps]


def test_the_papers_schedule_on_imagenet():
  """Batch 1024, 1251 steps an epoch: peak 0.4, warm-up to step 6255, tenths from 37,530 on."""
  schedule = recipe.Schedule().keras(batch_size=1024, steps_per_epoch=1251)
  steps = (0, 1, 3000, 6254, 6255, 37_529, 37_530, 75_059, 75_060, 100_079, 100_080, 112_590)
  expected = (0, 0.4 / 6255, 0.4 * 3000 / 6255, 0.4 * 6254 / 6255, 0.4, 0.4, 0.04, 0.04, 4e-3, 4e-3,
              4e-4, 4e-4)
  np.testing.assert_allclose(_rates(schedule, steps), expected, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [64, 256, 1024])
def test_the_rate_grows_with_the_batch(batch_size):
  schedule = recipe.Schedule(learning_rate=0.2, warmup_epochs=0).keras(batch_size, 10)
  np.testing.assert_allclose(_rates(schedule, [0]), [0.2 * batch_size / 256], rtol=1e-6)


def test_a_schedule_may_have_no_warm_up_and_no_decay():
  schedule = recipe.Schedule(warmup_epochs=0, decay_epochs=()).keras(256, 10)
  np.testing.assert_allclose(_rates(schedule, [0, 1, 10**6]), 0.1, rtol=1e-6)


def test_parts_of_epochs_are_rounded_to_steps():
  schedule = recipe.Schedule(warmup_epochs=0.25, decay_epochs=(0.5, 1.5)).keras(256, 10)
  assert (schedule.warmup_steps, schedule.boundaries) == (2, (5, 15))


def test_a_schedule_is_rebuilt_from_its_config():
  schedule = recipe.Schedule().keras(1024, 7)
  rebuilt = keras.optimizers.schedules.deserialize(
      keras.optimizers.schedules.serialize(schedule))
  assert _rates(rebuilt, range(0, 700, 50)) == _rates(schedule, range(0, 700, 50))


@pytest.mark.parametrize("momentum", [0.9, 0.0, 0])
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_optimizer_is_the_one_of_the_papers_code(nesterov, momentum):
  """TensorFlow 1's MomentumOptimizer, which that code calls, through warm-up and two decays."""
  schedule = recipe.Schedule(warmup_epochs=1, decay_epochs=(2, 3))
  optimizer = recipe.Sgd(schedule, momentum, nesterov).keras(batch_size=512, steps_per_epoch=4)
  ours, theirs = keras.Variable([1.0, -2.0]), tf.Variable([1.0, -2.0])
  optimizer.build([ours])
  rate = tf.Variable(0.0)
  reference = tf.compat.v1.train.MomentumOptimizer(lambda: rate, momentum, use_nesterov=nesterov)
  for gradient in np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32):
    rate.assign(optimizer.learning_rate)
    optimizer.apply([tf.constant(gradient)], [ours])
    reference.apply_gradients([(tf.constant(gradient), theirs)])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


def test_keras_own_sgd_is_another_one_where_the_rate_changes():
  """Why there is an optimizer here: one gradient, then none, as the rate falls to a tenth."""
  def after(make, rates):
    variable = keras.Variable([0.0])
    optimizer = make(recipe.StepDecay(1.0, 0, (1,), rates), momentum=0.5, nesterov=False)
    for gradient in (1.0, 0.0):
      optimizer.apply([tf.constant([gradient])], [variable])
    return float(variable.numpy()[0])

  assert after(keras.optimizers.SGD, 1.0) == after(recipe.MomentumSgd, 1.0) == -1.5
  np.testing.assert_allclose(after(recipe.MomentumSgd, 0.1), -1.05, rtol=1e-6)
  np.testing.assert_allclose(after(keras.optimizers.SGD, 0.1), -1.5, rtol=1e-6)


def test_l2_is_half_the_squares_of_all_but_batch_normalisation():
  model = models.build("resnet6", width=0.05, num_classes=3)
  for variable in model.trainable_variables:
    variable.assign(np.full(variable.shape, 2.0))
  kernels = sum(
      np.prod(layer.kernel.shape) for layer in model.layers
      if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)))
  biases = 3  # of the dense layer; convolutions have none
  np.testing.assert_allclose(
      recipe.l2_loss(model.trainable_variables), 0.5 * 4 * (kernels + biases), rtol=1e-6)


@pytest.mark.parametrize(("make", "culprit"), [
    (lambda: recipe.Schedule(learning_rate=0), "learning_rate must be a number above 0, not 0"),
    (lambda: recipe.Schedule(learning_rate="0.1"), "learning_rate .* not '0.1'"),
    (lambda: recipe.Schedule(warmup_epochs=-1), "warmup_epochs .* at least 0, not -1"),
    (lambda: recipe.Schedule(decay_factor=0), "decay_factor .* above 0"),
    (lambda: recipe.Schedule(decay_epochs=30), "decay_epochs must be a list .* not 30"),
    (lambda: recipe.Schedule(decay_epochs=(30, "60")), "decay_epochs .* not '60'"),
    (lambda: recipe.Schedule(decay_epochs=(60, 30)), r"decay_epochs must rise, not \(60, 30\)"),
    (lambda: recipe.Schedule(decay_epochs=(30, 30)), "decay_epochs must rise"),
    (lambda: recipe.Sgd(momentum=1), "momentum .* below 1, not 1"),
    (lambda: recipe.Sgd(momentum=True), "momentum must be a number .* not True"),
    (lambda: recipe.Sgd(nesterov=1), "nesterov must be True or False, not 1"),
    (lambda: recipe.Sgd(schedule=0.1), "schedule must be Schedule, in gin @step_decay.., not 0.1"),
    (lambda: Settings(optimizer="sgd"), "optimizer must be Sgd, in gin @sgd.., not 'sgd'"),
    (lambda: Settings(augmentation=None), "augmentation must be Augmentation, .* not None"),
    (lambda: Settings(batch_size=0), "batch_size must be a whole number of at least 1, not 0"),
    (lambda: Settings(batch_size="64"), "batch_size .* not '64'"),
    (lambda: Settings(batch_size=64.0), "batch_size .* not 64.0"),
    (lambda: Settings(train_steps=0), "train_steps .* not 0"),
    (lambda: Settings(checkpoint_interval=-5), "checkpoint_interval .* not -5"),
    (lambda: Settings(epochs=float("inf")), "epochs .* not inf"),
    (lambda: Settings(epochs=float("nan")), "epochs .* not nan"),
    (lambda: Settings(label_smoothing=1), "label_smoothing .* below 1, not 1"),
    (lambda: Settings(weight_decay=-1e-4), "weight_decay .* not -0.0001"),
    (lambda: Settings(clip_norm=0), "clip_norm .* above 0, not 0"),
    (lambda: Settings(seed=-1), "seed .* not -1"),
    (lambda: Settings(seed=2**32), "seed .* below 4294967296"),
    (lambda: Settings(precision="float16"), "precision 'float16'. Available: float32, bfloat16"),
    (lambda: Settings(precision=["float32"]), "precision .* Available"),
    (lambda: Settings(score_distances="local"), "score_distances must be a list .* not 'local'"),
    (lambda: Settings(score_distances=("local", "l9")), "distance 'l9'. Available: "),
    (lambda: Settings(score_distances=("local", 9)), "score_distances must be a list"),
    (lambda: Settings(score_distances=("local", "local")), "names one twice"),
    (lambda: Settings(score_distances=("spatial",)), "'spatial' is called 'local' here"),
    (lambda: Settings(score_by="sort"), "score_by 'sort' is not one of .* local, mean_pool, style"),
])
def test_illegal_settings_are_refused_in_one_line(make, culprit):
  with pytest.raises(UserError, match=culprit) as caught:
    make()
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "per_epoch", "steps"), [
    ({"batch_size": 100, "epochs": 2}, 10, 20),
    ({"batch_size": 300, "epochs": 1}, 3, 3),  # whole batches, as the papers count
    ({"batch_size": 100, "epochs": 0.25}, 10, 3),
    ({"batch_size": 100, "epochs": 2, "train_steps": 7}, 10, 7),
    ({"batch_size": 4000, "epochs": 5}, 1, 5),
])
def test_epochs_are_counted_in_steps(options, per_epoch, steps):
  settings, images = Settings(**options), types.SimpleNamespace(sizes={"train": 1000})
  assert (settings.steps_per_epoch(images), settings.steps(images)) == (per_epoch, steps)


def test_the_defaults_are_the_papers_resnet():
  settings = Settings()
  assert settings.optimizer == recipe.Sgd(
      recipe.Schedule(0.1, 5.0, (30.0, 60.0, 80.0), 0.1), 0.9, True)
  assert settings.augmentation == Augmentation("pad", 4, True)
  assert (settings.batch_size, settings.epochs, settings.weight_decay) == (1024, 90.0, 1e-4)
  assert (settings.label_smoothing, settings.clip_norm) == (0.0, None)
