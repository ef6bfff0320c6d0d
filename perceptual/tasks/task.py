"""What a task is: the contract between the shared training run and the folder of each task."""

import abc

import tensorflow as tf


class Task(abc.ABC):
  """Data, a network, and how both are put together and measured.

  Batches are dictionaries: `input`, `[batch, height, width, channels]` uint8, what the network is
  given, and `target`, `[batch, ..., 3 or 1]` uint8, what it should make of it; 0 to 255 stands for
  0 to 1. Validation batches hold `index` besides, -1 for padding.

  Attributes:
    name: the task's, a key of `registry.TASKS`.
    sizes: number of examples, for `train` and `validation`. They are looked for where this is
      first asked for: a test needs none of them.
    target_size: height and width of the targets, in pixels.
    measures: names of what validation measures beside the loss.
    best_by: the column of `metrics.csv` by which the best weights are kept, beginning with
      `validation_`.
    higher_is_better: whether that one is.
    tested_by: its options, beside those of `architecture`, that a test of a trained network takes.
    notes: lines for people on what was left out or decided about the data.
  """

  name: str
  sizes: dict
  target_size: tuple
  measures: tuple
  best_by: str
  higher_is_better: bool
  tested_by: tuple
  notes: tuple = ()

  @abc.abstractmethod
  def as_data(self):
    """Returns what makes this task this task (options, numbers of examples) as plain data."""

  @abc.abstractmethod
  def description(self):
    """Returns lines of text for people on the data."""

  @property
  @abc.abstractmethod
  def architecture(self):
    """What its network is built by: option -> value, as plain data."""

  @abc.abstractmethod
  def build(self):
    """Returns the network, a new `keras.Model`, each layer named."""

  @abc.abstractmethod
  def train_batches(self, *, batch_size, seed, first_step, shard):
    """Returns the endless `tf.data.Dataset` of training batches, from a step on.

    Args:
      batch_size: examples a batch of this pipeline.
      seed: of the order and of all else that is drawn.
      first_step: number of batches to pass over.
      shard: (index, count): which of several input pipelines this one is.
    """

  @abc.abstractmethod
  def validation_batches(self, *, batch_size, shard, replicas):
    """Returns the validation examples once, in padded batches.

    Args:
      batch_size: examples a batch, which goes to one replica.
      shard: as of `train_batches`.
      replicas: how many replicas this pipeline feeds.
    """

  def outputs(self, model, inputs, *, training):
    """Returns what the loss is taken of: `[(weight, output), ...]`, the answer last.

    Args:
      model: what `build` returned.
      inputs: `[batch, ...]` float32 in [0, 1].
      training: whether the network is called as in training.
    """
    return [(1.0, model(inputs, training=training))]

  @abc.abstractmethod
  def measured(self, target, output):
    """Returns `{measure: [batch] float32}`, each of `measures`, of float images in [0, 1]."""

  @abc.abstractmethod
  def test(self, model, *, seed, progress):
    """Returns the list of `results.Result`s of a trained network on the test sets.

    Args:
      model: what `build` returned, with weights.
      seed: of what a test draws.
      progress: called with a line of text as something begins that takes long.

    Raises:
      UserError: there is nothing to test on.
    """


def unit(images):
  """Returns uint8 images as float32 in [0, 1]; what is float already, as float32."""
  if images.dtype == tf.uint8:
    return tf.cast(images, tf.float32) / 255.0
  return tf.cast(images, tf.float32)
