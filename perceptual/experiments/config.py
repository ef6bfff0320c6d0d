"""The closed list of what gin configures, and the reading of gin files.

Flags say where and how to run; gin files define the experiment. Modules below
this one do not use gin. The list:

    network       name and options of the network             models.build
    images        the labelled images                         data.labelled.registry
    augmentation  how training images are varied              data.labelled.augment.Augmentation
    class_subset  some of the classes, for images.classes     data.labelled.class_subsets
    judged        the judged sets that score training         data.judged.judged_sets.load
    step_decay, exponential_decay, cosine, linear_decay
                  the learning rate over the run              training.schedules
    sgd, rmsprop, adam
                  the optimizer                               training.optimizers
    train         batch size, epochs, evaluations, ...        training.settings.Settings
    triplets      the judged set that a metric learns from    data.judged.judged_sets.load
    learn         mode, taps, batch size, epochs, ...         training.learning_settings.Settings
    task          which task a network is trained for         tasks.registry
    super_resolution, delineation, autoencoding
                  the options of each task                    its `make`
    loss          metric, taps, distance, pixel terms         tasks.loss.Settings
    fit           batch size, epochs, evaluations of a task   tasks.settings.Settings
    evaluate      distances, taps, bootstrap of a scoring     evaluation.scoring.Settings
    study         many runs: their sweeps and names           experiments.sweeps.Study
    sweep         base run files, values to vary, seeds       experiments.sweeps.Sweep

All mistakes are raised as a `UserError` of one line.
"""

import functools
import inspect
import logging
import re
import tokenize

import gin

from perceptual import errors, models
from perceptual.common import packages
from perceptual.common.files import expanded
from perceptual.data.judged import judged_sets
from perceptual.data.labelled import augment, class_subsets, registry
from perceptual.errors import UserError
from perceptual.evaluation import scoring
from perceptual.experiments import gin_files, private_gin, restricted_gin, sweeps
from perceptual.tasks import loss
from perceptual.tasks import registry as task_registry
from perceptual.tasks import settings as task_settings
from perceptual.training import learning_settings, optimizers, schedules, settings

TRAINING = ("network", "images", "augmentation", "class_subset", "judged", *schedules.SCHEDULES,
            *optimizers.OPTIMIZERS, "train")
LEARNING = ("network", "triplets", "judged", *schedules.SCHEDULES, *optimizers.OPTIMIZERS, "learn")
# Scores without TensorFlow take gin bindings too: the modules of tasks are not imported then.
_TASKS = tuple(task_registry.TASKS) if packages.is_installed("tensorflow") else ()
TASK = ("task", *_TASKS, "images", "class_subset", *schedules.SCHEDULES,
        *optimizers.OPTIMIZERS, "loss", "fit")
JUDGEMENTS = ("judged", "loss")
STUDY = ("study", "sweep")

# Name -> dataclass: the parts of a recipe, bound by their fields.
_RECIPE_PARTS = {"augmentation": augment.Augmentation, **schedules.SCHEDULES,
                 **optimizers.OPTIMIZERS, "class_subset": class_subsets.ClassSubset,
                 "sweep": sweeps.Sweep}

_CIRCLE = "The gin bindings refer to one another in a circle, as x = %x does."

for _place in gin_files.places():
  gin.add_config_file_search_path(str(_place))


def _strip_gin_context(configurable):
  """Takes away the lines that gin adds to the message of an error it passes on."""
  @functools.wraps(configurable)
  def call(*args, **kwargs):
    try:
      return configurable(*args, **kwargs)
    except UserError as error:
      raise UserError(errors.first_line(error)) from None
    except RecursionError:
      raise UserError(_CIRCLE) from None
  return call


for _name, _part in _RECIPE_PARTS.items():
  gin.external_configurable(_part, _name)
train_settings = _strip_gin_context(gin.external_configurable(settings.Settings, "train"))
learn_settings = _strip_gin_context(gin.external_configurable(learning_settings.Settings, "learn"))
evaluate_settings = _strip_gin_context(gin.external_configurable(scoring.Settings, "evaluate"))
loss_settings = _strip_gin_context(gin.external_configurable(loss.Settings, "loss"))
fit_settings = _strip_gin_context(gin.external_configurable(task_settings.Settings, "fit"))
study = _strip_gin_context(gin.external_configurable(sweeps.Study, "study"))
_make_task = {
    name: _strip_gin_context(gin.external_configurable(
        task_registry.maker(name), name, allowlist=list(task_registry.options(name))))
    for name in _TASKS}


@_strip_gin_context
@gin.configurable
def network(name=None, **options):
  """Returns (name, options) of a network, checked by what `models.build` takes."""
  if name is None:
    available = ", ".join((*models.names(), *models.wrappers()))
    raise UserError(f"network.name is not given. Available: {available}.")
  if "num_classes" in options:
    raise UserError("network.num_classes cannot be bound: it is the number of the images' classes.")
  errors.require_options(name, options, [
      option for option in models.network_options(name) if option != "num_classes"])
  return name, options


@_strip_gin_context
@gin.configurable(denylist=["data_dir", "load"])
def images(data_dir, load=registry.load, source=None, **options):
  """Returns the `LabelledImages` of a labelled data set.

  Args:
    data_dir: the folder of prepared data sets; None for what needs none.
    load: `registry.load`, or `registry.outline` where the sizes alone are needed.
    source: one of `registry.SOURCES`.
    **options: the source's own.
  """
  if source is None:
    raise UserError(f"images.source is not given. Available: {', '.join(registry.SOURCES)}.")
  return load(source, data_dir, **options)


@_strip_gin_context
@gin.configurable("judged")
def judged(name="graded/nuisance", image_size=64, limit=None):
  """Returns (names, image_size, limit) of the judged sets that score training.

  Args:
    name: the name of a set, or a list of names.
    image_size: as `judged_sets.load` has it, for every set.
    limit: as `judged_sets.load` has it, for every set.
  """
  names = (name,) if isinstance(name, str) else name
  if not isinstance(names, (tuple, list)) or not names:
    raise UserError(f"judged.name must be a name or a list of names, not {name!r}.")
  _check_sizes("judged", image_size, limit)
  return tuple(names), image_size, limit


def all_judged_sets(data_dir, load=judged_sets.load):
  """Returns the judged sets that score training, a tuple; `load` is as `judged_sets.load`."""
  names, image_size, limit = judged()
  return tuple(load(name, data_dir=data_dir, image_size=image_size, limit=limit)
               for name in names)


@_strip_gin_context
@gin.configurable(denylist=["data_dir"])
def triplets(data_dir, name="bapps/2afc", image_size=64, limit=None):
  """Returns the judged set that a metric learns from, of other images than the one that scores."""
  _check_sizes("triplets", image_size, limit)
  return judged_sets.load(
      name, data_dir=data_dir, image_size=image_size, limit=limit, split="train")


@_strip_gin_context
@gin.configurable("task")
def task_name(name=None):
  """Returns the name of the task that a network is trained for, one of `tasks.registry.TASKS`."""
  task_registry.maker(name)  # for its error
  return name


def is_task():
  """Returns whether what was parsed trains a network for a task."""
  return value("task.name") is not None


def task(data_dir):
  """Returns the `tasks.task.Task` that a network is trained for.

  Args:
    data_dir: the folder of data sets; None for the working directory.

  Raises:
    UserError: an illegal option, or data that are not there or not as they must be.
  """
  name = task_name()
  given = {"images": images(data_dir)} if task_registry.TASKS[name].needs_images else {}
  return _make_task[name](data_dir, **given)


def _check_sizes(configurable, image_size, limit):
  errors.require_integer(f"{configurable}.image_size", image_size)
  if limit is not None:
    errors.require_integer(f"{configurable}.limit", limit)


# What can be bound, for messages.
_PARAMETERS = {
    "network": ("name", "and the network's own options"),
    "images": ("source", "and the source's own options"),
    "judged": ("name", "image_size", "limit"),
    **{name: tuple(inspect.signature(part).parameters) for name, part in _RECIPE_PARTS.items()},
    "train": tuple(inspect.signature(settings.Settings).parameters),
    "triplets": ("name", "image_size", "limit"),
    "learn": tuple(inspect.signature(learning_settings.Settings).parameters),
    "task": ("name",),
    **{name: tuple(task_registry.options(name)) for name in _TASKS},
    "loss": tuple(inspect.signature(loss.Settings).parameters),
    "fit": tuple(inspect.signature(task_settings.Settings).parameters),
    "evaluate": tuple(inspect.signature(scoring.Settings).parameters),
    "study": tuple(inspect.signature(sweeps.Study).parameters),
}


def parse(files, params=()):
  """Reads gin files and single bindings, in this order; what comes later wins.

  Args:
    files: paths, looked for as `gin_files` says.
    params: bindings such as `'train.batch_size = 64'`.

  Raises:
    UserError: for a missing file, an import, an include of itself, a syntax error, an unknown
      configurable or parameter, an undefined macro, and a macro that nothing refers to.
  """
  files = [expanded(file) for file in files]
  for file in files:
    gin_files.require(file)
  gin.clear_config()
  disabled = logging.root.manager.disable
  logging.disable(logging.ERROR)  # gin logs every place where it finds an included file missing
  try:
    with restricted_gin.restricted():
      gin.parse_config_files_and_bindings([str(file) for file in files], list(params),
                                          finalize_config=False)
    _check_macros()
    gin.finalize()
  except UserError as error:
    raise UserError(errors.first_line(error)) from None
  except (RecursionError, MemoryError):
    raise UserError("The gin bindings are nested too deeply, or refer to one another in a circle."
                    ) from None
  except UnicodeDecodeError as error:
    raise UserError(f"A gin file is not text in UTF-8: {errors.first_line(error)}.") from None
  except (tokenize.TokenError, ValueError, TypeError, SyntaxError, OSError, NameError) as error:
    raise UserError(_explained(error)) from None
  finally:
    logging.disable(disabled)


def check_used(names):
  """Raises `UserError` for a binding that had no effect, because nothing asked for its value.

  Args:
    names: the configurables that this command resolves; others are for other commands.
  """
  used = private_gin.used()
  for scope, selector in private_gin.bound():
    name = selector.rpartition(".")[2]
    if name in names and not any(
        selector == other and f"{other_scope}/".startswith(f"{scope}/" if scope else "")
        for other_scope, other in used):
      scoped = f"{scope}/{name}" if scope else name
      raise UserError(f"The bindings of {scoped} have no effect: nothing refers to @{scoped}().")


def value(binding):
  """Returns the value that a parameter such as `train.epochs` has: as bound, or by default.

  A reference to a configurable is returned as its text in gin, such as `@class_subset()`. None
  stands for a parameter without a value, too, as those of a schedule that the run may not have.
  """
  name, _, parameter = binding.rpartition(".")
  try:
    found = gin.query_parameter(binding)
  except ValueError:  # not bound, or not a parameter at all, which `parse` tells
    found = _default(name, parameter)
  return repr(found) if private_gin.is_reference(found) else found


def _default(name, parameter):
  """The default of a parameter of what every run has."""
  if name == "network":
    return models.network_options(network()[0]).get(parameter)
  if name == "images":
    return _default_of_images(parameter)
  if name in _TASKS:
    return task_registry.options(name).get(parameter)
  parts = {"train": settings.Settings, "learn": learning_settings.Settings,
           "augmentation": augment.Augmentation, "loss": loss.Settings,
           "fit": task_settings.Settings}
  return getattr(parts.get(name), parameter, None)


def _default_of_images(option):
  source = None if option == "source" else value("images.source")
  default = registry.options(source).get(option) if source in tuple(registry.SOURCES) else None
  return None if default is inspect.Parameter.empty else default


def given():
  """Returns the configuration as given, as gin text."""
  return gin.config_str()


def operative():
  """Returns the configuration as used, defaults included, as gin text."""
  return gin.operative_config_str()


def _check_macros():
  """Gin accepts a misspelled macro in silence: every macro must be defined and referred to."""
  defined = {scope for scope, selector in private_gin.bound() if selector == "gin.macro"}
  used = private_gin.macros_referred_to()
  for name in sorted(used - defined):
    raise UserError(f"Unknown macro %{name}. Defined: {', '.join(sorted(defined)) or 'none'}.")
  for name in sorted(defined - used):
    raise UserError(f"Nothing refers to the macro {name!r}. "
                    f"Referred to: {', '.join(sorted(used)) or 'none'}.")


def _explained(error):
  """Gin's message on one line, with the legal names where it does not give them."""
  message = " ".join(str(error).split())
  message = re.sub(r" Searched config paths: \[.*?\]\.", "", message)
  message = re.sub(r"^.*(Failed to parse token '.*?')", r"\1, a string without quotes?", message)
  available = ()
  if "No configurable matching" in message:
    available = _PARAMETERS
  for name, parameters in _PARAMETERS.items():
    if f"'{name}'" in message and ("parameter named" in message or "denylisted" in message):
      available = parameters
  return f"{message.rstrip('.')}. Available: {', '.join(available)}." if available else message
