"""The closed list of what gin configures, and the reading of gin files.

Gin is science - networks, data, recipes, scores; flags are places and modes. Nothing below this module
knows of gin. The list:

    network       name and options of the network               perceptual.models.build
    images        the labelled images                           perceptual.data.classification
    augmentation  how training images are varied                perceptual.data.augment.Augmentation
    judged        the judged set that scores training           perceptual.data.judged.load
    step_decay    the learning rate over epochs                 perceptual.training.recipe.Schedule
    sgd           the optimizer                                 perceptual.training.recipe.Sgd
    train         batch size, epochs, evaluations, ...          perceptual.training.loop.Settings
    evaluate      distances, taps, bootstrap of an evaluation   perceptual.evaluation.scoring.Settings
"""

import inspect
import pathlib
import sys

import gin

from perceptual import models
from perceptual.data import augment, classification, judged
from perceptual.errors import UserError, unknown
from perceptual.evaluation import scoring
from perceptual.training import loop, recipe

SOURCES = {"imagenet64": classification.imagenet64, "demo": classification.demo}
TRAINING = ("network", "images", "augmentation", "judged", "step_decay", "sgd", "train")

gin.external_configurable(augment.Augmentation, "augmentation")
gin.external_configurable(recipe.Schedule, "step_decay")
gin.external_configurable(recipe.Sgd, "sgd")
train_settings = gin.external_configurable(loop.Settings, "train")
evaluate_settings = gin.external_configurable(scoring.Settings, "evaluate")


@gin.configurable
def network(name=gin.REQUIRED, **options):
  """Returns (name, options) of a network, checked by what `models.build` takes."""
  known = models.network_options(name)
  for option in options:
    if option not in known:
      raise unknown(f"option of {name}", option, known)
  return name, options


@gin.configurable(denylist=["data_dir"])
def images(data_dir, source=gin.REQUIRED, **options):
  """Returns the `LabelledImages` of a source, one of `SOURCES`, with the source's own options."""
  if source not in SOURCES:
    raise unknown("image source", source, SOURCES)
  try:
    if source == "demo":
      return SOURCES[source](**options)
    if data_dir is None:
      raise UserError(f"images.source {source!r} needs --data_dir.")
    return SOURCES[source](data_dir, **options)
  except TypeError as error:
    raise UserError(f"images.source {source!r}: {error}") from None


@gin.configurable("judged", denylist=["data_dir"])
def judged_set(data_dir, name="graded/nuisance", image_size=64, limit=None):
  """Returns the judged set that scores training."""
  return judged.load(name, data_dir=data_dir, image_size=image_size, limit=limit)


NAMES = {
    "network": ("name", "and the network's own options"),
    "images": ("source", "and the source's own options"),
    "judged": tuple(inspect.signature(judged_set).parameters)[1:],
    "augmentation": tuple(inspect.signature(augment.Augmentation).parameters),
    "step_decay": tuple(inspect.signature(recipe.Schedule).parameters),
    "sgd": tuple(inspect.signature(recipe.Sgd).parameters),
    "train": tuple(inspect.signature(loop.Settings).parameters),
    "evaluate": tuple(inspect.signature(scoring.Settings).parameters),
}


def parse(files, params=()):
  """Reads gin files and single bindings, in this order; what comes later wins.

  Args:
    files: paths, looked for from the working directory, the repository's root, and the place where
      an installed package keeps its `gin/` folder.
    params: bindings such as `'train.batch_size = 64'`.

  Raises:
    UserError: in one line, for a missing file, a syntax error, an unknown configurable or
      parameter, an undefined macro, and a macro that nothing refers to.
  """
  gin.clear_config()
  for place in _places():
    gin.add_config_file_search_path(str(place))
  for file in files:
    if not any((place / file).is_file() for place in _places()):
      raise UserError(f"There is no gin file {file}. Available: {', '.join(_run_files())}.")
  try:
    gin.parse_config_files_and_bindings(list(files), list(params), finalize_config=True)
  except (ValueError, TypeError, SyntaxError, OSError, NameError) as error:
    raise UserError(_explained(error)) from None
  _check_macros()


def check_used(names):
  """Raises `UserError` for a binding that had no effect, because its configurable was never used.

  Args:
    names: the configurables that this binary resolves; bindings of others are for other binaries.
  """
  used = {selector for _, selector in gin.config._OPERATIVE_CONFIG}
  for _, selector in gin.config._CONFIG:
    name = selector.rpartition(".")[2]
    if name in names and selector not in used:
      raise UserError(f"The bindings of {name} have no effect: nothing refers to @{name}().")


def given():
  """Returns the configuration as given, as gin text."""
  return gin.config_str()


def operative():
  """Returns the configuration as used, defaults included, as gin text."""
  return gin.operative_config_str()


def _places():
  """Folders that hold a `gin/` folder, the nearest first."""
  root = pathlib.Path(__file__).resolve().parents[1]
  return (pathlib.Path(), root, pathlib.Path(sys.prefix) / "share" / "perceptual")


def _run_files():
  found = {str(file.relative_to(place)) for place in _places()
           for file in place.glob("gin/runs/*.gin")}
  return sorted(found)


def _explained(error):
  """Gin's message on one line, with the legal names where it does not give them."""
  message = " ".join(str(error).split())
  configurables = sorted(NAMES)
  if "No configurable matching" in message:
    return f"{message} Available: {', '.join(configurables)}."
  for name, parameters in NAMES.items():
    if f"'{name}'" in message and "parameter named" in message:
      return f"{message} Available: {', '.join(parameters)}."
  return message


def _check_macros():
  """Gin accepts a misspelled macro in silence: every macro must be referred to by some binding."""
  config = gin.config._CONFIG
  defined = {scope for scope, selector in config if selector == "gin.macro"}
  used = {ref.config_key[0] for ref in gin.config.iterate_references(
      config, to=gin.config.get_configurable(gin.config.macro))}
  surplus = sorted(defined - used)
  if surplus:
    raise UserError(f"Nothing refers to the macro {surplus[0]!r}. "
                    f"Macros in use: {', '.join(sorted(used)) or 'none'}.")
