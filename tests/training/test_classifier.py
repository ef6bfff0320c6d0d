"""The training step against one written by hand, on one device and several, and the evaluation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.models import layers, preprocessing
from perceptual.training import classifier, model_dir, optimizers, schedules

BATCH = 8
SCHEDULE = schedules.StepDecay(learning_rate=3.0, warmup_epochs=2, decay_epochs=(4,))


def _plain():
  """A network without batch normalisation."""
  return _small(None)


def _normalised(synchronized=False):
  """A network with batch normalisation."""
  return _small(layers.BatchNormalization(
      momentum=0.9, synchronized=synchronized, name="conv_bn"))


def _small(norm):
  image = keras.Input([None, None, 3], name="image")
  x = keras.layers.Conv2D(6, 3, use_bias=norm is None, name="conv")(image)
  x = keras.layers.ReLU(name="relu")(norm(x) if norm else x)
  x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
  return keras.Model(image, {"logits": keras.layers.Dense(3, name="logits")(x)}, name="small")


def _resnet(**options):
  return models.build("resnet6", width=0.1, num_classes=3, **options)


def _batches(count=6):
  rng = np.random.default_rng(0)
  return {"image": rng.integers(0, 256, (count, BATCH, 16, 16, 3), np.uint8),
          "label": rng.integers(0, 3, (count, BATCH))}


def _trainer(strategy, build, *, sgd=None, **options):
  """A trainer on `_batches`; the same initial weights under every strategy."""
  keras.utils.set_random_seed(5)
  with strategy.scope():
    dataset = tf.data.Dataset.from_tensor_slices(_batches()).repeat()
    optimizer = (sgd or optimizers.Sgd(SCHEDULE)).keras(BATCH, steps_per_epoch=1, steps=6)
    return classifier.ClassifierTrainer(
        build(), optimizer, strategy.experimental_distribute_dataset(dataset), strategy=strategy,
        batch_size=BATCH, preprocess=preprocessing.IMAGENET, **options)


def _train(trainer, steps):
  return trainer.train(tf.constant(steps))


def _weights(trainer):
  return {variable.path: variable.numpy() for variable in trainer.model.weights}


def _assert_close(found, expected, *, atol, before=None):
  """Compares weights; a tolerance so much larger as they have moved since `before`."""
  assert found.keys() == expected.keys()
  for path, value in expected.items():
    moved = 1.0 if before is None else np.abs(value - before[path]).max()
    assert moved > 0, path
    np.testing.assert_allclose(found[path], value, atol=moved * atol, rtol=1e-6, err_msg=path)


def _by_hand(model, steps, *, smoothing, weight_decay, clip_norm=None):
  """Nesterov SGD on the mean smoothed cross entropy and L2, from definitions; returns weights."""
  batches = _batches()
  velocity = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
  for step in range(steps):
    rate = 3.0 * BATCH / 256 * min(1.0, step / 2) * (0.1 if step >= 4 else 1.0)
    image = (batches["image"][step] / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    target = np.full([BATCH, 3], smoothing / 3, np.float32)
    target[np.arange(BATCH), batches["label"][step]] += 1 - smoothing
    with tf.GradientTape() as tape:
      logits = model(image.astype(np.float32), training=True)["logits"]
      loss = -tf.reduce_mean(tf.reduce_sum(target * tf.nn.log_softmax(logits), axis=-1))
    gradients = [g.numpy() for g in tape.gradient(loss, [v.value for v in
                                                         model.trainable_variables])]
    for i, variable in enumerate(model.trainable_variables):
      if "_bn/" not in variable.path:
        gradients[i] = gradients[i] + weight_decay * variable.numpy()
    if clip_norm is not None:
      norm = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
      gradients = [g * min(1.0, clip_norm / norm) for g in gradients]
    for i, variable in enumerate(model.trainable_variables):
      velocity[i] = 0.9 * velocity[i] + gradients[i]
      variable.assign(variable.numpy() - rate * (gradients[i] + 0.9 * velocity[i]))
  return {variable.path: variable.numpy() for variable in model.weights}


@pytest.mark.parametrize(("build", "smoothing", "weight_decay", "clip_norm"), [
    (_normalised, 0.0, 0.0, None), (_normalised, 0.1, 0.05, 0.2), (_resnet, 0.1, 0.05, None)])
def test_steps_are_those_written_by_hand(one_device, build, smoothing, weight_decay, clip_norm):
  """Six steps: warm-up, the peak, a decay; moving statistics too."""
  trainer = _trainer(one_device, build, label_smoothing=smoothing, weight_decay=weight_decay,
                     clip_norm=clip_norm)
  model = build()
  model.set_weights(trainer.model.get_weights())
  before = _weights(trainer)
  _train(trainer, 6)
  expected = _by_hand(model, 6, smoothing=smoothing, weight_decay=weight_decay,
                      clip_norm=clip_norm)
  _assert_close(_weights(trainer), expected, atol=2e-3, before=before)


def test_loss_accuracy_and_rate_are_means_over_the_loop(one_device):
  trainer = _trainer(one_device, _plain, sgd=optimizers.Sgd(schedules.StepDecay(1e-9, 0, ())),
                     weight_decay=0.1)
  means = _train(trainer, 6)
  batches = _batches()
  images = preprocessing.IMAGENET(tf.constant(batches["image"].reshape(-1, 16, 16, 3)))
  logits = trainer.model(images)["logits"].numpy()
  labels = batches["label"].reshape(-1)
  probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  decay = 0.1 * 0.5 * sum(np.sum(np.square(w)) for w in _weights(trainer).values())
  loss = -np.log(probability[np.arange(len(labels)), labels]).mean() + decay
  np.testing.assert_allclose(means["loss"], loss, rtol=1e-5)
  np.testing.assert_allclose(means["accuracy"], 100 * np.mean(logits.argmax(1) == labels))
  np.testing.assert_allclose(means["learning_rate"], 1e-9 * BATCH / 256, rtol=1e-6)
  assert _train(trainer, 1)["loss"] != means["loss"], "a new loop starts new means"


@pytest.mark.parametrize("replicas", ["mirrored", "four_replicas"])
def test_replicas_are_one_device_without_batch_normalisation(one_device, replicas, request):
  several = request.getfixturevalue(replicas)
  found, expected = (_trainer(s, _plain, weight_decay=0.01) for s in (several, one_device))
  means = [_train(trainer, 6) for trainer in (found, expected)]
  _assert_close(_weights(found), _weights(expected), atol=5e-7)
  for name, value in means[1].items():
    np.testing.assert_allclose(means[0][name], value, rtol=1e-6)


def test_four_replicas_are_one_device_with_synchronised_batch_normalisation(
    one_device, four_replicas):
  found, expected = (
      _trainer(s, lambda: _normalised(synchronized=True), weight_decay=0.01)
      for s in (four_replicas, one_device))
  for trainer in (found, expected):
    _train(trainer, 6)
  _assert_close(_weights(found), _weights(expected), atol=1e-5)


def test_clipping_is_of_the_whole_gradient_on_any_number_of_replicas(one_device, mirrored):
  """Keras's own `global_clipnorm` clips each replica's before they are summed."""
  found, expected = (_trainer(s, _plain, clip_norm=0.05) for s in (mirrored, one_device))
  for trainer in (found, expected):
    _train(trainer, 6)
  _assert_close(_weights(found), _weights(expected), atol=5e-7)


def test_a_clipped_step_has_the_norm_asked_for(mirrored):
  sgd = optimizers.Sgd(schedules.StepDecay(256 / BATCH, 0, ()), momentum=0)  # a rate of 1
  trainer = _trainer(mirrored, _plain, sgd=sgd, clip_norm=0.05)
  before = _weights(trainer)
  _train(trainer, 1)
  norm = np.sqrt(sum(np.sum(np.square(w - before[path])) for path, w in _weights(trainer).items()))
  np.testing.assert_allclose(norm, 0.05, rtol=1e-4)


def test_moving_statistics_are_the_same_on_all_replicas_and_learn_from_all(four_replicas):
  """Keras's own are each replica's, and a checkpoint would hold the first one's."""
  trainer = _trainer(four_replicas, _normalised)
  images = preprocessing.IMAGENET(tf.constant(_batches()["image"][0]))
  conv = trainer.model.get_layer("conv")(images).numpy()
  _train(trainer, 1)
  np.testing.assert_allclose(
      _weights(trainer)["conv_bn/moving_mean"], 0.1 * conv.mean(axis=(0, 1, 2)), atol=1e-5)
  _train(trainer, 2)
  moving = [v.value for v in trainer.model.weights if "moving_" in v.path]
  assert len(moving) == 2
  for variable in moving:
    first, *others = (value.numpy() for value in variable.values)
    assert len(others) == 3
    for other in others:
      np.testing.assert_array_equal(other, first)


def test_the_optimizer_is_built_with_the_trainer(mirrored):
  """Built at the first step, inside a replica, Keras 3's fails on two of them."""
  trainer = _trainer(mirrored, _plain)
  assert trainer.optimizer.built
  assert all(len(v.value.values) == 2 for v in trainer.optimizer.variables
             if "momentum" in v.path)


def test_all_that_is_trained_or_drawn_from_is_in_the_checkpoint(one_device):
  trainer = _trainer(one_device, lambda: _resnet(dropout=0.5))
  state = trainer.train_state()
  assert sorted(state["weights"]) == sorted(v.path for v in trainer.model.weights)
  assert list(state["seeds"]) == ["dropout/seed_generator_state"]
  assert sum("momentum" in path for path in state["optimizer"]) == len(
      trainer.model.trainable_variables)
  assert any("iteration" in path for path in state["optimizer"])
  before = state["seeds"]["dropout/seed_generator_state"].numpy()
  _train(trainer, 2)
  assert (state["seeds"]["dropout/seed_generator_state"].numpy() != before).any()
  assert int(state["step"].numpy()) == 2


def test_the_state_restored_goes_on_as_if_never_interrupted(one_device, tmp_path):
  """Bit for bit, with dropout; without the seeds the masks would start again."""
  def build():
    return _resnet(dropout=0.5)

  whole, first, second = (_trainer(one_device, build) for _ in range(3))
  _train(whole, 6)
  _train(first, 3)
  path = tf.train.Checkpoint(**first.train_state()).save(tmp_path / "state")
  tf.train.Checkpoint(**second.train_state()).restore(path).assert_consumed()
  rest = tf.data.Dataset.from_tensor_slices(_batches()).repeat().skip(3)
  second.train_dataset = one_device.experimental_distribute_dataset(rest)
  _train(second, 3)
  for path, value in _weights(whole).items():
    np.testing.assert_array_equal(_weights(second)[path], value, err_msg=path)


def test_one_loop_of_many_steps_is_many_loops_of_one(one_device):
  together, apart = (_trainer(one_device, _plain) for _ in range(2))
  _train(together, 4)
  for _ in range(4):
    _train(apart, 1)
  for path, value in _weights(together).items():
    np.testing.assert_array_equal(_weights(apart)[path], value)
  assert int(apart.global_step.numpy()) == 4


def test_a_compiled_step_is_the_plain_one(one_device):
  found, expected = (
      _trainer(one_device, _plain, clip_norm=1.0, weight_decay=0.01, jit_compile=jit)
      for jit in (True, False))
  means = [_train(trainer, 3) for trainer in (found, expected)]
  _assert_close(_weights(found), _weights(expected), atol=2e-6)
  np.testing.assert_allclose(means[0]["loss"], means[1]["loss"], rtol=1e-5)


def _evaluate(strategy, model, size, batch_size, replicas=1, **options):
  """Validation means over the first `size` of 10 images, the rest of the batches padded."""
  rng = np.random.default_rng(2)
  images, labels = rng.integers(0, 256, (10, 16, 16, 3), np.uint8), np.arange(10) % 3
  index = np.where(np.arange(10) < size, np.arange(10), -1)
  padded = -(-size // (batch_size * replicas)) * batch_size * replicas
  dataset = tf.data.Dataset.from_tensor_slices(
      {"image": images, "label": labels, "index": index}).take(padded).batch(
          batch_size, drop_remainder=True)
  with strategy.scope():
    evaluator = classifier.ClassifierEvaluator(
        model, strategy.distribute_datasets_from_function(lambda _: dataset), strategy=strategy,
        preprocess=preprocessing.IMAGENET, **options)
  means = [evaluator.evaluate(tf.constant(-1)) for _ in range(2)]
  assert means[0] == means[1], "an evaluation starts from nothing"
  logits = model(preprocessing.IMAGENET(tf.constant(images[:size])))["logits"].numpy()
  log_probability = tf.nn.log_softmax(logits).numpy()
  expected = {"validation_loss": -np.mean(log_probability[np.arange(size), labels[:size]]),
              "validation_accuracy": 100 * np.mean(logits.argmax(1) == labels[:size])}
  return means[0], expected


@pytest.mark.parametrize(("size", "batch_size"), [(10, 5), (7, 5), (3, 5)])
def test_an_evaluation_is_over_real_examples_alone(one_device, size, batch_size):
  found, expected = _evaluate(one_device, _plain(), size, batch_size)
  assert found == pytest.approx(expected, rel=1e-5)


def test_an_evaluation_on_two_replicas_is_that_on_one(mirrored):
  with mirrored.scope():
    model = _plain()
  found, expected = _evaluate(mirrored, model, 7, 2, replicas=2)
  assert found == pytest.approx(expected, rel=1e-5)


def test_a_compiled_evaluation_is_the_plain_one(one_device):
  found, expected = _evaluate(one_device, _plain(), 7, 5, jit_compile=True)
  assert found == pytest.approx(expected, rel=1e-5)


def test_smoothed_cross_entropy_in_closed_form():
  """Of equal logits it is log(classes), whatever the smoothing; of sure ones the smoothed share."""
  equal = classifier.cross_entropy(tf.constant([0, 2]), tf.zeros([2, 4]), 0.3)
  np.testing.assert_allclose(equal, np.log(4), rtol=1e-6)
  sure = classifier.cross_entropy(tf.constant([1]), tf.constant([[0.0, 50.0, 0.0, 0.0]]), 0.4)
  np.testing.assert_allclose(sure, 0.4 * 3 / 4 * 50, rtol=1e-6)


def test_weights_are_kept_by_their_paths():
  model = _resnet()
  keyed = model_dir.keyed_by_path(model.weights)
  assert len(keyed) == len(model.weights), "no two variables share a path"
  assert "group1_block1_conv1/kernel" in keyed
