"""Optimizers of the papers, each with its learning rate.

    Sgd      ResNets of Kumar et al.: Nesterov momentum of 0.9
    RmsProp  EfficientNets: decay and momentum of 0.9, epsilon 1e-3
    Adam     ViTs: betas of 0.9 and 0.999, weights decayed beside the gradient

The first two are TensorFlow 1's, which the papers' code calls. Keras 3's of the same names take
other steps; what differs stands at each class.
"""

import dataclasses

import keras
from keras import ops

from perceptual import errors
from perceptual.training import regularization
from perceptual.training.schedules import (
  SCHEDULES,
  Cosine,
  ExponentialDecay,
  LinearDecay,
  StepDecay,
)

Schedule = StepDecay | ExponentialDecay | Cosine | LinearDecay


@dataclasses.dataclass(frozen=True)
class Sgd:
  """Stochastic gradient descent with momentum.

  Attributes:
    schedule: the learning rate, of `schedules.SCHEDULES`.
    momentum: share of the gathered gradient that is kept from step to step, in [0, 1).
    nesterov: whether a step looks ahead, by Nesterov.
  """

  schedule: Schedule = StepDecay()
  momentum: float = 0.9
  nesterov: bool = True

  def __post_init__(self):
    errors.require_kind("schedule", self.schedule, SCHEDULES)
    errors.require_number("momentum", self.momentum, at_least=0, below=1)
    errors.require_bool("nesterov", self.nesterov)

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the Keras optimizer; its variables have the same names in every process.

    Args:
      batch_size: examples a step, over all replicas.
      steps_per_epoch: steps that are called an epoch.
      steps: steps of the whole run.
    """
    return MomentumSgd(
        self.schedule.keras(batch_size, steps_per_epoch, steps), momentum=float(self.momentum),
        nesterov=self.nesterov, name="sgd")


@dataclasses.dataclass(frozen=True)
class RmsProp:
  """Gradients divided by the root of their mean square, with momentum.

  Attributes:
    schedule: the learning rate, of `schedules.SCHEDULES`.
    rho: share of the mean square that is kept from step to step, in [0, 1).
    momentum: share of the gathered steps that is kept, in [0, 1).
    epsilon: what is added to the mean square, within the root.
  """

  schedule: Schedule = ExponentialDecay()
  rho: float = 0.9
  momentum: float = 0.9
  epsilon: float = 1e-3

  def __post_init__(self):
    errors.require_kind("schedule", self.schedule, SCHEDULES)
    errors.require_number("rho", self.rho, at_least=0, below=1)
    errors.require_number("momentum", self.momentum, at_least=0, below=1)
    errors.require_number("epsilon", self.epsilon, above=0)

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the Keras optimizer, as `Sgd.keras`."""
    return RmsPropFromOne(
        self.schedule.keras(batch_size, steps_per_epoch, steps), rho=float(self.rho),
        momentum=float(self.momentum), epsilon=float(self.epsilon), name="rmsprop")


@dataclasses.dataclass(frozen=True)
class Adam:
  """Adam, with weights decayed beside the gradient rather than in it (AdamW).

  Kumar et al. give a weight decay of 0.3 for ViT-B/8 and do not say of which kind. Only decay
  beside the gradient makes sense of it: each step takes away `learning_rate * weight_decay` of a
  weight, 9e-4 at the peak of 3e-3, which are the ViT paper's own numbers for ViT-B. As an L2 of the
  loss, 0.3 would swamp the gradient, and Adam would divide both by the same root. For that reading,
  and any other recipe, there is `settings.Settings.weight_decay`.

  Attributes:
    schedule: the learning rate, of `schedules.SCHEDULES`.
    beta_1: share of the mean gradient that is kept from step to step, in [0, 1).
    beta_2: the same of the mean square.
    epsilon: what is added to the root of the mean square. The papers do not state it.
    weight_decay: share of a weight, times the learning rate, that each step takes away; of kernels
      alone (`regularization.is_kernel`).
  """

  schedule: Schedule = Cosine()
  beta_1: float = 0.9
  beta_2: float = 0.999
  epsilon: float = 1e-8
  weight_decay: float = 0.3

  def __post_init__(self):
    errors.require_kind("schedule", self.schedule, SCHEDULES)
    errors.require_number("beta_1", self.beta_1, at_least=0, below=1)
    errors.require_number("beta_2", self.beta_2, at_least=0, below=1)
    errors.require_number("epsilon", self.epsilon, above=0)
    errors.require_number("weight_decay", self.weight_decay, at_least=0)

  def keras(self, batch_size, steps_per_epoch, steps):
    """Returns the Keras optimizer, as `Sgd.keras`."""
    return AdamOfKernels(
        self.schedule.keras(batch_size, steps_per_epoch, steps), beta_1=float(self.beta_1),
        beta_2=float(self.beta_2), epsilon=float(self.epsilon),
        weight_decay=float(self.weight_decay), name="adam")


Optimizer = Sgd | RmsProp | Adam

# Name in gin -> class.
OPTIMIZERS = {"sgd": Sgd, "rmsprop": RmsProp, "adam": Adam}


@keras.saving.register_keras_serializable("perceptual")
class MomentumSgd(keras.optimizers.SGD):
  """SGD whose momentum gathers gradients, to which the learning rate of the moment is applied.

      velocity = momentum * velocity + gradient
      weight -= rate * velocity                             or, by Nesterov,
      weight -= rate * (gradient + momentum * velocity)

  This is TensorFlow 1's MomentumOptimizer. Keras 3's own gathers `rate * gradient`: the same while
  the rate is constant, but where it falls to a tenth the steps gathered before go on at ten times
  the new rate until they have died away.
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


@keras.saving.register_keras_serializable("perceptual")
class RmsPropFromOne(keras.optimizers.RMSprop):
  """RMSProp whose mean square starts from 1.

      square = rho * square + (1 - rho) * gradient^2
      velocity = momentum * velocity + rate * gradient / sqrt(square + epsilon)
      weight -= velocity

  This is TensorFlow 1's RMSPropOptimizer. Keras 3's own differs in its start from 0 alone: the
  first step is then 1 / sqrt(1 - rho) times the rate for any gradient, here it is small.
  """

  def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
    if name == "velocity":  # as Keras calls the mean square
      initializer = "ones"
    return super().add_optimizer_variables(trainable_variables, name, initializer)


@keras.saving.register_keras_serializable("perceptual")
class AdamOfKernels(keras.optimizers.Adam):
  """Adam whose weight decay is of kernels alone."""

  def build(self, var_list):
    self.exclude_from_weight_decay([v for v in var_list if not regularization.is_kernel(v)])
    super().build(var_list)
