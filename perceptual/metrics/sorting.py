"""Sorting along an axis, as the distance `sort` does: by `keras.ops`, or faster by NumPy.

TensorFlow sorts on CPU by a comparison of indices; NumPy sorts float32 by vector instructions
(x86-simd-sort, Blacher et al. 2022), several times as fast. A graph that calls NumPy can neither be
saved, differentiated nor compiled by XLA, so only what runs at once asks for it.
"""

import contextlib
import contextvars

import numpy as np
from keras import ops

_by_numpy = contextvars.ContextVar("by_numpy", default=False)


@contextlib.contextmanager
def by_numpy():
  """Returns a context in which TensorFlow graphs that are traced on a CPU sort by NumPy."""
  token = _by_numpy.set(True)
  try:
    yield
  finally:
    _by_numpy.reset(token)


def ascending_positions(features):
  """Returns `[batch, positions, channels]` float32 with every channel in ascending order."""
  if _by_numpy.get() and _runs_on_cpu():
    return _sorted_by_numpy(features)
  return ops.sort(features, axis=1)


def _runs_on_cpu():
  import tensorflow as tf

  return not tf.config.list_logical_devices("GPU")


def _sorted_by_numpy(features):
  import tensorflow as tf

  # Positions come last, so that what is sorted lies in a row.
  channels = tf.transpose(features, [0, 2, 1])
  found = tf.numpy_function(_sorted, [channels], tf.float32, stateful=False)
  found.set_shape(channels.shape)
  return tf.transpose(found, [0, 2, 1])


def _sorted(array):
  return np.sort(array, axis=-1)
