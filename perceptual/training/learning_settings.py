"""How a metric is learned from judgements: the mode and the numbers, checked as soon as given."""

import dataclasses
import math
from typing import ClassVar

from perceptual import errors
from perceptual.training import optimizers, schedules
from perceptual.training.settings import require_lengths


@dataclasses.dataclass(frozen=True)
class Mode:
  """What learns.

  Attributes:
    tells: in words.
    trunk_learns: whether the trunk's weights are trained too, beside those of the channels.
    trunk_random: whether the trunk starts from random weights, not trained ones.
  """

  tells: str
  trunk_learns: bool
  trunk_random: bool

  @property
  def trunk_training(self):
    """Whether the trunk is called as in training: dropout, and batches' own statistics.

    A trunk that was trained before keeps its moving statistics, so that what is trained is what is
    used; one of random weights has none. (The trunks of the lpips package have neither.)
    """
    return self.trunk_random


# Of Zhang et al. 2018.
MODES = {
    "lin": Mode("weights of the channels", trunk_learns=False, trunk_random=False),
    "tune": Mode("weights of the channels and the trunk", trunk_learns=True, trunk_random=False),
    "scratch": Mode("weights of the channels and the trunk, from random", trunk_learns=True,
                    trunk_random=True),
}


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a metric is learned; defaults are those of the lpips package's code.

  Attributes:
    mode: one of `MODES`.
    taps: names of the taps; None for all.
    optimizer: one of `optimizers.OPTIMIZERS`.
    batch_size: triplets a step, over all replicas.
    epochs: passes over the training triplets.
    train_steps: number of steps, instead of `epochs`; None to go by epochs.
    dropout: the fraction of the squared differences dropped in training, in [0, 1).
    steps_per_loop: steps between lines of progress, run as one graph.
    eval_interval: steps between evaluations.
    checkpoint_interval: steps between saves for resuming; None saves at evaluations.
    eval_batch_size: triplets a batch of evaluation, over all replicas.
    score_subset: the subset or aggregate of the judged set by whose score the best weights are
      chosen; None for the mean over subsets.
    score_taps, score_steps, score_resamples, best_by, keep_checkpoints: as `settings.Settings` has
      them.
    shuffle_buffer: triplets among which the next one is drawn.
    seed: seed of weights, order and dropout.
  """

  # The score that chooses the best weights; the same features without weights stand beside it.
  score_by: ClassVar = "lin"
  score_distances: ClassVar = ("lin", "local")
  precision: ClassVar = "float32"

  mode: str = "lin"
  taps: tuple[str, ...] | None = None
  optimizer: optimizers.Optimizer = optimizers.Adam(
      schedules.LinearDecay(), beta_1=0.5, weight_decay=0.0)
  batch_size: int = 50
  epochs: float = 10.0
  train_steps: int | None = None
  dropout: float = 0.5
  steps_per_loop: int = 100
  eval_interval: int = 1000
  checkpoint_interval: int | None = None
  eval_batch_size: int = 50
  score_subset: str | None = None
  score_taps: tuple[str, ...] | None = None
  score_steps: tuple[int, ...] = ()
  score_resamples: int = 200
  best_by: str | None = None
  keep_checkpoints: tuple[int, ...] | str = ()
  shuffle_buffer: int = 20_000
  seed: int = 0

  def __post_init__(self):
    if self.mode not in tuple(MODES):
      raise errors.unknown("mode of learning", self.mode, MODES)
    # A string would be taken for the list of its letters.
    if self.taps is not None and not isinstance(self.taps, (tuple, list)):
      raise errors.UserError(f"taps must be a list of names, not {self.taps!r}.")
    errors.require_kind("optimizer", self.optimizer, optimizers.OPTIMIZERS)
    require_lengths(self)
    errors.require_number("dropout", self.dropout, at_least=0, below=1)

  def steps_per_epoch(self, triplets):
    """Returns the number of steps called an epoch of so many triplets: of whole batches."""
    return max(1, triplets // self.batch_size)

  def steps(self, triplets):
    """Returns the number of steps of the whole run."""
    return self.train_steps or math.ceil(self.epochs * self.steps_per_epoch(triplets))
