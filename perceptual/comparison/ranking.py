"""Pairs in the order of a metric."""

import numpy as np


def farthest_first(comparison, label):
  """Returns the indices of the pairs that a metric has a value for, the farthest apart first.

  Args:
    comparison: `run.Comparison`.
    label: of one of its metrics.
  """
  values = comparison.of(label)
  sign = -1 if comparison.lower_is_better[label] else 1
  return np.argsort(sign * values, kind="stable")[:np.count_nonzero(~np.isnan(values))]
