"""Networks and data changed: few layers, no skip connections, fewer classes, other inputs."""

import re

import numpy as np

from perceptual.studies.analyses import parameters
from perceptual.studies.figures import drawn, published, style

SHALLOW = tuple(f"resnet{n}" for n in (2, 3, 4, 6, 10))
NOISE = (0.1, 0.2, 0.5, 1.0)
_RESNET = re.compile(r"resnet(\d+)$")


def shallow(data):
  """ResNets by their number of layers: (a) from 2 on, (b) with and without skip connections."""
  found = data.configurations()
  plain = _by_layers([c for c in found if not c.varied])
  without = _by_layers([c for c in found if set(c.varied) == {"skip_connections"}])
  drawn.require(plain or without, "shallow", "ResNets of several depths")
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=2.6, sharey=True)
  few = {layers: c for layers, c in plain.items() if layers <= 18}
  first, second = style.marks(["first", "second"]).values()
  _line(axes[0, 0], few, label="with skip connections", **first)
  _line(axes[0, 1], plain, label="with skip connections", **first)
  _line(axes[0, 1], without, label="without skip connections", **second)
  rows = [drawn.row(c, panel=panel, layers=layers)
          for panel, line in (("a", few), ("b", plain), ("b", without))
          for layers, c in line.items()]
  for panel, line in ((axes[0, 0], few), (axes[0, 1], plain | without)):
    panel.set(xlabel="layers", xscale="log")
    figure.draw_without_rendering()  # the room for ticks is known from then on
    style.value_ticks(panel, line)
  axes[0, 0].set_ylabel(data.score_label)
  style.legend(figure)
  lacks = drawn.lacking(SHALLOW, {c.network for c in plain.values()}, "runs out of the box")
  return drawn.Drawn(figure, rows, lacks + ([] if without else ["ResNets without skip "
                                                                "connections"]))


def class_subsets(data):
  """Networks trained on some of the classes: chosen at random, the easiest, the hardest."""
  chosen = {}
  for c in data.configurations():
    if set(c.varied) == {"classes"}:
      choice, number = parameters.choice_of_classes(c.varied["classes"])
      if choice is not None:
        chosen.setdefault((c.network, choice), {})[number] = c
  drawn.require(chosen, "class_subsets", "networks trained on 50 to 900 of the classes")
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=2.6, sharey=True)
  several = len({network for network, _ in chosen}) > 1
  rows = []
  for key, look in style.marks(sorted(chosen)).items():
    network, choice = key
    line = dict(sorted(chosen[key].items()))
    label = f"{style.network_name(network)}, {choice}" if several else choice
    _line(axes[0, 0], line, label=label, **look)
    drawn.points(axes[0, 1], sorted(line.values(), key=lambda c: c.point[0]), line="-",
                 label=label, **look)
    rows += [drawn.row(c, choice=choice, number=number) for number, c in line.items()]
  axes[0, 0].set(xlabel="classes trained on", ylabel=data.score_label)
  axes[0, 1].set_xlabel("top-1 accuracy on these classes, %")
  style.legend(figure)
  missing = {"random", "top", "bottom"} - {choice for _, choice in chosen}
  return drawn.Drawn(figure, rows, [f"classes chosen as {choice}" for choice in sorted(missing)])


def inputs(data):
  """Networks trained on changed images: (a) Gaussian noise and AutoAugment, (b) larger images.

  Published in (b): the range of scores of networks of 224x224 pixels.
  """
  noisy = {network: data.sweep(network, "noise") for network in data.networks("noise")}
  policies = {network: data.sweep(network, "policy") for network in data.networks("policy")}
  larger = {network: data.sweep(network, "image_size") for network in data.networks("image_size")}
  drawn.require(noisy or policies or larger, "inputs",
                "networks trained with noise, by AutoAugment or on resized images")
  networks = sorted({*noisy, *policies, *larger}, key=style.order)
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=2.7, sharey=True)
  rows = []
  for network, look in style.marks(networks).items():
    label = style.network_name(network)
    rows += _draw_augmented(axes[0, 0], noisy.get(network, []), policies.get(network, []),
                            label=label, **look)
    found = larger.get(network, [])
    drawn.points(axes[0, 1], [c for _, c in found], x=[size for size, _ in found], line="-",
                 label=label, **look)
    rows += [drawn.row(c, panel="b", place=parameters.shown(size)) for size, c in found]
  if data.comparable:
    axes[0, 1].axhspan(*published.RESIZED, color=style.GREY, alpha=0.15,
                       label=f"224x224, {style.PUBLISHED}")
    low, high = published.RESIZED
    rows.append({"panel": "b", "source": style.PUBLISHED, "image_size": 224, "score_low": low,
                 "score_high": high})
  axes[0, 0].set(xlabel="factor of the noise", ylabel=data.score_label)
  axes[0, 1].set_xlabel("image size, pixels")
  if larger:
    sizes = sorted({size for found in larger.values() for size, _ in found})
    axes[0, 1].set_xticks(sizes, list(map(parameters.shown, sizes)))
  style.legend(figure, columns=4)
  lacks = [name for name, part in (("Gaussian noise", noisy), ("AutoAugment", policies),
                                   ("resized images", larger)) if not part]
  return drawn.Drawn(figure, rows, [f"networks with {name}" for name in lacks])


def _draw_augmented(panel, noisy, policies, *, label, **look):
  """Draws a network by its factor of noise, 0 included, and by its policy; returns the rows.

  Places are even: the factors, then the policies.
  """
  factors = [parameters.shown(factor) for factor, _ in noisy]
  names = ["Auto-\nAugment" if name == "autoaugment" else name for name, _ in policies]
  order = list(dict.fromkeys(["0", *map(parameters.shown, NOISE), *factors, *names]))
  panel.plot(order, np.full(len(order), np.nan))  # fixes the order of the places
  drawn.points(panel, [c for _, c in noisy], x=factors, line="-", label=label, **look)
  drawn.points(panel, [c for _, c in policies], x=names, label=label, **look)
  return [drawn.row(c, panel="a", place=parameters.shown(value)) for value, c in
          [*noisy, *policies]]


def _by_layers(found):
  """Returns `{layers: configuration}` of ResNets, ascending."""
  numbered = {int(match[1]): c for c in found if (match := _RESNET.match(c.network))}
  return dict(sorted(numbered.items()))


def _line(panel, line, **options):
  drawn.points(panel, list(line.values()), x=list(line), line="-", **options)
