"""The best score of a sweep, the accuracy there, and the gain over the network out of the box.

Kumar et al. 2022 call them p_max and a(p_max); the gains are their Table 1. The best of several
noisy scores is too high by what noise adds to it, and so are p_max and gains. Their intervals are
those of the configuration that came out best; the interval of a(p_max) is over which one does.
"""

import numpy as np

from perceptual.studies.analyses import configurations, resampling

# The columns of the paper's Table 1, parameter by parameter.
TABLE_1 = ("width", "depth", "weight_decay", "central_crop", "train_steps")


def optimum(found, *, resamples=1000, seed=0):
  """Returns the best score of some configurations, and the accuracy there.

  Args:
    found: a list of `configurations.Configuration`, at least one.
    resamples: resamples over seeds and triplets.
    seed: of the resamples.

  Returns:
    A row of configuration, p_max, p_max_low, p_max_high, accuracy (a(p_max)), accuracy_low,
    accuracy_high, points.
  """
  accuracy, score = np.array([c.point for c in found]).T
  accuracies, scores = configurations.resampled(found, resamples=resamples, seed=seed)
  best, drawn_best = int(np.argmax(score)), np.argmax(scores, axis=1)
  each = np.arange(len(scores))
  row = {"configuration": found[best].label}
  for name, value, drawn in (("p_max", score[best], scores[:, best]),
                             ("accuracy", accuracy[best], accuracies[each, drawn_best])):
    low, high = resampling.interval(drawn)
    row |= {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
  return {**row, "points": len(found)}


def gains(found, *, sweeps=TABLE_1, resamples=1000, seed=0):
  """Returns the gain of each sweep of each network over the network out of the box.

  Args:
    found: a list of `configurations.Configuration`.
    sweeps: names of parameters.
    resamples: resamples over seeds and triplets.
    seed: of the resamples.

  Returns:
    Rows of network, parameter, value (that of the best score), default (the score out of the box),
    score (the best of the sweep), gain, low, high, accuracy (a(p_max)), points. A network that was
    not run out of the box, and a sweep that was not run, have no row. A gain may be negative: it is
    that of the sweep's own configurations.
  """
  rows = []
  for network in dict.fromkeys(c.network for c in found):
    start = configurations.default(found, network)
    for parameter in sweeps:
      swept = configurations.sweep(found, network, parameter)
      if start is not None and swept:
        rows.append(_gain(start, swept, parameter, resamples, seed))
  return rows


def _gain(start, swept, parameter, resamples, seed):
  value, best = max(swept, key=lambda pair: pair[1].point[1])
  _, scores = configurations.resampled([start, best], resamples=resamples, seed=seed)
  low, high = resampling.interval(scores[:, 1] - scores[:, 0])
  accuracy, score = best.point
  return {"network": start.network, "parameter": parameter, "value": value,
          "default": start.point[1], "score": score, "gain": score - start.point[1],
          "low": float(low), "high": float(high), "accuracy": accuracy, "points": len(swept)}
