"""The two ends of every stream of `tf.data`: functions of elements on all CPUs, and batches.

TensorFlow's tuner of such streams is off. Its thread can miss the call to end (tf.data's
`Model::OptimizeLoop` asks for a flag that is set after it was woken), and then whoever lets go of
an iterator waits for the thread's next round: up to a minute, on a busy machine nearly each time.
"""

import os

import tensorflow as tf


def mapped(dataset, function):
  """Returns a data set of what a function makes of each element, on all CPUs, in their order."""
  return dataset.map(function, num_parallel_calls=os.cpu_count(), deterministic=True)


def batched(dataset, batch_size):
  """Returns a data set of full batches, made ahead; an incomplete last one is left out."""
  options = tf.data.Options()
  options.autotune.enabled = False
  return (dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
          .with_options(options))
