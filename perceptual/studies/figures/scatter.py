"""Accuracy against perceptual score: networks out of the box, subset by subset, and all runs."""

import itertools

import numpy as np

from perceptual.evaluation import scores
from perceptual.studies.analyses import configurations, correlation, optimum, parameters
from perceptual.studies.figures import drawn, published, style

OUT_OF_THE_BOX = (
    "resnet6", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200",
    *(f"efficientnet_b{i}" for i in range(6)), "vit_b8", "vit_l4")
SUBSETS = ("traditional", "cnn", "superres", "deblur", "color", "frameinterp")


def out_of_the_box(data):
  """Accuracy and score of networks trained by their recipes, mean and standard error over seeds.

  The line is the Pareto frontier of the means.
  """
  found = data.out_of_the_box()
  drawn.require(found, "out_of_the_box", "networks with nothing varied")
  figure, ((axes,),) = style.subplots(height=3.3)
  families = list(dict.fromkeys(style.family(c.network) for c in found))
  for name, look in style.marks(families).items():
    drawn.points(axes, [c for c in found if style.family(c.network) == name],
                 label=style.family_name(name), **look)
  centre = np.array([c.point for c in found])
  frontier = scores.pareto_frontier(*centre.T)
  axes.plot(*centre[frontier].T, color=style.GREY, linestyle="--", linewidth=0.8, zorder=1,
            label="Pareto frontier")
  rows = [drawn.row(c, on_frontier=i in frontier) for i, c in enumerate(found)]
  if data.comparable:
    for network, (accuracy, score) in published.OUT_OF_THE_BOX.items():
      drawn.published(axes, accuracy, score)
      rows.append(drawn.published_row(network, accuracy=accuracy, score=score))
  axes.set(xlabel=drawn.ACCURACY, ylabel=data.score_label)
  axes.margins(0.12)
  style.legend(figure)
  figure.draw_without_rendering()  # lays out the panel, among whose points names are placed
  style.name_points(axes, centre, [style.network_name(c.network) for c in found],
                    avoid=[*_along(centre[frontier]), *_bars(centre, [c.spread for c in found]),
                           *(published.OUT_OF_THE_BOX.values() if data.comparable else ())])
  return drawn.Drawn(figure, rows, drawn.lacking(
      OUT_OF_THE_BOX, {c.network for c in found}, "runs out of the box"))


def _along(points, steps=24):
  """Returns points on the line that joins some points, `steps` to each of its pieces."""
  shares = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis]
  return np.concatenate([first + shares * (second - first)
                         for first, second in itertools.pairwise(points)] or [points])


def _bars(points, spreads):
  """Returns points on the error bars of points."""
  across, up = np.nan_to_num(spreads).T[..., np.newaxis] * np.eye(2)[:, np.newaxis]
  return np.concatenate([points + share * bar for bar in (across, up)
                         for share in (-1, -0.5, 0.5, 1)])


def subsets(data):
  """Accuracy and score on each subset of the judged set, out of the box.

  Published is AlexNet without learned weights (Zhang et al. 2018, Table 5).
  """
  names = [name for name in data.scores.unique("subset") if name in SUBSETS]
  names = names or [name for name in data.scores.unique("subset")
                    if name not in ("mean", "pooled", *scores.GROUPS)]
  found = {name: data.out_of_the_box(subset=name) for name in names}
  found = {name: of_subset for name, of_subset in found.items() if of_subset}
  drawn.require(found, "subsets", "networks out of the box, scored subset by subset")
  columns = min(3, len(found))
  lines = -(-len(found) // columns)
  figure, axes = style.subplots(lines, columns, width=style.PAGE, height=0.5 + 1.6 * lines,
                                sharex=True)
  families = list(dict.fromkeys(style.family(c.network) for c in data.out_of_the_box()))
  rows = []
  for panel, (name, of_subset) in zip(axes.flat, found.items()):
    for of_family, look in style.marks(families).items():
      drawn.points(panel, [c for c in of_subset if style.family(c.network) == of_family],
                   label=style.family_name(of_family), **look)
    rows += [drawn.row(c, subset=name) for c in of_subset]
    if data.comparable and name in published.ALEXNET_BY_SUBSET:
      score = published.ALEXNET_BY_SUBSET[name]
      panel.axhline(score, color=style.GREY, linestyle=":", label="AlexNet, published")
      rows.append({"subset": name, **drawn.published_row("alexnet", score=score)})
    panel.set_title(name)
  for panel in axes.flat[len(found):]:
    panel.set_visible(False)
  for panel in axes[-1]:
    panel.set_xlabel(drawn.ACCURACY)
  for panel in axes[:, 0]:
    panel.set_ylabel(data.score_label)
  style.legend(figure, columns=4)
  return drawn.Drawn(figure, rows, [
      f"scores on the subset {name}" for name in SUBSETS if data.comparable and name not in found])


def all_runs(data):
  """Every configuration of every sweep: the inverse U, its frontier and its best score.

  Those trained on some of the classes are left out, since their accuracy is on those alone.
  """
  found = configurations.of_all_classes(data.configurations())
  drawn.require(found, "all_runs", "any run")
  figure, ((axes,),) = style.subplots(height=3.1)
  kinds = {}
  for c in found:
    kinds.setdefault(_kind(c), []).append(c)
  rows = []
  looks = style.marks([kind for kind in kinds if kind != _OUT])
  for kind, of_kind in sorted(kinds.items(), key=lambda item: -len(item[1])):
    centre = np.array([c.point for c in of_kind])
    look = looks.get(kind, {"color": "black", "marker": "+"})
    axes.scatter(*centre.T, s=9, linewidths=0.5, alpha=0.75, label=kind, **look)
    rows += [drawn.row(c, kind=kind) for c in of_kind]
  centre = np.array([c.point for c in found])
  frontier = scores.pareto_frontier(*centre.T)
  axes.plot(*centre[frontier].T, color=style.GREY, linestyle="--", linewidth=0.8, zorder=1,
            label="Pareto frontier")
  axes.set_title(_note_of_correlation(data, found), fontsize=6, loc="left")
  axes.set(xlabel=drawn.ACCURACY, ylabel=data.score_label)
  style.legend(figure)
  return drawn.Drawn(figure, rows)


_OUT = "out of the box"
_FEWEST_CORRELATED = 5  # configurations: of fewer, a correlation is near 1 or -1 by chance


def _kind(configuration):
  """Returns what a configuration varies, as a legend shows it."""
  varied = [parameters.title(name) for name in configuration.varied]
  return " and ".join(varied) if varied else _OUT


def _note_of_correlation(data, found):
  """Returns the best score, and the correlation beyond it with its interval, as text."""
  best = optimum.optimum(found)
  text = f"best {best['p_max']:.1f} at {best['accuracy']:.0f}% accuracy"
  beyond = correlation.correlations(found)[-1]
  if beyond["pearson"] is not None and beyond["points"] >= _FEWEST_CORRELATED:
    text += (f"\nbeyond it r = {beyond['pearson']:.2f} "
             f"[{beyond['pearson_low']:.2f}, {beyond['pearson_high']:.2f}], "
             f"{beyond['points']} points")
    if data.comparable:
      text += f", {style.PUBLISHED} {published.CORRELATION_BEYOND}"
  return text
