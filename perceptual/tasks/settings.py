"""How a network is trained for a task: numbers, checked as soon as they are given."""

import dataclasses
import math
from typing import ClassVar

from perceptual import errors
from perceptual.training import optimizers, schedules
from perceptual.training.settings import require_lengths


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a network is trained for a task; defaults are those of Pihlgren et al. for all three.

  Attributes:
    optimizer: one of `optimizers.OPTIMIZERS`.
    batch_size: examples a step, over all replicas.
    epochs: passes over the training examples.
    train_steps: number of steps, instead of `epochs`; None to go by epochs.
    steps_per_loop: steps between lines of progress, run as one graph.
    eval_interval: steps between evaluations; None for the end of every epoch.
    patience: evaluations in a row without a better one after which training ends; None to train to
      the last step.
    checkpoint_interval: steps between saves for resuming; None saves at evaluations.
    eval_batch_size: examples a batch of evaluation, over all replicas.
    keep_checkpoints: steps whose weights are kept for good as `step-N`, or "all" for those of every
      evaluation.
    seed: seed of weights and order. (The study seeded after it had drawn the weights.)
  """

  # What other runs are steered by; of indices, which are what is shuffled, all fit in memory.
  score_steps: ClassVar = ()
  score_taps: ClassVar = None
  score_resamples: ClassVar = 1
  shuffle_buffer: ClassVar = 1
  precision: ClassVar = "float32"

  optimizer: optimizers.Optimizer = optimizers.Adam(
      schedules.LinearDecay(learning_rate=1e-3, constant_epochs=0, decay_epochs=0),
      weight_decay=0.0)
  batch_size: int = 4
  epochs: float = 80.0
  train_steps: int | None = None
  steps_per_loop: int = 100
  eval_interval: int | None = None
  patience: int | None = None
  checkpoint_interval: int | None = None
  eval_batch_size: int = 4
  keep_checkpoints: tuple[int, ...] | str = ()
  seed: int = 0

  def __post_init__(self):
    errors.require_kind("optimizer", self.optimizer, optimizers.OPTIMIZERS)
    if self.patience is not None:
      errors.require_integer("patience", self.patience)
    require_lengths(self if self.eval_interval is not None else
                    dataclasses.replace(self, eval_interval=1))

  def of(self, examples):
    """Returns these settings with an `eval_interval`, for so many training examples."""
    if self.eval_interval is not None:
      return self
    return dataclasses.replace(self, eval_interval=self.steps_per_epoch(examples))

  def steps_per_epoch(self, examples):
    """Returns the number of steps that is called an epoch: of whole batches, at least one."""
    return max(1, examples // self.batch_size)

  def steps(self, examples):
    """Returns the number of steps of the whole run."""
    return self.train_steps or math.ceil(self.epochs * self.steps_per_epoch(examples))
