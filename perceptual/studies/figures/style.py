"""The style of a study's figures: that of all figures, and the looks and names of networks."""

import itertools
import re

import numpy as np

from perceptual.common.figure_style import (
  COLOURS,
  COLUMN,
  GREY,
  MARKERS,
  PAGE,
  context,
  subplots,
)

__all__ = [
    "COLOURS", "COLUMN", "GREY", "MARKERS", "PAGE", "PUBLISHED", "PUBLISHED_LOOK",
    "configuration_name", "context", "family", "family_name", "legend", "marks", "name_points",
    "network_name", "order", "subplots", "value_ticks"]

PUBLISHED = "published"
PUBLISHED_LOOK = {"marker": "*", "markersize": 8, "markerfacecolor": "white", "linestyle": "none"}

_FAMILIES = ("resnet", "efficientnet", "vit")
_FAMILY_NAMES = {"resnet": "ResNet", "efficientnet": "EfficientNet", "vit": "ViT"}


def legend(figure, *, columns=3):
  """Puts one legend below the panels, with every label once."""
  entries = {}
  for panel in figure.axes:
    for handle, label in zip(*panel.get_legend_handles_labels()):
      entries.setdefault(label, handle)
  if PUBLISHED in entries:  # last, and in no network's colour
    del entries[PUBLISHED]
    entries[PUBLISHED] = _published_handle()
  if entries:
    figure.legend(entries.values(), entries.keys(), loc="outside lower center",
                  ncols=min(columns, len(entries)))


def _published_handle():
  from matplotlib.lines import Line2D

  return Line2D([], [], color=GREY, **PUBLISHED_LOOK)


def marks(names):
  """Returns `{name: {"color", "marker"}}`, a colour and a marker for each of several things.

  From the eighth on, colours come again with other markers.
  """
  return {name: {"color": COLOURS[i % len(COLOURS)],
                 "marker": MARKERS[(i + i // len(COLOURS)) % len(MARKERS)]}
          for i, name in enumerate(names)}


def family(network):
  """Returns the family of a network: its name up to the first digit or underscore."""
  return next((name for name in _FAMILIES if network.startswith(name)),
              re.split(r"[\d_]", network)[0])


def family_name(name):
  """Returns the name of a family as a figure shows it."""
  return _FAMILY_NAMES.get(name, name)


def network_name(network):
  """Returns the name of a network as a figure shows it: 'vit_b8' is ViT-B/8."""
  for pattern, shown in ((r"resnet(\d+)$", r"ResNet-\1"), (r"efficientnet_b(\d)$", r"EffNet-B\1"),
                         (r"vit_([a-z])(\d+)$", r"ViT-\1/\2")):
    if re.match(pattern, network):
      name = re.sub(pattern, shown, network)
      return name[:4] + name[4:].upper() if name.startswith("ViT") else name
  return network


def configuration_name(configuration):
  """Returns the label of a `configurations.Configuration` with its network's name."""
  return configuration.label.replace(
      configuration.network, network_name(configuration.network), 1)


def order(network):
  """Returns a key that sorts networks by family, then by the numbers in their names."""
  name = family(network)
  place = _FAMILIES.index(name) if name in _FAMILIES else len(_FAMILIES)
  return place, [int(part) if part.isdigit() else part
                 for part in re.findall(r"\d+|\D+", network.removeprefix(name))]


def name_points(axes, points, names, *, avoid=()):
  """Writes names beside points, each where it covers the least of points and other names.

  Where there is no room beside a point, its name stands apart, and a thin line leads to it.

  Args:
    axes: the panel, laid out.
    points: `[points, 2]` in data coordinates.
    names: their names.
    avoid: further points that are not to be covered.
  """
  scale = axes.figure.dpi / 72  # pixels a point of text
  size, gap = _NAME_SIZE * scale, 3.5 * scale
  places = axes.transData.transform([*points, *avoid])
  frame = axes.get_window_extent()
  taken = [(frame.x0, frame.y0, frame.x1, frame.y1),
           *(_box(x, y, 2 * gap, 2 * gap) for x, y in places)]
  for (x, y), point, name in zip(places, points, names):
    # Extents are estimated: to measure them, the figure would have to be drawn.
    width, height = 0.62 * size * len(name), 1.2 * size
    best, others = None, np.transpose(taken)
    for rings, angle in itertools.product(_RINGS, _ANGLES):
      across, up = np.cos(angle), np.sin(angle)
      place = (x + across * (rings * gap + width / 2), y + up * (rings * gap + height / 2))
      box = _box(*place, width, height)
      cost = _covered(box, others) + rings * 0.05 * width * height
      if best is None or cost < best[0]:
        best = cost, place, box, rings
    _, place, box, rings = best
    taken.append(box)
    axes.annotate(
        name, point, xytext=((place[0] - x) / scale, (place[1] - y) / scale),
        textcoords="offset points", fontsize=_NAME_SIZE, ha="center", va="center",
        arrowprops={"arrowstyle": "-", "linewidth": 0.3, "color": GREY} if rings > 1 else None,
    ).set_in_layout(False)


_NAME_SIZE = 5.5
_RINGS = (1, 2, 4, 6, 9, 12)  # distances of a name from its point, in gaps
_ANGLES = tuple(np.linspace(0, 2 * np.pi, 16, endpoint=False))


def _box(x, y, width, height):
  return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _covered(box, others):
  """Returns the area of a box that lies over others, or outside the first, which counts more.

  Args:
    box: left, bottom, right, top.
    others: `[4, boxes]`; the first is the frame.
  """
  width = np.minimum(box[2], others[2]) - np.maximum(box[0], others[0])
  height = np.minimum(box[3], others[3]) - np.maximum(box[1], others[1])
  shared = np.maximum(0, width) * np.maximum(0, height)
  outside = (box[2] - box[0]) * (box[3] - box[1]) - shared[0]
  return shared[1:].sum() + 10 * outside


def value_ticks(panel, values):
  """Puts a tick at each value of an axis, except those that would stand too close.

  Args:
    panel: with a horizontal axis whose scale and limits are final.
    values: numbers.
  """
  chosen, last = [], -np.inf
  places = panel.transAxes.inverted().transform(
      panel.transData.transform([[value, panel.get_ylim()[0]] for value in sorted(set(values))]))
  inch = panel.figure.dpi / panel.get_window_extent().width
  for value, (place, _) in zip(sorted(set(values)), places):
    half = (0.03 + 0.028 * len(f"{value:g}")) * inch  # of the room that a number takes
    if place - half >= last:
      chosen.append(value)
      last = place + half
  panel.set_xticks(chosen, [f"{value:g}" for value in chosen])
  panel.minorticks_off()
