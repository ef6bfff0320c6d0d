"""What a study will cost, worked out before anything runs: every network is built of shapes alone.

Parameters, operations and bytes of checkpoints are exact. Memory is an estimate: weights, gradients
and the optimizer's slots, and for every image of a batch all that layers put out. Time is an
estimate from operations and from the values that layers put out, of a training image three times
those of the forward pass (forward, and twice for the way back), and in evaluations from what the
distances embed at the taps, by `devices.DEVICES`.
"""

import dataclasses
import functools
import math

from perceptual import errors, models
from perceptual.common import progress
from perceptual.common.progress import plural
from perceptual.data.labelled import registry
from perceptual.experiments import config
from perceptual.metrics import registry as metrics
from perceptual.models import costs
from perceptual.models import taps as feature_taps
from perceptual.tasks import judgements
from perceptual.training import learning_settings, optimizers

_FLOAT = 4  # bytes of a weight
_SLOTS = {optimizers.Sgd: 1, optimizers.RmsProp: 2, optimizers.Adam: 2}  # floats kept for a weight
_ACTIVATION_BYTES = {"float32": 4, "bfloat16": 2}
_BACKWARD = 3  # operations of a training image, in forward passes

# What a value costs beside one of a training convolutional network. Those of networks of tokens are
# put out by GELU, softmax and layer normalisation. Both are fitted to runs (`devices`).
_VALUE_OF_TOKENS = 3.5
_VALUE_EMBEDDED = 0.5

# Triplets of what cannot be counted without its files; of other sets a round number.
_TRIPLETS = {"bapps/2afc": 36_344}
_TRIPLETS_OF_OTHERS = 10_000
_TRAINING_TRIPLETS = 151_250  # of BAPPS
_IMAGES_OF_A_TRIPLET = 3

_NAMED = 3  # runs of those refused for one reason


@dataclasses.dataclass(frozen=True)
class Planned:
  """The cost of a run.

  Attributes:
    run: the `definition.Run`.
    parameters: of the network, as papers count them.
    flops: operations for one image.
    activations: values that layers put out for one image.
    values_an_image: the same, weighted by what they cost in training.
    steps: training steps.
    batch_size: images (or triplets) a step.
    evaluations: how often the network is evaluated.
    total_flops: operations of the whole run, evaluations included.
    values: values that are put out in the whole run, weighted by what they cost.
    memory: bytes on one device that holds the whole batch; an estimate.
    checkpoints: bytes of all checkpoints that are kept at the end.
    published: whether the sizes are those of the published ImageNet, and not of prepared data.
  """

  run: object
  parameters: int
  flops: int
  activations: int
  values_an_image: int
  steps: int
  batch_size: int
  evaluations: int
  total_flops: int
  values: int
  memory: int
  checkpoints: int
  published: bool = False

  def hours(self, device):
    """Returns the hours on a `devices.Device`; an estimate."""
    prepared = self.steps * self.batch_size * device.image_seconds
    return (self.total_flops / device.flops + self.values * device.value_seconds + prepared) / 3600

  def training_seconds(self, device):
    """Returns the seconds of training on one image (or row) on a `devices.Device`; an estimate."""
    return (_BACKWARD * self.flops / device.flops + self.values_an_image * device.value_seconds
            + device.image_seconds)


def plan(study, *, folder, data_dir=None):
  """Returns the cost of every run, a list of `Planned`; checks every binding on the way.

  Args:
    study: `definition.Study`.
    folder: the study's folder; need not exist.
    data_dir: the folder of prepared data sets, whose sizes count; None for the published ones'.

  Raises:
    UserError: if the bindings of a run are refused: by gin, by a recipe or by the network. Each
      reason is told once, with the first of its runs.
  """
  planned, refused = [], {}
  with progress.progress(study.runs, description=f"planning {study.name}", unit="run") as runs:
    for run in runs:
      try:
        planned.append(_planned(study, run, folder, data_dir))
      except errors.UserError as error:
        refused.setdefault(errors.first_line(error), []).append(run.name)
  if refused:
    raise errors.UserError(
        f"Refused: {sum(map(len, refused.values()))} of {plural(len(study.runs), 'run')}. "
        f"{' '.join(_refusal(reason, names) for reason, names in refused.items())}")
  return planned


def _refusal(reason, names):
  """A reason with the runs that are refused for it."""
  shown = ", ".join(names[:_NAMED])
  more = ", ..." if len(names) > _NAMED else ""
  return f"{plural(len(names), 'run')} ({shown}{more}): {reason}"


def _planned(study, run, folder, data_dir):
  run.parse(folder)
  if run.kind == "task":
    return _of_task(run, data_dir)
  if run.kind == "judge":
    return _of_judgements(run)
  found = (_learned(study, run, folder, data_dir) if run.kind == "learn" else
           _trained(run, data_dir))
  published = data_dir is None and config.value("images.source") == "imagenet64"
  return dataclasses.replace(found, published=published)


def _trained(run, data_dir):
  """The cost of training a classifier."""
  network, settings = config.network(), config.train_settings()
  images = config.images(data_dir, load=registry.outline)
  names, _, limit = config.judged()
  config.check_used(config.TRAINING)
  cost = _network_cost(*_key(network, images))
  steps = settings.steps(images)
  return _cost(run, cost, settings, steps, _SLOTS[type(settings.optimizer)],
               validated=images.sizes["validation"], judged=_triplet_images(names, limit),
               averaged=settings.ema_decay is not None)


def _learned(study, run, folder, data_dir):
  """The cost of learning a metric on the trunk of another run."""
  settings = config.learn_settings()
  names, _, limit = config.judged()
  steps = settings.steps(_TRAINING_TRIPLETS)
  slots = _SLOTS[type(settings.optimizer)]
  trains = learning_settings.MODES[settings.mode].trunk_learns
  study.run(run.trunk).parse(folder)
  images = config.images(data_dir, load=registry.outline)
  cost = _network_cost(*_key(config.network(), images))
  return _cost(run, cost, settings, steps, slots, judged=_triplet_images(names, limit),
               images_a_row=_IMAGES_OF_A_TRIPLET, trains=trains)


def _of_task(run, data_dir):
  """The cost of training a network for a task, and of its loss network; its tests are left out.

  For each example the loss network makes the features of the target, those of the output, and the
  gradient of the latter by its image: as much as a step of training costs without its weights'
  gradients. Of a metric that is not a network by its name only the task's own network is counted.
  """
  task, settings, loss = config.task(data_dir), config.fit_settings(), config.loss_settings()
  config.check_used(config.TASK)
  settings = settings.of(task.sizes["train"])
  with costs.unallocated():
    model = task.build()
    signature = task.train_batches(batch_size=1, seed=0, first_step=0, shard=(0, 1)).element_spec
    cost = _cost_of(model, tuple(signature["input"].shape[1:3]))
    of_loss = _cost_of_loss(loss, task.target_size)
    cost = _NetworkCost(cost.parameters, cost.flops + of_loss.flops,
                        cost.activations + of_loss.activations)
  return _cost(run, cost, settings, settings.steps(task.sizes["train"]),
               _SLOTS[type(settings.optimizer)], validated=task.sizes["validation"])


def _of_judgements(run):
  """The cost of scoring a loss on triplets, which trains nothing."""
  loss, (names, image_size, limit) = config.loss_settings(), config.judged()
  config.check_used(config.JUDGEMENTS)
  with costs.unallocated():
    cost = _cost_of_loss(loss, (image_size, image_size))
  images, batch = _triplet_images(names, limit), judgements.BATCH_SIZE
  return Planned(
      run=run, parameters=cost.parameters, flops=cost.flops, activations=cost.activations,
      values_an_image=cost.weighted_values, steps=0, batch_size=batch, evaluations=1,
      total_flops=cost.flops * images, values=int(cost.weighted_values * images / _BACKWARD),
      memory=_FLOAT * (cost.parameters + cost.activations * batch * _IMAGES_OF_A_TRIPLET),
      checkpoints=0)


def network_of_loss(metric):
  """Returns the name of the network whose cost is counted for a loss; None for other metrics."""
  name = (metric or "").removeprefix(metrics.GAUSSIAN)
  return name if name in models.names() else None


def _cost_of_loss(loss, size):
  """The cost of a loss network, cut behind its last tap; zero where none is counted."""
  network = network_of_loss(loss.metric)
  if network is None:
    return _NetworkCost(0, 0, 0)
  trunk = models.build(network, num_classes=0)
  return _cost_of(feature_taps.select_taps(trunk, loss.taps), size)


def _cost_of(model, size):
  return _NetworkCost(costs.parameters(model), costs.flops(model, size),
                      costs.activations(model, size))


def _cost(run, cost, settings, steps, slots, *, validated=0, judged=0, averaged=False,
          images_a_row=1, trains=True):
  """Returns the `Planned` of a run from the cost of its network, and what training does with it."""
  stops = {0, steps, *range(0, steps, settings.eval_interval),
           *(step for step in settings.score_steps if step < steps)}
  trained = steps * settings.batch_size * images_a_row * (_BACKWARD if trains else 1)
  forward = trained + len(stops) * (validated + judged)  # passes of one image
  embedded = judged and len(stops) * judged * cost.embedded(settings.score_distances)
  weights = _FLOAT * cost.parameters
  kept = settings.keep_checkpoints
  kept = len(stops) if kept == "all" else len({step for step in kept if step <= steps})
  batch = _ACTIVATION_BYTES[settings.precision] * cost.activations * settings.batch_size
  return Planned(
      run=run, parameters=cost.parameters, flops=cost.flops,
      activations=cost.activations, values_an_image=cost.weighted_values, steps=steps,
      batch_size=settings.batch_size, evaluations=len(stops),
      total_flops=cost.flops * forward,
      values=int(cost.weighted_values * forward / _BACKWARD + _VALUE_EMBEDDED * embedded),
      memory=weights * (2 + slots + averaged) + batch * images_a_row,
      # The last one with the optimizer's state, the best by score and by accuracy, those kept.
      checkpoints=weights * (1 + slots + averaged + 2 + kept))


def _triplet_images(names, limit):
  return _IMAGES_OF_A_TRIPLET * sum(
      min(_TRIPLETS.get(name, _TRIPLETS_OF_OTHERS), limit or math.inf) for name in names)


def _key(network, images):
  """A network and what it is given, hashable."""
  name, options = network
  return name, images.image_size, images.num_classes, tuple(sorted(options.items()))


@dataclasses.dataclass(frozen=True)
class _NetworkCost:
  """What a network costs; `taps` are (positions, channels) of each."""

  parameters: int
  flops: int
  activations: int
  taps: tuple[tuple[int, int], ...] = ()
  of_tokens: bool = False

  @property
  def weighted_values(self):
    """`activations`, weighted by what they cost in training."""
    return self.activations * (_VALUE_OF_TOKENS if self.of_tokens else 1)

  def embedded(self, distances):
    """Returns the values that distances embed of an image at all taps, its features among them."""
    terms = ["", *(term for name in distances for term in name.split("+"))]
    return sum({"style": channels**2, "mean_pool": channels}.get(term, positions * channels)
               for term in terms for positions, channels in self.taps)


@functools.cache
def _network_cost(name, image_size, num_classes, options):
  """Builds a network of shapes alone; an error is not remembered."""
  with costs.unallocated():
    model = models.build(name, num_classes=num_classes, **dict(options))
    taps = feature_taps.list_taps(model)
    return dataclasses.replace(
        _cost_of(model, image_size), of_tokens=taps[0].stride is None,
        taps=tuple(((image_size // tap.stride)**2 if tap.stride else 1, tap.channels)
                   for tap in taps))
