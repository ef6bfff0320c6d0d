"""The training run: batches, steps, evaluations, three kept checkpoints, and resuming.

Kumar et al. find that the best perceptual score comes long before the best accuracy, so the score is
evaluated during training and the weights at its peak are kept, beside the most accurate and the last.
"""

import contextlib
import dataclasses
import io
import math

import keras
import orbit
import tensorflow as tf

from perceptual import errors, files, models
from perceptual.data import augment, classification, judged
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass, report
from perceptual.metric import Metric
from perceptual.models import taps
from perceptual.preprocessing import IMAGENET
from perceptual.training import checkpoints, classifier, model_dir, recipe, records

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a network is trained; defaults are those of the paper's ResNets.

  Attributes:
    optimizer: `recipe.Sgd`.
    augmentation: `augment.Augmentation`.
    batch_size: examples a step, over all replicas.
    epochs: passes over the training images.
    train_steps: number of steps, instead of `epochs`; None to go by epochs.
    label_smoothing: share of the label's probability that is spread over all classes.
    weight_decay: L2 on all trainable variables but batch normalisation's.
    clip_norm: largest global norm of the gradient; None for no limit.
    precision: `float32`, or `bfloat16` for activations on TPU and GPU.
    steps_per_loop: steps between lines of progress, run as one graph.
    eval_interval: steps between evaluations.
    checkpoint_interval: steps between saves for resuming; None saves at evaluations.
    eval_batch_size: examples a batch of evaluation, over all replicas.
    score_distances: names of the distances whose scores are recorded.
    score_by: the distance, summed over taps, by which the best score is chosen.
    score_subset: the subset or aggregate whose score it is; None for the mean over subsets.
    shuffle_buffer: examples among which the next one is drawn.
    seed: seed of weights, order, augmentation and dropout.
  """

  optimizer: recipe.Sgd = recipe.Sgd()
  augmentation: augment.Augmentation = augment.Augmentation()
  batch_size: int = 1024
  epochs: float = 90.0
  train_steps: int | None = None
  label_smoothing: float = 0.0
  weight_decay: float = 1e-4
  clip_norm: float | None = None
  precision: str = "float32"
  steps_per_loop: int = 100
  eval_interval: int = 1000
  checkpoint_interval: int | None = None
  eval_batch_size: int = 256
  score_distances: tuple[str, ...] = ("local", "mean_pool", "style")
  score_by: str = "local"
  score_subset: str | None = None
  shuffle_buffer: int = 100_000
  seed: int = 0

  def __post_init__(self):
    for name in ("batch_size", "steps_per_loop", "eval_interval", "eval_batch_size",
                 "shuffle_buffer"):
      errors.require_integer(name, getattr(self, name))
    errors.require_integer("seed", self.seed, at_least=0)
    for name in ("train_steps", "checkpoint_interval"):
      if getattr(self, name) is not None:
        errors.require_integer(name, getattr(self, name))
    errors.require_number("epochs", self.epochs, above=0)
    errors.require_number("label_smoothing", self.label_smoothing, at_least=0, below=1)
    errors.require_number("weight_decay", self.weight_decay, at_least=0)
    if self.clip_norm is not None:
      errors.require_number("clip_norm", self.clip_norm, above=0)
    if self.precision not in PRECISIONS:
      raise UserError(f"Unknown precision {self.precision!r}. Available: {', '.join(PRECISIONS)}.")
    if self.score_by not in self.score_distances:
      raise UserError(f"score_by {self.score_by!r} is not one of score_distances: "
                      f"{', '.join(self.score_distances)}.")

  def steps_per_epoch(self, images):
    return max(1, images.sizes["train"] // self.batch_size)

  def steps(self, images):
    """Returns the number of steps of the whole run."""
    return self.train_steps or math.ceil(self.epochs * self.steps_per_epoch(images))


class Run:
  """A training run in its folder: made new, or taken up where it was left."""

  def __init__(self, path, *, network, images, judged_set, settings, strategy=None,
               jit_compile=False):
    """Builds everything and restores the last checkpoint, if there is one.

    Args:
      path: the training folder.
      network: (name, options) for `models.build`; `num_classes` is set from the images.
      images: `classification.LabelledImages`.
      judged_set: `judged.JudgedSet` of kind `2afc`, scored at every evaluation.
      settings: `Settings`.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles steps.

    Raises:
      UserError: if the parts do not fit each other or the folder's checkpoint.
    """
    self.folder = model_dir.ModelDir(path)
    self.images = images
    self.judged_set = judged_set
    self.settings = settings
    self.network = (network[0], {**network[1], "num_classes": images.num_classes})
    self.steps = settings.steps(images)
    self.steps_per_epoch = settings.steps_per_epoch(images)
    self._strategy = strategy or tf.distribute.get_strategy()
    self._check()
    keras.utils.set_random_seed(settings.seed)
    with self._strategy.scope():
      self.model = _built(self.network, settings.precision)
      self._trainer = self._make_trainer(jit_compile)
      self._evaluator = classifier.ClassifierEvaluator(
          self.model, self._distributed(self._validation_batches), strategy=self._strategy,
          preprocess=IMAGENET, jit_compile=jit_compile)
    self._judged_pass = judged_pass.JudgedPass(
        Metric(self.model, network=network[0]), distances=settings.score_distances,
        batch_size=settings.eval_batch_size, strategy=self._strategy, jit_compile=jit_compile)
    self._checkpoints = checkpoints.Checkpoints(self.folder, self._trainer, self._is_chief)
    self.first_step = self._checkpoints.restore()
    self._trainer.train_dataset = self._distributed(self._train_batches)
    self._last_means = {}

  def description(self):
    """Returns what the run is, as text for people."""
    settings, images = self.settings, self.images
    where = f"resuming at step {self.first_step}" if self.first_step else "from the start"
    return "\n".join([
        f"network   {self.network[0]} {_options_text(self.network[1])}: "
        f"{self.model.count_params():,} parameters, taps "
        f"{', '.join(tap.name for tap in taps.list_taps(self.model))}",
        f"images    {images.name}: {images.sizes['train']} to train, "
        f"{images.sizes['validation']} to validate, {images.num_classes} classes"
        + (f"\n          {images.note}" if images.note else ""),
        f"score     {self._score_name}, {self.judged_set.size} triplets, by "
        f"{', '.join(settings.score_distances)}; best by {settings.score_by}"
        f"\n          {self.judged_set.note}",
        f"steps     {self.steps} of {settings.batch_size} images ({self.steps_per_epoch} an "
        f"epoch), evaluated every {settings.eval_interval}; {where}",
        f"devices   {type(self._strategy).__name__}, "
        f"{self._strategy.num_replicas_in_sync} replicas, {settings.precision}",
        f"folder    {self.folder.path}"])

  def summary(self):
    """Returns where the results are and what the best were, as text for people."""
    rows = [row for row in self._metrics.rows if row["step"]]
    score = records.SCORE_PREFIX + self.settings.score_by
    best_score = max(rows, key=lambda row: row[score])
    best_accuracy = max(rows, key=lambda row: row["validation_accuracy"])
    return (f"Best score: {self.settings.score_by} {best_score[score]:.1f} on {self._score_name} "
            f"at step {best_score['step']}, with {best_score['validation_accuracy']:.1f}% "
            f"accuracy.\nBest accuracy: {best_accuracy['validation_accuracy']:.1f}% at step "
            f"{best_accuracy['step']}, with {self.settings.score_by} "
            f"{best_accuracy[score]:.1f}.\nCurves: {self.folder.plot}  {self.folder.metrics}")

  def train(self, config=None):
    """Trains to the last step; returns the lines of `metrics.csv`.

    Args:
      config: file name -> text, written into the folder: the configuration as given and as used.

    Raises:
      UserError: if training diverges; the checkpoints saved before stay.
    """
    settings = self.settings
    if self._is_chief:
      self.folder.write_network(*self.network)
      for name, text in (config or {}).items():
        files.write_text(self.folder.path / name, text)
    self._metrics = records.MetricsFile(self.folder.metrics, self.first_step, self._is_chief)
    self._progress = records.Progress(steps=self.steps, batch_size=settings.batch_size,
                                      steps_per_epoch=self.steps_per_epoch,
                                      silent=not self._is_chief)
    controller = self._controller()
    step = self.first_step
    if step == 0:
      controller.evaluate()
    else:
      self._progress.say(f"Resuming at step {step} of {self.steps}.")
    while step < self.steps:
      step = self._next_stop(step)
      self._progress.start(self._step)
      controller.train(step, checkpoint_at_completion=False)
      if step % settings.eval_interval == 0 or step == self.steps:
        controller.evaluate()
      self._checkpoints.save_last()
    return self._metrics.rows

  @property
  def _step(self):
    return int(self._trainer.global_step.numpy())

  @property
  def _is_chief(self):
    resolver = self._strategy.cluster_resolver
    return resolver is None or resolver.task_type in (None, "", "chief") or (
        resolver.task_type == "worker" and resolver.task_id == 0)

  def _check(self):
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

  def _make_trainer(self, jit_compile):
    settings = self.settings
    return classifier.ClassifierTrainer(
        self.model, settings.optimizer.keras(settings.batch_size, self.steps_per_epoch),
        dataset=None, strategy=self._strategy, batch_size=settings.batch_size,
        preprocess=IMAGENET, label_smoothing=settings.label_smoothing,
        weight_decay=settings.weight_decay, clip_norm=settings.clip_norm,
        jit_compile=jit_compile)

  def _distributed(self, batches):
    return self._strategy.distribute_datasets_from_function(batches)

  def _train_batches(self, context):
    settings = self.settings
    pipeline_batch = settings.batch_size // context.num_input_pipelines
    replica_batch = context.get_per_replica_batch_size(settings.batch_size)
    # A pipeline feeds its replicas in turn: a step takes one batch for each of them.
    steps_a_step = pipeline_batch // replica_batch
    return classification.train_batches(
        self.images, batch_size=replica_batch, first_step=self.first_step * steps_a_step,
        seed=settings.seed, augmentation=settings.augmentation,
        shuffle_buffer=settings.shuffle_buffer,
        shard=(context.input_pipeline_id, context.num_input_pipelines))

  def _validation_batches(self, context):
    return classification.validation_batches(
        self.images, batch_size=context.get_per_replica_batch_size(self.settings.eval_batch_size),
        augmentation=self.settings.augmentation,
        shard=(context.input_pipeline_id, context.num_input_pipelines))

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

  def _after_loop(self, means):
    if not math.isfinite(means["loss"]):
      raise self._checkpoints.diverged(f"the loss is {means['loss']}")
    means["images_per_second"] = self._progress.report(self._step, means)
    self._last_means = means

  def _after_evaluation(self, means):
    """Scores the network, records everything, and keeps the weights if they are the best yet."""
    if not math.isfinite(means["validation_loss"]):
      raise self._checkpoints.diverged(f"the validation loss is {means['validation_loss']}")
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
    distances = {s.name: self._judged_pass(s, "2afc") for s in self.judged_set.subsets}
    return {records.SCORE_PREFIX + distance: report.summed_score(
        self.judged_set, distances, distance, self.settings.score_subset)
            for distance in self.settings.score_distances}

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


def _options_text(options):
  return " ".join(f"{name}={value}" for name, value in options.items())


def _evaluation_line(row, score_name, best):
  scores = "  ".join(f"{key.removeprefix(records.SCORE_PREFIX)} {value:.1f}"
                     for key, value in row.items() if key.startswith(records.SCORE_PREFIX))
  mark = f"  <- {', '.join(best)}" if best else ""
  return (f"  evaluation at step {row['step']}: validation accuracy "
          f"{row['validation_accuracy']:.1f}%, {score_name}: {scores}{mark}")
