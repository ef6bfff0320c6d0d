"""One training step of a learned distance: which candidate did the judge choose?

The loss is that of Zhang et al. 2018: binary cross entropy between the judge, a fraction, and what
G guesses it to be from the two distances (`learned_distance.judge_network`).
"""

import tensorflow as tf

from perceptual.data.judged import judged_sets
from perceptual.training import learned_distance, model_dir, trainer


class RankingTrainer(trainer.Trainer):
  """Trains the channel weights of a distance on judged triplets, and the trunk where it may.

  `model` is a `learned_distance.LearnedDistance`; batches are those of
  `judged_batches.train_batches`.

  Attributes, besides those of `trainer.Trainer`:
    judge: G, which learns along.
  """

  def __init__(self, model, judge, optimizer, *, strategy, batch_size, preprocess,
               trunk_training=False, jit_compile=False):
    """Makes the trainer; call it inside the strategy's scope.

    Args:
      model: the distance; its trunk learns if it is trainable.
      judge: `learned_distance.judge_network()`.
      optimizer: not yet built.
      strategy: `tf.distribute.Strategy`.
      batch_size: triplets a step, over all replicas.
      preprocess: `preprocessing.Preprocessing`.
      trunk_training: as `LearnedDistance` takes it.
      jit_compile: whether XLA compiles the step of a replica.
    """
    self.judge = judge
    self._variables = [*model.trainable_variables, *judge.trainable_variables]
    self._trunk_training = trunk_training
    super().__init__(
        model, optimizer, self._variables, strategy=strategy, batch_size=batch_size,
        preprocess=preprocess, jit_compile=jit_compile)

  def train_state(self):
    return {**super().train_state(), "judge": model_dir.keyed_by_path(self.judge.weights)}

  def _step_of_replica(self, batch):
    images = tf.concat([batch[key] for key in judged_sets.IMAGE_KEYS["2afc"]], axis=0)
    with tf.GradientTape() as tape:
      distances = self.model(self._preprocess(images), trunk_training=self._trunk_training)
      logits = self.judge(learned_distance.comparison(*distances))[:, 0]
      losses = tf.nn.sigmoid_cross_entropy_with_logits(batch["judge"], logits)
      # Summed over replicas, this is the mean over the global batch.
      loss = tf.reduce_sum(losses) / self._batch_size
    gradients = tape.gradient(loss, [v.value for v in self._variables])
    # After the step, the weights' constraint lifts those below zero to it.
    self.optimizer.apply(gradients, self._variables)
    self._sums.add(losses, agreement(batch["judge"], *distances))


def agreement(judge, distance_0, distance_1):
  """Returns the share of judges who agree with the distances, as in `scores`: `[batch]`."""
  prefers_1 = 0.5 * (1 + tf.sign(distance_0 - distance_1))
  return judge * prefers_1 + (1 - judge) * (1 - prefers_1)
