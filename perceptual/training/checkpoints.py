"""The checkpoints of a run - last, best accuracy, best score, steps - and resuming from last."""

import os
import warnings

import numpy as np
import tensorflow as tf

from perceptual import errors
from perceptual.training import checkpoint_files, model_dir


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
    self._state = tf.train.Checkpoint(**trainer.train_state())
    weights = model_dir.keyed_by_path(trainer.evaluated_model.weights)
    self._weights = tf.train.Checkpoint(weights=weights, step=trainer.global_step)
    self._valued = tf.train.Checkpoint(
        weights=weights, step=trainer.global_step, value=self._value)
    self._best = {name: (None, -np.inf)  # step and value of what is kept
                  for name in model_dir.CHECKPOINTS if name != "last"}

  @property
  def last(self):
    """The path of the last checkpoint, None if there is none."""
    return self._folder.latest("last")

  @property
  def last_name(self):
    """The same, relative to the run directory, as text."""
    return self.last and os.path.relpath(self.last, self._folder.path)

  def newest_step(self):
    """Returns the step of the newest last checkpoint that is whole; None if there is none."""
    return checkpoint_files.sound(self._folder.checkpoint("last"))[0]

  def restore(self):
    """Restores the newest last checkpoint that is whole; returns its step, 0 if there is none.

    What is damaged, and what is taken instead, is warned of. Nothing is written.

    Raises:
      UserError: if there are checkpoints and none is whole, or it is of another network or
        optimizer.
    """
    step, faults = checkpoint_files.sound(self._folder.checkpoint("last"))
    for fault in faults:
      warnings.warn(f"{fault}; the run is resumed from step {step} instead.", stacklevel=2)
    if step is None:
      return 0
    path = checkpoint_files.prefix(self._folder.checkpoint("last"), step)
    model_dir.assign_weights(self._trainer.model, path)  # for its errors, which name the weight
    try:
      status = self._state.read(path)
      status.assert_existing_objects_matched()
      status.expect_partial()
    except AssertionError:
      raise errors.UserError(f"{path} does not fit this run: its network, its optimizer or the "
                             "averaging of its weights is another one.") from None
    except model_dir.DAMAGE as error:
      raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}") from None
    self._best = {name: self._found(name) for name in self._best}
    return self._step

  def notes(self):
    """Returns what was noted with the checkpoint that was restored; None if nothing is known."""
    return checkpoint_files.notes(self._folder.checkpoint("last"), self._step)

  def _found(self, name):
    """The step and the value of the weights kept under `name`: the newest that are whole.

    Those of a later step than the one restored do not count: the run was killed after it kept them
    and before it saved itself, and will keep them anew.
    """
    folder = self._folder.checkpoint(name)
    for step in reversed(checkpoint_files.steps(folder)):
      fault = None if step > self._step else checkpoint_files.fault(folder, step)
      if fault is not None:
        warnings.warn(f"{checkpoint_files.prefix(folder, step)} is damaged: {fault}.", stacklevel=3)
      elif step <= self._step:
        reader = tf.train.load_checkpoint(checkpoint_files.prefix(folder, step))
        return step, float(reader.get_tensor("value" + model_dir.VALUE))
    return None, -np.inf

  def check_best(self, name, step):
    """Warns if what is kept under `name` is not of `step`, that of the best evaluation."""
    text = self.lost(name, step)
    if text:
      then = ("They are those of the last checkpoint, and will be kept again"
              if step == self._step else "If training goes on, the best from here on is kept")
      warnings.warn(f"{text}. {then}.", stacklevel=2)

  def lost(self, name, step):
    """Returns that what is kept under `name` is not of `step`, in words; None if it is."""
    kept, _ = self._best[name]
    if kept == step:
      return None
    instead = "none are kept" if kept is None else f"those of step {kept} are kept"
    return (f"{self._folder.checkpoint(name)}: the weights of the best evaluation, of step {step}, "
            f"are lost; {instead}")

  def begin(self, best):
    """Makes the folder fit the step at which the run is resumed; it must be locked.

    What is of later steps goes, and will come again; so do leftovers of killed processes. Of the
    best weights those that are lost, but are the restored ones, are kept again.

    Args:
      best: name of a best checkpoint -> (step, value) of the best evaluation so far, if there is
        one.
    """
    if not self._write:
      return
    self._folder.remove_leftovers()
    for name in model_dir.CHECKPOINTS:
      folder = self._folder.checkpoint(name)
      for step in checkpoint_files.steps(folder):
        if step > self._step:
          checkpoint_files.remove(folder, step)
      checkpoint_files.keep_newest(folder)
      checkpoint_files.add_records(folder)
    for name in self.lost_but_here(best):
      self.keep_best(name, best[name][1])

  def lost_but_here(self, best):
    """Returns the names of those best weights, as of `begin`, that are lost but were restored."""
    return [name for name, (step, _) in best.items()
            if step == self._step and self.lost(name, step)]

  def require_finite(self):
    """Raises `UserError` if a weight is NaN or infinite: no such weights are ever saved."""
    weights = [v for v in self._trainer.model.weights if v.value.dtype.is_floating]
    finite = tf.stack([tf.reduce_all(tf.math.is_finite(v.value)) for v in weights]).numpy()
    if not finite.all():
      raise self.diverged(f"weight {weights[int(np.argmin(finite))].path} is not finite")

  def save_last(self, notes=None):
    """Saves all that resuming needs, and plain data that `notes` returns then.

    Raises:
      UserError: if a weight is not finite; the checkpoints saved before stay.
    """
    self.require_finite()
    if self._write:
      self._save("last", self._state, notes)

  def keep_best(self, name, value):
    """Keeps the weights under `name` if `value` is higher than the one there; returns whether."""
    if not value > self._best[name][1]:
      return False
    self._best[name] = (self._step, value)
    if self._write:
      self._value.assign(value)
      self._save(name, self._valued)
    return True

  def keep_step(self):
    """Keeps the weights that are evaluated, for good, under the name of their step."""
    self.require_finite()
    if self._write:
      folder = self._folder.checkpoint(model_dir.step_name(self._step)).parent
      checkpoint_files.write(self._weights, folder, self._step)

  def _save(self, name, checkpoint, notes=None):
    folder = self._folder.checkpoint(name)
    checkpoint_files.write(checkpoint, folder, self._step, notes=notes)
    checkpoint_files.keep_newest(folder)

  def diverged(self, what):
    """Returns the error of a run that diverged: what was seen, what is kept, what to try."""
    kept = (f"the last good checkpoint is {self.last}" if self.last
            else "no checkpoint had been saved yet")
    return errors.UserError(f"Training diverged by step {self._step}: {what}; {kept}. "
                            "Try a lower learning_rate, a longer warm-up, or clip_norm.")

  @property
  def _step(self):
    return int(self._trainer.global_step.numpy())
