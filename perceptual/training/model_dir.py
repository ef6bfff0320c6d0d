"""What a run directory holds, and the way back from it to a network.

    network.json            name and options of the network
    learned.json            of a metric learned from judgements: mode, trunk, taps, judged set
    task.json               in place of network.json, of a network trained for a task: which
    run.json                what is trained, on what and how, as data
    config.gin              the configuration as given
    operative_config.gin    the configuration as used, defaults included
    metrics.csv             one line an evaluation
    scores.csv              the score of every judged set, subset, distance and tap at each
    class_accuracy.csv      of a complete run: validation accuracy by class
    training.png            accuracy and perceptual score over steps
    tensorboard/            the same for TensorBoard
    checkpoints/last/           all that resuming needs
    checkpoints/best_accuracy/  weights at the best validation accuracy
    checkpoints/best_score/     weights at the best perceptual score; of a task, at the best
                                measure of validation
    checkpoints/steps/step-N.*  weights at the steps of train.keep_checkpoints
    progress.json               how far the run is, for other programs: `progress_file`
    .lock                       while a process writes here: which one

Of last and of the best there are two each: the newest, and the one before it in case the newest is
damaged. Checkpoints key variables by `variable.path`, so they can be read, and checked, without
Keras.
"""

import json
import re
import warnings

import tensorflow as tf

from perceptual import errors, models
from perceptual.common import files
from perceptual.common.files import write_text
from perceptual.training import checkpoint_files
from perceptual.training.checkpoint_files import DAMAGE

CHECKPOINTS = ("best_score", "best_accuracy", "last")
_STEP = re.compile(r"step-\d+")  # names the checkpoint of a step
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # ends the key of every variable in a checkpoint

# What is written in the folder itself, each beside its place first.
_FILES = ("network.json", "learned.json", "task.json", "run.json", "study.json", "config.gin",
          "operative_config.gin", "metrics.csv", "scores.csv", "class_accuracy.csv", "training.png",
          "progress.json", "failure.txt")


class ModelDir:
  """The paths of a run directory.

  Attributes:
    path: the folder.
  """

  def __init__(self, path):
    self.path = files.folder_for_tensorflow(path)
    self.network = self.path / "network.json"
    self.learned = self.path / "learned.json"
    self.task = self.path / "task.json"
    self.config = self.path / "config.gin"
    self.run = self.path / "run.json"
    self.metrics = self.path / "metrics.csv"
    self.scores = self.path / "scores.csv"
    self.class_accuracy = self.path / "class_accuracy.csv"
    self.plot = self.path / "training.png"
    self.progress = self.path / "progress.json"
    self.tensorboard = self.path / "tensorboard"

  def make(self):
    """Makes the folder, if it is not there.

    Raises:
      UserError: if that is impossible.
    """
    try:
      self.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise errors.UserError(
          f"Cannot make the folder {self.path}: {errors.reason(error)}.") from None

  def checkpoint(self, name):
    """Returns the folder of a checkpoint, one of `CHECKPOINTS`; of a `step-N`, its path."""
    if _STEP.fullmatch(name):
      return self.path / "checkpoints" / "steps" / name
    if name not in CHECKPOINTS:
      raise errors.unknown("checkpoint", name, CHECKPOINTS)
    return self.path / "checkpoints" / name

  def latest(self, name):
    """Returns the path of a checkpoint, without the suffixes of its files; None if there is none.

    Whether it is whole is not looked into.

    Raises:
      UserError: if the name is unknown.
    """
    if _STEP.fullmatch(name):
      return str(self.checkpoint(name)) if name in self.kept() else None
    folder = self.checkpoint(name)
    there = checkpoint_files.steps(folder)
    return checkpoint_files.prefix(folder, there[-1]) if there else None

  def kept(self):
    """Returns the names of the steps whose weights were kept, as `step-N`, by rising step."""
    return [step_name(step)
            for step in checkpoint_files.steps(self.path / "checkpoints" / "steps")]

  def require_latest(self, name):
    """Returns the path of a checkpoint that is whole, the newest of its name.

    A newer one that is not whole is warned of.

    Raises:
      UserError: if there is no such checkpoint, or no checkpoint can have that name: the message
        lists those that there are; or if none is whole.
    """
    folder = step = None
    if name in CHECKPOINTS:
      folder = self.checkpoint(name)
      step, faults = checkpoint_files.sound(folder)
      for fault in faults:
        warnings.warn(f"{fault}; the one of step {step} is taken.", stacklevel=2)
    elif name in self.kept():
      folder, step = self.checkpoint(name).parent, int(name.removeprefix("step-"))
      fault = checkpoint_files.fault(folder, step)
      if fault is not None:
        raise errors.UserError(f"{self.checkpoint(name)} is damaged: {fault}.")
    if step is None:
      have = [*(other for other in CHECKPOINTS if self.latest(other)), *self.kept()]
      raise errors.UserError(f"{self.path} has no checkpoint {name!r}. "
                             f"Available: {', '.join(have) or 'none yet'}.")
    return checkpoint_files.prefix(folder, step)

  def remove_leftovers(self):
    """Removes what killed processes have left; call it where no other one writes."""
    files.remove_leftovers(self.path, _FILES)
    for name in (*CHECKPOINTS, "steps"):
      checkpoint_files.remove_leftovers(self.path / "checkpoints" / name)

  def write_network(self, name, options):
    """Writes what `read_network` returns."""
    write_json(self.network, {"name": name, "options": options})

  def read_network(self):
    """Returns the (name, options) of the network trained here.

    Raises:
      UserError: if no network was trained here, or its description is damaged.
    """
    network = read_json(self.network)
    if network is None:
      raise errors.UserError(f"{self.path} is not a run directory: it has no {self.network.name}. "
                             "Make one with `perceptual train`.")
    if not isinstance(network, dict) or not {"name", "options"} <= set(network):
      raise errors.UserError(f"{self.network} is damaged: it must hold name and options.")
    return network["name"], network["options"]

  def write_learned(self, learned):
    """Writes what `read_learned` returns."""
    write_json(self.learned, learned)

  def read_learned(self):
    """Returns how a metric was learned here, as plain data; None if a network was trained here.

    Raises:
      UserError: if the description is damaged.
    """
    learned = read_json(self.learned)
    if learned is not None and (not isinstance(learned, dict) or "taps" not in learned):
      raise errors.UserError(f"{self.learned} is damaged: it must hold how a metric was learned.")
    return learned

  def write_task(self, task):
    """Writes what `read_task` returns."""
    write_json(self.task, task)

  def read_task(self):
    """Returns which task a network was trained for here, as plain data with its `name`.

    Raises:
      UserError: if none was, or the description is damaged.
    """
    task = read_json(self.task)
    if task is None:
      raise errors.UserError(f"{self.path} is not the folder of a task: it has no "
                             f"{self.task.name}. Make one with `perceptual task train`.")
    if not isinstance(task, dict) or "name" not in task:
      raise errors.UserError(f"{self.task} is damaged: it must hold the name of a task.")
    return task

  def write_run(self, run):
    """Writes what `read_run` returns."""
    write_json(self.run, run)

  def read_run(self):
    """Returns what was trained here as nested dictionaries of plain data; None if unknown.

    Raises:
      UserError: if the description is damaged.
    """
    try:
      run = read_json(self.run)
    except errors.UserError as error:
      raise errors.UserError(
          f"{errors.first_line(error)}. If it is damaged, move it away: training goes on from the "
          "last checkpoint without it, and does not see what has changed in the recipe.") from None
    if run is not None and not isinstance(run, dict):
      raise errors.UserError(f"{self.run} is damaged: it must hold what is trained, and how.")
    return run


def step_name(step):
  """Returns the name of the checkpoint of a step."""
  return f"step-{step}"


def write_json(path, data):
  """Writes plain data."""
  write_text(path, json.dumps(data, indent=2) + "\n")


def read_json(path):
  """Returns what `write_json` wrote, or None if there is no such file.

  Raises:
    UserError: if the file cannot be read.
  """
  try:
    return json.loads(path.read_text("utf-8"))
  except FileNotFoundError:
    return None
  except (OSError, ValueError, RecursionError) as error:
    raise errors.UserError(f"{path} cannot be read: {errors.first_line(error)}") from None


def load_network(path, checkpoint="best_score"):
  """Returns a trained network.

  Args:
    path: the run directory.
    checkpoint: one of `CHECKPOINTS`, or a `step-N` that was kept.

  Returns:
    (model, name, options, step): the Keras model with the checkpoint's weights, the network's name
    and options, and the training step of the weights.

  Raises:
    UserError: if there is no such checkpoint, or its weights are not this network's.
  """
  folder = ModelDir(path)
  name, options = folder.read_network()
  if folder.read_learned():
    raise errors.UserError(f"{folder.path} holds a metric that was learned, not a network.")
  latest = folder.require_latest(checkpoint)
  model = models.build(name, **options)
  step = assign_weights(model, latest)
  return model, name, options, step


def assign_weights(model, checkpoint_path):
  """Gives a model the weights of a checkpoint, all of them or none; returns the training step.

  Of a last checkpoint that holds averaged weights too, those are taken: they are what its run
  evaluated.

  Raises:
    UserError: if a weight is missing or left over or has another shape, or cannot be read.
  """
  try:
    reader = tf.train.load_checkpoint(checkpoint_path)
  except DAMAGE as error:
    raise errors.UserError(
        f"{checkpoint_path} cannot be read: {errors.first_line(error)}") from None
  keys = _keys_by_path(reader, "averaged/") or _keys_by_path(reader, "weights/")
  shapes = {path: tuple(reader.get_variable_to_shape_map()[key]) for path, key in keys.items()}
  wanted = {v.path: tuple(v.shape) for v in model.weights}
  for path in [*wanted, *shapes]:
    if wanted.get(path) != shapes.get(path):
      raise errors.UserError(
          f"{checkpoint_path} does not fit {model.name}: weight {path} has shape "
          f"{shapes.get(path, 'none (missing)')} in the checkpoint and "
          f"{wanted.get(path, 'none (unknown)')} in the network.")
  try:
    values = [reader.get_tensor(keys[v.path]) for v in model.weights]
    step = int(reader.get_tensor("step" + VALUE))
  except DAMAGE as error:
    raise errors.UserError(f"{checkpoint_path} is damaged: {errors.first_line(error)}") from None
  for variable, value in zip(model.weights, values):
    variable.assign(value)
  return step


def keyed_by_path(variables):
  """Returns Keras variables as `{path: tf.Variable}`, what a `tf.train.Checkpoint` tracks."""
  return {variable.path: variable.value for variable in variables}


def _keys_by_path(reader, part):
  """Returns `{path: key}` of the variables that a checkpoint keeps under a part, like 'weights/'.

  In a key TensorFlow writes '/' as '.S' and '.' as '..'.
  """
  keys = {}
  for key in reader.get_variable_to_shape_map():
    if key.startswith(part) and key.endswith(VALUE):
      name = key.removeprefix(part).removesuffix(VALUE)
      keys[re.sub(r"\.([.S])", lambda match: {"S": "/", ".": "."}[match[1]], name)] = key
  return keys

