"""What a study will cost, worked out before anything runs: every network is built of shapes alone.

Parameters, operations and bytes of checkpoints are exact. Memory is an estimate: weights, gradients
and the optimizer's slots, and for every image of a batch all that layers put out. Time is an
estimate from operations and from the values that layers put out, of a training image three times
those of the forward pass (forward, and twice for the way back), by `devices.DEVICES`.
"""

import dataclasses
import functools
import math
import statistics

from perceptual import errors, models
from perceptual.common import progress
from perceptual.common.progress import plural
from perceptual.common.text_table import aligned
from perceptual.data.labelled import imagenet64, registry
from perceptual.experiments import config
from perceptual.models import costs
from perceptual.models import taps as feature_taps
from perceptual.studies import study_dir, tpu_costs
from perceptual.studies.devices import DEVICES
from perceptual.tasks import judgements
from perceptual.training import learning_settings, optimizers, records

_FLOAT = 4  # bytes of a weight
_SLOTS = {optimizers.Sgd: 1, optimizers.RmsProp: 2, optimizers.Adam: 2}  # floats kept for a weight
_ACTIVATION_BYTES = {"float32": 4, "bfloat16": 2}
_BACKWARD = 3  # operations of a training image, in forward passes

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
    steps: training steps.
    batch_size: images (or triplets) a step.
    evaluations: how often the network is evaluated.
    total_flops: operations of the whole run, evaluations included.
    values: values that layers put out in the whole run, those of an evaluation counted a third.
    memory: bytes on one device that holds the whole batch; an estimate.
    checkpoints: bytes of all checkpoints that are kept at the end.
    published: whether the sizes are those of the published ImageNet, and not of prepared data.
  """

  run: object
  parameters: int
  flops: int
  activations: int
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
    return (self.total_flops / device.flops + self.values * device.value_seconds) / 3600


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
        f"{sum(map(len, refused.values()))} of {plural(len(study.runs), 'run')} are refused. "
        f"{' '.join(_refusal(reason, names) for reason, names in refused.items())}")
  return planned


def table(planned, name, device):
  """Returns the plan as text: a line a run, the totals, and what the numbers are.

  Args:
    planned: `Planned`s.
    name: what the device is called.
    device: the `devices.Device` whose hours are estimated.
  """
  lines = [["index", "run", "parameters", "MFLOPs", "steps", "batch", "PFLOPs", "memory GB",
            "checkpoints MB", "hours"]]
  for one in planned:
    lines.append([
        str(one.run.index), one.run.name, f"{one.parameters:,}", f"{one.flops / 1e6:,.0f}",
        f"{one.steps:,}", str(one.batch_size), f"{one.total_flops / 1e15:,.2f}",
        f"{one.memory / 1e9:,.1f}", f"{one.checkpoints / 1e6:,.0f}",
        _hours(one.hours(device), decimals=2)])
  about = "PFLOPs are of the whole run, MFLOPs of one image."
  if tpu_costs.has(name):
    lines = [[*line, *cells] for line, cells in zip(lines, tpu_costs.columns(name, planned))]
    about += f" {tpu_costs.ABOUT}"
  parts = [f"{aligned(lines)}\n{about}", subtotals(planned, device), totals(planned, name, device)]
  return "\n\n".join(filter(None, parts))


def subtotals(planned, device):
  """Returns the cost of each sweep as text, a line a study and what varies in it; empty for one.

  A run that several studies ask for counts for the first.

  Args:
    planned: `Planned`s.
    device: the `devices.Device` whose hours are estimated.
  """
  sweeps = {}
  for one in planned:
    sweeps.setdefault((one.run.studies[0], _varied(one.run)), []).append(one)
  if len(sweeps) < 2:
    return ""
  lines = [["study", "varied", "runs", "PFLOPs", "checkpoints GB", "hours"]]
  for (study, varied), of_sweep in sweeps.items():
    lines.append([
        study, varied, str(len(of_sweep)),
        f"{sum(one.total_flops for one in of_sweep) / 1e15:,.2f}",
        f"{sum(one.checkpoints for one in of_sweep) / 1e9:,.2f}",
        _hours(sum(one.hours(device) for one in of_sweep), decimals=2)])
  return aligned(lines)


def totals(planned, name, device):
  """Returns the totals of a plan and what its numbers are, as text."""
  lines = [
      f"{len(planned)} runs, {len({(one.run.network, one.parameters) for one in planned})} "
      f"different networks: {sum(one.total_flops for one in planned) / 1e18:,.3f} EFLOPs, "
      f"{sum(one.checkpoints for one in planned) / 1e9:,.1f} GB of checkpoints, "
      f"{_hours(sum(one.hours(device) for one in planned), decimals=1)} hours on one {name}.",
      "MFLOPs: millions of operations for one image, a multiplication and an addition being two. "
      "Memory: an estimate, the whole batch on one device.",
      f"Hours: an estimate. {name}: {device.origin}."]
  too_large = [one.run.name for one in planned if device.bytes and one.memory > device.bytes]
  if too_large:
    more = ", ..." if len(too_large) > 3 else ""
    lines.append(
        f"More than the {device.bytes / 1e9:.0f} GB of one {name}: {len(too_large)} runs "
        f"({', '.join(too_large[:3])}{more}); spread their batches over several.")
  return "\n".join(lines)


def sizes(planned):
  """Returns what the plan took for the sizes of data that were not prepared; empty without any."""
  if not any(one.published for one in planned):
    return ""
  return (f"Sizes: ImageNet's {imagenet64.PUBLISHED_SIZES['train']:,} images of 1,000 classes, as "
          "no --data_dir was given; with --data_dir=DIR those of the prepared data.")


def check(planned, folder, name, device):
  """Returns how fast finished runs were trained beside the estimate, as text; empty without any.

  Args:
    planned: `Planned`s.
    folder: the study's `study_dir.StudyDir`.
    name: what the device is called on which they were trained.
    device: that `devices.Device`.
  """
  ratios = {}
  for one in planned:
    if one.run.kind == "train" and folder.state(one.run).state == study_dir.FINISHED:
      rows = records.read_metrics(folder.model_dir(one.run).metrics)
      measured = [row["images_per_second"] for row in rows if "images_per_second" in row]
      if measured:
        seconds = (_BACKWARD * one.flops / device.flops + one.activations * device.value_seconds)
        ratios[one.run.name] = statistics.median(measured) * seconds
  if not ratios:
    return ""
  slowest, fastest = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
  return (f"Checked: {len(ratios)} finished runs trained at "
          f"{statistics.median(ratios.values()):.2f} times the speed estimated for one {name}, the "
          f"slowest ({slowest}) at {ratios[slowest]:.2f}, the fastest ({fastest}) at "
          f"{ratios[fastest]:.2f}.")


def as_csv_rows(planned):
  """Returns (columns, rows) of a plan, with the hours on every device."""
  names = ["parameters", "flops", "activations", "steps", "batch_size", "evaluations",
           "total_flops", "values", "memory", "checkpoints"]
  columns = ["index", "run", *names, *(f"hours.{device}" for device in DEVICES)]
  return columns, [
      [one.run.index, one.run.name, *(getattr(one, name) for name in names),
       *(f"{one.hours(device):.4g}" for device in DEVICES.values())] for one in planned]


def _varied(run):
  """What varies in a run, without the configurables: `width`."""
  return ", ".join(name.rpartition(".")[2] for name in run.varied) or "nothing: out of the box"


def _refusal(reason, names):
  """A reason with the runs that are refused for it."""
  shown = ", ".join(names[:_NAMED])
  more = ", ..." if len(names) > _NAMED else ""
  return f"{plural(len(names), 'run')} ({shown}{more}): {reason}"


def _hours(hours, *, decimals):
  """Hours as text, without decimals from 1,000 on."""
  return f"{hours:,.{0 if round(hours, decimals) >= 1000 else decimals}f}"


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
  evaluated = images.sizes["validation"] + _triplet_images(names, limit)
  return _cost(run, cost, settings, steps, evaluated, _SLOTS[type(settings.optimizer)],
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
  return _cost(run, cost, settings, steps, _triplet_images(names, limit), slots,
               images_a_row=_IMAGES_OF_A_TRIPLET, trains=trains)


def _of_task(run, data_dir):
  """The cost of training a network for a task, and of its loss network; its tests are left out.

  For each example the loss network makes the features of the target, those of the output, and the
  gradient of the latter by its image: as much as a step of training costs without its weights'
  gradients. Of a metric that is not a published network only the task's own network is counted.
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
               task.sizes["validation"], _SLOTS[type(settings.optimizer)])


def _of_judgements(run):
  """The cost of scoring a loss on triplets, which trains nothing."""
  loss, (names, image_size, limit) = config.loss_settings(), config.judged()
  config.check_used(config.JUDGEMENTS)
  with costs.unallocated():
    cost = _cost_of_loss(loss, (image_size, image_size))
  images, batch = _triplet_images(names, limit), judgements.BATCH_SIZE
  return Planned(
      run=run, parameters=cost.parameters, flops=cost.flops, activations=cost.activations, steps=0,
      batch_size=batch, evaluations=1, total_flops=cost.flops * images,
      values=cost.activations * images // _BACKWARD,
      memory=_FLOAT * (cost.parameters + cost.activations * batch * _IMAGES_OF_A_TRIPLET),
      checkpoints=0)


def _cost_of_loss(loss, size):
  """The cost of a loss network, cut behind its last tap; nothing of what is no network here."""
  if loss.metric not in models.names():
    return _NetworkCost(0, 0, 0)
  trunk = models.build(loss.metric, num_classes=0)
  return _cost_of(feature_taps.select_taps(trunk, loss.taps), size)


def _cost_of(model, size):
  return _NetworkCost(costs.parameters(model), costs.flops(model, size),
                      costs.activations(model, size))


def _cost(run, cost, settings, steps, evaluated, slots, *, averaged=False, images_a_row=1,
          trains=True):
  """Returns the `Planned` of a run from the cost of its network, and what training does with it."""
  stops = {0, steps, *range(0, steps, settings.eval_interval),
           *(step for step in settings.score_steps if step < steps)}
  trained = steps * settings.batch_size * images_a_row * (_BACKWARD if trains else 1)
  forward = trained + len(stops) * evaluated  # passes of one image
  weights = _FLOAT * cost.parameters
  kept = settings.keep_checkpoints
  kept = len(stops) if kept == "all" else len({step for step in kept if step <= steps})
  batch = _ACTIVATION_BYTES[settings.precision] * cost.activations * settings.batch_size
  return Planned(
      run=run, parameters=cost.parameters, flops=cost.flops,
      activations=cost.activations, steps=steps,
      batch_size=settings.batch_size, evaluations=len(stops),
      total_flops=cost.flops * forward, values=cost.activations * forward // _BACKWARD,
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
  parameters: int
  flops: int
  activations: int


@functools.cache
def _network_cost(name, image_size, num_classes, options):
  """Builds a network of shapes alone; an error is not remembered."""
  with costs.unallocated():
    model = models.build(name, num_classes=num_classes, **dict(options))
    feature_taps.list_taps(model)
    return _cost_of(model, image_size)
