"""Analyses of arrays against closed forms and extremes."""

import numpy as np
import pytest

from perceptual import errors
from perceptual.evaluation import scores
from perceptual.studies.analyses import (
    agreement,
    class_accuracy,
    dynamic_range,
    entropy,
    filters,
    frequency,
    layers,
    registry,
    resampling,
    sensitivity,
)
from perceptual.studies.figures import features

QUICK = {"resamples": 50}


@pytest.fixture
def rng():
  return np.random.default_rng(0)


# The bootstrap


def test_of_equal_values_the_interval_has_no_width():
  low, high = resampling.interval(resampling.resampled_means(np.full((3, 7, 2), 0.5)))
  assert low.tolist() == high.tolist() == [0.5, 0.5]


def test_variance_of_resampled_means_is_that_of_two_way_sampling(rng):
  seeds, examples = rng.normal(size=5), rng.normal(size=400)
  drawn = resampling.resampled_means(seeds[:, None] + examples[None], resamples=4000)
  assert np.var(drawn) == pytest.approx(np.var(seeds) / 5 + np.var(examples) / 400, rel=0.1)


def test_sets_of_examples_share_the_draw_of_seeds():
  # Values that differ between seeds alone: both sets must tell the same of each resample.
  values = np.repeat(np.arange(4.0)[:, None], 3, axis=1)
  first, second = (resampling.resampled_means(values, stream=name) for name in ("a", "bcd"))
  np.testing.assert_allclose(first, second)


@pytest.mark.parametrize("options", [{"resamples": 1.5}, {"resamples": 0}, {"seed": -1}])
def test_illegal_options_of_the_bootstrap_are_refused(options):
  with pytest.raises(errors.UserError, match="must be a whole number"):
    resampling.resampled_means(np.ones((1, 2)), **options)


# Layers and sensitivity


def test_layer_scores_are_exact_for_an_oracle_its_reverse_and_a_constant(rng):
  judges = {name: rng.integers(0, 6, size) / 5 for name, size in (("a", 30), ("b", 50))}
  distances = {}
  for name, judge in judges.items():
    oracle = np.stack([judge, 1 - judge], axis=-1)  # candidate 1 is nearer where it is preferred
    distances[name] = np.stack([oracle, -oracle, np.zeros_like(oracle)], axis=-1)
  rows = layers.layer_scores(distances, judges, ("oracle", "reverse", "constant"), **QUICK)
  best = np.mean([scores.oracle(judge) for judge in judges.values()])
  assert [row["score"] for row in rows] == pytest.approx([best, 100 - best, 50])
  assert rows[2]["low"] == rows[2]["high"] == 50
  assert all(row["low"] <= row["score"] <= row["high"] for row in rows)


def test_layer_scores_of_seeds_are_the_mean_over_seeds(rng):
  judge = {"a": rng.integers(0, 2, 40)}
  two = rng.random((2, 40, 2, 1))
  alone = [layers.layer_scores({"a": values}, judge, ("t",), **QUICK)[0]["score"] for values in two]
  assert layers.layer_scores({"a": two}, judge, ("t",), **QUICK)[0]["score"] == pytest.approx(
      np.mean(alone))


def test_layer_scores_refuse_arrays_that_do_not_fit():
  with pytest.raises(errors.UserError, match=r"must be \[3 triplets, 2, 1 taps\]"):
    layers.layer_scores({"a": np.zeros((4, 2, 1))}, {"a": [0, 1, 1]}, ("t",))


def test_sensitivity_by_hand_counts_unanimous_triplets_alone():
  distances = np.array([[3.0, 1.0], [9.0, 1.0], [1.0, 0.5]])[..., np.newaxis]
  row, = sensitivity.distortion_sensitivity(distances, [1.0, 0.6, 0.0], ("t",), **QUICK)
  assert row["sensitivity"] == pytest.approx((2.0 - 0.5) / 2)
  assert (row["nearer"], row["farther"]) == pytest.approx(((1 + 1) / 2, (3 + 0.5) / 2))
  assert row["triplets"] == 2


def test_sensitivity_equals_that_of_scores(rng):
  distances, judge = rng.random((60, 2)), rng.integers(0, 3, 60) / 2
  row, = sensitivity.distortion_sensitivity(distances[..., None], judge, ("t",), **QUICK)
  assert row["sensitivity"] == pytest.approx(scores.distortion_sensitivity(*distances.T, judge))


def test_sensitivity_needs_a_unanimous_triplet():
  with pytest.raises(errors.UserError, match="unanimous"):
    sensitivity.distortion_sensitivity(np.zeros((2, 2, 1)), [0.4, 0.6], ("t",))


# Filters


def test_low_pass_of_side_one_leaves_the_mean_colour(rng):
  images = rng.integers(0, 256, (2, 8, 6, 3))
  expected = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
  np.testing.assert_allclose(filters.low_pass(images, 1), expected, atol=1e-10)


@pytest.mark.parametrize("filtered", [
    lambda images: filters.low_pass(images, 8), lambda images: filters.low_pass(images, 99),
    lambda images: filters.inverse_band_pass(images, 5)])
def test_filters_that_remove_nothing_return_the_image(filtered, rng):
  images = rng.integers(0, 256, (2, 8, 8, 3))
  np.testing.assert_allclose(filtered(images), images, atol=1e-10)


def test_low_pass_of_a_point_is_a_product_of_dirichlet_kernels():
  side, kept = 16, 5
  image = np.zeros((side, side, 1))
  image[0, 0] = 1
  x = np.arange(side)
  kernel = sum(np.cos(2 * np.pi * f * x / side) for f in range(-(kept // 2), kept // 2 + 1)) / side
  np.testing.assert_allclose(filters.low_pass(image, kept)[..., 0], np.outer(kernel, kernel),
                             atol=1e-12)


@pytest.mark.parametrize(("radius", "removed"), [(2, True), (3, True), (1, False), (4, False)])
def test_inverse_band_removes_its_two_radii_alone(radius, removed):
  wave = np.cos(2 * np.pi * radius * np.arange(16) / 16)
  image = 5 + np.broadcast_to(wave[:, np.newaxis, np.newaxis], (16, 16, 3))
  expected = np.full_like(image, 5.0) if removed else image
  np.testing.assert_allclose(filters.inverse_band_pass(image, 2), expected, atol=1e-12)


def test_a_band_about_zero_removes_the_mean(rng):
  images = rng.random((8, 8, 3))
  np.testing.assert_allclose(
      filters.inverse_band_pass(images, 0, width=1).mean(axis=(0, 1)), 0, atol=1e-12)


# Accuracy by frequency


def test_a_classifier_by_mean_colour_needs_the_lowest_frequency_alone(rng):
  labels = np.arange(12) % 2
  images = (rng.integers(0, 60, (12, 8, 8, 3)) + 120 * labels[:, None, None, None]).astype("uint8")

  def by_mean(batch):
    assert batch.dtype == np.uint8
    return (batch.mean(axis=(1, 2, 3)) > 90).astype(int)

  sides = (1, 2, 4, 8)
  correct = frequency.filtered_correct(by_mean, images, labels, filters.low_pass, sides)
  rows = frequency.low_pass_accuracy(correct, by_mean(images) == labels, sides, **QUICK)
  assert [row["normalised"] for row in rows] == [1, 1, 1, 1]
  assert [row["slope"] for row in rows] == [None, 0, 0, 0]


def test_low_pass_slopes_by_hand():
  clean = [1, 1, 1, 1, 0]
  correct = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]])
  rows = frequency.low_pass_accuracy(correct, clean, (1, 2, 4), **QUICK)
  assert [row["accuracy"] for row in rows] == pytest.approx([0, 40, 80])
  assert [row["normalised"] for row in rows] == pytest.approx([0, 0.5, 1])
  assert [row["slope"] for row in rows[1:]] == pytest.approx([0.5, 0.25])
  assert rows[1]["low"] < 0.5 < rows[1]["high"] and rows[2]["low"] == rows[2]["high"] == 1


def test_accuracy_is_not_normalised_by_zero():
  with pytest.raises(errors.UserError, match="No image is right"):
    frequency.inverse_band_accuracy(np.zeros((3, 2)), np.zeros(3), (0, 1))


# Entropy


def test_entropy_of_equal_activations_is_one_and_of_a_peak_nothing():
  features = np.zeros((2, 2, 2, 3))
  features[1, 0, 0, 0] = 1000
  np.testing.assert_allclose(entropy.feature_entropy(features), [1, 0], atol=1e-12)


def test_entropy_of_two_levels_in_closed_form():
  # Two of four activations are higher by log 3: shares of 3/8 and 1/8.
  expected = -(2 * 3 / 8 * np.log(3 / 8) + 2 / 8 * np.log(1 / 8)) / np.log(4)
  features = np.log([[3.0, 1, 3, 1]]) + 7
  assert entropy.feature_entropy(features)[0] == pytest.approx(expected)


def test_entropy_is_averaged_over_taps():
  rows = entropy.entropy_by_tap([[0.2, 0.6], [0.4, 0.8]], ("a", "b"), **QUICK)
  assert {row["tap"]: row["entropy"] for row in rows} == pytest.approx(
      {"a": 0.3, "b": 0.7, "mean": 0.5})


# Agreement


def test_metrics_that_are_monotone_in_each_other_agree_and_reversed_ones_never(rng):
  first = rng.random((50, 2))
  rows = agreement.metric_agreement(
      {"first": first, "same": first**3, "reverse": -first, "flat": np.ones_like(first)}, **QUICK)
  found = {(row["metric"], row["other"]): (row["agreement"], row["spearman"]) for row in rows}
  assert found["first", "same"] == (100, pytest.approx(1))
  assert found["first", "reverse"] == (0, pytest.approx(-1))
  assert found["first", "flat"] == (50, None)
  assert rows[0]["low"] == rows[0]["high"] == 100


def test_agreement_needs_two_metrics_and_the_same_triplets():
  with pytest.raises(errors.UserError, match="two metrics"):
    agreement.metric_agreement({"a": np.zeros((3, 2))})
  with pytest.raises(errors.UserError, match="3 of a, 4 of b"):
    agreement.metric_agreement({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))})


# Classes


def test_class_accuracy_ranks_classes_and_keeps_those_without_images():
  rows = class_accuracy.class_accuracy([0, 1, 1, 0, 1], [0, 1, 1, 1, 0], 3)
  assert [(row["rank"], row["label"], row["accuracy"]) for row in rows] == [
      (1, 1, pytest.approx(200 / 3)), (2, 0, 50), (3, 2, None)]
  # Wilson's interval of 1 of 2, in closed form.
  z = 1.959964
  centre, half = 0.5, z / (2 + z**2) * np.sqrt(2 * 0.25 + z**2 / 4)
  assert (rows[1]["low"], rows[1]["high"]) == pytest.approx(
      (100 * (centre - half), 100 * (centre + half)), abs=1e-3)


def test_a_label_that_is_no_class_is_refused():
  with pytest.raises(errors.UserError, match=r"labels must be from 0 to 2\. Received: 3"):
    class_accuracy.class_accuracy([0], [3], 3)


# Dynamic range


def test_dynamic_range_falls_from_the_oracle_to_chance(rng):
  judge = rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 4000)
  rows = dynamic_range.dynamic_range(judge, (0.01, 0.5, 50))
  assert rows[0]["score"] == pytest.approx(scores.oracle(judge))
  assert rows[2]["score"] == pytest.approx(50, abs=1)
  assert rows[0]["score"] > rows[1]["score"] > rows[2]["score"]


def test_simulated_scores_are_the_expected_ones():
  sigmas = (0.2, 0.4, 0.8, 2.0)
  rows = dynamic_range.dynamic_range(np.full(5000, 0.8), sigmas, draws=8)
  np.testing.assert_allclose([row["score"] for row in rows],
                             features.expected_scores(sigmas, 80), atol=0.5)


# The registry


def test_an_analysis_says_what_it_lacks():
  with pytest.raises(errors.UserError, match="The analysis layers needs metrics"):
    registry.run("layers", registry.Inputs())
  with pytest.raises(errors.UserError, match=r"Unknown analysis 'layer'\. Available: layers"):
    registry.run("layer", registry.Inputs())
  assert {need for row in registry.ANALYSES.values() for need in row.needs} <= set(registry.NEEDS)
