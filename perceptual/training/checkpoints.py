"""The checkpoints of a run - last, best accuracy, best score, steps - and resuming from last."""

import numpy as np
import tensorflow as tf

from perceptual import errors
from perceptual.training import model_dir


class Checkpoints:
  """Saves and restores the state of a trainer.

  The last checkpoint holds all that resuming needs; a best one holds the weights that were
  evaluated, their step, and the value for which they were kept, so that a resumed run knows what
  there is to beat.
  """

  def __init__(self, folder, trainer, write=True):
    """Makes the checkpoints of a run; nothing is written before the first save.

    Args:
      folder: `model_dir.ModelDir`.
      trainer: `classifier.ClassifierTrainer`.
      write: whether this process writes; of several workers, one does.
    """
    self._folder = folder
    self._trainer = trainer
    self._write = write
    self._value = tf.Variable(0.0, trainable=False, dtype=tf.float64, name="value")
    self._last = self._manager("last", tf.train.Checkpoint(**trainer.train_state()))
    weights = model_dir.keyed_by_path(trainer.evaluated_model.weights)
    self._best = {
        name: self._manager(name, tf.train.Checkpoint(
            weights=weights, step=trainer.global_step, value=self._value))
        for name in model_dir.CHECKPOINTS if name != "last"}
    self._best_values = dict.fromkeys(self._best, -np.inf)
    self._kept = tf.train.Checkpoint(weights=weights, step=trainer.global_step)

  def _manager(self, name, checkpoint):
    self._folder.latest(name)  # for its errors
    return tf.train.CheckpointManager(
        checkpoint, str(self._folder.checkpoint(name)), max_to_keep=1, checkpoint_name="step")

  @property
  def last(self):
    """The path of the last checkpoint, None if there is none."""
    return self._last.latest_checkpoint

  def restore(self):
    """Restores the last checkpoint, if there is one; returns the step it was saved at, else 0.

    Raises:
      UserError: if it cannot be read, or is of another network or optimizer.
    """
    path = self.last
    if path is None:
      return 0
    model_dir.assign_weights(self._trainer.model, path)  # for its errors, which name the weight
    try:
      status = self._last.checkpoint.restore(path)
      status.assert_existing_objects_matched()
      status.expect_partial()
    except AssertionError:
      raise errors.UserError(f"{path} does not fit this run: its network, its optimizer or the "
                             "averaging of its weights is another one.") from None
    except model_dir.DAMAGE as error:
      raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}") from None
    self._best_values = {name: self._kept_value(name) for name in self._best}
    return self._step

  def _kept_value(self, name):
    """The value of the weights kept under `name`.

    It is -infinity if there are none, or if they are of a later step than the one restored: the run
    was killed after it kept them and before it saved itself, and will keep them anew.
    """
    path = self._best[name].latest_checkpoint
    if path is None:
      return -np.inf
    try:
      reader = tf.train.load_checkpoint(path)
      value, step = (reader.get_tensor(key + model_dir.VALUE) for key in ("value", "step"))
    except model_dir.DAMAGE as error:
      raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}") from None
    return value if step <= self._step else -np.inf

  def require_finite(self):
    """Raises `UserError` if a weight is NaN or infinite: no such weights are ever saved."""
    for variable in self._trainer.model.weights:
      if not np.isfinite(variable.numpy()).all():
        raise self.diverged(f"weight {variable.path} is not finite")

  def save_last(self):
    """Saves all that resuming needs.

    Raises:
      UserError: if a weight is not finite; the checkpoints saved before stay.
    """
    self.require_finite()
    if self._write:
      self._last.save(self._step)

  def keep_best(self, name, value):
    """Keeps the weights under `name` if `value` is higher than the one there; returns whether."""
    if not value > self._best_values[name]:
      return False
    self._best_values[name] = value
    if self._write:
      self._value.assign(value)
      self._best[name].save(self._step)
    return True

  def keep_step(self):
    """Keeps the weights that are evaluated, for good, under the name of their step."""
    self.require_finite()
    if self._write:
      self._kept.write(str(self._folder.checkpoint(model_dir.step_name(self._step))))

  def diverged(self, what):
    """Returns the error of a run that diverged: what was seen, what is kept, what to try."""
    kept = (f"the last good checkpoint is {self.last}" if self.last
            else "no checkpoint had been saved yet")
    return errors.UserError(f"Training diverged by step {self._step}: {what}; {kept}. "
                            "Try a lower learning_rate, a longer warm-up, or clip_norm.")

  @property
  def _step(self):
    return int(self._trainer.global_step.numpy())
