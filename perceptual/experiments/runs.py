"""Training runs of what gin files say: the same for a command and for a study."""

import functools

from perceptual.common import files
from perceptual.data.judged import judged_sets
from perceptual.errors import UserError, shown
from perceptual.experiments import config
from perceptual.tasks import run as task_run
from perceptual.training import learning, learning_settings, loop, trunks
from perceptual.training import model_dir as model_dirs


def training(model_dir, *, data_dir, strategy=None, jit_compile=False,
             load_judged=judged_sets.load):
  """Returns the `loop.Run` of the configuration that was parsed; nothing is written yet.

  Args:
    model_dir: the run directory, created or resumed.
    data_dir: the folder of prepared data sets; None if none is needed.
    strategy: `tf.distribute.Strategy`; None for the current one.
    jit_compile: whether XLA compiles steps.
    load_judged: as `judged_sets.load`; another one may remember the sets of the run before.

  Raises:
    UserError: if something is wrong with the configuration, the data or the folder.
  """
  _check_places(model_dir, data_dir)
  network, settings = config.network(), config.train_settings()
  images = config.images(data_dir)
  judged_set, *further_sets = config.all_judged_sets(data_dir, load_judged)
  run = loop.Run(
      model_dir, network=network, images=images, judged_set=judged_set,
      further_sets=further_sets, settings=settings, strategy=strategy, jit_compile=jit_compile)
  config.check_used(config.TRAINING)
  return run


def learned(model_dir, *, data_dir, trunk_dir=None, trunk_checkpoint="best_score",
            weights_dir=None, strategy=None, jit_compile=False, load_judged=judged_sets.load):
  """Returns the `learning.Run` of the configuration that was parsed; nothing is written yet.

  Args:
    model_dir: the folder of the metric, created or resumed.
    data_dir: the folder of prepared data sets.
    trunk_dir: the run directory of the network; None for the network of the configuration.
    trunk_checkpoint: which of that training's checkpoints.
    weights_dir: the folder of converted weights; None for the default one.
    strategy: `tf.distribute.Strategy`; None for the current one.
    jit_compile: whether XLA compiles steps.
    load_judged: as `judged_sets.load`; another one may remember the sets of the run before.

  Raises:
    UserError: if something is wrong with the configuration, the data or the folders.
  """
  _check_places(model_dir, data_dir, trunk_dir)
  settings = config.learn_settings()
  train_set = config.triplets(data_dir)
  judged_set, *further_sets = config.all_judged_sets(data_dir, load_judged)
  run = learning.Run(
      model_dir, trunk=_trunk(settings.mode, trunk_dir, trunk_checkpoint, weights_dir),
      train_set=train_set, judged_set=judged_set, further_sets=further_sets,
      settings=settings, strategy=strategy, jit_compile=jit_compile)
  config.check_used(config.LEARNING)
  return run


def task(model_dir, *, data_dir, weights_dir=None, strategy=None, jit_compile=False):
  """Returns the `tasks.run.Run` of the configuration that was parsed; nothing is written yet.

  Args:
    model_dir: the folder of the run, created or resumed.
    data_dir: the folder of data sets; None for the working directory.
    weights_dir: the folder of converted weights, of the loss; None for the default one.
    strategy: `tf.distribute.Strategy`; None for the current one.
    jit_compile: whether XLA compiles steps.

  Raises:
    UserError: if something is wrong with the configuration, the data or the folder.
  """
  _check_places(model_dir, data_dir)
  made, settings, loss = config.task(data_dir), config.fit_settings(), config.loss_settings()
  config.check_used(config.TASK)
  return task_run.Run(
      model_dir, task=made, loss=lambda: loss.make(weights_dir), settings=settings,
      strategy=strategy, jit_compile=jit_compile)


def trained_task(model_dir, params=(), *, data_dir):
  """Returns the `tasks.task.Task` of a run, by the configuration in its folder.

  Args:
    model_dir: the folder of the run.
    params: further gin bindings.
    data_dir: the folder of data sets; None for the working directory.

  Raises:
    UserError: if it is not the folder of a task, a binding would have no effect on its tests, or as
      `config.task`.
  """
  folder = model_dirs.ModelDir(model_dir)
  name_of_task = folder.read_task()["name"]
  tested = (name_of_task, "images", "class_subset")
  bound = [binding.partition("=")[0].strip() for binding in params]
  _require_effect(bound, lambda name, _: name in tested, f"bindings of {', '.join(tested)}")
  if not folder.config.is_file():
    raise UserError(f"{folder.config} is missing: it says what the network was trained on.")
  with files.local_copy(folder.config) as local:
    config.parse([local], params)
  if config.task_name() != name_of_task:
    raise UserError(f"{folder.task} names the task {shown(name_of_task)}, {folder.config} "
                    f"{config.task_name()}: one of them is damaged.")
  task = config.task(data_dir)
  options = (*task.tested_by, *task.architecture)  # of the latter `evaluation` says what they were
  _require_effect(bound, lambda name, option: name != name_of_task or option in options,
                  f"{name_of_task}.{f', {name_of_task}.'.join(task.tested_by)}")
  return task


def _require_effect(bound, takes, tested):
  """Raises `UserError` unless a test of a task takes what is bound: `takes(name, option)` says."""
  for binding in bound:
    name, dot, option = binding.rpartition(".")
    if dot and not takes(name.rpartition("/")[2], option):
      raise UserError(
          f"{binding} has no effect on a trained network: its tests take {tested}.")


def configuration():
  """Returns the files that say how a run was configured: name -> text."""
  return {"config.gin": config.given(), "operative_config.gin": config.operative()}


def _check_places(*given):
  """Raises `UserError` for an address that cannot be used, before anything is looked for."""
  for path in given:
    if path is not None:
      files.place(path)


def _trunk(mode, trunk_dir, trunk_checkpoint, weights_dir):
  """Returns what `learning.Run` makes its trunk by."""
  is_random = learning_settings.MODES[mode].trunk_random
  if trunk_dir is None:
    build = trunks.at_random if is_random else functools.partial(
        trunks.published, weights_dir=weights_dir)
    return functools.partial(build, *config.network())
  if is_random:
    raise UserError(f"learn.mode {mode!r} starts from random weights: leave out "
                    "--trunk_dir, or choose 'tune'.")
  return functools.partial(trunks.trained, trunk_dir, checkpoint=trunk_checkpoint)
