"""Optimizers: those of the papers' code step by step; what decays, in the loss or beside it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.errors import UserError
from perceptual.training import optimizers, regularization, schedules

# Through warm-up and two falls in 16 steps of 4 an epoch.
SCHEDULE = schedules.StepDecay(warmup_epochs=1, decay_epochs=(2, 3))


def _assert_steps_as(recipe, make_reference, rtol=1e-6):
  """Takes 16 steps with an optimizer and with one of TensorFlow 1, made for a rate."""
  optimizer = recipe.keras(batch_size=512, steps_per_epoch=4, steps=16)
  ours, theirs = keras.Variable([1.0, -2.0]), tf.Variable([1.0, -2.0])
  optimizer.build([ours])
  rate = tf.Variable(0.0)
  reference = make_reference(lambda: rate)
  for gradient in np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32):
    rate.assign(optimizer.learning_rate)
    optimizer.apply([tf.constant(gradient)], [ours])
    reference.apply_gradients([(tf.constant(gradient), theirs)])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=rtol)


@pytest.mark.parametrize("momentum", [0.9, 0.0, 0])
@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_the_one_of_the_papers_code(nesterov, momentum):
  _assert_steps_as(
      optimizers.Sgd(SCHEDULE, momentum, nesterov),
      lambda rate: tf.compat.v1.train.MomentumOptimizer(rate, momentum, use_nesterov=nesterov))


@pytest.mark.parametrize("momentum", [0.9, 0.0, 0])
def test_rmsprop_is_the_one_of_the_papers_code(momentum):
  _assert_steps_as(
      optimizers.RmsProp(SCHEDULE, momentum=momentum),
      lambda rate: tf.compat.v1.train.RMSPropOptimizer(rate, 0.9, momentum, 1e-3))


def test_adam_without_weight_decay_is_adam():
  _assert_steps_as(
      optimizers.Adam(SCHEDULE, weight_decay=0),
      lambda rate: tf.compat.v1.train.AdamOptimizer(rate, 0.9, 0.999, 1e-8), rtol=1e-5)


def test_keras_own_sgd_is_another_one_where_the_rate_changes():
  """Why there is an optimizer here: one gradient, then none, as the rate falls to a tenth."""
  def after(make, factor):
    variable = keras.Variable([0.0])
    optimizer = make(
        schedules.FactorAtBoundaries(1.0, (1,), factor), momentum=0.5, nesterov=False)
    for gradient in (1.0, 0.0):
      optimizer.apply([tf.constant([gradient])], [variable])
    return float(variable.numpy()[0])

  assert after(keras.optimizers.SGD, 1.0) == after(optimizers.MomentumSgd, 1.0) == -1.5
  np.testing.assert_allclose(after(optimizers.MomentumSgd, 0.1), -1.05, rtol=1e-6)
  np.testing.assert_allclose(after(keras.optimizers.SGD, 0.1), -1.5, rtol=1e-6)


def test_keras_own_rmsprop_is_another_one_at_the_start():
  """Its first step is sqrt(10) times the rate whatever the gradient; here it is the gradient's."""
  def first_step(make):
    variable = keras.Variable([0.0])
    make(1.0, rho=0.9, epsilon=1e-12).apply([tf.constant([1e-3])], [variable])
    return -float(variable.numpy()[0])

  np.testing.assert_allclose(first_step(keras.optimizers.RMSprop), 10**0.5, rtol=1e-4)
  np.testing.assert_allclose(first_step(optimizers.RmsPropFromOne), 1e-3 / 0.9**0.5, rtol=1e-4)


NETWORKS = {"resnet6": {"width": 0.05}, "efficientnet_b0": {"width": 0.1, "depth": 0.1},
            "vit_b8": {"width": 1 / 64, "depth": 1 / 12}}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
  return models.build(request.param, num_classes=3, **NETWORKS[request.param])


def _kernels(model):
  return [v for v in model.trainable_variables if v.path.endswith("/kernel")]


def test_adam_takes_its_share_from_kernels_alone(model):
  """With gradients of 0 a step is the decay: rate times weight_decay of the weight."""
  adam = optimizers.Adam(schedules.Cosine(0.5, warmup_steps=0), weight_decay=0.3).keras(4, 1, 10)
  adam.build(model.trainable_variables)
  for variable in model.trainable_variables:
    variable.assign(np.full(variable.shape, 2.0))
  adam.apply([tf.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
  kernels = {v.path for v in _kernels(model)}
  assert len(kernels) >= 6
  for variable in model.trainable_variables:
    expected = 2 * (1 - 0.5 * 0.3) if variable.path in kernels else 2
    np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


def test_l2_is_half_the_squares_of_kernels_and_biases(model):
  """Not of normalisations' scales and offsets, nor of tokens and positions."""
  for variable in model.trainable_variables:
    variable.assign(np.full(variable.shape, 2.0))
  biases = [v for v in model.trainable_variables if v.path.endswith("/bias")]
  size = sum(np.prod(v.shape) for v in _kernels(model) + biases)
  np.testing.assert_allclose(
      regularization.l2_loss(model.trainable_variables), 0.5 * 4 * size, rtol=1e-6)
  left = {v.path.rsplit("/", 1)[-1] for v in model.trainable_variables} - {"kernel", "bias"}
  assert left <= {"gamma", "beta", "class_token", "position_embedding"}


@pytest.mark.parametrize("kind", optimizers.OPTIMIZERS.values(), ids=optimizers.OPTIMIZERS)
def test_variables_have_the_same_names_in_every_process(kind):
  first, second = (kind().keras(256, 10, 100) for _ in range(2))
  for optimizer in (first, second):
    optimizer.build([keras.Variable([1.0], name="weight")])
  assert [v.path for v in first.variables] == [v.path for v in second.variables]


@pytest.mark.parametrize(("make", "culprit"), [
    (lambda: optimizers.Sgd(momentum=1), "momentum .* below 1, not 1"),
    (lambda: optimizers.Sgd(momentum=True), "momentum must be a number .* not True"),
    (lambda: optimizers.Sgd(nesterov=1), "nesterov must be True or False, not 1"),
    (lambda: optimizers.Sgd(schedule=0.1), "must be StepDecay or .* @step_decay.* not 0.1"),
    (lambda: optimizers.RmsProp(schedule=None), "schedule must be .* not None"),
    (lambda: optimizers.RmsProp(rho=1), "rho .* below 1, not 1"),
    (lambda: optimizers.RmsProp(momentum=-0.1), "momentum .* not -0.1"),
    (lambda: optimizers.RmsProp(epsilon=0), "epsilon .* above 0, not 0"),
    (lambda: optimizers.Adam(schedule="cosine"), "schedule must be .* not 'cosine'"),
    (lambda: optimizers.Adam(beta_1=1), "beta_1 .* below 1, not 1"),
    (lambda: optimizers.Adam(beta_2="0.9"), "beta_2 .* not '0.9'"),
    (lambda: optimizers.Adam(epsilon=0), "epsilon .* above 0"),
    (lambda: optimizers.Adam(weight_decay=-1), "weight_decay .* at least 0, not -1"),
])
def test_an_illegal_optimizer_is_refused_in_one_line(make, culprit):
  with pytest.raises(UserError, match=culprit) as caught:
    make()
  assert "\n" not in str(caught.value)
