"""The batches of a judged subset as JAX and PyTorch measure them, one device at a time."""

import itertools

import keras
import numpy as np

from perceptual.data.judged import judged_sets
from perceptual.errors import UserError


class ArraySteps:
  """Gives what is measured of each batch."""

  def __init__(self, measure, *, batch_size, strategy=None, jit_compile=False):
    """Makes the steps; arguments as `judged_pass.JudgedPass` takes them.

    Raises:
      UserError: if a strategy or XLA is asked for, which are TensorFlow's.
    """
    if strategy is not None or jit_compile:
      raise UserError("A tf.distribute strategy and jit_compile need Keras on TensorFlow; it runs "
                      f"on {keras.backend.backend()}.")
    self._measure = measure
    self._batch_size = batch_size

  def __call__(self, subset):
    """Yields the places in a `judged_sets.Subset` of each batch's examples, and their measures."""
    room = min(self._batch_size, subset.size)
    images = iter(subset.images)
    for start in range(0, subset.size, room):
      examples = list(itertools.islice(images, room))
      # Of one size, for which operations are compiled once.
      padded = examples + examples[-1:] * (room - len(examples))
      keys = next(keys for keys in judged_sets.IMAGE_KEYS.values() if set(keys) == set(padded[0]))
      found = self._measure([np.stack([example[key] for example in padded]) for key in keys])
      yield (np.arange(start, start + len(examples)),
             keras.ops.convert_to_numpy(found)[:len(examples)])
