"""One training step and one validation of a task's network, as orbit's trainer and evaluator."""

import types

import orbit
import tensorflow as tf

from perceptual.tasks.task import unit
from perceptual.training import trainer


class TaskTrainer(trainer.Trainer):
  """Trains a network to make targets of inputs; of the loss nothing is trained."""

  reported = types.MappingProxyType({"loss": 1})

  def __init__(self, model, optimizer, *, task, loss, strategy, batch_size, jit_compile=False):
    """Makes the trainer; call it inside the strategy's scope.

    Args:
      model: the network.
      optimizer: not yet built.
      task: `task.Task`.
      loss: `loss.Loss`.
      strategy: `tf.distribute.Strategy`.
      batch_size: examples a step, over all replicas.
      jit_compile: whether XLA compiles the step of a replica.
    """
    super().__init__(
        model, optimizer, model.trainable_variables, strategy=strategy, batch_size=batch_size,
        preprocess=unit, jit_compile=jit_compile)
    self._task = task
    self._loss = loss

  def _step_of_replica(self, batch):
    variables = self.model.trainable_variables
    inputs, target = self._preprocess(batch["input"]), self._preprocess(batch["target"])
    of_target = self._loss.of_target(target)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch([v.value for v in variables])
      outputs = self._task.outputs(self.model, inputs, training=True)
      losses = sum(weight * self._loss(of_target, output) for weight, output in outputs)
      # Summed over replicas, this is the mean over the global batch.
      loss = tf.reduce_sum(losses) / self._batch_size
    gradients = tape.gradient(loss, [v.value for v in variables])
    self.optimizer.apply(gradients, variables)
    self._sums.add(losses)


class TaskEvaluator(orbit.StandardEvaluator):
  """The loss and the measures of a task over its validation examples, in padded batches.

  Attributes:
    replica_step: what one replica runs in a step, a `tf.function` of its batch.
  """

  def __init__(self, model, dataset, *, task, loss, strategy, progress, jit_compile=False):
    """Makes the evaluator; call it inside the strategy's scope.

    Args:
      model: the network.
      dataset: distributed data set of `task.Task.validation_batches`.
      task: `task.Task`.
      loss: `loss.Loss`.
      strategy: `tf.distribute.Strategy`.
      progress: called without arguments after each step.
      jit_compile: whether XLA compiles the step of a replica.
    """
    super().__init__(dataset)
    self._model = model
    self._task = task
    self._loss = loss
    self._strategy = strategy
    self._progress = progress
    self._sums = trainer.Sums(
        {f"validation_{name}": 1 for name in ("loss", *task.measures)})
    self.replica_step = tf.function(self._step_of_replica, jit_compile=jit_compile or None,
                                    autograph=False)

  def eval_begin(self):
    self._sums.reset()

  def eval_step(self, iterator):
    self._strategy.run(self.replica_step, args=(next(iterator),))

  def eval_reduce(self, state=None, step_outputs=None):
    """Called by orbit after each step; the sums are kept in variables."""
    self._progress()

  def eval_end(self):
    return self._sums.means()

  def _step_of_replica(self, batch):
    inputs, target = unit(batch["input"]), unit(batch["target"])
    outputs = self._task.outputs(self._model, inputs, training=False)
    of_target = self._loss.of_target(target)
    losses = sum(weight * self._loss(of_target, output) for weight, output in outputs)
    measured = self._task.measured(target, outputs[-1][1])
    self._sums.add(losses, *(measured[name] for name in self._task.measures),
                   weights=tf.cast(batch["index"] >= 0, tf.float32))
