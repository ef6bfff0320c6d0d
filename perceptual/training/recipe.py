"""Optimizers and learning rates of the papers, in epochs, scaled by the batch size.

Kumar et al. train ResNets with Nesterov SGD, a peak learning rate of 0.1 for every 256 examples of
the batch, 5 epochs of linear warm-up, and a tenth of the rate after epochs 30, 60 and 80 (of 90).
"""

import dataclasses

import keras
from keras import ops

from perceptual import errors


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A learning rate over epochs.

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

  def keras(self, batch_size, steps_per_epoch):
    """Returns the schedule over steps, for a batch size and a length of an epoch."""
    return StepDecay(
        peak=self.learning_rate * batch_size / 256,
        warmup_steps=round(self.warmup_epochs * steps_per_epoch),
        boundaries=tuple(round(e * steps_per_epoch) for e in self.decay_epochs),
        factor=self.decay_factor)


@keras.saving.register_keras_serializable("perceptual")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
  """Linear warm-up to `peak`, then a factor at every boundary that has been reached (in steps)."""

  def __init__(self, peak, warmup_steps, boundaries, factor):
    self.peak = peak
    self.warmup_steps = warmup_steps
    self.boundaries = tuple(boundaries)
    self.factor = factor

  def __call__(self, step):
    step = ops.cast(step, "float32")
    warmup = ops.minimum(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
    passed = sum(ops.cast(step >= boundary, "float32") for boundary in self.boundaries)
    return self.peak * warmup * ops.power(self.factor, passed)

  def get_config(self):
    return {"peak": self.peak, "warmup_steps": self.warmup_steps, "boundaries": self.boundaries,
            "factor": self.factor}


@keras.saving.register_keras_serializable("perceptual")
class MomentumSgd(keras.optimizers.SGD):
  """SGD whose momentum gathers gradients, to which the learning rate of the moment is applied.

      velocity = momentum * velocity + gradient
      weight -= rate * velocity                             or, by Nesterov,
      weight -= rate * (gradient + momentum * velocity)

  This is the optimizer of the papers' code, TensorFlow 1's MomentumOptimizer. Keras 3's own gathers
  `rate * gradient`: the same while the rate is constant, but where it falls to a tenth the steps
  gathered before go on at ten times the new rate until they have died away.
  """

  def update_step(self, gradient, variable, learning_rate):
    if not self.momentum:
      super().update_step(gradient, variable, learning_rate)
      return
    rate = ops.cast(learning_rate, variable.dtype)
    gradient = ops.cast(gradient, variable.dtype)
    velocity = self.momentums[self._get_variable_index(variable)]
    self.assign(velocity, self.momentum * velocity + gradient)
    step = gradient + self.momentum * velocity if self.nesterov else velocity
    self.assign_sub(variable, rate * step)


@dataclasses.dataclass(frozen=True)
class Sgd:
  """Stochastic gradient descent with momentum.

  Attributes:
    schedule: the learning rate.
    momentum: share of the gathered gradient that is kept from step to step, in [0, 1).
    nesterov: whether a step looks ahead, by Nesterov.
  """

  schedule: Schedule = Schedule()
  momentum: float = 0.9
  nesterov: bool = True

  def __post_init__(self):
    if not isinstance(self.schedule, Schedule):
      raise errors.UserError("schedule must be Schedule, in gin @step_decay(), "
                             f"not {self.schedule!r}.")
    errors.require_number("momentum", self.momentum, at_least=0, below=1)
    errors.require_bool("nesterov", self.nesterov)

  def keras(self, batch_size, steps_per_epoch):
    """Returns the Keras optimizer; its variables have the same names in every process."""
    return MomentumSgd(
        self.schedule.keras(batch_size, steps_per_epoch), momentum=float(self.momentum),
        nesterov=self.nesterov, name="sgd")


def l2_loss(variables):
  """Returns half the sum of squares of all trainable variables but batch normalisation's.

  As in the papers' ResNet code: kernels and biases decay, scales and offsets of batch normalisation
  do not.

  Args:
    variables: Keras variables.
  """
  decayed = [v for v in variables if v.path.rsplit("/", 1)[-1] not in ("gamma", "beta")]
  return 0.5 * sum(ops.sum(ops.square(ops.cast(v, "float32"))) for v in decayed)
