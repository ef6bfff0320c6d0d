"""Sweeps of one parameter: the score by its value, and by the accuracy it brings.

The network out of the box is among the points where it has a value of the parameter; elsewhere its
score is a dotted line.
"""

from perceptual.studies.analyses import configurations, parameters
from perceptual.studies.figures import drawn, published, style

NETWORKS = ("resnet6", "resnet50", "resnet200", "vit_b8", "vit_l4")


def expected(parameter):
  """Returns the networks of which the paper sweeps a parameter; depth is one of ViTs alone."""
  return tuple(name for name in NETWORKS if parameter != "depth" or name.startswith("vit"))


def train_steps(data):
  """Networks trained for fewer steps, or more, each by the schedule of that length.

  Published are the best scores, at the range of accuracies that the paper states for them.
  """
  return _figure(data, "train_steps", ("train_steps",))


def width_and_depth(data):
  """Networks made narrower, and of fewer blocks. Published are the best values and scores."""
  return _figure(data, "width_and_depth", ("width", "depth"))


def regularization(data):
  """Sweeps of weight decay, central crop, dropout and label smoothing."""
  return _figure(data, "regularization",
                 ("weight_decay", "central_crop", "dropout", "label_smoothing"))


def _figure(data, name, swept):
  """Returns a figure with a column of two panels for each parameter, as `drawn.Drawn`."""
  networks = {parameter: data.networks(parameter) for parameter in swept}
  present = [parameter for parameter in swept if networks[parameter]]
  drawn.require(present, name, "sweeps of " + ", ".join(
      parameters.PARAMETERS[parameter].title for parameter in swept))
  looks = style.marks(sorted({n for names in networks.values() for n in names}, key=style.order))
  columns = len(present)
  figure, axes = style.subplots(
      2, columns, width=style.COLUMN if columns == 1 else style.PAGE, height=4.0, sharey="row")
  rows = []
  for column, parameter in enumerate(present):
    for network in networks[parameter]:
      rows += _sweep(axes[:, column], data, network, parameter, looks[network])
    _name_axes(axes[:, column], data, parameter, first=column == 0)
  style.legend(figure, columns=3 if columns == 1 else 6)
  lacks = [line for parameter in swept for line in drawn.lacking(
      expected(parameter), networks[parameter], f"sweep of {parameters.title(parameter)}")]
  return drawn.Drawn(figure, rows, lacks)


def _sweep(panels, data, network, parameter, look):
  """Draws one network's sweep into both panels; returns the rows."""
  values, found = zip(*data.sweep(network, parameter))
  label = style.network_name(network)
  drawn.points(panels[0], found, x=_places(values), line="-", label=label, **look)
  drawn.points(panels[1], sorted(found, key=lambda c: c.point[0]), line="-", label=label, **look)
  rows = [drawn.row(c, parameter=parameter, value=value) for value, c in zip(values, found)]
  start = configurations.default(data.configurations(), network)
  if start is not None and start not in found:
    panels[0].axhline(start.point[1], color=look["color"], linestyle=":", linewidth=0.7)
    rows.append(drawn.row(start, parameter=parameter, value="default"))
  return rows + (_published(panels, network, parameter, look) if data.comparable else [])


def _places(values):
  """Returns values as places of an axis: all numbers, or all text."""
  if any(isinstance(value, str) for value in values):
    return list(map(parameters.shown, values))
  return values


def _published(panels, network, parameter, look):
  """Draws what the paper states of a sweep's best score, if it does; returns the rows."""
  best = published.best_score(network, parameter)
  value = published.BEST_VALUE.get(parameter, {}).get(network)
  about = {"parameter": parameter, "score": best}
  if best is None:
    return []
  if value is not None:
    drawn.published(panels[0], value, best, color=look["color"])
    return [drawn.published_row(network, value=drawn.rounded(value), **about)]
  if parameter == "train_steps":
    low, high = published.PEAK_ACCURACY[network]
    middle = (low + high) / 2
    drawn.published(panels[1], middle, best, xerr=(high - low) / 2, color=look["color"])
    return [drawn.published_row(network, accuracy=middle, accuracy_low=low, accuracy_high=high,
                                **about)]
  return []


def _name_axes(panels, data, parameter, *, first):
  about = parameters.PARAMETERS[parameter]
  panels[0].set_xlabel(about.title)
  panels[1].set_xlabel(drawn.ACCURACY)
  if about.log:
    values = [value for network in data.networks(parameter)
              for value, _ in data.sweep(network, parameter)]
    _logarithmic(panels[0], values)
    panels[0].figure.draw_without_rendering()  # the room for ticks is known from then on
    style.value_ticks(panels[0], values)
  if first:
    for panel in panels:
      panel.set_ylabel(data.score_label)


def _logarithmic(panel, values):
  """Makes an axis logarithmic, with a linear part about 0 if that is among the values."""
  positive = [value for value in values if value > 0]
  if len(positive) < len(values):
    smallest = min(positive, default=1.0)
    panel.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    panel.set_xlim(-0.3 * smallest, 1.5 * max(values))
  else:
    panel.set_xscale("log")
