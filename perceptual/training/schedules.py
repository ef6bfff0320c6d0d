"""Learning rates of the papers over a run: each rises linearly, then falls in its own way.

    StepDecay         ResNets of Kumar et al.: a tenth after epochs 30, 60 and 80 (of 90)
    ExponentialDecay  EfficientNets: 3% less after every 2.4 epochs (of 350)
    Cosine            ViTs: half a cosine to 0 at the last step (of 300 epochs)
    LinearDecay       LPIPS, learned from judgements: constant, then in even stairs to 0

The first two are those of the papers' code, tensorflow/tpu: rates are given for a batch of 256 and
grow with the batch, and what falls is counted from the first step, not from the end of the rise.
The third is that of the ViTs' own code: its rate is the peak, whatever the batch. So is the fourth,
of the code of LPIPS.
"""

import dataclasses

import keras
from keras import ops

from perceptual import errors

_BATCH = 256  # of which the rates of the first two are given


@dataclasses.dataclass(frozen=True)
class StepDecay:
  """A learning rate that falls by a factor after some epochs.

  Attributes:
    learning_rate: the peak, for a batch of 256.
    warmup_epochs: epochs over which the rate rises linearly from 0.
    decay_epochs: epochs after which the rate is multiplied by `decay_factor`.
    decay_factor: see there.
  """

  learning_rate: float = 0.1
  warmup_epochs: float = 5.0
  decay_epochs: tuple[float, ...] = (30.0, 60.0, 80.0)
  decay_factor: float = 0.1

  def __post_init__(self):
    errors.require_number("learning_rate", self.learning_rate, above=0)
    errors.require_number("warmup_epochs", self.warmup_epochs, at_least=0)
    errors.require_number("decay_factor", self.decay_factor, above=0)
    if not isinstance(self.decay_epochs, (tuple, list)):
      raise errors.UserError(f"decay_epochs must be a list of epochs, not {self.decay_epochs!r}.")
    for epoch in self.decay_epochs:
      errors.require_number("decay_epochs", epoch, above=0)
    if list(self.decay_epochs) != sorted(set(self.decay_epochs)):
      raise errors.UserError(f"decay_epochs must rise, not {self.decay_epochs!r}.")

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the schedule over steps; it does not depend on how many there are."""
    del steps
    peak = self.learning_rate * batch_size / _BATCH
    boundaries = tuple(round(epoch * steps_per_epoch) for epoch in self.decay_epochs)
    return WarmUp(peak, round(self.warmup_epochs * steps_per_epoch),
                  FactorAtBoundaries(peak, boundaries, self.decay_factor))


@dataclasses.dataclass(frozen=True)
class ExponentialDecay:
  """A learning rate that falls by a factor again and again, in stairs.

  Attributes:
    learning_rate: the peak, for a batch of 256.
    warmup_epochs: epochs over which the rate rises linearly from 0. The stairs are counted from the
      first step, so the rate that follows has fallen already: as in the papers' code.
    decay_epochs: epochs between one fall and the next.
    decay_factor: by which the rate is multiplied at each.
  """

  learning_rate: float = 0.016
  warmup_epochs: float = 5.0
  decay_epochs: float = 2.4
  decay_factor: float = 0.97

  def __post_init__(self):
    errors.require_number("learning_rate", self.learning_rate, above=0)
    errors.require_number("warmup_epochs", self.warmup_epochs, at_least=0)
    errors.require_number("decay_epochs", self.decay_epochs, above=0)
    errors.require_number("decay_factor", self.decay_factor, above=0)

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the schedule over steps; it does not depend on how many there are."""
    del steps
    peak = self.learning_rate * batch_size / _BATCH
    stairs = keras.optimizers.schedules.ExponentialDecay(
        peak, self.decay_epochs * steps_per_epoch, self.decay_factor, staircase=True)
    return WarmUp(peak, round(self.warmup_epochs * steps_per_epoch), stairs)


@dataclasses.dataclass(frozen=True)
class Cosine:
  """A learning rate that falls to 0 at the last step of the run, along half a cosine.

  Attributes:
    learning_rate: the peak. The paper gives it for its batch of 4096; it does not grow with the
      batch.
    warmup_steps: steps over which the rate rises linearly from 0. A run no longer than that ends
      before the rate falls.
  """

  learning_rate: float = 3e-3
  warmup_steps: int = 10_000

  def __post_init__(self):
    errors.require_number("learning_rate", self.learning_rate, above=0)
    errors.require_integer("warmup_steps", self.warmup_steps, at_least=0)

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the schedule over so many steps, for any batch size and length of an epoch."""
    del batch_size, steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - self.warmup_steps), warmup_target=float(self.learning_rate),
        warmup_steps=self.warmup_steps)


@dataclasses.dataclass(frozen=True)
class LinearDecay:
  """A learning rate that is constant for some epochs, and then falls a step with every epoch.

  As in the code of LPIPS (Zhang et al. 2018): of 5 and 5 epochs the sixth still has the full rate,
  the last a fifth of it, and 0 is what would follow.

  Attributes:
    learning_rate: the rate at first, for any batch.
    constant_epochs: epochs before it falls.
    decay_epochs: epochs over which it falls to 0; 0 for a rate that stays as it is.
  """

  learning_rate: float = 1e-4
  constant_epochs: int = 5
  decay_epochs: int = 5

  def __post_init__(self):
    errors.require_number("learning_rate", self.learning_rate, above=0)
    errors.require_integer("constant_epochs", self.constant_epochs, at_least=0)
    errors.require_integer("decay_epochs", self.decay_epochs, at_least=0)

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the schedule over any number of steps; the rate itself if it never falls."""
    del batch_size, steps
    if not self.decay_epochs:
      return float(self.learning_rate)
    falls = range(1, self.decay_epochs + 1)
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        # The last steps, counted from 0, of the epochs after which it falls.
        [(self.constant_epochs + fall) * steps_per_epoch - 1 for fall in falls],
        [self.learning_rate * (1 - fall / self.decay_epochs) for fall in (0, *falls)])


# Name in gin -> class.
SCHEDULES = {"step_decay": StepDecay, "exponential_decay": ExponentialDecay, "cosine": Cosine,
             "linear_decay": LinearDecay}


@keras.saving.register_keras_serializable("perceptual")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
  """A linear rise to `peak` in the place of the first `warmup_steps` of another schedule."""

  def __init__(self, peak, warmup_steps, schedule):
    self.peak = peak
    self.warmup_steps = warmup_steps
    self.schedule = schedule

  def __call__(self, step):
    step = ops.cast(step, "float32")
    rate = self.schedule(step)
    if not self.warmup_steps:
      return rate
    return ops.where(step < self.warmup_steps, self.peak * step / self.warmup_steps, rate)

  def get_config(self):
    return {"peak": self.peak, "warmup_steps": self.warmup_steps,
            "schedule": keras.optimizers.schedules.serialize(self.schedule)}

  @classmethod
  def from_config(cls, config):
    schedule = keras.optimizers.schedules.deserialize(config["schedule"])
    return cls(**{**config, "schedule": schedule})


@keras.saving.register_keras_serializable("perceptual")
class FactorAtBoundaries(keras.optimizers.schedules.LearningRateSchedule):
  """A rate, times a factor for every boundary (a step) that has been reached."""

  def __init__(self, rate, boundaries, factor):
    self.rate = rate
    self.boundaries = tuple(boundaries)
    self.factor = factor

  def __call__(self, step):
    passed = sum(ops.cast(step >= boundary, "float32") for boundary in self.boundaries)
    return self.rate * ops.power(self.factor, passed)

  def get_config(self):
    return {"rate": self.rate, "boundaries": self.boundaries, "factor": self.factor}
