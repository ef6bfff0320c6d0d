"""Sorting by NumPy gives what TensorFlow's gives."""

import numpy as np
import tensorflow as tf

from perceptual.metrics import distances, sorting


def _graph(function):
  def traced(*arguments):
    with sorting.by_numpy():
      return function(*arguments)
  return tf.function(traced, autograph=False)


def test_every_channel_is_in_ascending_order():
  features = np.random.default_rng(0).normal(size=[2, 30, 5]).astype(np.float32)
  graph = _graph(sorting.ascending_positions)
  np.testing.assert_array_equal(graph(features), np.sort(features, axis=1))
  np.testing.assert_array_equal(sorting.ascending_positions(features), np.sort(features, axis=1))
  called = {node.op for node in graph.get_concrete_function(features).graph.as_graph_def().node}
  assert called & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def test_the_distance_is_the_same_and_a_graph_that_is_saved_is_free_of_numpy():
  pair = np.random.default_rng(0).normal(size=[2, 3, 4, 5, 6]).astype(np.float32)
  distance = distances.get("sort")
  np.testing.assert_allclose(_graph(distance)(*pair), distance(*pair), rtol=1e-6)
  plain = tf.function(distance, autograph=False).get_concrete_function(*pair)
  assert not any("PyFunc" in node.op for node in plain.graph.as_graph_def().node)
