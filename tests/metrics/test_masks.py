"""Masks: what lies outside plays no part, and what lies inside counts as it does without one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.errors import UserError
from perceptual.metrics import masks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models.taps import Tap

_SIZE = (24, 31)


@pytest.fixture(scope="module")
def model():
  keras.utils.set_random_seed(1)
  return models.build("resnet4", width=0.0625, num_classes=3)


@pytest.fixture(scope="module", params=["local", "correlation"])
def metric(request, model):
  return FeatureMetric(model, name="resnet4", distance=request.param)


@pytest.fixture(scope="module")
def pair():
  return np.random.default_rng(0).integers(0, 256, [2, 2, *_SIZE, 3], np.uint8)


@pytest.fixture
def mask():
  """A rectangle in one image and a single pixel in the other."""
  mask = np.zeros([2, *_SIZE], np.uint8)
  mask[0, 5:15, 8:20] = 1
  mask[1, 7, 3] = 1
  return mask


def _pixels(**options):
  """A metric of the pixels themselves, so that values can be worked out by hand."""
  image = keras.Input([None, None, 3])
  model = keras.Model(image, {"pixels": Tap(stride=1, name="pixels")(image)})
  return FeatureMetric(model, name="pixels", **options)


def test_what_differs_outside_the_mask_never_changes_the_value(metric, pair, mask):
  reference, candidate = pair
  noise = np.random.default_rng(1).integers(0, 256, candidate.shape, np.uint8)
  other = np.where(mask[..., None] == 1, candidate, noise)
  assert (np.abs(metric(reference, candidate) - metric(reference, other)) > 1e-4).all()
  np.testing.assert_array_equal(
      metric(reference, candidate, mask=mask), metric(reference, other, mask=mask))


def test_what_differs_inside_the_mask_counts(metric, pair, mask):
  reference, candidate = pair
  assert (metric(reference, candidate, mask=mask).numpy() > 1e-3).all()
  np.testing.assert_array_equal(metric(reference, reference, mask=mask), [0, 0])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "int64"])
def test_a_mask_of_ones_changes_nothing(metric, pair, dtype):
  mask = np.ones([2, *_SIZE], dtype)
  np.testing.assert_allclose(metric(*pair, mask=mask), metric(*pair), rtol=1e-5)
  for tap, terms in metric.per_tap(*pair, mask).items():
    np.testing.assert_allclose(terms, metric.per_tap(*pair)[tap], rtol=1e-5)


def test_at_full_resolution_it_is_the_mean_over_the_pixels_inside(pair, mask):
  metric = _pixels(channel_weights={"pixels": np.array([1.0, 2.0, 0.5])})
  value = metric(*pair, mask=mask)
  where = metric.spatial_map(*pair).numpy()
  np.testing.assert_allclose(value, [where[i][mask[i] == 1].mean() for i in range(2)], rtol=1e-5)


def test_a_place_of_a_coarse_map_counts_by_its_share_of_the_mask():
  mask = np.zeros([1, 4, 6])
  mask[0, :, :4] = 1
  maps = np.array([[[1.0, 10.0], [2.0, 20.0]]], np.float32)  # 2 x 2: columns 0-2 and 3-5
  # The left places are inside wholly; of the right ones one column of three is.
  expected = (1 + 2 + (10 + 20) / 3) / (2 + 2 / 3)
  np.testing.assert_allclose(masks.mean_inside(maps, mask), [expected], rtol=1e-6)


def test_parts_that_are_no_whole_number_of_pixels_share_them():
  mask = np.array([[[1, 1, 0, 0, 0]]])
  maps = np.array([[[1.0, 100.0]]], np.float32)  # 2.5 pixels each
  np.testing.assert_allclose(masks.mean_inside(maps, mask), [1.0], rtol=1e-6)
  np.testing.assert_allclose(  # 0.5 of pixel 2 is in each part
      masks.mean_inside(maps, np.array([[[0, 0, 1, 0, 0]]])), [50.5], rtol=1e-6)


def test_a_graph_gives_the_same_and_the_gradient_stays_inside(metric, pair, mask):
  reference, candidate = (tf.constant(images / 255, tf.float32) for images in pair)

  @tf.function(autograph=False)
  def gradient(candidate):
    with tf.GradientTape() as tape:
      tape.watch(candidate)
      value = metric(reference, candidate, mask=tf.constant(mask))
    return value, tape.gradient(value, candidate)

  value, slope = gradient(candidate)
  np.testing.assert_allclose(value, metric(reference, candidate, mask=mask), rtol=1e-5)
  assert np.isfinite(slope).all()
  assert np.abs(slope.numpy()[mask == 1]).max() > 0 == np.abs(slope.numpy()[mask == 0]).max()


@pytest.mark.parametrize(("mask", "message"), [
    (np.zeros([2, *_SIZE]), "mask: nothing counts in sample 0; each needs a 1"),
    (np.stack([np.ones(_SIZE), np.zeros(_SIZE)]), "mask: nothing counts in sample 1"),
    (np.full([2, *_SIZE], 255, np.uint8), "mask: values from 255 to 255; they must be 0 and 1"),
    (np.full([2, *_SIZE], np.nan), "mask: values from nan to nan; they must be 0 and 1"),
    (np.ones([2, *_SIZE, 1]), r"mask: shape \[2, 24, 31, 1\]; that of .* is \[2, 24, 31\]"),
    (np.ones([1, *_SIZE]), r"mask: shape \[1, 24, 31\]"),
])
def test_other_masks_are_refused(metric, pair, mask, message):
  with pytest.raises(UserError, match=f"^{message}"):
    metric(*pair, mask=mask)


def test_only_distances_that_know_places_take_a_mask(model, pair, mask):
  metric = FeatureMetric(model, name="resnet4", distance="mean_pool")
  local = FeatureMetric(model, name="resnet4")
  with pytest.raises(UserError, match="l2, not with mean_pool"):
    local.with_tap_distances(local.at_taps("mean_pool"))(*pair, mask=mask)
  with pytest.raises(UserError, match="correlation and l2, not with mean_pool"):
    metric(*pair, mask=mask)
