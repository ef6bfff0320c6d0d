"""One training step of a learned distance: which candidate did the judge choose?

The loss is that of Zhang et al. 2018: binary cross entropy between the judge, a fraction, and what
G guesses it to be from the two distances (`learned_distance.judge_network`).
"""

import keras
import orbit
import tensorflow as tf

from perceptual.data import judged
from perceptual.training import classifier, learned_distance, model_dir


class RankingTrainer(orbit.StandardTrainer):
  """Trains the channel weights of a distance on judged triplets, and the trunk where it may.

  Attributes:
    model: `learned_distance.LearnedDistance`.
    evaluated_model: the same one.
    judge: `learned_distance.judge_network`, which learns along.
    optimizer: Keras optimizer, built.
    global_step: number of steps taken, a `tf.Variable`.
  """

  def __init__(self, model, judge, optimizer, *, strategy, batch_size, preprocess,
               trunk_training=False, jit_compile=False):
    """Makes the trainer; call it inside the strategy's scope.

    `train_dataset` is to be set: a distributed data set of `judged_batches.train_batches`.

    Args:
      model: the distance; its trunk learns if it is trainable.
      judge: G.
      optimizer: not yet built.
      strategy: `tf.distribute.Strategy`.
      batch_size: triplets a step, over all replicas.
      preprocess: `preprocessing.Preprocessing`.
      trunk_training: as `LearnedDistance` takes it.
      jit_compile: whether XLA compiles the step of a replica.
    """
    super().__init__(train_dataset=None)
    self.model = self.evaluated_model = model
    self.judge = judge
    self.optimizer = optimizer
    optimizer.build(self._variables)
    self.global_step = orbit.utils.create_global_step()
    self._strategy = strategy
    self._batch_size = batch_size
    self._preprocess = preprocess
    self._trunk_training = trunk_training
    self._sums = classifier.Sums("loss", "accuracy")
    self._replica_step = tf.function(self._step_of_replica, jit_compile=jit_compile or None,
                                     autograph=False)

  @property
  def _variables(self):
    return [*self.model.trainable_variables, *self.judge.trainable_variables]

  def train_state(self):
    """Returns all that resuming needs, for `tf.train.Checkpoint`."""
    weights = {v.path for v in self.model.weights}
    seeds = [v for v in self.model.variables if v.path not in weights]
    return {"weights": model_dir.keyed_by_path(self.model.weights),
            "seeds": model_dir.keyed_by_path(seeds),
            "judge": model_dir.keyed_by_path(self.judge.weights),
            "optimizer": model_dir.keyed_by_path(self.optimizer.variables),
            "step": self.global_step}

  def train_loop_begin(self):
    self._sums.reset()

  def train_step(self, iterator):
    self._strategy.run(self._replica_step, args=(next(iterator),))
    self.global_step.assign_add(1)

  def train_loop_end(self):
    rate = self.optimizer.learning_rate
    return {**self._sums.means(), "learning_rate": float(keras.ops.convert_to_numpy(rate))}

  def _step_of_replica(self, batch):
    variables = self._variables
    images = tf.concat([batch[key] for key in judged.IMAGE_KEYS["2afc"]], axis=0)
    with tf.GradientTape() as tape:
      distances = self.model(self._preprocess(images), trunk_training=self._trunk_training)
      logits = self.judge(learned_distance.comparison(*distances))[:, 0]
      losses = tf.nn.sigmoid_cross_entropy_with_logits(batch["judge"], logits)
      # Summed over replicas, this is the mean over the global batch.
      loss = tf.reduce_sum(losses) / self._batch_size
    gradients = tape.gradient(loss, [v.value for v in variables])
    # After the step, the weights' constraint lifts those below zero to it.
    self.optimizer.apply(gradients, variables)
    self._sums.add(losses, agreement(batch["judge"], *distances))


def agreement(judge, distance_0, distance_1):
  """Returns the share of judges who agree with the distances, as `scores.two_afc`: `[batch]`."""
  prefers_1 = 0.5 * (1 + tf.sign(distance_0 - distance_1))
  return judge * prefers_1 + (1 - judge) * (1 - prefers_1)
