"""What a study varies: which columns of the collected table bind which parameter of the paper."""

import dataclasses
import re

import numpy as np

from perceptual.studies.analyses import table as tables


@dataclasses.dataclass(frozen=True)
class Parameter:
  """A parameter that a study varies.

  Attributes:
    title: what a figure calls it.
    bindings: the gin parameters that set it; a run binds one of them.
    default: its value in the networks out of the box, where all of them share it; else None.
    log: whether a figure shows it on a logarithmic axis.
  """

  title: str
  bindings: tuple[str, ...]
  default: float | str | None = None
  log: bool = False


PARAMETERS = {
    "train_steps": Parameter("training steps", ("train.train_steps", "train.epochs"), log=True),
    "width": Parameter("width", ("network.width",), default=1.0, log=True),
    "depth": Parameter("depth", ("network.depth",), default=1.0, log=True),
    "weight_decay": Parameter(
        "weight decay", ("train.weight_decay", "adam.weight_decay"), log=True),
    "central_crop": Parameter("central crop", ("augmentation.center_fraction",
                                               "augmentation.crop"), default="pad"),
    "dropout": Parameter("dropout", ("network.dropout",)),
    "label_smoothing": Parameter("label smoothing", ("train.label_smoothing",)),
    "skip_connections": Parameter("skip connections", ("network.skip_connections",),
                                  default="True"),
    "classes": Parameter("classes", ("images.classes", "images.subset")),
    "noise": Parameter("Gaussian noise", ("augmentation.noise",), default=0.0),
    "policy": Parameter("augmentation policy", ("augmentation.policy", "augmentation.autoaugment")),
    "image_size": Parameter("image size", ("images.image_size", "images.resize")),
}

_CLASSES = re.compile(r"(random|top|bottom)[-_]?k?[-_]?(\d+)")


def values(table):
  """Returns `{parameter: [rows] object}`: each row's value of each parameter, None at its default.

  A parameter that has one value in all rows of a network is not varied there: None.

  Args:
    table: a `tables.Table`.
  """
  found = {}
  for name, parameter in PARAMETERS.items():
    column = np.full(len(table), None, object)
    for binding in parameter.bindings:
      if tables.BINDING + binding in table:
        cells = table[tables.BINDING + binding]
        bound = cells != "" if cells.dtype == object else ~np.isnan(cells)
        column[bound] = cells[bound]
    if parameter.default is not None:
      column[column == parameter.default] = None
    found[name] = column
  return found


def classes(value, run):
  """Returns how a run's classes were chosen, and how many there are: (choice, number).

  Args:
    value: of the parameter `classes`: 'random-100', 'top-100' or 'bottom-100', or a list of labels
      as text, of which the name of the run must tell the choice.
    run: the run's name.

  Returns:
    (None, None) where neither tells.
  """
  for text in (str(value), str(run)):
    match = _CLASSES.search(text)
    if match:
      return match[1], int(match[2])
  return None, None
