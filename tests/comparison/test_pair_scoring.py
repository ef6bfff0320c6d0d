"""Metrics on batches: right values whatever the padding and sharing, and failures by pair."""

import numpy as np
import pytest

from perceptual.comparison import batches, scoring
from perceptual.errors import UserError


def _images(reference, candidate, room, size=4):
  def stack(values):
    return np.stack([np.full((size, size, 3), value, np.uint8) for value in values])

  return batches.Images(np.arange(len(reference)), stack(reference), stack(candidate), room, [])


_FILES = np.array([[0, 1], [0, 2], [1, 2]])
_IMAGES = _images([0, 0, 51], [51, 102, 102], room=4)
_EXPECTED = [0.2, 0.4, 0.2]


def test_the_values_of_several_metrics(difference, likeness):
  scorer = scoring.Scorer({"d": difference(), "l": likeness()})
  assert scorer.columns == ("d", "l")
  values, failures = scorer(_IMAGES, _FILES)
  np.testing.assert_allclose(values.T, [_EXPECTED, [5, 2.5, 5]], rtol=1e-6)
  assert failures == []


def test_every_call_has_the_same_shape(difference):
  metric = difference()
  scorer = scoring.Scorer({"d": metric})
  scorer(_IMAGES, _FILES)
  scorer(_images([0], [255], room=4), _FILES[:1])
  assert metric.shapes == [(4, 4, 4, 3)] * 2


def test_terms_by_tap_sum_to_the_value(tapped, difference):
  scorer = scoring.Scorer({"t": tapped(), "d": difference()}, per_tap=True)
  assert scorer.columns == ("t", "t/low", "t/high", "d")
  values, _ = scorer(_IMAGES, _FILES)
  np.testing.assert_allclose(values[0], [0.2, 0.05, 0.15, 0.2], rtol=1e-6)
  assert scoring.Scorer({"t": tapped()}).columns == ("t",)


def test_metrics_of_one_trunk_see_a_batch_once(featured):
  first, second = featured("a"), featured("b", power=2)
  scorer = scoring.Scorer({"a": first, "b": second})
  values, _ = scorer(_IMAGES, _FILES)
  np.testing.assert_allclose(values.T, [_EXPECTED, np.square(_EXPECTED)], rtol=1e-6)
  assert (first.images, second.images) == (8, 0)
  assert first.shapes == second.shapes == []


def test_a_trunk_of_its_own_is_called_as_a_whole(featured):
  first, second = featured("a"), featured("b", trunk_key="other")
  scoring.Scorer({"a": first, "b": second})(_IMAGES, _FILES)
  assert (first.images, second.images, len(first.shapes), len(second.shapes)) == (0, 0, 1, 1)


def test_an_image_in_many_pairs_goes_through_the_network_once(featured):
  metric = featured()
  scorer = scoring.Scorer({"f": metric}, reuse=True)
  for _ in range(3):
    values, _ = scorer(_IMAGES, _FILES)
    np.testing.assert_allclose(values[:, 0], _EXPECTED, rtol=1e-6)
  assert metric.images == 4  # three, and one of padding


def test_features_that_do_not_fit_into_memory_are_found_again(featured, monkeypatch):
  monkeypatch.setattr(batches, "FEATURE_CACHE_BYTES", 4 * 4 * 4 * 3)  # one image
  metric = featured()
  scorer = scoring.Scorer({"f": metric}, reuse=True)
  scorer(_IMAGES, _FILES)
  values, _ = scorer(_IMAGES, _FILES)
  np.testing.assert_allclose(values[:, 0], _EXPECTED, rtol=1e-6)
  assert metric.images == 6


def test_what_a_metric_refuses_fails_for_it_alone(difference):
  scorer = scoring.Scorer({"big": difference(smallest=11), "any": difference()})
  values, failures = scorer(_IMAGES, _FILES)
  assert np.isnan(values[:, 0]).all() and not np.isnan(values[:, 1]).any()
  assert failures == [
      (i, "big: reference is too small, 11 pixels are needed") for i in range(3)]


def test_nan_is_a_failure_and_no_number(difference, monkeypatch):
  metric = difference()
  monkeypatch.setattr(type(metric), "__call__",
                      lambda self, *_: np.array([0.5, np.nan, np.inf, np.nan]))
  values, failures = scoring.Scorer({"d": metric})(_IMAGES, _FILES)
  assert failures == [(1, "d is NaN")]
  np.testing.assert_array_equal(values[:, 0], [0.5, np.nan, np.inf])


def test_labels_are_short_where_that_is_clear(difference):
  metrics = [difference("x"), difference("x"), difference("y")]
  found = scoring.labelled(["runs/a", "runs/b", "runs/c"], metrics)
  assert list(found.items()) == list(zip(["runs/a", "runs/b", "y"], metrics))
  found = scoring.labelled(["psnr:crop=4", "runs/b", "gs://bucket/c"], metrics)
  assert [*found] == ["psnr:crop=4", "runs/b", "y"], "options are said; an address has none"
  with pytest.raises(UserError, match="The metric runs/a is given twice"):
    scoring.labelled(["runs/a", "runs/a", "runs/c"], metrics)
