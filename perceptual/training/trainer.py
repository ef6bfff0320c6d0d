"""What the steps of training a classifier and of learning a distance share, as orbit's trainer.

Works around faults of Keras 3 under `tf.distribute`: the optimizer is built inside the strategy's
scope, and the state of dropout's seed generators is among the variables that checkpoints keep.
"""

import types

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
    reported: what is averaged over steps and reported, as `Sums` takes it.
    replica_step: what one replica runs in a step, a `tf.function` of its batch.
  """

  reported = types.MappingProxyType({"loss": 1, "accuracy": 100})

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
    self._sums = Sums(self.reported)
    self.replica_step = tf.function(self._step_of_replica, jit_compile=jit_compile or None,
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
    self._strategy.run(self.replica_step, args=(next(iterator),))
    self.global_step.assign_add(1)

  def train_loop_end(self):
    rate = self.optimizer.learning_rate
    return {**self._sums.means(), "learning_rate": float(keras.ops.convert_to_numpy(rate))}


class Sums:
  """Sums of what is measured of examples, such as loss and right answers, over steps and replicas.

  Keras 3's metrics are not reduced over replicas; these variables are.
  """

  def __init__(self, measures):
    """Takes the names of the measures, each with the factor by which its mean is reported.

    An accuracy, for instance, whose values are 0 and 1, is reported in percent by a factor of 100.
    """
    self._factors = dict(measures)
    self._variables = [
        tf.Variable(0.0, trainable=False, name=name, dtype=tf.float32,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM)
        for name in (*self._factors, "examples")]

  def reset(self):
    for variable in self._variables:
      variable.assign(0.0)

  def add(self, *measures, weights=None):
    """Adds a replica's examples: the measures in their order, each `[batch]`, and weights."""
    ones = tf.ones_like(measures[0])
    weights = ones if weights is None else weights
    for variable, values in zip(self._variables, (*measures, ones), strict=True):
      variable.assign_add(tf.reduce_sum(values * weights))

  def means(self):
    *sums, examples = (np.float64(v.read_value()) for v in self._variables)
    return {name: factor * total / examples
            for (name, factor), total in zip(self._factors.items(), sums)}
