"""Learning rates: the papers' at steps in closed form, and against the code that they ran."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual.errors import UserError
from perceptual.training import schedules


def _rates(schedule, steps):
  return [float(schedule(step)) for step in steps]


def test_resnets_on_imagenet():
  """Batch 1024, 1251 steps an epoch: peak 0.4, warm-up to step 6255, tenths from 37,530 on."""
  schedule = schedules.StepDecay().keras(batch_size=1024, steps_per_epoch=1251, steps=112_590)
  steps = (0, 1, 3000, 6254, 6255, 37_529, 37_530, 75_059, 75_060, 100_079, 100_080, 112_590)
  expected = (0, 0.4 / 6255, 0.4 * 3000 / 6255, 0.4 * 6254 / 6255, 0.4, 0.4, 0.04, 0.04, 4e-3, 4e-3,
              4e-4, 4e-4)
  np.testing.assert_allclose(_rates(schedule, steps), expected, rtol=1e-6)


def test_efficientnets_on_imagenet():
  """Batch 2048, 625 steps an epoch: peak 0.128; 5 epochs of 2.4 have had two falls."""
  schedule = schedules.ExponentialDecay().keras(2048, 625, 218_750)
  steps = (0, 1, 3124, 3125, 4499, 4500, 5999, 6000, 218_749)
  expected = (0, 0.128 / 3125, 0.128 * 3124 / 3125, 0.128 * 0.97**2, 0.128 * 0.97**2,
              0.128 * 0.97**3, 0.128 * 0.97**3, 0.128 * 0.97**4, 0.128 * 0.97**145)
  np.testing.assert_allclose(_rates(schedule, steps), expected, rtol=1e-5)


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 10, 625, 1251])
def test_stairs_are_those_of_tensorflow_1(steps_per_epoch):
  """`tf.train.exponential_decay`, which the papers' code calls, at every stair."""
  schedule = schedules.ExponentialDecay(0.016, 0).keras(2048, steps_per_epoch, 1)
  stairs = np.arange(1, 12) * 2.4 * steps_per_epoch
  for step in sorted({0, *np.floor(stairs).astype(int), *np.ceil(stairs).astype(int)}):
    theirs = tf.compat.v1.train.exponential_decay(
        0.128, tf.constant(step), steps_per_epoch * 2.4, 0.97, staircase=True)
    np.testing.assert_allclose(float(schedule(step)), float(theirs()), rtol=1e-6, err_msg=step)


def test_vits_on_imagenet():
  """10,000 steps up to 3e-3 and half a cosine down to 0 at the last one, whatever the batch."""
  for batch_size, steps_per_epoch in ((4096, 312), (64, 20_018)):
    schedule = schedules.Cosine().keras(batch_size, steps_per_epoch, 90_000)
    steps = (0, 1, 5000, 9999, 10_000, 30_000, 50_000, 70_000, 90_000, 95_000)
    expected = 3e-3 * np.array([0, 1e-4, 0.5, 0.9999, 1, (1 + 0.5**0.5) / 2, 0.5,
                                (1 - 0.5**0.5) / 2, 0, 0])
    np.testing.assert_allclose(_rates(schedule, steps), expected, rtol=1e-5, atol=1e-9)


def test_lpips_as_its_code_has_it():
  """5 epochs and a sixth at 1e-4 for any batch, then a fifth less with each; after the last, 0."""
  for batch_size in (50, 256):
    schedule = schedules.LinearDecay().keras(batch_size, 10, 100)
    steps = (0, 49, 59, 60, 69, 70, 80, 90, 99, 100)
    np.testing.assert_allclose(
        _rates(schedule, steps), 1e-4 * np.array([1, 1, 1, 0.8, 0.8, 0.6, 0.4, 0.2, 0.2, 0]),
        rtol=1e-6, atol=1e-12)
  assert schedules.LinearDecay(1e-3, 10, 0).keras(256, 10, 100) == 1e-3, "it stays as it is"


def test_a_run_shorter_than_the_warm_up_only_warms_up():
  schedule = schedules.Cosine(warmup_steps=10).keras(256, 5, 4)
  np.testing.assert_allclose(_rates(schedule, range(5)), 3e-4 * np.arange(5), rtol=1e-6)


@pytest.mark.parametrize(("make", "after"), [
    (lambda: schedules.StepDecay(0.1, 0, ()), 0.1),
    (lambda: schedules.ExponentialDecay(0.1, 0, 1000), 0.1),
    (lambda: schedules.Cosine(0.1, 0), 0.1),
])
def test_there_may_be_no_warm_up(make, after):
  np.testing.assert_allclose(float(make().keras(256, 10, 10**6)(0)), after, rtol=1e-6)


@pytest.mark.parametrize("kind", [schedules.StepDecay, schedules.ExponentialDecay])
@pytest.mark.parametrize("batch_size", [64, 256, 1024])
def test_the_rate_grows_with_the_batch(kind, batch_size):
  schedule = kind(learning_rate=0.2, warmup_epochs=0).keras(batch_size, 10, 100)
  np.testing.assert_allclose(_rates(schedule, [0]), [0.2 * batch_size / 256], rtol=1e-6)


def test_parts_of_epochs_are_rounded_to_steps():
  schedule = schedules.StepDecay(warmup_epochs=0.25, decay_epochs=(0.5, 1.5)).keras(256, 10, 100)
  assert (schedule.warmup_steps, schedule.schedule.boundaries) == (2, (5, 15))


@pytest.mark.parametrize("kind", schedules.SCHEDULES.values(), ids=schedules.SCHEDULES)
def test_a_schedule_is_rebuilt_from_its_config(kind):
  schedule = kind().keras(1024, 7, 700)
  rebuilt = keras.optimizers.schedules.deserialize(
      keras.optimizers.schedules.serialize(schedule))
  assert _rates(rebuilt, range(0, 700, 50)) == _rates(schedule, range(0, 700, 50))


@pytest.mark.parametrize(("make", "culprit"), [
    (lambda: schedules.StepDecay(learning_rate=0), "learning_rate .* a number above 0, not 0"),
    (lambda: schedules.StepDecay(learning_rate="0.1"), "learning_rate .* not '0.1'"),
    (lambda: schedules.StepDecay(warmup_epochs=-1), "warmup_epochs .* at least 0, not -1"),
    (lambda: schedules.StepDecay(decay_factor=0), "decay_factor .* above 0"),
    (lambda: schedules.StepDecay(decay_epochs=30), "decay_epochs must be a list .* not 30"),
    (lambda: schedules.StepDecay(decay_epochs=(30, "60")), "decay_epochs .* not '60'"),
    (lambda: schedules.StepDecay(decay_epochs=(60, 30)), r"decay_epochs must rise, not \(60, 30"),
    (lambda: schedules.StepDecay(decay_epochs=(30, 30)), "decay_epochs must rise"),
    (lambda: schedules.ExponentialDecay(learning_rate=-1), "learning_rate .* not -1"),
    (lambda: schedules.ExponentialDecay(warmup_epochs=None), "warmup_epochs .* not None"),
    (lambda: schedules.ExponentialDecay(decay_epochs=0), "decay_epochs .* above 0, not 0"),
    (lambda: schedules.ExponentialDecay(decay_factor="1"), "decay_factor .* not '1'"),
    (lambda: schedules.Cosine(learning_rate=0), "learning_rate .* above 0"),
    (lambda: schedules.Cosine(warmup_steps=0.5), "warmup_steps must be a whole number .* not 0.5"),
    (lambda: schedules.Cosine(warmup_steps=-1), "warmup_steps .* at least 0, not -1"),
    (lambda: schedules.LinearDecay(learning_rate=0), "learning_rate .* above 0"),
    (lambda: schedules.LinearDecay(constant_epochs=0.5), "constant_epochs .* whole number .* 0.5"),
    (lambda: schedules.LinearDecay(decay_epochs=-1), "decay_epochs .* at least 0, not -1"),
])
def test_an_illegal_schedule_is_refused_in_one_line(make, culprit):
  with pytest.raises(UserError, match=culprit) as caught:
    make()
  assert "\n" not in str(caught.value)
