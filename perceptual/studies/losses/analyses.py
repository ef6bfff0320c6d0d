"""What the scores of losses say: ranks, what explains them, and what predicts them."""

import numpy as np

from perceptual.evaluation import correlations
from perceptual.models import loss_networks
from perceptual.studies.losses import table

# Top-1 accuracy on ImageNet of the weights IMAGENET1K_V1, percent, as torchvision 0.28 states it in
# the `meta` of its weights ("acc@1"; https://docs.pytorch.org/vision/stable/models.html).
IMAGENET_ACCURACY = {
    "alexnet": 56.522, "vgg11": 69.020, "vgg16": 71.592, "vgg16_bn": 73.360, "vgg19": 72.376,
    "densenet121": 74.434, "torchvision_resnet18": 69.758, "torchvision_resnet50": 76.130,
    "resnext50_32x4d": 77.618, "googlenet": 69.778, "inception_v3": 77.294,
    "squeezenet1_1": 58.178, "torchvision_efficientnet_b0": 77.692,
    "torchvision_efficientnet_b7": 84.122}

_FEWEST = 10  # losses of a correlation


def ranks(scores):
  """Returns a row for each loss and task: its score, its layer and its ranks, 1 being the best.

  Args:
    scores: what `table.primary` returned.

  Returns:
    Rows with `layer` and `numbered_among` (`table.layer`); `rank`, among all losses of the task;
    and `rank_in_layer`, among the networks at the same layer of the same numbering, None where
    there is no other. Equal scores share the mean of their ranks.
  """
  rows = []
  for task, of_task in _by(scores, lambda score: score.task).items():
    worth = np.array([_worth(score) for score in of_task])
    overall = _ranked(worth)
    layers = [table.layer(score, of_task) for score in of_task]
    for i, score in enumerate(of_task):
      same = [j for j, other in enumerate(layers) if other == layers[i]]
      number, among = layers[i]
      rows.append({
          "task": task, "network": score.network, "tap": score.tap, "layer": number,
          "numbered_among": among, "score": score.mean, "half_width": score.half_width,
          "rank": overall[i], "rank_in_layer": None if number is None or len(same) < 2 else (
              _ranked(worth[same])[same.index(i)])})
  return rows


def mean_ranks(rows):
  """Returns a row for each network: its mean rank over tasks and layers, best first.

  Those that are alone at all their layers come last, without a rank in them.

  Args:
    rows: what `ranks` returned.
  """
  networks = _by([row for row in rows if row["layer"]], lambda row: row["network"])
  found = [{"network": network, "losses": len(of_network),
            "mean_rank_in_layer": _mean(row["rank_in_layer"] for row in of_network),
            **{f"mean_rank_{task}": float(np.mean([row["rank"] for row in of_task]))
               for task, of_task in _by(of_network, lambda row: row["task"]).items()}}
           for network, of_network in networks.items()]
  return sorted(found, key=lambda row: row["mean_rank_in_layer"] or np.inf)


def explained(rows):
  """Returns what share of the variance of a task's scores network and layer explain, a row a task.

  Two-way analysis of variance without interaction, over networks that have scores at the same
  layers, numbered alike: the most scores that make such a table. With few networks or layers the
  shares are rough.

  Args:
    rows: what `ranks` returned.
  """
  found = []
  for task, of_task in _by([row for row in rows if row["layer"]], lambda r: r["task"]).items():
    scores = {(row["network"], *_layer(row)): row["score"] for row in of_task}
    layers_of = {network: {_layer(row) for row in of_network}
                 for network, of_network in _by(of_task, lambda r: r["network"]).items()}
    layers, networks = max(
        ((sorted(layers), [name for name, others in layers_of.items() if layers <= others])
         for layers in layers_of.values()), key=lambda both: len(both[0]) * len(both[1]))
    if len(networks) < 2 or len(layers) < 2:
      continue
    grid = np.array([[scores[network, *place] for place in layers] for network in networks])
    total = np.sum((grid - grid.mean())**2)
    if not total:
      continue
    by_network = len(layers) * np.sum((grid.mean(axis=1) - grid.mean())**2)
    by_layer = len(networks) * np.sum((grid.mean(axis=0) - grid.mean())**2)
    found.append({
        "task": task, "networks": len(networks), "layers": len(layers),
        "network": float(by_network / total), "layer": float(by_layer / total),
        "rest": float(1 - (by_network + by_layer) / total)})
  return found


def predicted(rows, costs=None):
  """Returns Spearman's correlation of a task's scores with what might predict them, a row each.

  Args:
    rows: what `ranks` returned.
    costs: `{network: {"parameters": n, "flops": n}}`; None for none.

  Returns:
    Rows of task, predictor, correlation and number of losses; those of fewer than ten losses, or
    of a predictor that is constant, are left out. Of the layers, those of the study's networks.
  """
  found = []
  for task, of_task in _by([row for row in rows if row["layer"]], lambda r: r["task"]).items():
    predictors = {
        "layer": lambda row: (
            row["layer"] if row["numbered_among"] == table.OF_THE_STUDY else None),
        "imagenet_accuracy": lambda row: IMAGENET_ACCURACY.get(row["network"]),
        **{name: lambda row, name=name: (costs or {}).get(row["network"], {}).get(name)
           for name in ("parameters", "flops")}}
    for name, predictor in predictors.items():
      pairs = [(predictor(row), row["score"]) for row in of_task if predictor(row) is not None]
      if len(pairs) >= _FEWEST and len({value for value, _ in pairs}) > 1:
        found.append({"task": task, "predictor": name, "losses": len(pairs),
                      "spearman": float(correlations.spearman(*np.transpose(pairs)))})
  return found


def network_costs(networks, side=224):
  """Returns `{network: {"parameters": n, "flops": n}}` of networks of the study, from shapes."""
  from perceptual import models
  from perceptual.models import costs

  found = {}
  for network in networks:
    if network in loss_networks.LAYERS:
      with costs.unallocated():
        model = models.build(network)
        found[network] = {"parameters": costs.parameters(model), "flops": costs.flops(model, side)}
  return found


def _layer(row):
  return row["numbered_among"], row["layer"]


def _mean(ranks):
  """Returns the mean of ranks, those that are None left out; None if all are."""
  known = [rank for rank in ranks if rank is not None]
  return float(np.mean(known)) if known else None


def _worth(score):
  return score.mean if table.primary_of(score.task).higher_is_better else -score.mean


def _ranked(worth):
  """Ranks from 1, the highest first, equals at the mean of theirs."""
  worth = np.asarray(worth)
  return [float(1 + np.sum(worth > value) + (np.sum(worth == value) - 1) / 2) for value in worth]


def _by(items, key):
  groups = {}
  for item in items:
    groups.setdefault(key(item), []).append(item)
  return groups
