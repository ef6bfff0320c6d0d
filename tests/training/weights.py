"""The weights of runs, to be compared bit for bit."""

import numpy as np


def of(run):
  """Returns path -> array of the weights that a run has now."""
  return {variable.path: variable.numpy() for variable in run.model.weights}


def assert_same(found, expected):
  """Fails, naming one, unless all weights are those that are expected."""
  assert found.keys() == expected.keys()
  for path, value in expected.items():
    np.testing.assert_array_equal(found[path], value, err_msg=path)
