"""What a study varies: which bindings of the collected table are which parameter of the paper."""

import dataclasses

from perceptual.studies.analyses import table as tables


@dataclasses.dataclass(frozen=True)
class Parameter:
  """A parameter that a study varies.

  Attributes:
    title: what a figure calls it.
    bindings: the gin parameters that hold its value; a run varies one of them, or, if `joined`,
      all, and the value is their text joined by hyphens.
    along: gin parameters that change with it.
    joined: see `bindings`.
    log: whether a figure shows it on a logarithmic axis.
    on_axis: whether the network out of the box has a place among the values. It has none where its
      recipe is of another kind: for instance, it crops at random whatever the central fraction.
  """

  title: str
  bindings: tuple[str, ...]
  along: tuple[str, ...] = ()
  joined: bool = False
  log: bool = False
  on_axis: bool = True


PARAMETERS = {
    "train_steps": Parameter(
        "training epochs", ("train.epochs", "train.train_steps"), log=True,
        along=("step_decay.warmup_epochs", "step_decay.decay_epochs", "cosine.warmup_steps")),
    "width": Parameter("width", ("network.width",), log=True),
    "depth": Parameter("depth", ("network.depth",), log=True),
    "weight_decay": Parameter(
        "weight decay", ("train.weight_decay", "adam.weight_decay"), log=True),
    "central_crop": Parameter("central crop", ("augmentation.center_fraction",),
                              along=("augmentation.crop",), on_axis=False),
    "dropout": Parameter("dropout", ("network.dropout",)),
    "label_smoothing": Parameter("label smoothing", ("train.label_smoothing",)),
    "skip_connections": Parameter("skip connections", ("network.skip_connections",)),
    "classes": Parameter(
        "classes", ("class_subset.choose", "class_subset.count"), joined=True, on_axis=False,
        along=("images.classes", "class_subset.accuracies")),
    "noise": Parameter("Gaussian noise", ("augmentation.noise",)),
    "policy": Parameter("augmentation policy", ("augmentation.policy",), on_axis=False),
    "image_size": Parameter("image size", ("images.image_size",), along=("judged.image_size",)),
}


def title(name):
  """Returns what a figure calls a parameter, or a binding that is part of none."""
  return PARAMETERS[name].title if name in PARAMETERS else name


def shown(value):
  """Returns the value of a parameter as text."""
  return f"{value:g}" if isinstance(value, float) else str(value)


def bound(table, row):
  """Returns `{binding: value}` of a row of the collected table, without empty cells."""
  values = {name: table[tables.BINDING + name][row] for name in table.bindings()}
  return {name: value for name, value in values.items() if value != "" and value == value}


def varied(names, values):
  """Returns `{parameter: value}` of what a run varies.

  Args:
    names: the bindings in which the run differs from its base file.
    values: as `bound` returns them.

  Returns:
    Parameters of `PARAMETERS`, then bindings that are part of none, by their own names.
  """
  result, left = {}, set(names)
  for name, parameter in PARAMETERS.items():
    its_own = left & {*parameter.bindings, *parameter.along}
    if its_own:
      result[name] = _value(parameter, its_own, values)
      left -= its_own
  return result | {name: values.get(name) for name in sorted(left)}


def default_value(name, swept, values):
  """Returns the value of a parameter in a network out of the box, or None.

  Args:
    name: of the parameter.
    swept: `[(value, values as bound returns them)]` of the sweep, which tells which of several
      bindings is varied: the one that has the sweep's values, and another out of the box.
    values: as `bound` returns them, of the network out of the box.
  """
  parameter = PARAMETERS[name]
  if not parameter.on_axis:
    return None
  binding = next((binding for binding in parameter.bindings if all(
      of_run.get(binding) == value and values.get(binding) != value
      for value, of_run in swept)), None)
  return values.get(binding)


def _value(parameter, its_own, values):
  if parameter.joined:
    return "-".join(shown(values[name]) for name in parameter.bindings if name in values)
  ordered = sorted(parameter.bindings, key=lambda name: name not in its_own)
  return next((values[name] for name in ordered if name in values), None)


def choice_of_classes(value):
  """Returns how classes were chosen and how many there are, of 'top-100': ('top', 100).

  Returns:
    (None, None) of another value.
  """
  choice, _, number = str(value).rpartition("-")
  return (choice, int(number)) if choice and number.isdecimal() else (None, None)
