"""How a network is trained: the numbers of a recipe, checked as soon as they are given."""

import dataclasses
import math

from perceptual import errors
from perceptual.data.labelled import augment
from perceptual.metrics import distances
from perceptual.training import optimizers

# Name -> Keras dtype policy.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a network is trained; defaults are those of the paper's ResNets.

  Attributes:
    optimizer: one of `optimizers.OPTIMIZERS`.
    augmentation: `augment.Augmentation`.
    batch_size: examples a step, over all replicas.
    epochs: passes over the training images.
    train_steps: number of steps, instead of `epochs`; None to go by epochs.
    label_smoothing: share of the label's probability that is spread over all classes.
    weight_decay: factor of the loss's L2 term (`regularization.l2_loss`).
    ema_decay: share of the average of the weights that is kept from step to step
      (`averaging.WeightAverage`); the average is evaluated, scored and kept at its best. None for
      no averaging.
    clip_norm: largest global norm of the gradient; None for no limit.
    precision: `float32`, or `bfloat16` for activations on TPU and GPU.
    steps_per_loop: steps between lines of progress, run as one graph.
    eval_interval: steps between evaluations.
    checkpoint_interval: steps between saves for resuming; None saves at evaluations.
    eval_batch_size: examples a batch of evaluation, over all replicas.
    score_distances: names of the distances whose scores are recorded.
    score_by: the distance, summed over taps, by which the best score is chosen.
    score_subset: the subset or aggregate whose score it is; None for the mean over subsets.
    score_taps: names of the taps whose scores are recorded in `scores.csv`, beside their sum; None
      for all.
    score_steps: steps at which the network is evaluated besides those of `eval_interval`: dense
      early, since the best score comes early.
    score_resamples: bootstrap resamples behind the intervals in `scores.csv`.
    best_by: name of the judged set by whose score the best weights are kept; None for the first.
    keep_checkpoints: steps whose weights are kept for good as `step-N`, or "all" for those of every
      evaluation.
    shuffle_buffer: examples among which the next one is drawn.
    seed: seed of weights, order, augmentation and dropout.
  """

  optimizer: optimizers.Optimizer = optimizers.Sgd()
  augmentation: augment.Augmentation = augment.Augmentation()
  batch_size: int = 1024
  epochs: float = 90.0
  train_steps: int | None = None
  label_smoothing: float = 0.0
  weight_decay: float = 1e-4
  ema_decay: float | None = None
  clip_norm: float | None = None
  precision: str = "float32"
  steps_per_loop: int = 100
  eval_interval: int = 1000
  checkpoint_interval: int | None = None
  eval_batch_size: int = 256
  score_distances: tuple[str, ...] = ("local", "mean_pool", "style")
  score_by: str = "local"
  score_subset: str | None = None
  score_taps: tuple[str, ...] | None = None
  score_steps: tuple[int, ...] = ()
  score_resamples: int = 200
  best_by: str | None = None
  keep_checkpoints: tuple[int, ...] | str = ()
  shuffle_buffer: int = 100_000
  seed: int = 0

  def __post_init__(self):
    errors.require_kind("optimizer", self.optimizer, optimizers.OPTIMIZERS)
    errors.require_kind("augmentation", self.augmentation, {"augmentation": augment.Augmentation})
    self._check_numbers()
    if self.precision not in tuple(PRECISIONS):
      raise errors.unknown("precision", self.precision, PRECISIONS)
    self._check_distances()

  def _check_distances(self):
    names = self.score_distances
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
      raise errors.UserError("score_distances must be a list of distances, "
                             f"not {self.score_distances!r}.")
    for name in names:
      # Results are kept by name, so a distance goes by one name alone.
      if distances.get(name).name != name:
        raise errors.UserError(f"score_distances: {name!r} is called {distances.get(name).name!r} "
                               "here.")
    if len(set(names)) < len(names):
      raise errors.UserError(f"score_distances names one twice: {names!r}.")
    if self.score_by not in names:
      raise errors.UserError(f"score_by {self.score_by!r} is not one of score_distances: "
                             f"{', '.join(names)}.")

  def _check_numbers(self):
    require_lengths(self)
    errors.require_number("label_smoothing", self.label_smoothing, at_least=0, below=1)
    errors.require_number("weight_decay", self.weight_decay, at_least=0)
    if self.ema_decay is not None:
      errors.require_number("ema_decay", self.ema_decay, above=0, below=1)
    if self.clip_norm is not None:
      errors.require_number("clip_norm", self.clip_norm, above=0)

  def steps_per_epoch(self, images):
    """Returns the number of steps that is called an epoch: of whole batches, at least one."""
    return max(1, images.sizes["train"] // self.batch_size)

  def steps(self, images):
    """Returns the number of steps of the whole run."""
    return self.train_steps or math.ceil(self.epochs * self.steps_per_epoch(images))


def require_lengths(settings):
  """Raises `UserError` unless the numbers that all settings of a run have are legal."""
  for name in ("batch_size", "steps_per_loop", "eval_interval", "eval_batch_size",
               "shuffle_buffer", "score_resamples"):
    errors.require_integer(name, getattr(settings, name))
  for name in ("train_steps", "checkpoint_interval"):
    if getattr(settings, name) is not None:
      errors.require_integer(name, getattr(settings, name))
  _require_steps("score_steps", settings.score_steps)
  if settings.keep_checkpoints != "all":
    _require_steps("keep_checkpoints", settings.keep_checkpoints, or_else=' or "all"')
  if settings.score_taps is not None and not (
      isinstance(settings.score_taps, (tuple, list))
      and all(isinstance(tap, str) for tap in settings.score_taps)):
    raise errors.UserError(f"score_taps must be a list of taps, not {settings.score_taps!r}.")
  errors.require_integer("seed", settings.seed, at_least=0, below=2**32)
  errors.require_number("epochs", settings.epochs, above=0)


def _require_steps(name, steps, or_else=""):
  """Raises `UserError` unless `steps` is a list of whole numbers of at least 0."""
  if not isinstance(steps, (tuple, list)):
    raise errors.UserError(f"{name} must be a list of steps{or_else}, not {steps!r}.")
  for step in steps:
    errors.require_integer(name, step, at_least=0)
