"""What every stream of tf.data shares."""

import numpy as np
import tensorflow as tf

from perceptual.data import pipelines


def test_elements_stay_in_their_order_and_batches_are_full():
  stream = pipelines.mapped(tf.data.Dataset.range(100), lambda number: -number)
  batches = list(pipelines.batched(stream, 32).as_numpy_iterator())
  np.testing.assert_array_equal(np.concatenate(batches), -np.arange(96))


def test_the_tuner_is_off_whose_end_whoever_lets_go_of_an_iterator_waits_for():
  tuned = tf.data.Options()
  tuned.autotune.enabled = True  # as of a data set that brings options of its own
  stream = pipelines.batched(tf.data.Dataset.range(100).with_options(tuned), 32)
  assert stream.options().autotune.enabled is False
