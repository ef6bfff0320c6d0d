"""What streams of `tf.data` share: functions of elements on all CPUs, batches, and their devices.

TensorFlow's tuner of such streams is off. Its thread can miss the call to end (tf.data's
`Model::OptimizeLoop` asks for a flag that is set after it was woken), and then whoever lets go of
an iterator waits for the thread's next round: up to a minute, on a busy machine nearly each time.
"""

import tensorflow as tf

from perceptual.common import in_order, private_api


def mapped(dataset, function):
  """Returns what a function makes of each element, in their order, on `in_order.cpus` at once."""
  return dataset.map(function, num_parallel_calls=in_order.cpus(), deterministic=True)


def batched(dataset, batch_size):
  """Returns a data set of full batches, made ahead; an incomplete last one is left out."""
  options = tf.data.Options()
  options.autotune.enabled = False  # how much is made ahead `prefetch` finds by itself
  return (dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
          .with_options(options))


def distributed(strategy, batches):
  """Returns what `batches` gives on the devices of a strategy.

  Args:
    strategy: a strategy of `tf.distribute`.
    batches: `tf.distribute.InputContext` -> a data set of batches, each for one replica.
  """
  private_api.untune_device_iterators()
  return strategy.distribute_datasets_from_function(batches)
