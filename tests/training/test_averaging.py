"""Averaged weights: TensorFlow 1's average, what is evaluated and kept, and going on from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.errors import UserError
from perceptual.models import preprocessing
from perceptual.training import averaging, classifier, model_dir, optimizers, schedules

NETWORK = ("resnet2", {"width": 0.1, "num_classes": 3})


def _trainer(strategy, decay=0.9, jit_compile=False, **options):
  """A trainer of a network with batch normalisation; the same weights under every strategy."""
  keras.utils.set_random_seed(5)
  rng = np.random.default_rng(0)
  batches = {"image": rng.integers(0, 256, (6, 8, 16, 16, 3), np.uint8),
             "label": rng.integers(0, 3, (6, 8))}
  with strategy.scope():
    model, averaged = (models.build(NETWORK[0], **NETWORK[1], **options) for _ in range(2))
    sgd = optimizers.Sgd(schedules.StepDecay(0.3, 0)).keras(256, 10, 10)
    return classifier.ClassifierTrainer(
        model, sgd, strategy.experimental_distribute_dataset(
            tf.data.Dataset.from_tensor_slices(batches).repeat()), strategy=strategy,
        batch_size=8, preprocess=preprocessing.IMAGENET,
        average=averaging.WeightAverage(model, averaged, decay), jit_compile=jit_compile)


def _weights(model):
  return {v.path: v.numpy() for v in model.weights}


def test_it_starts_from_the_first_weights(one_device):
  trainer = _trainer(one_device)
  for path, value in _weights(trainer.model).items():
    np.testing.assert_array_equal(_weights(trainer.evaluated_model)[path], value)


@pytest.mark.parametrize("decay", [0.3, 0.9999])
def test_it_is_the_average_of_the_papers_code(one_device, decay):
  """TensorFlow 1's, told the number of steps, of all weights and moving statistics."""
  trainer = _trainer(one_device, decay)
  theirs = {path: tf.Variable(value) for path, value in _weights(trainer.model).items()}
  steps = tf.Variable(0)
  reference = tf.compat.v1.train.ExponentialMovingAverage(decay, num_updates=steps)
  reference.apply(list(theirs.values()))  # the first time, it copies
  for _ in range(5):
    trainer.train(tf.constant(1))
    steps.assign_add(1)
    for path, value in _weights(trainer.model).items():
      theirs[path].assign(value)
    reference.apply(list(theirs.values()))
  found = _weights(trainer.evaluated_model)
  assert any("moving_variance" in path for path in found)
  for path, variable in theirs.items():
    np.testing.assert_allclose(found[path], reference.average(variable).numpy(), rtol=2e-5,
                               atol=1e-7, err_msg=path)
    assert not np.array_equal(found[path], variable.numpy()), path


def test_two_replicas_are_one_device(one_device, mirrored):
  found, expected = (
      _trainer(s, synchronized_batch_norm=True) for s in (mirrored, one_device))
  for trainer in (found, expected):
    trainer.train(tf.constant(5))
  for path, value in _weights(expected.evaluated_model).items():
    np.testing.assert_allclose(_weights(found.evaluated_model)[path], value, atol=2e-5,
                               err_msg=path)
  for variable in found.evaluated_model.weights:
    first, second = (part.numpy() for part in variable.value.values)
    np.testing.assert_array_equal(first, second, err_msg=variable.path)


def test_a_compiled_average_is_the_plain_one(one_device):
  found, expected = (_trainer(one_device, jit_compile=jit) for jit in (True, False))
  for trainer in (found, expected):
    trainer.train(tf.constant(2))
  for path, value in _weights(expected.evaluated_model).items():
    np.testing.assert_allclose(_weights(found.evaluated_model)[path], value, atol=1e-5,
                               err_msg=path)


# In a run.


AVERAGED = {"network": ("resnet2", {"width": 0.1, "dropout": 0.5}), "ema_decay": 0.9}


@pytest.fixture(scope="module")
def whole(make_in, tmp_path_factory):
  run = make_in(tmp_path_factory.mktemp("averaging") / "whole", **AVERAGED)
  rows = run.train()
  return run, rows


def test_a_run_evaluates_the_average(whole, make_in, tmp_path):
  """The untrained network is the same; afterwards training is the same, but not what is seen."""
  _, rows = whole
  plain = make_in(tmp_path / "plain", **{**AVERAGED, "ema_decay": None}).train()
  assert rows[0] == plain[0]
  for averaged_row, plain_row in zip(rows[1:], plain[1:]):
    assert averaged_row["loss"] == plain_row["loss"]
    assert averaged_row["validation_loss"] != plain_row["validation_loss"]
  assert [row["score/style"] for row in rows] != [row["score/style"] for row in plain]


def test_the_last_checkpoint_holds_both_and_the_average_is_loaded(whole):
  run, _ = whole
  reader = tf.train.load_checkpoint(run.folder.latest("last"))
  parts = {key.partition("/")[0] for key in reader.get_variable_to_shape_map()}
  assert {"weights", "averaged", "optimizer"} <= parts
  model, *_ = model_dir.load_network(run.folder.path, "last")
  averaged = _weights(run._trainer.evaluated_model)
  raw = _weights(run.model)
  for path, value in _weights(model).items():
    np.testing.assert_array_equal(value, averaged[path], err_msg=path)
    assert not np.array_equal(value, raw[path]), path


def test_the_best_checkpoints_hold_the_average_alone(whole, make_in, tmp_path):
  run, rows = whole
  for name in ("best_score", "best_accuracy"):
    reader = tf.train.load_checkpoint(run.folder.latest(name))
    assert not any(key.startswith("averaged") for key in reader.get_variable_to_shape_map())
  model, _, _, step = model_dir.load_network(run.folder.path, "best_accuracy")
  stopped = make_in(tmp_path / "stopped", **{**AVERAGED, "train_steps": step})
  stopped.train()
  for path, value in _weights(stopped._trainer.evaluated_model).items():
    np.testing.assert_array_equal(_weights(model)[path], value, err_msg=path)
  assert step in [row["step"] for row in rows]


def test_a_run_taken_up_again_ends_as_if_never_interrupted(whole, make_in, tmp_path):
  run, rows = whole
  make_in(tmp_path / "parts", **{**AVERAGED, "train_steps": 4}).train()
  resumed = make_in(tmp_path / "parts", **AVERAGED)
  assert resumed.first_step == 4
  found = resumed.train()
  for name in ("model", "evaluated_model"):
    for path, value in _weights(getattr(run._trainer, name)).items():
      np.testing.assert_array_equal(_weights(getattr(resumed._trainer, name))[path], value,
                                    err_msg=f"{name} {path}")
  assert [row["score/local"] for row in found] == [row["score/local"] for row in rows]


def test_averaging_may_end_but_not_begin_in_the_middle_of_a_run(make_in, tmp_path):
  """Ended, it goes on from the weights in training, not from their average."""
  first = make_in(tmp_path / "ends", **{**AVERAGED, "train_steps": 4})
  first.train()
  raw = _weights(first.model)
  on = make_in(tmp_path / "ends", **{**AVERAGED, "ema_decay": None})
  for path, value in _weights(on.model).items():
    np.testing.assert_array_equal(value, raw[path], err_msg=path)
  make_in(tmp_path / "begins", **{**AVERAGED, "ema_decay": None, "train_steps": 4}).train()
  with pytest.raises(UserError, match="its optimizer or the averaging of its weights is another"):
    make_in(tmp_path / "begins", **AVERAGED)
