"""The training run of a network for a task: started, or resumed."""

import dataclasses
import math

import keras

from perceptual.common import progress
from perceptual.errors import UserError
from perceptual.tasks import curves, streams, training
from perceptual.training import outer_loop


class Run(outer_loop.OuterLoop):
  """A run of a task in its folder.

  Attributes, besides those of `outer_loop.OuterLoop`:
    task: `task.Task`.
    loss: `loss.Loss`.
    model: the Keras model in training.
  """

  def __init__(self, path, *, task, loss, settings, strategy=None, jit_compile=False):
    """Builds everything and restores the last checkpoint, if there is one; writes nothing.

    Args:
      path: the folder.
      task: `task.Task`.
      loss: returns the `loss.Loss`; called in the strategy's scope.
      settings: `settings.Settings`.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles steps.

    Raises:
      UserError: if the parts do not fit each other, or the folder holds another run.
    """
    examples = task.sizes["train"]
    settings = settings.of(examples)
    super().__init__(
        path, settings=settings, steps=settings.steps(examples),
        steps_per_epoch=settings.steps_per_epoch(examples), strategy=strategy)
    self.task = task
    self._check()
    with self._strategy.scope():
      self.loss = loss()
      self.loss.require_fits(f"the task {task.name}", task.target_size)
      # After the loss network, which may draw weights of its own: one seed, one start for all.
      keras.utils.set_random_seed(settings.seed)
      self.model = task.build()
      self._trainer = training.TaskTrainer(
          self.model, settings.optimizer.keras(settings.batch_size, self.steps_per_epoch,
                                               self.steps),
          task=task, loss=self.loss, strategy=self._strategy, batch_size=settings.batch_size,
          jit_compile=jit_compile)
      self._evaluator = training.TaskEvaluator(
          self.model, self._distributed(self._validation_batches), task=task, loss=self.loss,
          strategy=self._strategy, jit_compile=jit_compile,
          progress=lambda: self._progress.evaluated(settings.eval_batch_size))
    self._resume()

  def train(self, config=None):
    with streams.unreadable_named():
      return super().train(config)

  def description(self):
    """Returns what the run is, as text for people."""
    kept = "highest" if self.task.higher_is_better else "lowest"
    lines = [
        f"task      {self.task.name}: {self._parameters():,} parameters",
        f"images    {progress.plural(self.task.sizes['train'], 'example')} to train, "
        f"{self.task.sizes['validation']:,} to validate; best by the {kept} "
        f"{self.task.best_by.replace('_', ' ')}",
        *(f"          {line}" for line in self.task.description()),
        f"loss      {self.loss.name}{'' if self.loss.normalised else ', of images in [0, 1]'}",
        *self._common_description()]
    return "\n".join(lines)

  def summary(self):
    """Returns where the results are and what the best was, as text for people."""
    best = self._best_row()
    if best is None:
      return f"No evaluation is recorded in {self.folder.metrics}."
    return (f"Best: {self.task.best_by.replace('_', ' ')} {best[self.task.best_by]:.4g} at step "
            f"{best['step']}.\nCurves: {self.folder.plot}  {self.folder.metrics}")

  def _check(self):
    super()._check()
    if not self.task.sizes["train"] or not self.task.sizes["validation"]:
      raise UserError(f"The task {self.task.name} needs examples to train and to validate on; it "
                      f"has {self.task.sizes}.")

  def _parameters(self):
    return sum(math.prod(variable.shape) for variable in self.model.trainable_variables)

  @property
  def _evaluation_size(self):
    return self.task.sizes["validation"]

  def _best_values(self, row):
    return {"best_score": self._worth(row)}

  def _worth(self, row):
    """The measure of a line of `metrics.csv` by which weights are kept; higher is better."""
    value = row[self.task.best_by]
    return value if self.task.higher_is_better else -value

  def _best_row(self):
    trained = [row for row in self._metrics.rows if row["step"]]
    return max(trained, key=self._worth, default=None)

  def _has_settled(self):
    best = self._best_row()
    if self.settings.patience is None or best is None:
      return False
    later = [row for row in self._metrics.rows if row["step"] > best["step"]]
    return len(later) >= self.settings.patience

  def _measured(self, row):
    return "  ".join(f"{name} {row[f'validation_{name}']:.4g}"
                     for name in ("loss", *self.task.measures))

  def _plot(self):
    best = self._best_row()
    curves.plot(self._metrics.rows, self.folder.plot, measure=self.task.best_by,
                title=f"{self.task.name}, loss {self.loss.name}",
                best_step=best and best["step"])

  def _as_data(self):
    return {"task": {"name": self.task.name, **self.task.as_data()},
            "loss": self.loss.as_data(), "fit": dataclasses.asdict(self.settings)}

  def _write_network(self):
    self.folder.write_task({"name": self.task.name})

  def _train_batches(self, context):
    stream = self._stream(context)
    stream.pop("shuffle_buffer")  # numbers alone are shuffled: all of them
    return self.task.train_batches(**stream)

  def _validation_batches(self, context):
    return self.task.validation_batches(
        batch_size=context.get_per_replica_batch_size(self.settings.eval_batch_size),
        shard=(context.input_pipeline_id, context.num_input_pipelines),
        replicas=context.num_replicas_in_sync // context.num_input_pipelines)
