"""The training run: batches, steps, evaluations, three kept checkpoints, and resuming.

Kumar et al. find that the best perceptual score comes long before the best accuracy, so the score
is evaluated during training and the weights at its peak are kept, beside the most accurate and the
last.
"""

import contextlib
import dataclasses
import io
import math

import keras
import orbit
import tensorflow as tf

from perceptual import errors, files, models
from perceptual.data import classification
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass, report
from perceptual.metric import Metric
from perceptual.models import taps
from perceptual.preprocessing import IMAGENET
from perceptual.training import checkpoints, classifier, model_dir, records, resuming
from perceptual.training.settings import PRECISIONS
from perceptual.training.settings import Settings as Settings  # given to `Run`, so at hand here


class Run:
  """A training run in its folder: made new, or taken up where it was left.

  Attributes:
    folder: `model_dir.ModelDir`.
    network: (name, options) of the network, every option of it.
    model: the Keras model.
    steps: the number of steps of the whole run.
    first_step: the step from which `train` goes on; 0 for a new run.
  """

  def __init__(self, path, *, network, images, judged_set, settings, strategy=None,
               jit_compile=False):
    """Builds everything and restores the last checkpoint, if there is one; writes nothing.

    Args:
      path: the training folder.
      network: (name, options) for `models.build`; `num_classes` is that of the images.
      images: `classification.LabelledImages`.
      judged_set: `judged.JudgedSet` of kind `2afc`, scored at every evaluation.
      settings: `Settings`.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles steps.

    Raises:
      UserError: if the parts do not fit each other, or the folder holds another run.
    """
    self.folder = model_dir.ModelDir(path)
    self.images = images
    self.judged_set = judged_set
    self.settings = settings
    self.steps = settings.steps(images)
    self.steps_per_epoch = settings.steps_per_epoch(images)
    self._strategy = strategy or tf.distribute.get_strategy()
    self._is_chief = self._strategy.extended.should_checkpoint  # of several workers, one
    self._check()
    name, options = network
    self.network = (name, {**models.network_options(name), **options,
                           "num_classes": images.num_classes})
    keras.utils.set_random_seed(settings.seed)
    with self._strategy.scope():
      self.model = _built(self.network, settings.precision)
      self._check_sizes()
      self._trainer = self._make_trainer(jit_compile)
      self._evaluator = classifier.ClassifierEvaluator(
          self.model, self._distributed(self._validation_batches), strategy=self._strategy,
          preprocess=IMAGENET, jit_compile=jit_compile,
          progress=lambda: self._progress.evaluated(settings.eval_batch_size))
    self._judged_pass = judged_pass.JudgedPass(
        Metric(self.model, network=name), distances=settings.score_distances,
        batch_size=settings.eval_batch_size, strategy=self._strategy, jit_compile=jit_compile)
    self._checkpoints = checkpoints.Checkpoints(self.folder, self._trainer, self._is_chief)
    self._resume()
    self._trainer.train_dataset = self._distributed(self._train_batches)
    self._last_means = {}

  @property
  def is_complete(self):
    """Whether there is nothing left to train."""
    return self.first_step >= self.steps

  def description(self):
    """Returns what the run is, as text for people."""
    settings, images = self.settings, self.images
    replicas = self._strategy.num_replicas_in_sync
    lines = [
        f"network   {self.network[0]} {_options_text(self.network)}: "
        f"{self.model.count_params():,} parameters, taps "
        f"{', '.join(tap.name for tap in taps.list_taps(self.model))}",
        f"images    {images.name}: {images.sizes['train']} to train, "
        f"{images.sizes['validation']} to validate, {images.num_classes} classes",
        f"          {images.note}" if images.note else "",
        f"score     {self._score_name}, {self.judged_set.size} triplets, by "
        f"{', '.join(settings.score_distances)}; best by {settings.score_by}",
        f"          {self.judged_set.note}" if self.judged_set.note else "",
        f"steps     {self.steps} of {settings.batch_size} images ({self.steps_per_epoch} an "
        f"epoch), evaluated every {settings.eval_interval}; {self._start()}",
        *(f"changed   {change}" for change in self._changes),
        f"devices   {type(self._strategy).__name__}, "
        f"{replicas} {'replica' if replicas == 1 else 'replicas'}, {settings.precision}",
        f"folder    {self.folder.path}"]
    return "\n".join(filter(None, lines))

  def summary(self):
    """Returns where the results are and what the best were, as text for people."""
    score = records.SCORE_PREFIX + self.settings.score_by
    best_score = records.peak(self._metrics.rows, score)
    best_accuracy = records.peak(self._metrics.rows, "validation_accuracy")
    if best_score is None:
      return f"No evaluation is recorded in {self.folder.metrics}."
    return (f"Best score: {self.settings.score_by} {best_score[score]:.1f} on {self._score_name} "
            f"at step {best_score['step']}, with {best_score['validation_accuracy']:.1f}% "
            f"accuracy.\nBest accuracy: {best_accuracy['validation_accuracy']:.1f}% at step "
            f"{best_accuracy['step']}, with {self.settings.score_by} "
            f"{best_accuracy[score]:.1f}.\nCurves: {self.folder.plot}  {self.folder.metrics}")

  def train(self, config=None):
    """Trains to the last step; returns the lines of `metrics.csv`. A complete run is left alone.

    Args:
      config: file name -> text, written into the folder: the configuration as given and as used.

    Raises:
      UserError: if training diverges; the checkpoints saved before stay.
    """
    if self.is_complete:
      return self._metrics.rows
    self._write_descriptions(config or {})
    self._progress = records.Progress(
        steps=self.steps, batch_size=self.settings.batch_size,
        steps_per_epoch=self.steps_per_epoch, silent=not self._is_chief)
    controller = self._controller()
    step = self.first_step
    if step == 0:
      self._evaluate(controller)
    while step < self.steps:
      step = self._next_stop(step)
      self._progress.start(self._step)
      controller.train(step, checkpoint_at_completion=False)
      if step % self.settings.eval_interval == 0 or step == self.steps:
        self._evaluate(controller)
      self._checkpoints.save_last()
    return self._metrics.rows

  @property
  def _step(self):
    return int(self._trainer.global_step.numpy())

  def _check(self):
    """Raises `UserError` unless the parts fit each other."""
    replicas = self._strategy.num_replicas_in_sync
    for name in ("batch_size", "eval_batch_size"):
      if getattr(self.settings, name) % replicas:
        raise UserError(f"{name} {getattr(self.settings, name)} is not a multiple of the "
                        f"{replicas} replicas.")
    if self.judged_set.kind != "2afc":
      raise UserError(f"{self.judged_set.name} is of kind {self.judged_set.kind}; training is "
                      "scored on a 2afc set.")
    if not self.images.sizes["train"] or not self.images.sizes["validation"]:
      raise UserError(f"{self.images.name} needs training and validation images; it has "
                      f"{self.images.sizes}.")
    report.require_subset(self.judged_set, self.settings.score_subset)

  def _check_sizes(self):
    """Raises `UserError` unless the network takes images as large as those it will be given."""
    given = {self.images.name: (self.images.image_size, self.images.image_size, 3)}
    for subset in self.judged_set.subsets:
      given[self.judged_set.name] = tuple(subset.images.element_spec["reference"].shape)
    for name, shape in given.items():
      try:
        self.model(keras.KerasTensor((1, *shape)))
      except ValueError as error:
        raise UserError(f"{self.network[0]} does not take the images of {name}, {shape[0]}x"
                        f"{shape[1]} pixels: {errors.first_line(error)}") from None

  def _make_trainer(self, jit_compile):
    settings = self.settings
    return classifier.ClassifierTrainer(
        self.model, settings.optimizer.keras(settings.batch_size, self.steps_per_epoch),
        dataset=None, strategy=self._strategy, batch_size=settings.batch_size,
        preprocess=IMAGENET, label_smoothing=settings.label_smoothing,
        weight_decay=settings.weight_decay, clip_norm=settings.clip_norm,
        jit_compile=jit_compile)

  def _resume(self):
    """Restores the last checkpoint, if there is one, and notes what has changed since."""
    before = self.folder.read_run() if self._checkpoints.last else None
    self._changes = resuming.changes(before, self._as_data(), folder=self.folder.path)
    self.first_step = self._checkpoints.restore()
    resuming.check_workers(self.first_step, self._strategy)
    self._metrics = records.MetricsFile(self.folder.metrics, self.first_step, self._is_chief)

  def _as_data(self):
    """What is trained, on what and how, as plain data."""
    name, options = self.network
    return {
        "network": {"name": name, **options},
        "images": {"name": self.images.name, "classes": self.images.classes, **self.images.sizes},
        "score": {"judged_set": self.judged_set.name, "triplets": self.judged_set.size,
                  "distance": self.settings.score_by, "subset": self.settings.score_subset},
        "train": dataclasses.asdict(self.settings),
    }

  def _write_descriptions(self, config):
    if self._is_chief:
      self.folder.make()
      self.folder.write_network(*self.network)
      self.folder.write_run(self._as_data())
      for name, text in config.items():
        files.write_text(self.folder.path / name, text)

  def _distributed(self, batches):
    return self._strategy.distribute_datasets_from_function(batches)

  def _train_batches(self, context):
    settings = self.settings
    # A pipeline feeds its replicas in turn: a step takes one batch for each of them.
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return classification.train_batches(
        self.images, batch_size=context.get_per_replica_batch_size(settings.batch_size),
        first_step=self.first_step * replicas, seed=settings.seed,
        augmentation=settings.augmentation, shuffle_buffer=settings.shuffle_buffer,
        shard=(context.input_pipeline_id, context.num_input_pipelines))

  def _validation_batches(self, context):
    return classification.validation_batches(
        self.images, batch_size=context.get_per_replica_batch_size(self.settings.eval_batch_size),
        augmentation=self.settings.augmentation,
        shard=(context.input_pipeline_id, context.num_input_pipelines),
        replicas=context.num_replicas_in_sync // context.num_input_pipelines)

  def _next_stop(self, step):
    """The next step at which to evaluate or save."""
    intervals = (self.settings.eval_interval, self.settings.checkpoint_interval)
    return min(self.steps, *((step // i + 1) * i for i in intervals if i))

  def _controller(self):
    return _QuietController(
        global_step=self._trainer.global_step, strategy=self._strategy, trainer=self._trainer,
        evaluator=self._evaluator, steps_per_loop=self.settings.steps_per_loop,
        train_actions=[self._after_loop], eval_actions=[self._after_evaluation],
        summary_dir=str(self.folder.tensorboard) if self._is_chief else None)

  def _evaluate(self, controller):
    self._progress.start_evaluation(self.images.sizes["validation"] + self.judged_set.size)
    controller.evaluate()

  def _after_loop(self, means):
    if not math.isfinite(means["loss"]):
      raise self._checkpoints.diverged(f"the loss is {means['loss']}")
    means["images_per_second"] = self._progress.report(self._step, means)
    self._last_means = means

  def _after_evaluation(self, means):
    """Scores the network, records everything, and keeps the weights if they are the best yet."""
    if not math.isfinite(means["validation_loss"]):
      raise self._checkpoints.diverged(f"the validation loss is {means['validation_loss']}")
    self._checkpoints.require_finite()  # some kernels of ReLU make 0 of NaN, which hides it
    means.update(self._scores())
    row = {"step": self._step, "epoch": round(self._step / self.steps_per_epoch, 4),
           **{key: float(value) for key, value in {**self._last_means, **means}.items()}}
    self._metrics.append(row)
    best = []
    if self._step:  # the untrained network is recorded for comparison, but not kept
      score = row[records.SCORE_PREFIX + self.settings.score_by]
      best += ["best score"] * self._checkpoints.keep_best("best_score", score)
      best += ["best accuracy"] * self._checkpoints.keep_best("best_accuracy",
                                                              row["validation_accuracy"])
    self._progress.say(_evaluation_line(row, self._score_name, best))
    if self._is_chief:
      records.plot(self._metrics.rows, self.folder.plot,
                   title=f"{self.network[0]} on {self.images.name}, scored on {self._score_name}",
                   best=records.SCORE_PREFIX + self.settings.score_by)

  def _scores(self):
    """Returns the score of each distance, summed over taps, on the chosen subset or aggregate."""
    distances = {s.name: self._judged_pass(s, "2afc", self._progress.evaluated)
                 for s in self.judged_set.subsets}
    return {records.SCORE_PREFIX + distance: report.summed_score(
        self.judged_set, distances, distance, self.settings.score_subset)
            for distance in self.settings.score_distances}

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


class _QuietController(orbit.Controller):
  """orbit's outer loop without its prints of each dictionary it is given."""

  def train(self, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
      return super().train(*args, **kwargs)

  def evaluate(self, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
      return super().evaluate(*args, **kwargs)


def _built(network, precision):
  """Builds a network under a dtype policy, which is put back afterwards."""
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(PRECISIONS[precision])
  try:
    return models.build(network[0], **network[1])
  finally:
    keras.config.set_dtype_policy(before)


def _options_text(network):
  """The options that are not the network's defaults."""
  defaults = models.network_options(network[0])
  return " ".join(f"{name}={value}" for name, value in network[1].items()
                  if value != defaults[name])


def _evaluation_line(row, score_name, best):
  scores = "  ".join(f"{key.removeprefix(records.SCORE_PREFIX)} {value:.1f}"
                     for key, value in row.items() if key.startswith(records.SCORE_PREFIX))
  mark = f"  <- {', '.join(best)}" if best else ""
  return (f"  evaluation at step {row['step']}: validation accuracy "
          f"{row['validation_accuracy']:.1f}%, {score_name}: {scores}{mark}")
