"""Wrong images never give a number: on every backend, eagerly, in graphs, under transformations."""

import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual.errors import UserError
from tests.metrics import backend_checks


@pytest.mark.parametrize("check", backend_checks.CHECKS, ids=lambda check: check.__name__)
def test_on_tensorflow(check):
  check()


def test_on_other_backends(on_another_backend):
  printed = on_another_backend("from tests.metrics import backend_checks; backend_checks.run()")
  assert printed.split()[-len(backend_checks.CHECKS):] == [
      check.__name__ for check in backend_checks.CHECKS]


def test_tensors_of_unknown_rank_are_refused_in_a_line():
  metric = perceptual.load_metric("ssim")
  images = tf.TensorSpec(None, tf.float32)
  with pytest.raises(UserError, match=r"reference: a tensor of unknown rank; expected \[batch, h"):
    tf.function(metric, autograph=False).get_concrete_function(images, images)


@pytest.mark.parametrize("name", [None, "ssim"])
def test_a_graph_for_images_of_any_size_refuses_small_ones_and_two_sizes(name):
  metric = perceptual.load_metric(name)
  images = tf.TensorSpec([None, None, None, 3], tf.float32)
  graph = tf.function(metric, [images, images], autograph=False)
  pair = backend_checks.PAIR
  np.testing.assert_allclose(graph(*pair), metric(*pair), rtol=1e-5)
  least = metric.smallest_side
  with pytest.raises(tf.errors.InvalidArgumentError, match=f"needs at least {least} pixels a side"):
    graph(*pair[:, :, :least - 1])
  with pytest.raises(tf.errors.InvalidArgumentError, match="reference and candidate must have one"):
    graph(pair[0], pair[1, :, :, :33])


@pytest.mark.parametrize("name", [None, "mse", "psnr:crop=3", "ssim:crop=2", "ms-ssim:scales=2",
                                  "fsim", "fsimc", "gaussian-alexnet"])
def test_the_smallest_side_is_the_smallest(name):
  metric = perceptual.load_metric(name)
  least = metric.smallest_side
  rng = np.random.default_rng(0)
  values = metric(*rng.integers(0, 256, [2, 1, least, least, 3], np.uint8))
  assert np.isfinite(values).all()
  if least > 1:
    with pytest.raises(UserError, match=str(least)):
      metric(*rng.integers(0, 256, [2, 1, least - 1, least, 3], np.uint8))
