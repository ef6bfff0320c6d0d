"""Images, judgements and strategies small enough to train on in a test."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual.data.judged import judged_sets
from perceptual.data.labelled import classification
from perceptual.training import loop, optimizers, schedules, stopping
from perceptual.training.settings import Settings

SIZE = 16


@pytest.fixture(autouse=True)
def _occasions_are_short(monkeypatch):
  """Nobody waits for a second signal, which tests do not send."""
  monkeypatch.setattr(stopping, "ONE_OCCASION", 0)


class MirroredStrategy(tf.distribute.MirroredStrategy):
  """Replicas on CPUs, held to two rules of a TPU: what they run is a graph, of static shapes.

  They reduce by copies, since the keys of TensorFlow's collective operations, the default, are
  counted by every strategy of a process anew: two strategies of a test session would collide.
  """

  def __init__(self, devices):
    super().__init__(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())

  def run(self, fn, args=(), kwargs=None, options=None):
    is_graph = isinstance(fn, tf.types.experimental.PolymorphicFunction)
    assert is_graph or not tf.executing_eagerly(), "TPUStrategy.run refuses it"
    for value in tf.nest.flatten(args, expand_composites=True):
      assert not tf.is_tensor(value) or value.shape.is_fully_defined(), value
    return super().run(fn, args, kwargs, options)


@pytest.fixture(scope="session")
def mirrored(two_cpus):
  """Two replicas."""
  return MirroredStrategy(two_cpus)


@pytest.fixture(scope="session")
def four_replicas(four_cpus):
  return MirroredStrategy(four_cpus)


@pytest.fixture(scope="session")
def one_device():
  return tf.distribute.OneDeviceStrategy("/cpu:0")


@pytest.fixture(scope="session")
def images():
  """36 + 10 noisy images of 3 classes, which differ in brightness."""
  rng = np.random.default_rng(0)
  arrays = {}
  for split, count in (("train", 36), ("validation", 10)):
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 96, (count, SIZE, SIZE, 3)) + 70 * labels[:, None, None, None]
    arrays[split] = {"image": pixels.astype(np.uint8), "label": labels}
  return classification.LabelledImages(
      name="tiny", note="", num_classes=3, image_size=SIZE,
      sizes={split: len(arrays[split]["label"]) for split in arrays},
      examples=lambda split: tf.data.Dataset.from_tensor_slices(arrays[split]),
      decode=lambda image: tf.ensure_shape(image, [SIZE, SIZE, 3]))


@pytest.fixture(scope="session")
def judged_set():
  """10 triplets of two subsets: noise on noise, and answers by the toss of a coin."""
  rng = np.random.default_rng(1)
  subsets = []
  for name, count in (("first", 6), ("second", 4)):
    reference = rng.integers(0, 200, (count, SIZE, SIZE, 3))
    noise = rng.integers(0, 50, (2, count, SIZE, SIZE, 3))
    answers = rng.integers(0, 2, count).astype(float)
    triplets = {"reference": reference, "candidate_0": reference + noise[0],
                "candidate_1": reference + noise[1]}
    dataset = tf.data.Dataset.from_tensor_slices(
        {key: value.astype(np.uint8) for key, value in triplets.items()})
    subsets.append(judged_sets.Subset(name, dataset, answers))
  return judged_sets.JudgedSet(name="tiny judgements", kind="2afc", note="made for a test",
                          subsets=tuple(subsets), by_people=False)


def _settings(**options):
  schedule = schedules.StepDecay(
      options.pop("learning_rate", 1.0), warmup_epochs=0.5, decay_epochs=(2,))
  return Settings(**{
      "optimizer": optimizers.Sgd(schedule), "batch_size": 8, "train_steps": 12,
      "steps_per_loop": 2, "eval_interval": 4, "eval_batch_size": 4,
      "score_distances": ("local", "style"), **options})


@pytest.fixture(scope="session")
def make_in(images, judged_set):
  """Makes a run in a folder."""
  def make(folder, *, network=("resnet2", {"width": 0.1}), images=images, judged_set=judged_set,
           further_sets=(), strategy=None, **options):
    return loop.Run(folder, network=network, images=images, judged_set=judged_set,
                    further_sets=further_sets, settings=_settings(**options), strategy=strategy)
  return make


@pytest.fixture
def make(tmp_path, make_in):
  """Makes a run in the folder `name` of this test."""
  return lambda name="run", **options: make_in(tmp_path / name, **options)
