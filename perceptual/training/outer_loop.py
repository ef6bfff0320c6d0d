"""A training run in its folder: steps, evaluations, kept checkpoints, and resuming.

What is trained, on what, is said by those that build on it: `loop.Run` trains a classifier,
`learning.Run` a metric on judgements. Both are scored on a judged set as they train, and the
weights at the best score are kept beside the last.
"""

import contextlib
import io
import math

import keras
import orbit
import tensorflow as tf

from perceptual import errors
from perceptual.common import files, locks, progress
from perceptual.errors import UserError
from perceptual.evaluation import report
from perceptual.training import checkpoints, model_dir, records, resuming, step_scores, stopping

WIDE = 3.0  # points: half an interval above which scores of steps can hardly be told apart


class OuterLoop:
  """The part of a run that does not depend on what is trained.

  A subclass builds `model`, `_trainer` (orbit's, as `classifier.ClassifierTrainer`), `_evaluator`
  (orbit's) and `_judged_pass`, and then calls `_resume`. It says besides what the run is (`_title`,
  `_as_data`, `_write_network`), gives the batches from `first_step` on (`_train_batches`), and may
  keep weights for more than the score (`_best_columns`).

  Attributes:
    folder: `model_dir.ModelDir`.
    judged_set: `judged.JudgedSet` of kind `2afc`, scored at every evaluation; by its score the best
      weights are kept.
    judged_sets: all that are scored, this one among them.
    settings: how to train: `settings.Settings`, or others with the intervals, batch sizes and
      score of these.
    steps: the number of steps of the whole run.
    steps_per_epoch: the number of steps that is called an epoch.
    first_step: the step from which `train` goes on; 0 for a new run.
  """

  examples = "images"  # what a batch holds, for people
  curve = ("validation_accuracy", "validation accuracy, %")  # what is drawn beside the scores

  def __init__(self, path, *, judged_set, settings, steps, steps_per_epoch, further_sets=(),
               strategy=None):
    self.folder = model_dir.ModelDir(path)
    self.judged_sets = (judged_set, *further_sets)
    self.judged_set = _named(settings.best_by, self.judged_sets)
    self.settings = settings
    self.steps = steps
    self.steps_per_epoch = steps_per_epoch
    self._strategy = strategy or tf.distribute.get_strategy()
    self._is_chief = self._strategy.extended.should_checkpoint  # of several workers, one
    self._last_means = {}
    self._half_widths = {}  # column of a score -> half the interval of the last one, in points
    self._warned = False

  @property
  def is_complete(self):
    """Whether there is nothing left to train."""
    return self.first_step >= self.steps

  def train(self, config=None):
    """Trains to the last step; returns the lines of `metrics.csv`. A complete run is left alone.

    Args:
      config: file name -> text, written into the folder: the configuration as given and as used.

    Raises:
      UserError: if training diverges, and then the checkpoints saved before stay; or if another
        process writes to the folder.
      errors.Stopped: if the process was asked to stop (SIGTERM), and then the run is saved; or if
        another worker has ended.
    """
    if self.is_complete and not self._is_untidy():
      return self._metrics.rows
    with self._alone(), stopping.StopRequest() as self._stop:
      self._checkpoints.begin(self._peaks())
      if self.is_complete:
        self._tidy()
      else:
        with resuming.ended_by_lost_workers(self._strategy):
          self._train(config or {})
    return self._metrics.rows

  def _is_untidy(self):
    """Whether a complete run has lost something, or was killed after its last step."""
    return self._metrics.was_rebuilt or (
        self._is_chief and (self.folder.path / locks.FILE).exists())

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
    with locks.held(self.folder.path):
      if self._checkpoints.newest_step() != (self.first_step or None):
        raise UserError(f"Another process has trained in {self.folder.path} meanwhile: give the "
                        "command again to go on from there.")
      yield

  def _train(self, config):
    """Trains from the first step to the last."""
    self._write_descriptions(config)
    self._progress = records.Progress(
        steps=self.steps, batch_size=self.settings.batch_size, examples=self.examples,
        steps_per_epoch=self.steps_per_epoch, silent=not self._is_chief)
    controller = self._controller()
    step = self.first_step
    if step == 0:
      self._evaluate(controller)
      self._keep(step)
    while step < self.steps:
      step = self._next_stop(step)
      self._progress.start(self._step)
      self._target = step
      controller.train(step, checkpoint_at_completion=False)
      if self._is_evaluated(step):
        self._evaluate(controller)
      self._keep(step)
      self._save_last()
      if step < self.steps and self._stop.of_any_worker(self._strategy):
        self._end_early()

  def _save_last(self):
    self._checkpoints.save_last({
        "metrics": self._metrics.rows, "scores_lines": self._scores_file.size})

  def _end_early(self):
    """Ends the process; what `last` holds is of this step."""
    self._progress.say(f"stopped on request: saved at step {self._step}; give the same command "
                       "again to go on")
    raise errors.Stopped

  @property
  def _step(self):
    return int(self._trainer.global_step.numpy())

  @property
  def _score_column(self):
    """The column of `metrics.csv` by which the best score is chosen."""
    return records.SCORE_PREFIX + self.settings.score_by

  @property
  def _best_columns(self):
    """Checkpoint -> the column of `metrics.csv` for whose highest value it is kept."""
    return {"best_score": self._score_column}

  def _check(self):
    """Raises `UserError` unless batches divide among replicas and the judged set can be scored."""
    replicas = self._strategy.num_replicas_in_sync
    for name in ("batch_size", "eval_batch_size"):
      if getattr(self.settings, name) % replicas:
        raise UserError(f"{name} {getattr(self.settings, name)} is not a multiple of the "
                        f"{replicas} replicas.")
    for judged_set in self.judged_sets:
      if judged_set.kind != "2afc":
        raise UserError(f"{judged_set.name} is of kind {judged_set.kind}; training is scored on "
                        "2afc sets.")
    report.require_subset(self.judged_set, self.settings.score_subset)

  def _resume(self):
    """Restores the last checkpoint, if there is one, and notes what has changed since."""
    self._checkpoints = checkpoints.Checkpoints(self.folder, self._trainer, self._is_chief)
    resuming.refuse_lost_checkpoints(self.folder, self._checkpoints.last)
    before = self.folder.read_run() if self._checkpoints.last else None
    self._changes = resuming.changes(before, self._as_data(), folder=self.folder.path)
    self.first_step = self._checkpoints.restore()
    resuming.check_workers(self.first_step, self._strategy)
    step_scores.require_taps(self.settings.score_taps, self._judged_pass.metric.taps)
    noted = self._checkpoints.notes() or {}
    self._metrics = records.MetricsFile(
        self.folder.metrics, self.first_step, self._is_chief, noted=noted.get("metrics"))
    self._scores_file = step_scores.ScoresFile(
        self.folder.scores, self.first_step, self._is_chief, noted=noted.get("scores_lines"))
    for name, found in self._peaks().items():
      if found is not None:
        self._checkpoints.check_best(name, *found)
    self._trainer.train_dataset = self._distributed(self._train_batches)

  def _peaks(self):
    """Name of a best checkpoint -> (step, value) of the best evaluation so far, or None."""
    peaks = {name: records.peak(self._metrics.rows, column)
             for name, column in self._best_columns.items()}
    return {name: row and (row["step"], row[self._best_columns[name]])
            for name, row in peaks.items()}

  def _write_descriptions(self, config):
    if self._is_chief:
      self.folder.make()
      self._write_network()
      self.folder.write_run(self._as_data())
      for name, text in config.items():
        files.write_text(self.folder.path / name, text)

  def _distributed(self, batches):
    return self._strategy.distribute_datasets_from_function(batches)

  def _stream(self, context):
    """What the stream of training batches is to be for one input pipeline."""
    settings = self.settings
    # A pipeline feeds its replicas in turn: a step takes one batch for each of them.
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return {"batch_size": context.get_per_replica_batch_size(settings.batch_size),
            "first_step": self.first_step * replicas, "seed": settings.seed,
            "shuffle_buffer": settings.shuffle_buffer,
            "shard": (context.input_pipeline_id, context.num_input_pipelines)}

  def _next_stop(self, step):
    """The next step at which to evaluate or save."""
    settings = self.settings
    intervals = (settings.eval_interval, settings.checkpoint_interval)
    kept = () if settings.keep_checkpoints == "all" else settings.keep_checkpoints
    return min(self.steps, *((step // i + 1) * i for i in intervals if i),
               *(other for other in (*settings.score_steps, *kept) if other > step))

  def _is_evaluated(self, step):
    settings = self.settings
    return (step % settings.eval_interval == 0 or step in settings.score_steps
            or step == self.steps)

  def _keep(self, step):
    """Keeps the weights of a step, if that was asked for."""
    wanted = self.settings.keep_checkpoints
    if self._is_evaluated(step) if wanted == "all" else step in wanted:
      self._checkpoints.keep_step()

  def _controller(self):
    return _QuietController(
        global_step=self._trainer.global_step, strategy=self._strategy, trainer=self._trainer,
        evaluator=self._evaluator, steps_per_loop=self.settings.steps_per_loop,
        train_actions=[self._after_loop], eval_actions=[self._after_evaluation],
        summary_dir=str(self.folder.tensorboard) if self._is_chief else None)

  def _evaluate(self, controller):
    self._progress.start_evaluation(self._evaluation_size)
    controller.evaluate()

  @property
  def _evaluation_size(self):
    """The number of examples of one evaluation."""
    return sum(judged_set.size for judged_set in self.judged_sets)

  def _after_loop(self, means):
    if not math.isfinite(means["loss"]):
      raise self._checkpoints.diverged(f"the loss is {means['loss']}")
    means[f"{self.examples}_per_second"] = self._progress.report(self._step, means)
    self._last_means = means
    if self._step < self._target and self._stop.of_any_worker(self._strategy):
      self._save_last()
      self._end_early()

  def _after_evaluation(self, means):
    """Scores the network, records everything, and keeps the weights if they are the best yet."""
    for name, value in means.items():
      if not math.isfinite(value):
        raise self._checkpoints.diverged(f"the {name.replace('_', ' ')} is {value}")
    self._checkpoints.require_finite()  # some kernels of ReLU make 0 of NaN, which hides it
    means.update(self._scores())
    row = {"step": self._step, "epoch": round(self._step / self.steps_per_epoch, 4),
           **{key: float(value) for key, value in {**self._last_means, **means}.items()}}
    self._metrics.append(row)
    best = []
    if self._step:  # the untrained network is recorded for comparison, but not kept
      best = [name.replace("_", " ") for name, column in self._best_columns.items()
              if self._checkpoints.keep_best(name, row[column])]
    self._progress.say(self._evaluation_line(row, best))
    self._warn_of_wide_intervals()
    if self._is_chief:
      records.plot(self._metrics.rows, self.folder.plot, title=self._title,
                   best=self._score_column, curve=self.curve)

  def _scores(self):
    """Returns the score of each distance, summed over taps, on the chosen subset or aggregate.

    All other scores, and those of the further sets, go to `scores.csv`.
    """
    settings, rows = self.settings, []
    for judged_set in self.judged_sets:
      distances = {s.name: self._judged_pass(s, "2afc", self._progress.evaluated)
                   for s in judged_set.subsets}
      rows += step_scores.rows(
          self._step, judged_set, distances, taps=settings.score_taps,
          resamples=settings.score_resamples)
      if judged_set is self.judged_set:
        steering = self._steering_scores(distances)
    self._scores_file.append(self._step, rows)
    return steering

  def _steering_scores(self, distances):
    """Returns the scores among which the best is chosen, and notes how well they are known."""
    judged_set, subset = self.judged_set, self.settings.score_subset
    columns = {records.SCORE_PREFIX + distance: distance
               for distance in self.settings.score_distances}
    self._half_widths = {
        column: report.summed_half_width(judged_set, distances, distance, subset)
        for column, distance in columns.items()}
    return {column: report.summed_score(judged_set, distances, distance, subset)
            for column, distance in columns.items()}

  def _further_sets(self):
    """The sets that are scored without choosing weights, as plain data."""
    return {other.name: other.size for other in self.judged_sets if other is not self.judged_set}

  def _warn_of_wide_intervals(self):
    """Says once where the judged set is too small to tell the scores of steps apart."""
    half_width = self._half_widths[self._score_column]
    if half_width > WIDE and not self._warned:
      self._warned = True
      triplets = progress.plural(self.judged_set.size, "triplet")
      self._progress.say(
          f"  warning: with {triplets} a score is known to ±{half_width:.1f} points (95% "
          "interval): smaller differences between steps may be chance")

  def _evaluation_line(self, row, best):
    accuracy = (f"validation accuracy {row['validation_accuracy']:.1f}%, "
                if "validation_accuracy" in row else "")
    scores = "  ".join(
        f"{key.removeprefix(records.SCORE_PREFIX)} {row[key]:.1f} ±{half_width:.1f}"
        for key, half_width in self._half_widths.items())
    mark = f"  <- {', '.join(best)}" if best else ""
    return f"  evaluation at step {row['step']}: {accuracy}{self._score_name}: {scores}{mark}"

  def _common_description(self):
    """Lines of text for people: the score, the length, the devices, the folder."""
    settings, replicas = self.settings, self._strategy.num_replicas_in_sync
    return [
        f"score     {self._score_name}, {progress.plural(self.judged_set.size, 'triplet')}, by "
        f"{', '.join(settings.score_distances)}; best by {settings.score_by}",
        f"          {self.judged_set.note}" if self.judged_set.note else "",
        *(f"besides   {other.name}, {progress.plural(other.size, 'triplet')}"
          f"{other.note and '; '}{other.note}"
          for other in self.judged_sets if other is not self.judged_set),
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

  @property
  def _score_name(self):
    subset = self.settings.score_subset or "mean"
    return f"{self.judged_set.name} ({subset})" if len(self.judged_set.subsets) > 1 else (
        self.judged_set.name)


def _named(name, judged_sets):
  """Returns the judged set of a name; None is the first."""
  names = [judged_set.name for judged_set in judged_sets]
  if len(set(names)) < len(names):
    raise UserError(f"A judged set is named twice: {', '.join(names)}.")
  if name is not None and name not in names:
    raise errors.unknown("judged set in best_by", name, names)
  return judged_sets[0 if name is None else names.index(name)]


class _QuietController(orbit.Controller):
  """orbit's outer loop without its prints of each dictionary it is given."""

  def train(self, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
      return super().train(*args, **kwargs)

  def evaluate(self, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
      return super().evaluate(*args, **kwargs)


def check_takes(model, name, given):
  """Raises `UserError` unless a network takes images as large as those it will be given.

  Args:
    model: the Keras model.
    name: its name for people.
    given: name of a source of images -> their shape, `(height, width, 3)`.
  """
  for source, shape in given.items():
    try:
      model(keras.KerasTensor((1, *shape)))
    except ValueError as error:
      raise UserError(f"{name} does not take the images of {source}, {shape[0]}x{shape[1]} pixels: "
                      f"{errors.first_line(error)}") from None


def image_shapes(judged_sets):
  """Returns the shapes of judged sets' images, `{name: (height, width, 3)}` for `check_takes`."""
  return {judged_set.name: tuple(judged_set.subsets[0].images.element_spec["reference"].shape)
          for judged_set in judged_sets}
