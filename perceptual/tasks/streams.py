"""Batches of examples that are read by number: seeded, resumable and sharded.

The stream of training batches is a function of the seed and the step alone, as that of
`data.labelled.classification`: a run that resumes at step N sees what an uninterrupted one sees.
"""

import contextlib
import re

import numpy as np
import tensorflow as tf

from perceptual.data import pipelines
from perceptual.data.labelled import classification
from perceptual.errors import UserError


def train_batches(read, signature, size, *, batch_size, seed, first_step, shard):
  """Returns the endless stream of training batches, from a given step on.

  Args:
    read: (number of an example, `np.random.Generator`) -> `{key: array}`, the same for the same
      arguments.
    signature: `{key: tf.TensorSpec}` of what it returns.
    size: number of examples.
    batch_size, seed, first_step, shard: as of `task.Task.train_batches`.

  Returns:
    `{key: [batch_size, ...]}`; batches run over the ends of epochs, so all have the full size.
  """
  shard_index, shard_count = shard
  first = first_step * batch_size * shard_count
  stream = classification.shuffled_epochs(
      tf.data.Dataset.range(size), size, seed=seed, first=first, buffer=size)
  stream = stream.enumerate(start=first).shard(shard_count, shard_index)
  stream = pipelines.mapped(stream, _reading(
      lambda position, number: read(number, np.random.default_rng([seed, position])), signature))
  return pipelines.batched(stream, batch_size)


def validation_batches(read, signature, size, *, batch_size, shard, replicas):
  """Returns the examples once, in padded batches; `read` takes the number alone."""
  examples = pipelines.mapped(tf.data.Dataset.range(size), _reading(read, signature))
  return classification.padded_batches(examples, size, batch_size, shard, replicas)


@contextlib.contextmanager
def unreadable_named():
  """Turns TensorFlow's error of an image that could not be read into the `UserError` it was."""
  try:
    yield
  except (tf.errors.InvalidArgumentError, tf.errors.UnknownError) as error:
    told = re.search(r"\bUnreadableImage: (.+)", str(error))
    if told is None:
      raise
    raise UserError(f"{told[1]}. Replace it, or take it out and train in another folder.") from None


def _reading(function, signature):
  """Returns a function of whole numbers in NumPy as one of `tf.data`."""
  keys = list(signature)

  def as_list(*numbers):
    example = function(*map(int, numbers))
    return [example[key] for key in keys]

  def read(*numbers):
    values = tf.numpy_function(
        as_list, numbers, [signature[key].dtype for key in keys], stateful=False)
    return {key: tf.ensure_shape(value, signature[key].shape)
            for key, value in zip(keys, values)}

  return read
