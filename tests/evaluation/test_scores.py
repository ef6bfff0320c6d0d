"""Scores: closed forms, published figures, an independent average precision, the bootstrap."""

import csv
import gzip
import subprocess
import sys

import numpy as np
import pytest

from perceptual import errors
from perceptual.evaluation import scores

# The figures of ALEX_VANILLA, published with the distances and judgements of that file.
ALEX_VANILLA = "conformance/bapps_judgements/alex_vanilla.csv.gz"
TWO_AFC = {"traditional": 77.47881, "cnn": 82.87076, "superres": 71.18828, "deblur": 61.03814,
           "color": 65.23305, "frameinterp": 62.42585}
CEILING = {"traditional": 80.84, "cnn": 84.35, "superres": 73.60, "deblur": 66.09,
           "color": 68.83, "frameinterp": 68.61}
ORACLE = {"traditional": 85.78, "cnn": 88.47, "superres": 80.12, "deblur": 74.00,
          "color": 76.41, "frameinterp": 75.97}
TIES = {"traditional": 0, "cnn": 11, "superres": 56, "deblur": 4, "color": 0, "frameinterp": 0}
SIZES = {"traditional": 4720, "cnn": 4720, "superres": 10856, "deblur": 9440, "color": 4720,
         "frameinterp": 1888}


@pytest.fixture(scope="module")
def judgements(testdata):
  """A dict from subset to columns distance_0, distance_1, judge: [triplets, 3]."""
  with gzip.open(testdata / ALEX_VANILLA, "rt") as file:
    rows = list(csv.DictReader(file))
  return {subset: np.array([[float(row[key]) for key in ("d0", "d1", "judge")]
                            for row in rows if row["subset"] == subset]) for subset in TWO_AFC}


@pytest.fixture
def judge():
  return np.random.default_rng(0).choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], size=500)


@pytest.fixture
def pairs():
  """Distances with ties, and fractions that follow them loosely."""
  generator = np.random.default_rng(1)
  same = generator.choice([0.0, 1 / 3, 2 / 3, 1.0], size=300)
  return np.round(generator.normal(size=300) - same, 1), same


# 2AFC


def test_published_figures_of_bapps(judgements):
  assert {subset: len(table) for subset, table in judgements.items()} == SIZES
  per_subset = {subset: scores.two_afc_score(*table.T) for subset, table in judgements.items()}
  assert per_subset == pytest.approx(TWO_AFC, abs=5.1e-6)
  averages = scores.aggregate(per_subset, SIZES)
  assert averages["mean"] == pytest.approx(70.03915, abs=5.1e-6)
  assert averages["pooled"] == pytest.approx(
      scores.two_afc_score(*np.concatenate(list(judgements.values())).T), abs=1e-10)
  for subset, (distance_0, distance_1, judge) in (
      (subset, table.T) for subset, table in judgements.items()):
    assert scores.human_ceiling(judge) == pytest.approx(CEILING[subset], abs=5.1e-3)
    assert scores.oracle(judge) == pytest.approx(ORACLE[subset], abs=5.1e-3)
    assert np.sum(distance_0 == distance_1) == TIES[subset]


def test_a_constant_distance_scores_exactly_fifty(judge):
  assert scores.two_afc_score(np.full(500, 0.1), np.full(500, 0.1), judge) == 50.0


def test_the_majority_scores_the_oracle_and_its_reverse_the_complement(judge):
  assert scores.two_afc_score(judge, 1 - judge, judge) == scores.oracle(judge)
  assert scores.two_afc_score(1 - judge, judge, judge) == pytest.approx(
      100 - scores.oracle(judge), abs=1e-12)


def test_agreement_by_hand():
  # Candidate 1 is closer, candidate 0 is closer, neither, in turn.
  agreement = scores.two_afc_agreement([2, 1, 3], [1, 2, 3], [0.8, 0.8, 0.8])
  np.testing.assert_allclose(agreement, [0.8, 0.2, 0.5])
  assert agreement.dtype == "float64"
  assert scores.two_afc_score([2, 1, 3], [1, 2, 3], [0.8, 0.8, 0.8]) == pytest.approx(50.0)


def test_only_the_order_of_two_distances_matters(judge):
  distance_0, distance_1 = np.random.default_rng(2).normal(size=(2, 500))
  expected = scores.two_afc_score(distance_0, distance_1, judge)
  assert scores.two_afc_score(np.exp(distance_0), np.exp(distance_1), judge) == expected
  assert scores.two_afc_score(distance_1, distance_0, 1 - judge) == pytest.approx(
      expected, abs=1e-10)


@pytest.mark.parametrize("p, ceiling, oracle", [
    (0.0, 100, 100), (1.0, 100, 100), (0.5, 50, 50), (0.2, 68, 80), (0.8, 68, 80)])
def test_ceiling_and_oracle_in_closed_form(p, ceiling, oracle):
  assert scores.human_ceiling([p] * 3) == pytest.approx(ceiling)
  assert scores.oracle([p] * 3) == pytest.approx(oracle)


def test_ceiling_and_oracle_are_means(judge):
  doubled = np.concatenate([judge, np.full(500, 0.5)])
  assert scores.human_ceiling(doubled) == pytest.approx((scores.human_ceiling(judge) + 50) / 2)
  assert scores.oracle(doubled) == pytest.approx((scores.oracle(judge) + 50) / 2)
  assert 50 < scores.human_ceiling(judge) < scores.oracle(judge) < 100


def test_with_votes_every_vote_counts_the_same():
  # Three votes of four, and one of one, agree.
  assert scores.two_afc_score([2, 1], [1, 2], [0.75, 0.0], votes=[4, 1]) == pytest.approx(80)
  assert scores.oracle([0.75, 0.0], votes=[4, 1]) == pytest.approx(80)
  assert scores.two_afc_score([2, 1], [1, 2], [0.75, 0.0]) == pytest.approx(87.5)


def test_the_ceiling_of_votes_compares_different_raters():
  # Of two raters who disagree no pair agrees; of 3 : 1 three pairs of six; one rater tells nothing.
  assert scores.human_ceiling([0.5], votes=[2]) == 0.0
  assert scores.human_ceiling([0.75], votes=[4]) == pytest.approx(50)
  assert scores.human_ceiling([0.75, 1.0], votes=[4, 1]) == pytest.approx(50)
  assert scores.human_ceiling([0.75, 0.5], votes=[4, 2]) == pytest.approx(100 * 2 / 6)


def test_the_ceiling_of_votes_has_no_bias():
  generator = np.random.default_rng(7)
  p = generator.uniform(size=40_000)
  judge = generator.binomial(3, p) / 3
  truth = 100 * np.mean(p**2 + (1 - p)**2)
  assert scores.human_ceiling(judge, votes=np.full(len(p), 3)) == pytest.approx(truth, abs=0.6)
  # A third of the spread of a vote, E[2 p (1 - p)] / 3 = 1 / 9, stands above it without votes.
  assert scores.human_ceiling(judge) == pytest.approx(truth + 100 / 9, abs=0.6)


@pytest.mark.parametrize("judge, votes, message", [
    ([0.5, 0.3], [2, 2], r"judge times votes must be whole numbers\. Received 0\.6 at \[1\]"),
    ([0.0, 1.0], [1, 1], "No triplet has two votes"),
    ([0.5, 0.5], [2, 0], r"votes must be whole .* Received 0\.0 at \[1\]"),
    ([0.5, 0.5], [2, 2.5], r"votes must be whole .* Received 2\.5 at \[1\]"),
    ([0.5, 0.5], [2], "2 of judge, 1 of votes"),
])
def test_votes_that_do_not_add_up_have_no_ceiling(judge, votes, message):
  with pytest.raises(errors.UserError, match=message):
    scores.human_ceiling(judge, votes=votes)


# JND mAP


def brute_force_jnd_map(distance, same):
  """Average precision from its definition: a threshold at every distance there is."""
  points = []
  for threshold in sorted(set(distance)):
    called = [s for d, s in zip(distance, same) if d <= threshold]
    points.append((sum(called) / sum(same), sum(called) / len(called)))
  area, recall_before = 0.0, 0.0
  for recall, _ in points:
    best = max(precision for other, precision in points if other >= recall)
    area += (recall - recall_before) * best
    recall_before = recall
  return 100 * area


def test_jnd_map_by_hand():
  # Recall 0.4, 0.4, 0.8, 1; precision 1, 1/2, 2/3, 5/8, of which the second is lifted to 2/3.
  assert scores.jnd_map([1, 2, 3, 4], [1, 0, 1, 0.5]) == pytest.approx(
      100 * (0.4 * 1 + 0.4 * 2 / 3 + 0.2 * 5 / 8))


def test_jnd_map_equals_brute_force(pairs):
  distance, same = pairs
  assert len(set(distance)) < 100  # so there are ties
  assert scores.jnd_map(distance, same) == pytest.approx(brute_force_jnd_map(distance, same))
  untied = distance + np.random.default_rng(3).uniform(0, 0.01, size=300)
  assert scores.jnd_map(untied, same) == pytest.approx(brute_force_jnd_map(untied, same))


@pytest.mark.parametrize("ties", [False, True])
def test_jnd_map_of_whole_labels_is_the_envelope_of_scikit_learns_curve(ties, pairs):
  metrics = pytest.importorskip("sklearn.metrics")
  distance = pairs[0] if ties else pairs[0] + np.arange(300) * 1e-6
  same = pairs[1] > 0.5
  precision, recall, _ = metrics.precision_recall_curve(same, -distance)
  # The curve runs from full recall down to none.
  envelope = np.maximum.accumulate(precision)
  assert scores.jnd_map(distance, same) == pytest.approx(
      100 * np.sum(-np.diff(recall) * envelope[:-1]))
  assert scores.jnd_map(distance, same) > 100 * metrics.average_precision_score(same, -distance)


def test_jnd_map_in_closed_form():
  same = np.repeat([1.0, 0.0], [30, 70])
  assert scores.jnd_map(1 - same, same) == 100.0
  # Called last, thirty pairs are found among a hundred.
  assert scores.jnd_map(same, same) == pytest.approx(30.0)
  assert scores.jnd_map(np.full(100, 0.1), same) == pytest.approx(30.0)
  assert scores.jnd_map([0.3], [0.4]) == pytest.approx(40.0)


def test_jnd_map_does_not_depend_on_the_order_of_equal_distances(pairs):
  distance, same = pairs
  expected = scores.jnd_map(distance, same)
  for seed in range(10):
    order = np.random.default_rng(seed).permutation(300)
    assert scores.jnd_map(distance[order], same[order]) == expected


def test_axes_of_length_one_are_dropped(pairs, judge):
  distance, same = pairs
  expected = scores.jnd_map(distance, same)
  assert scores.jnd_map(distance.reshape(-1, 1, 1, 1), same) == expected
  assert scores.jnd_map(distance.reshape(-1, 1, 1, 1), same.reshape(-1, 1)) == expected
  distances = np.random.default_rng(4).normal(size=(2, 500, 1, 1, 1))
  assert scores.two_afc_score(*distances, judge) == scores.two_afc_score(
      *distances.reshape(2, 500), judge)


# Averages over subsets, sensitivity, the Pareto frontier


def test_averages_over_all_subsets_of_bapps():
  averages = scores.aggregate(TWO_AFC, SIZES)
  assert list(averages) == ["mean", "pooled", "distortions", "real algorithms"]
  assert averages["mean"] == pytest.approx(np.mean(list(TWO_AFC.values())))
  assert averages["pooled"] == pytest.approx(
      np.average(list(TWO_AFC.values()), weights=list(SIZES.values())))
  assert averages["distortions"] == pytest.approx((77.47881 + 82.87076) / 2)
  assert averages["real algorithms"] == pytest.approx(
      (71.18828 + 61.03814 + 65.23305 + 62.42585) / 4)


def test_a_group_needs_all_its_subsets():
  assert scores.aggregate({"cnn": 80.0, "superres": 60.0}, {"superres": 1, "cnn": 3}) == {
      "mean": 70.0, "pooled": 75.0}
  assert scores.aggregate({"cnn": 80.0, "traditional": 60.0}, {"cnn": 3, "traditional": 1}) == {
      "mean": 70.0, "pooled": 75.0, "distortions": 70.0}


def test_averages_of_columns():
  averages = scores.aggregate(
      {"a": np.array([10.0, 20.0]), "b": np.array([30.0, 60.0])}, {"a": 3, "b": 1})
  np.testing.assert_allclose(averages["mean"], [20, 40])
  np.testing.assert_allclose(averages["pooled"], [15, 30])


def test_distortion_sensitivity_by_hand():
  # Unanimous: the first (candidate 1 is nearer, by 2) and the last (candidate 0, by -0.5).
  sensitivity = scores.distortion_sensitivity(
      [3.0, 9.0, 1.0], [1.0, 1.0, 0.5], [1.0, 0.6, 0.0])
  assert sensitivity == pytest.approx((2.0 - 0.5) / 2)


def test_pareto_frontier_by_hand():
  accuracy = [10, 20, 30, 20, 5, 30]
  score = [69, 70, 65, 66, 69, 64]
  # 0 and 4 are beaten by 1 in both respects; 3 by 1, and 5 by 2, in one at an equal other.
  np.testing.assert_array_equal(scores.pareto_frontier(accuracy, score), [1, 2])


def test_a_point_of_equal_score_and_lower_accuracy_is_not_on_the_frontier():
  np.testing.assert_array_equal(scores.pareto_frontier([10, 20], [70, 70]), [1])
  np.testing.assert_array_equal(scores.pareto_frontier([10, 10], [70, 70]), [0, 1])


def test_pareto_frontier_equals_its_definition():
  accuracy, score = np.round(np.random.default_rng(5).normal(size=(2, 80)), 1)
  expected = {i for i in range(80) if not any(
      accuracy[j] >= accuracy[i] and score[j] >= score[i]
      and (accuracy[j] > accuracy[i] or score[j] > score[i]) for j in range(80))}
  frontier = scores.pareto_frontier(accuracy, score)
  assert set(frontier) == expected and len(frontier) == len(expected)
  assert (np.diff(accuracy[frontier]) >= 0).all()


# The bootstrap


def binomial(probability, shape, seed=0):
  return (np.random.default_rng(seed).random(shape) < probability).astype(float)


def test_intervals_cover_the_truth_as_often_as_they_say():
  # Each column is a data set of its own, whose true score is 70.
  low, high = scores.bootstrap_two_afc({"a": binomial(0.7, (250, 1000))})["a"]
  coverage = np.mean((low <= 70) & (high >= 70))
  assert 0.92 < coverage < 0.97
  low, high = scores.bootstrap_two_afc({"a": binomial(0.7, (250, 1000))}, confidence=0.5)["a"]
  assert 0.44 < np.mean((low <= 70) & (high >= 70)) < 0.58


def test_widths_are_those_of_the_normal_approximation():
  for size in (400, 6400):
    agreement = binomial(0.7, size)
    low, high = scores.bootstrap_two_afc({"a": agreement}, resamples=4000)["a"]
    assert high - low == pytest.approx(
        200 * 1.96 * np.std(agreement) / np.sqrt(size), rel=0.07)


def test_the_mean_of_subsets_is_resampled_within_each():
  agreements = {"a": binomial(0.6, 100, 1), "b": binomial(0.9, 900, 2)}
  intervals = scores.bootstrap_two_afc(agreements, resamples=4000)
  assert list(intervals) == ["a", "b", "mean", "pooled"]
  variances = {subset: np.var(values) / len(values) for subset, values in agreements.items()}
  deviations = {"mean": np.sqrt((variances["a"] + variances["b"]) / 4),
                "pooled": np.sqrt(0.1**2 * variances["a"] + 0.9**2 * variances["b"])}
  for name, deviation in deviations.items():
    low, high = intervals[name]
    assert high - low == pytest.approx(200 * 1.96 * deviation, rel=0.07)


def test_intervals_of_bapps_hold_the_published_scores(judgements):
  agreements = {subset: scores.two_afc_agreement(*table.T)
                for subset, table in judgements.items()}
  intervals = scores.bootstrap_two_afc(agreements)
  expected = TWO_AFC | scores.aggregate(TWO_AFC, SIZES)
  assert set(intervals) == set(expected)
  for name, (low, high) in intervals.items():
    assert low < expected[name] < high
    # A rating deviates by at most one half: no interval of 1888 triplets or more is wider.
    assert high - low < 200 * 1.96 * 0.5 / np.sqrt(1888)


def test_a_constant_distance_has_no_width():
  low, high = scores.bootstrap_two_afc({"a": np.full(50, 0.5)})["a"]
  assert isinstance(low, float) and low == high == 50.0


def test_resampling_is_deterministic_and_shared():
  agreement = binomial(0.7, 200)
  intervals = scores.bootstrap_two_afc({"a": agreement, "b": 1 - agreement})
  assert intervals == scores.bootstrap_two_afc({"b": 1 - agreement, "a": agreement})
  assert intervals["a"] == scores.bootstrap_two_afc({"a": agreement})["a"]
  assert intervals["a"] != scores.bootstrap_two_afc({"a": agreement}, seed=1)["a"]
  # Two subsets are not drawn alike, or their errors would add up in the mean.
  assert intervals["a"] != scores.bootstrap_two_afc({"b": agreement})["b"]
  columns = scores.bootstrap_two_afc({"a": np.stack([agreement, 1 - agreement, agreement], 1)})
  np.testing.assert_allclose(columns["a"][0][[0, 2]], intervals["a"][0])
  np.testing.assert_allclose(columns["a"][1][1], 100 - intervals["a"][0])


def draws(subset, size, resamples):
  return np.concatenate(list(scores._draws(subset, size, resamples, seed=0)))


def test_draws_are_samples_with_replacement():
  counts = draws("a", 50, 1003)
  assert counts.shape == (1003, 50)
  np.testing.assert_array_equal(counts.sum(axis=1), 50)
  np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.15)
  # Each count is binomial: of 50 trials, with chance 1 / 50.
  assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.03)


def quantiles(values):
  return tuple(np.quantile(values, [0.025, 0.975]))


def test_jnd_intervals_are_quantiles_of_the_map_of_each_draw(pairs):
  distance, same = pairs
  counts = draws("cnn", 300, 100)
  expected = [scores.jnd_map(np.repeat(distance, count), np.repeat(same, count))
              for count in counts]
  intervals = scores.bootstrap_jnd_map({"cnn": distance}, {"cnn": same}, resamples=100)
  assert intervals["cnn"] == pytest.approx(quantiles(expected))
  assert intervals["mean"] == intervals["cnn"]


def test_jnd_intervals_of_columns(pairs):
  distance, same = pairs
  columns = np.stack([distance, -distance], axis=1)
  subsets = {"cnn": columns, "traditional": columns[:200]}
  sames = {"traditional": same[:200], "cnn": same}
  together = scores.bootstrap_jnd_map(subsets, sames, resamples=50)
  assert list(together) == ["cnn", "traditional", "mean", "pooled", "distortions"]
  for column in (0, 1):
    alone = scores.bootstrap_jnd_map(
        {subset: values[:, column] for subset, values in subsets.items()}, sames, resamples=50)
    for name, interval in alone.items():
      assert isinstance(interval[0], float)
      np.testing.assert_allclose([bound[column] for bound in together[name]], interval)


def test_draws_without_a_pair_that_is_the_same_are_left_out():
  counts = draws("a", 3, 200)
  expected = [scores.jnd_map(np.repeat([1, 2, 3], count), np.repeat([0, 1, 0], count))
              for count in counts if count[1]]
  assert 20 < len(expected) < 180
  intervals = scores.bootstrap_jnd_map({"a": [1, 2, 3]}, {"a": [0, 1, 0]}, resamples=200)
  assert intervals["a"] == pytest.approx(quantiles(expected))


# Errors


@pytest.mark.parametrize("arguments, message", [
    (([1, np.nan], [1, 2], [0, 1]), r"distance_0 must be finite\. Received nan at \[1\]"),
    (([1, 2], [np.inf, 2], [0, 1]), r"distance_1 must be finite\. Received inf at \[0\]"),
    (([1, 2], [1, 2], [0, 1.5]), r"judge must be in \[0, 1\]\. Received 1\.5 at \[1\]"),
    (([1, 2], [1, 2], [-0.1, 1]), r"judge must be in \[0, 1\]\. Received -0\.1 at \[0\]"),
    (([1, 2], [1, 2], [np.nan, 1]), r"judge must be in \[0, 1\]\. Received nan at \[0\]"),
    (([1, 2], [1, 2], [1]), "2 of distance_0, 2 of distance_1, 1 of judge"),
    (([1], [1, 2], [1, 1]), "1 of distance_0, 2 of distance_1, 2 of judge"),
    (([], [], []), "distance_0 is empty"),
    ((np.ones([2, 2]), np.ones(4), np.ones(4)), r"one axis\. Received shape: \(2, 2\)"),
    ((["near", "far"], [1, 2], [0, 1]), "distance_0 must be an array of numbers.*near"),
    ((["1", "2"], [1, 2], [0, 1]), "distance_0 must be an array of numbers.*'1'"),
    ((np.array(["2026-11-26", "2026-11-27"], "datetime64"), [1, 2], [0, 1]),
     "distance_0 must be an array of numbers.*2026"),
    (([1, 2], [1j, 2], [0, 1]), "distance_1 must be an array of numbers.*1j"),
    (([[1, 2], [1]], [1, 2], [0, 1]), "distance_0 must be an array of numbers"),
    ((np.ma.array([1.0, 9.0], mask=[0, 1]), [1, 2], [0, 1]), "distance_0 is a masked array"),
    ((None, [1, 2], [0, 1]), "distance_0"),
])
def test_garbage_is_not_scored(arguments, message):
  for score in (scores.two_afc_score, scores.two_afc_agreement, scores.distortion_sensitivity):
    with pytest.raises(errors.UserError, match=message):
      score(*arguments)


@pytest.mark.parametrize("distance, same, message", [
    ([1, np.nan], [0, 1], r"distance{} must be finite\. Received nan at \[1\]"),
    ([1, 2], [0, 3], r"same{} must be in \[0, 1\]\. Received 3\.0 at \[1\]"),
    ([1, 2, 3], [0, 1], "3 of distance{}, 2 of same{}"),
    ([], [], "distance{} is empty"),
    ([1, 2], [0, 0], "same{} is 0 everywhere"),
])
def test_garbage_has_no_jnd_map(distance, same, message):
  with pytest.raises(errors.UserError, match=message.replace("{}", "")):
    scores.jnd_map(distance, same)
  with pytest.raises(errors.UserError, match=message.replace("{}", " of 'cnn'")):
    scores.bootstrap_jnd_map({"cnn": distance}, {"cnn": same})


@pytest.mark.parametrize("score", [scores.human_ceiling, scores.oracle])
def test_garbage_has_no_ceiling(score):
  with pytest.raises(errors.UserError, match=r"Received 2\.0 at \[1\]"):
    score([0, 2])
  with pytest.raises(errors.UserError, match="judge is empty"):
    score([])


def test_sensitivity_needs_unanimous_judges():
  with pytest.raises(errors.UserError, match="unanimous"):
    scores.distortion_sensitivity([1, 2], [2, 1], [0.2, 0.8])


def test_points_of_a_frontier_come_in_pairs():
  with pytest.raises(errors.UserError, match="2 of accuracy, 1 of score"):
    scores.pareto_frontier([1, 2], [1])


@pytest.mark.parametrize("per_subset, sizes, message", [
    ({"cnn": 80.0}, {"color": 3}, "Received: cnn; and: color"),
    ({}, {}, "Received: none"),
    ({"cnn": 80.0}, {"cnn": 0}, "Received: 0 for 'cnn'"),
])
def test_averages_need_sizes_of_the_same_subsets(per_subset, sizes, message):
  with pytest.raises(errors.UserError, match=message):
    scores.aggregate(per_subset, sizes)


@pytest.mark.parametrize("agreements, options, message", [
    ({}, {}, "Received: none"),
    ({"cnn": [0.5, 7.0]}, {}, r"agreement of 'cnn' must be in \[0, 1\]\. Received 7\.0 at \[1\]"),
    ({"cnn": [[0.5, 0.5], [0.5, np.nan]]}, {}, r"Received nan at \[1, 1\]"),
    ({"cnn": []}, {}, "agreement of 'cnn' is empty"),
    ({"cnn": [0.5], "color": [[0.5, 1.0]]}, {}, "differ in their columns"),
    ({"cnn": [0.5]}, {"resamples": 0}, "resamples must be .* at least 1. Received: 0"),
    ({"cnn": [0.5]}, {"resamples": 1.5}, "resamples must be a whole number .* Received: 1.5"),
    ({"cnn": [0.5]}, {"resamples": True}, "resamples must be a whole number .* Received: True"),
    ({"cnn": [0.5]}, {"seed": -1}, "seed must be .* at least 0. Received: -1"),
    ({"cnn": [0.5]}, {"seed": "0"}, "seed must be a whole number .* Received: '0'"),
    ({"cnn": [0.5]}, {"confidence": 95}, "confidence must be a number .* not 95"),
    ({"cnn": [0.5]}, {"confidence": "0.9"}, "confidence must be a number .* not '0.9'"),
])
def test_what_cannot_be_resampled_is_refused(agreements, options, message):
  with pytest.raises(errors.UserError, match=message):
    scores.bootstrap_two_afc(agreements, **options)


def test_jnd_subsets_must_match():
  with pytest.raises(errors.UserError, match="Received: cnn; and: traditional"):
    scores.bootstrap_jnd_map({"cnn": [1.0]}, {"traditional": [1.0]})


def test_scores_need_numpy_alone():
  code = ("import sys; from perceptual import scores; "
          "sys.exit(bool({'tensorflow', 'keras'} & {*sys.modules}))")
  root = scores.__file__.rsplit("perceptual", 1)[0]
  subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
