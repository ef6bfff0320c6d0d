"""What is trained on judgements: a distance with learned weights, and a guess at the judge.

The protocol of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric" (CVPR 2018), and of its code, richzhang/PerceptualSimilarity: the distance `lin`, and a
small network G that guesses from the distances of two candidates which one people chose. G learns
along and is thrown away.
"""

import functools

import keras
from keras import ops

from perceptual.metrics import distances
from perceptual.models import layers

_HIDDEN = 32
_OFFSET = 0.1  # keeps the ratios that G sees finite


class LearnedDistance(keras.Model):
  """A trunk, and a weight for each channel of each of its taps.

  Attributes:
    trunk: Keras model from normalised images to `{tap: features}`.
    channel_weights: `{tap: keras.Variable [channels]}`, which the optimizer keeps from falling
      below zero.
  """

  def __init__(self, trunk, dropout=0.0):
    """Takes a trunk and makes new weights.

    They begin as those of the lpips package, PyTorch's 1x1 convolutions: uniform within
    1 / sqrt(channels) of zero. Negative ones become zero, there after the first step, here at once.

    Args:
      trunk: a Keras model, as `taps.select_taps` returns it.
      dropout: the fraction of the weights' inputs dropped in training, in [0, 1).
    """
    super().__init__(name="learned_distance")  # its weights' paths begin so
    self.trunk = trunk
    self.channel_weights = {
        tap: self._new_weights(tap, features.shape[-1]) for tap, features in trunk.output.items()}
    self._dropouts = {
        tap: layers.Dropout(dropout, name=f"{tap}_dropout") for tap in trunk.output if dropout}

  def _new_weights(self, tap, channels):
    weights = self.add_weight(
        name=tap, shape=(channels,), dtype="float32", initializer=_uniform(channels),
        constraint=keras.constraints.NonNeg())
    weights.assign(ops.relu(weights))
    return weights

  def call(self, images, trunk_training=False):
    """Returns both candidates' distances to their references as training sees them, each `[batch]`.

    Args:
      images: `[3 x batch, height, width, 3]`, normalised: all references, then all first
        candidates, then all second ones. Each is encoded and embedded once.
      trunk_training: whether the trunk drops values, and normalises batches by their own
        statistics.
    """
    features = distances.split(self.trunk(images, training=trunk_training), 3)
    at_taps = {tap: distances.linear(weights, self._dropout(tap))
               for tap, weights in self.channel_weights.items()}
    return tuple(distances.summed_to_reference(at_taps, *features))

  def _dropout(self, tap):
    return functools.partial(self._dropouts[tap], training=True) if self._dropouts else None


def judge_network():
  """Returns G, a Keras model from `comparison` `[batch, 5]` to the logit of the judge `[batch, 1]`.

  Weights and biases begin as PyTorch's do.
  """
  x = comparison_of_two = keras.Input((5,), name="comparison")
  for name in ("judge_hidden1", "judge_hidden2"):
    x = _dense(x, _HIDDEN, name=name)
    x = keras.layers.LeakyReLU(negative_slope=0.2, name=f"{name}_relu")(x)
  return keras.Model(comparison_of_two, _dense(x, 1, name="judge_logit"), name="judge")


def comparison(distance_0, distance_1):
  """Returns what G sees of two distances `[batch]`: `[batch, 5]`."""
  return ops.stack([
      distance_0, distance_1, distance_0 - distance_1,
      distance_0 / (distance_1 + _OFFSET), distance_1 / (distance_0 + _OFFSET)], axis=-1)


def _dense(x, units, *, name):
  inputs = x.shape[-1]
  return keras.layers.Dense(
      units, kernel_initializer=_uniform(inputs), bias_initializer=_uniform(inputs), name=name)(x)


def _uniform(inputs):
  """How PyTorch's layers begin, by the number of their inputs."""
  return keras.initializers.RandomUniform(-(inputs ** -0.5), inputs ** -0.5)
