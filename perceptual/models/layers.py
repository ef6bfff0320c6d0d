"""What the networks share: layers that Keras 3 has with a fault, the image input, option checks."""

import math
import numbers

import keras

from perceptual import errors
from perceptual.common import private_api

_LARGEST_FACTOR = 100  # of width and depth: what is meant is below, what exhausts memory above


@keras.saving.register_keras_serializable("perceptual")
class BatchNormalization(keras.layers.BatchNormalization):
  """Batch normalisation whose moving statistics are the mean over replicas.

  Keras 3 declares them with aggregation "none": under `tf.distribute` every replica then keeps
  statistics of its own, which drift apart in silence, and a checkpoint holds the first replica's.
  The statistics that normalise a training batch stay those of each replica's share, as in the
  papers, unless `synchronized=True`. Arguments are those of `keras.layers.BatchNormalization`.

  On TensorFlow, float32 maps go through TensorFlow's fused operation, equal to Keras's dozens but
  for rounding. Outside training TensorFlow makes one operation of it and the convolution before.
  """

  def add_weight(self, *args, name=None, **options):
    if name is not None and name.startswith("moving_"):
      options["aggregation"] = "mean"
    return super().add_weight(*args, name=name, **options)

  def call(self, inputs, training=None, mask=None):
    by_batch = bool(training) and self.trainable
    if mask is not None or not self._can_be_fused(inputs, by_batch):
      return super().call(inputs, training=training, mask=mask)
    return self._fused_by_batch(inputs) if by_batch else self._fused(inputs)

  def _can_be_fused(self, inputs, by_batch):
    renorm = getattr(self, "renorm", False)  # Keras has it from 3.14 on
    plain = self.scale and self.center and not renorm
    return (plain and not (by_batch and self.synchronized)
            and keras.backend.backend() == "tensorflow" and inputs.dtype == "float32"
            and len(inputs.shape) == 4 and self.axis in (-1, 3))

  def _fused(self, inputs):
    """Normalises by the moving statistics."""
    import tensorflow as tf  # the only backend with such an operation

    return tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=self.gamma.value, offset=self.beta.value, mean=self.moving_mean.value,
        variance=self.moving_variance.value, epsilon=self.epsilon, is_training=False).y

  def _fused_by_batch(self, inputs):
    """Normalises by the statistics of the batch, and updates the moving ones."""
    import tensorflow as tf

    outputs, mean, unbiased_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=self.gamma.value, offset=self.beta.value, mean=[], variance=[],
        epsilon=self.epsilon, is_training=True)
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), "float32")
    # Keras keeps the variance of the batch itself, which divides by n and not by n - 1.
    variance = unbiased_variance * tf.maximum(count - 1, 1) / count
    for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
      moving.assign(moving * self.momentum + value * (1 - self.momentum))
    return outputs


@keras.saving.register_keras_serializable("perceptual")
class Dropout(keras.layers.Layer):
  """Dropout whose random state is named after the layer.

  Keras 3 numbers the random states of a process in the order of their making, so that
  `variable.path` would depend on what else was built before.

  Args:
    rate: the fraction of values set to zero in training, in (0, 1); the others are divided by
      `1 - rate`.
    seed: an integer, or None for one drawn by `keras.utils.set_random_seed`'s generator.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, rate, seed=None, **options):
    super().__init__(**options)
    self.rate = rate
    self.seed = seed
    self.seed_generator = keras.random.SeedGenerator(seed, name=self.name)

  def call(self, inputs, training=False):
    if not training:
      return inputs
    return keras.random.dropout(inputs, self.rate, seed=self.seed_generator)

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("perceptual")
class StochasticDepth(Dropout):
  """Dropout of whole samples: a sample's branch beside a shortcut is dropped or kept in training.

  What is kept is divided by `1 - rate`, so that nothing is scaled outside training. Huang et al.,
  "Deep Networks with Stochastic Depth" (arXiv 1603.09382), who scale outside training instead.
  Arguments are those of `Dropout`.
  """

  def call(self, inputs, training=False):
    if not training:
      return inputs
    one_a_sample = (None, *(1,) * (len(inputs.shape) - 1))
    return keras.random.dropout(
        inputs, self.rate, noise_shape=one_a_sample, seed=self.seed_generator)


class SideCheck(keras.layers.Layer):
  """Lets maps through whose two sides are legal; which are, its subclasses say.

  Raises:
    UserError: in a call, if a side is not. A TensorFlow graph that learns sizes as it runs raises
      `tf.errors.InvalidArgumentError` then.
  """

  def is_legal(self, side):
    """Whether a side, an integer or a tensor of them, is legal."""
    raise NotImplementedError

  def message(self, sides=None):
    """What is wrong with a map that is not let through, its two sides being known or None."""
    raise NotImplementedError

  def call(self, inputs):
    self._check(inputs.shape)
    if None in tuple(inputs.shape)[1:3]:
      return self._checked_as_it_runs(inputs)
    return inputs

  def compute_output_spec(self, inputs):
    self._check(inputs.shape)
    return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

  def _check(self, shape):
    sides = tuple(shape)[1:3]
    if not all(side is None or self.is_legal(side) for side in sides):
      raise private_api.raised_as_it_is(errors.UserError(self.message(sides)))

  def _checked_as_it_runs(self, inputs):
    import tensorflow as tf  # the only backend whose graphs do not know their sizes

    legal = tf.debugging.Assert(
        tf.reduce_all(self.is_legal(tf.shape(inputs)[1:3])), [self.message()])
    with tf.control_dependencies([legal]):
      return tf.identity(inputs)


def image_input(image_size=None):
  """Returns the symbolic input "image", `[batch, height, width, 3] float32`, already normalised.

  Args:
    image_size: an integer or a pair (height, width), in pixels; None for any size.

  Raises:
    UserError: an illegal size.
  """
  pair = image_size if isinstance(image_size, (list, tuple)) else (image_size, image_size)
  require(
      image_size is None or (len(pair) == 2 and all(is_integer(n) and n >= 1 for n in pair)),
      "image_size", image_size,
      must_be="an integer >= 1, a pair (height, width) of them, or None")
  return keras.Input((*pair, 3), name="image", dtype="float32")


def require(legal, name, value, *, must_be):
  """Raises a `UserError` that names an option, what it must be and its value, unless `legal`."""
  if not legal:
    raise errors.UserError(f"{name} must be {must_be}. Received: {value!r}.")


def require_factor(name, value):
  """Raises a `UserError` unless a network can be made so many times as wide, or as deep."""
  require(is_number(value) and 0 < value <= _LARGEST_FACTOR, name, value,
          must_be=f"a number > 0 and at most {_LARGEST_FACTOR}")


def require_batch_norm(*, momentum, epsilon, synchronized):
  """Raises a `UserError` for an illegal value of the options of batch normalisation."""
  require(is_number(momentum) and 0 <= momentum < 1, "batch_norm_momentum", momentum,
          must_be="a number in [0, 1)")
  require(is_number(epsilon) and 0 < epsilon < math.inf, "batch_norm_epsilon", epsilon,
          must_be="a number > 0")
  require(isinstance(synchronized, bool), "synchronized_batch_norm", synchronized,
          must_be="True or False")


def is_integer(value):
  """Whether a value is an integer; `True`, `7.0` and `'7'` are not."""
  return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value):
  """Whether a value is a real number; `True` and `'7'` are not."""
  return isinstance(value, numbers.Real) and not isinstance(value, bool)
