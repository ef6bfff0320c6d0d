"""What the steps of training a classifier and of learning a distance share, as orbit's trainer.

Works around faults of Keras 3 under `tf.distribute`: the optimizer is built inside the strategy's
scope, and the state of dropout's seed generators is among the variables that checkpoints keep.
"""

import keras
import numpy as np
import orbit
import tensorflow as tf

from perceptual.training import model_dir


class Trainer(orbit.StandardTrainer):
  """Takes steps under a strategy; a subclass says in `_step_of_replica` what one step does.

  Attributes:
    model: the Keras model in training.
    evaluated_model: the one to evaluate and keep: `model`, unless a subclass has another.
    optimizer: Keras optimizer, built.
    global_step: number of steps taken, a `tf.Variable`.
  """

  def __init__(self, model, optimizer, variables, *, dataset=None, strategy, batch_size, preprocess,
               jit_compile=False):
    """Makes the trainer; call it inside the strategy's scope.

    Args:
      model: the Keras model.
      optimizer: not yet built.
      variables: the Keras variables that it trains.
      dataset: distributed data set of batches; may be set later as `train_dataset`.
      strategy: `tf.distribute.Strategy`.
      batch_size: examples a step, over all replicas.
      preprocess: `preprocessing.Preprocessing`.
      jit_compile: whether XLA compiles the step of a replica.
    """
    super().__init__(dataset)
    self.model = self.evaluated_model = model
    self.optimizer = optimizer
    optimizer.build(variables)
    self.global_step = orbit.utils.create_global_step()
    self._strategy = strategy
    self._batch_size = batch_size
    self._preprocess = preprocess
    self._sums = Sums("loss", "accuracy")
    self._replica_step = tf.function(self._step_of_replica, jit_compile=jit_compile or None,
                                     autograph=False)

  def train_state(self):
    """Returns all that resuming needs, for `tf.train.Checkpoint`."""
    weights = {v.path for v in self.model.weights}
    seeds = [v for v in self.model.variables if v.path not in weights]
    return {"weights": model_dir.keyed_by_path(self.model.weights),
            "seeds": model_dir.keyed_by_path(seeds),
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


class Sums:
  """Sums of loss, right answers and examples, over steps and replicas.

  Keras 3's metrics are not reduced over replicas; these variables are.
  """

  def __init__(self, loss, accuracy):
    """Takes the names under which the mean loss and the accuracy (percent) are reported."""
    self._names = (loss, accuracy)
    self._variables = [
        tf.Variable(0.0, trainable=False, name=name, dtype=tf.float32,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM)
        for name in (loss, accuracy, "examples")]

  def reset(self):
    for variable in self._variables:
      variable.assign(0.0)

  def add(self, losses, correct, weights=None):
    """Adds a replica's examples: their losses, and how right each answer is, each `[batch]`."""
    weights = tf.ones_like(losses) if weights is None else weights
    for variable, values in zip(self._variables, (losses, correct, tf.ones_like(losses))):
      variable.assign_add(tf.reduce_sum(values * weights))

  def means(self):
    loss, correct, examples = (np.float64(v.read_value()) for v in self._variables)
    return dict(zip(self._names, (loss / examples, 100 * correct / examples)))
