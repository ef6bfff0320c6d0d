"""A training run in its folder: steps, evaluations, kept checkpoints, and resuming.

What is trained, on what, is said by those that build on it: `loop.Run` trains a classifier and
`learning.Run` a metric on judgements, both scored on judged sets as they train (`judged_loop`);
`tasks.run.Run` trains a network for a task with a perceptual loss. The weights at the best
evaluation are kept beside the last.
"""

import contextlib
import io
import math

import orbit
import tensorflow as tf

from perceptual import errors
from perceptual.common import files, locks
from perceptual.data import pipelines
from perceptual.errors import UserError
from perceptual.training import (
  checkpoints,
  model_dir,
  progress_file,
  records,
  resuming,
  stopping,
  stops,
)


class OuterLoop:
  """The part of a run that does not depend on what is trained.

  A subclass builds `model`, `_trainer` (orbit's, as `classifier.ClassifierTrainer`) and
  `_evaluator` (orbit's), and then calls `_resume`. It says besides what the run is (`_as_data`,
  `_write_network`), gives the batches from `first_step` on (`_train_batches`), and says how many
  examples an evaluation has (`_evaluation_size`), for what weights are kept (`_best_values`), what
  is said of an evaluation (`_measured`) and drawn (`_plot`). An evaluation may measure more than
  the evaluator does (`_further_measures`).

  Attributes:
    folder: `model_dir.ModelDir`.
    settings: how to train: `settings.Settings`, or others with the intervals and batch sizes of
      these.
    steps: the number of steps of the whole run.
    steps_per_epoch: the number of steps that is called an epoch.
    first_step: the step from which `train` goes on; 0 for a new run.
  """

  examples = "images"  # what a batch holds, for people

  def __init__(self, path, *, settings, steps, steps_per_epoch, strategy=None):
    self.folder = model_dir.ModelDir(path)
    self.settings = settings
    self.steps = steps
    self.steps_per_epoch = steps_per_epoch
    self._strategy = strategy or tf.distribute.get_strategy()
    self._is_chief = self._strategy.extended.should_checkpoint  # of several workers, one
    self._stops = stops.Stops(settings, steps)
    self._last_means = {}
    self._is_alone = lambda: True

  @property
  def is_complete(self):
    """Whether there is nothing left to train."""
    return self.first_step >= self.steps or self._has_settled()

  def train(self, config=None):
    """Trains to the last step; returns the lines of `metrics.csv`. A complete run is left alone.

    Args:
      config: file name -> text, written into the folder: the configuration as given and as used.

    Raises:
      UserError: if training diverges, and then the checkpoints saved before stay; or if another
        process writes to the folder.
      errors.Stopped: if the process was asked to stop (SIGTERM) before the last step, and then the
        run is saved; or if another worker has ended.
    """
    if self.is_complete and not self._is_untidy():
      return self._metrics.rows
    with self._alone(), stopping.StopRequest() as self._stop:
      self._checkpoints.begin(self._peaks())
      self._progress_file = progress_file.ProgressFile(
          self.folder.progress, may_write=lambda: self._is_chief and self._is_alone(),
          step=self.first_step, steps=self.steps, last_checkpoint=self._checkpoints.last_name)
      with self._progress_file.states(), resuming.ended_by_lost_workers(self._strategy):
        if self.is_complete:
          self._tidy()
        else:
          self._write_descriptions(config or {})
          self._train()
    return self._metrics.rows

  def lost_weights(self):
    """Returns which best weights are not kept, as lines of text for people."""
    if not self._is_chief:
      return []
    found = (self._checkpoints.lost(name, step) for name, (step, _) in self._peaks().items())
    return [f"{text}." for text in found if text]

  def replica_steps(self):
    """Returns what one replica runs, `{name: (tf.function, spec of its batch)}`.

    It is what XLA compiles on a TPU; `tools/tpu` compiles it without one.
    """
    return {"train": (self._trainer.replica_step, self._trainer.train_dataset.element_spec)}

  def _is_untidy(self):
    """Whether a complete run has lost something, or was killed after its last step."""
    return self._metrics.was_rebuilt or (self._is_chief and (
        bool(self._checkpoints.lost_but_here(self._peaks()))
        or (self.folder.path / locks.FILE).exists()))

  def _tidy(self):
    """Completes what a complete run lacks."""
    self._metrics.write()
    if self._checkpoints.notes() is None:  # killed between its tensors and their checksums
      self._save_last()

  def _alone(self):
    """A context in which no other process writes to the folder, which is made."""
    if not self._is_chief:
      return contextlib.nullcontext()
    self.folder.make()
    return self._locked()

  @contextlib.contextmanager
  def _locked(self):
    with locks.held(self.folder.path) as self._is_alone:
      if self._checkpoints.newest_step() != (self.first_step or None):
        raise UserError(f"Another process has trained in {self.folder.path} meanwhile: give the "
                        "command again to go on from there.")
      yield

  def _train(self):
    """Trains from the first step to the last."""
    self._progress = records.Progress(
        steps=self.steps, batch_size=self.settings.batch_size, examples=self.examples,
        steps_per_epoch=self.steps_per_epoch, silent=not self._is_chief)
    controller = self._controller()
    step = self.first_step
    if step == 0:
      self._evaluate(controller)
      self._keep(step)
    while step < self.steps and not self._has_settled():
      step = self._stops.next(step)
      self._progress.start(self._step)
      self._target = step
      controller.train(step, checkpoint_at_completion=False)
      self._require_alone()
      if self._stops.is_evaluated(step):
        self._evaluate(controller)
      self._keep(step)
      self._save_last()
      # Of the last stretch too: all workers of a study are then to end before its next run.
      if self._stop.of_any_worker(self._strategy) and step < self.steps:
        self._end_early()

  def _require_alone(self):
    """Raises `UserError` if the folder is no longer this run's to write to."""
    if not self._is_alone():
      raise UserError(f"{self.folder.path} was removed, or another process has taken it over: this "
                      "one writes nothing more to it.")

  def _keep(self, step):
    """Keeps the weights of a step, if that was asked for."""
    if self._stops.is_kept(step):
      self._checkpoints.keep_step()

  def _save_last(self):
    self._require_alone()
    self._checkpoints.save_last(self._notes())
    self._progress_file.write(last_checkpoint=self._checkpoints.last_name)

  def _notes(self):
    """What is kept beside the last weights, so that records that are lost can be put right."""
    return {"metrics": self._metrics.rows}

  def _noted(self, name):
    """Returns one of the `_notes` of the checkpoint that was restored; None if it has none."""
    return (self._checkpoints.notes() or {}).get(name)

  def _end_early(self):
    """Ends the process; what `last` holds is of this step."""
    self._progress.say(f"stopped on request: saved at step {self._step}; give the same command "
                       "again to go on")
    raise errors.Stopped

  def _has_settled(self):
    """Whether training may end before its last step, by what evaluations have measured."""
    return False

  @property
  def _step(self):
    return int(self._trainer.global_step.numpy())

  def _check(self):
    """Raises `UserError` unless batches divide among replicas."""
    replicas = self._strategy.num_replicas_in_sync
    for name in ("batch_size", "eval_batch_size"):
      if getattr(self.settings, name) % replicas:
        raise UserError(f"{name} {getattr(self.settings, name)} is not a multiple of the "
                        f"{replicas} replicas.")

  def _resume(self):
    """Restores the last checkpoint, if there is one, and notes what has changed since."""
    self._checkpoints = checkpoints.Checkpoints(self.folder, self._trainer, self._is_chief)
    before = self.folder.read_run() if self._checkpoints.last else None
    self._changes = resuming.changes(before, self._as_data(), folder=self.folder.path)
    self.first_step = self._checkpoints.restore()
    if not self.first_step:
      resuming.refuse_lost_checkpoints(self.folder)
    resuming.check_workers(self.first_step, self._strategy)
    self._metrics = records.MetricsFile(
        self.folder.metrics, self.first_step, self._is_chief, noted=self._noted("metrics"))
    for name, (step, _) in self._peaks().items():
      self._checkpoints.check_best(name, step)
    self._trainer.train_dataset = self._distributed(self._train_batches)

  def _peaks(self):
    """Name of a best checkpoint -> (step, value) of the best evaluation so far, if there is one."""
    peaks = {}
    for row in self._metrics.rows:
      for name, value in self._best_values(row).items() if row["step"] else ():
        if name not in peaks or value > peaks[name][1]:
          peaks[name] = row["step"], value
    return peaks

  def _write_descriptions(self, config):
    if self._is_chief:
      self.folder.make()
      self._write_network()
      self.folder.write_run(self._as_data())
      for name, text in config.items():
        files.write_text(self.folder.path / name, text)

  def _distributed(self, batches):
    return pipelines.distributed(self._strategy, batches)

  def _stream(self, context):
    """What the stream of training batches is to be for one input pipeline."""
    settings = self.settings
    # A pipeline feeds its replicas in turn: a step takes one batch for each of them.
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return {"batch_size": context.get_per_replica_batch_size(settings.batch_size),
            "first_step": self.first_step * replicas, "seed": settings.seed,
            "shuffle_buffer": settings.shuffle_buffer,
            "shard": (context.input_pipeline_id, context.num_input_pipelines)}

  def _controller(self):
    return _QuietController(
        global_step=self._trainer.global_step, strategy=self._strategy, trainer=self._trainer,
        evaluator=self._evaluator, steps_per_loop=self.settings.steps_per_loop,
        train_actions=[self._after_loop], eval_actions=[self._after_evaluation],
        summary_dir=str(self.folder.tensorboard) if self._is_chief else None)

  def _evaluate(self, controller):
    self._progress.start_evaluation(self._evaluation_size)
    controller.evaluate()

  def _after_loop(self, means):
    if not math.isfinite(means["loss"]):
      raise self._checkpoints.diverged(f"the loss is {means['loss']}")
    means[f"{self.examples}_per_second"] = self._progress.report(self._step, means)
    self._progress_file.note(
        step=self._step, epoch=round(self._step / self.steps_per_epoch, 4),
        seconds_left=self._progress.seconds_left, **means)
    self._last_means = means
    if self._step < self._target and self._stop.of_any_worker(self._strategy):
      self._save_last()
      self._end_early()

  def _after_evaluation(self, means):
    """Records everything that was measured, and keeps the weights if they are the best yet."""
    for name, value in means.items():
      if not math.isfinite(value):
        raise self._checkpoints.diverged(f"the {name.replace('_', ' ')} is {value}")
    self._checkpoints.require_finite()  # some kernels of ReLU make 0 of NaN, which hides it
    means.update(self._further_measures())
    self._require_alone()
    row = {"step": self._step, "epoch": round(self._step / self.steps_per_epoch, 4),
           **{key: float(value) for key, value in {**self._last_means, **means}.items()}}
    self._metrics.append(row)
    best = []
    if self._step:  # the untrained network is recorded for comparison, but not kept
      best = [name.replace("_", " ") for name, value in self._best_values(row).items()
              if self._checkpoints.keep_best(name, value)]
    self._tell(row, best)
    if self._is_chief:
      self._plot()

  def _further_measures(self):
    """Returns what is measured besides what the evaluator returns, a dictionary of numbers."""
    return {}

  def _tell(self, row, best):
    """Says what an evaluation measured, and which checkpoints it is the `best` for."""
    mark = f"  <- {', '.join(best)}" if best else ""
    self._progress.say(f"  evaluation at step {row['step']}: {self._measured(row)}{mark}")

  def _common_description(self):
    """Lines of text for people: the length, the devices, the folder."""
    settings, replicas = self.settings, self._strategy.num_replicas_in_sync
    return [
        f"steps     {self.steps} of {settings.batch_size} {self.examples} "
        f"({self.steps_per_epoch} an epoch), evaluated every {settings.eval_interval}; "
        f"{self._start()}",
        *(f"changed   {change}" for change in self._changes),
        f"devices   {type(self._strategy).__name__}, "
        f"{replicas} {'replica' if replicas == 1 else 'replicas'}, {settings.precision}",
        f"folder    {self.folder.path}"]

  def _start(self):
    """Where training starts, in words."""
    if self.is_complete:
      return f"complete at step {self.first_step}"
    return f"resuming at step {self.first_step}" if self.first_step else "from the start"


class _QuietController(orbit.Controller):
  """orbit's outer loop without its prints of each dictionary it is given."""

  def train(self, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
      return super().train(*args, **kwargs)

  def evaluate(self, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
      return super().evaluate(*args, **kwargs)
