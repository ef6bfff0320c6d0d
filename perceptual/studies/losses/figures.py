"""Figures of a study of losses.

They answer what Figures 2 to 5 of Pihlgren et al. are about (network, layer, accuracy on ImageNet);
their exact form is this project's own.
"""

import numpy as np

from perceptual.common import files
from perceptual.studies import definition
from perceptual.studies.losses import analyses, table

_FORMATS = ("png", "pdf")
_ASIDE = 0.2  # of a layer, over which the points of all networks are spread to be told apart
_NO_DATE = {"pdf": {"CreationDate": None}, "png": {}}


def draw_all(rows, baselines, output):
  """Draws the figures that there are scores for; returns the paths of the PNGs.

  Args:
    rows: what `analyses.ranks` returned.
    baselines: what `table.baselines` returned.
    output: the folder.
  """
  drawn = [_save(layers(rows, baselines), output / "figure_layers")]
  of_networks = [row for row in rows if row["layer"]]
  if of_networks:
    drawn.append(_save(rank_by_network_and_layer(of_networks), output / "figure_ranks"))
  if any(row["network"] in analyses.IMAGENET_ACCURACY for row in of_networks):
    drawn.append(_save(accuracy(rows), output / "figure_accuracy"))
  return drawn


def layers(rows, baselines):
  """Draws the score of every loss by its layer, a panel a task and a line a network."""
  tasks = list(dict.fromkeys(row["task"] for row in rows))
  networks = list(dict.fromkeys(row["network"] for row in rows if row["layer"]))
  labels = _labels(networks)
  figure, panels = _panels(len(tasks))
  for axes, task in zip(panels, tasks):
    of_task = [row for row in rows if row["task"] == task]
    chosen = table.primary_of(task)
    for number, network in enumerate(networks):
      line = sorted((r for r in of_task if r["network"] == network and r["layer"]),
                    key=lambda r: r["layer"])
      aside = _ASIDE * (number - (len(networks) - 1) / 2) / len(networks)
      axes.errorbar([r["layer"] + aside for r in line], [r["score"] for r in line],
                    yerr=[np.nan_to_num(r["half_width"]) for r in line], marker="o", capsize=3,
                    color=f"C{number % 10}", linestyle="-" if number < 10 else "--",
                    label=labels[network])
    for row in of_task:
      if row["layer"] is None:
        axes.axhline(row["score"], color="black", linestyle="--", label=_whole(row))
    known = [value for (of, _, protocol, measure, _), value in baselines.items()
             if of == task and (protocol, measure) == (chosen.protocol, chosen.measure)]
    if known:
      axes.axhline(np.mean(known), color="gray", linestyle=":", label="without training")
    axes.set(xlabel="layer", ylabel=chosen.label, title=task.replace("_", " "))
    axes.xaxis.get_major_locator().set_params(integer=True)
  _add_legend(figure, panels)
  return figure


def rank_by_network_and_layer(rows):
  """Draws the mean rank over tasks of every network at every layer as a grid."""
  networks = [row["network"] for row in analyses.mean_ranks(rows)]
  numbers = sorted({row["layer"] for row in rows})
  grid = np.full((len(networks), len(numbers)), np.nan)
  for i, network in enumerate(networks):
    for j, number in enumerate(numbers):
      found = [r["rank"] for r in rows if (r["network"], r["layer"]) == (network, number)]
      grid[i, j] = np.mean(found) if found else np.nan
  figure, (axes,) = _panels(1, height=1.2 + 0.35 * len(networks))
  image = axes.imshow(grid, cmap="viridis_r", aspect="auto")
  axes.set(xticks=range(len(numbers)), xticklabels=numbers, yticks=range(len(networks)),
           yticklabels=_labels(networks).values(), xlabel="layer")
  figure.suptitle("mean rank over tasks, 1 is the best")
  for (i, j), value in np.ndenumerate(grid):
    if not np.isnan(value):
      axes.text(j, i, f"{value:.1f}", ha="center", va="center",
                color="white" if image.norm(value) > 0.5 else "black")
  figure.colorbar(image, ax=axes)
  return figure


def accuracy(rows):
  """Draws the score of every loss of one layer by its network's accuracy, a panel a task."""
  known = [row for row in rows if row["network"] in analyses.IMAGENET_ACCURACY and row["layer"]]
  tasks = list(dict.fromkeys(row["task"] for row in known))
  figure, panels = _panels(len(tasks))
  for axes, task in zip(panels, tasks):
    for number in sorted({row["layer"] for row in known}):
      found = [row for row in known if (row["task"], row["layer"]) == (task, number)]
      axes.scatter([analyses.IMAGENET_ACCURACY[r["network"]] for r in found],
                   [r["score"] for r in found], color=f"C{number - 1}", label=f"layer {number}")
    axes.set(xlabel="ImageNet accuracy, %", ylabel=table.primary_of(task).label,
             title=task.replace("_", " "))
  _add_legend(figure, panels)
  return figure


def _whole(row):
  """Returns what a loss without one layer is called: pixels, or a network with its taps."""
  if row["network"] == definition.PIXELS:
    return row["network"]
  return f"{row['network']}, {row['tap'] or 'all taps'}"


def _panels(count, height=4.0):
  import matplotlib.figure

  figure = matplotlib.figure.Figure(figsize=(5 * count + 1, height), layout="constrained")
  return figure, list(np.ravel(figure.subplots(1, count)))


def _labels(networks):
  """Returns what networks are called in figures: run directories by their last part."""
  short = [network.rpartition("/")[2] for network in networks]
  return dict(zip(networks, short if len(set(short)) == len(networks) else networks))


def _add_legend(figure, panels):
  """Adds one legend of all panels below them, in as many columns as there is room for."""
  entries = {}
  for axes in panels:
    for handle, label in zip(*axes.get_legend_handles_labels()):
      entries.setdefault(label, handle)
  inches = 0.7 + 0.085 * max(map(len, entries))  # of a column: its line and its letters
  figure.legend(entries.values(), entries, loc="outside lower center",
                ncols=max(1, min(len(entries), int(figure.get_figwidth() / inches))))


def _save(figure, stem):
  for extension in _FORMATS:
    path = stem.with_name(f"{stem.name}.{extension}")
    with files.beside(path) as temporary:
      figure.savefig(temporary, dpi=150, metadata=_NO_DATE[extension])
  return stem.with_name(f"{stem.name}.png")
