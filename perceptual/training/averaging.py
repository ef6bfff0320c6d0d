"""The average of a network's weights over steps, which is evaluated in their place."""

import tensorflow as tf

from perceptual.common import private_api


class WeightAverage:
  """A second network whose weights follow those of one in training.

      average -= (1 - decay_n) * (average - weight),   decay_n = min(decay, (1 + n) / (10 + n))

  after step n = 1, 2, ..., so that the random first weights are soon forgotten. All weights are
  averaged, moving statistics of batch normalisation too. This is TensorFlow 1's
  ExponentialMovingAverage as the papers' EfficientNet code calls it.

  Attributes:
    model: the network with the averaged weights, for evaluation.
  """

  def __init__(self, model, averaged, decay):
    """Starts from the weights as they are; call it inside the strategy's scope.

    Args:
      model: the Keras model in training.
      averaged: another one of the same network.
      decay: the share of the average that is kept from step to step, in (0, 1).
    """
    self.model = averaged
    self._decay = decay
    weights = {weight.path: weight for weight in model.weights}
    self._pairs = [(average.value, weights[average.path].value) for average in averaged.weights]
    averaged.set_weights([weights[average.path].numpy() for average in averaged.weights])

  def update(self, step):
    """Takes in the weights after a step, an integer tensor; call it on every replica."""
    step = tf.cast(step, tf.float32)
    share = 1 - tf.minimum(self._decay, (1 + step) / (10 + step))
    private_api.merge_call(self._update_all, tf.distribute.get_strategy(), share)

  def _update_all(self, strategy, share):
    for average, weight in self._pairs:
      strategy.extended.update(
          average, lambda a, w, s: a.assign_sub(s * (a - w)), args=(weight, share), group=False)
