"""Tables of what a study compares: perceptual functions, learned weights, subsets of classes."""

import numpy as np

from perceptual.studies.analyses import configurations, parameters, resampling


def functions(table, *, judged_set=None, resamples=1000, seed=0):
  """Returns the score of each distance of each network out of the box, learned weights included.

  Args:
    table: a collected `tables.Table`. Learned weights are its distance `lin`.
    judged_set: as `configurations.View` takes it.
    resamples: resamples over seeds and triplets.
    seed: of the resamples.

  Returns:
    Rows of network, distance, accuracy, score, low, high, seeds.
  """
  whole = configurations.View(judged_set=judged_set).rows_of_set(table)
  rows = []
  for distance in whole.unique("distance"):
    if not len(whole.where(distance=distance, tap=configurations.SUM,
                           subset=configurations.MEAN)):
      continue
    found = [c for c in configurations.configurations(
        whole, configurations.View(judged_set=judged_set, distance=distance)) if not c.varied]
    rows += [{"network": c.network, "distance": distance, **measured}
             for c, measured in zip(found, _measured(found, resamples, seed))]
  return rows


def class_subsets(found, *, resamples=1000, seed=0):
  """Returns accuracy and score of networks that were trained on some of the classes.

  Args:
    found: a list of `configurations.Configuration`.
    resamples: resamples over seeds and triplets.
    seed: of the resamples.

  Returns:
    Rows of network, choice (random, top, bottom), classes (their number), accuracy, score, low,
    high, seeds, by network, choice and number.
  """
  chosen = [c for c in found if set(c.varied) == {"classes"}]
  rows = []
  for c, measured in zip(chosen, _measured(chosen, resamples, seed)):
    choice, number = parameters.choice_of_classes(c.varied["classes"])
    if choice is not None:
      rows.append({"network": c.network, "choice": choice, "classes": number, **measured})
  return sorted(rows, key=lambda row: (row["network"], row["choice"], row["classes"]))


def _measured(found, resamples, seed):
  """Returns accuracy, score, low, high and seeds of each configuration."""
  if not found:
    return []
  low, high = resampling.interval(
      configurations.resampled(found, resamples=resamples, seed=seed)[1])
  points = np.array([c.point for c in found])
  return [{"accuracy": resampling.number(points[i, 0]), "score": float(points[i, 1]),
           "low": float(low[i]), "high": float(high[i]), "seeds": len(c.score)}
          for i, c in enumerate(found)]
