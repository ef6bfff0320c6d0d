"""The Pareto frontier of accuracy and perceptual score, and how sure each point of it is."""

import numpy as np

from perceptual import errors
from perceptual.evaluation import scores
from perceptual.studies.analyses import configurations


def pareto_frontier(found, *, resamples=1000, seed=0):
  """Returns the configurations that no other beats.

  Args:
    found: a list of `configurations.Configuration`.
    resamples: resamples over seeds and triplets, each with its own frontier.
    seed: of the resamples.

  Returns:
    Rows of configuration, network, accuracy, score, on_frontier, share (of the resamples in which
    it is on the frontier), by ascending accuracy.
  """
  if not found:
    raise errors.UserError("A Pareto frontier needs configurations. Received: none.")
  points = np.array([c.point for c in found])
  drawn = configurations.resampled(found, resamples=resamples, seed=seed)
  counts = np.zeros(len(found))
  for accuracy, score in zip(*drawn):
    counts[scores.pareto_frontier(accuracy, score)] += 1
  on_frontier = set(scores.pareto_frontier(*points.T).tolist())
  rows = [{"configuration": c.label, "network": c.network, "accuracy": points[i, 0],
           "score": points[i, 1], "on_frontier": i in on_frontier,
           "share": counts[i] / resamples} for i, c in enumerate(found)]
  return sorted(rows, key=lambda row: (row["accuracy"], row["score"]))
