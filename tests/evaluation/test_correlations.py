"""Correlations with opinions: SciPy's figures, closed forms, the logistic, pairs of opinions."""

import functools

import numpy as np
import pytest
from scipy import optimize, stats

from perceptual import errors
from perceptual.evaluation import logistic, scores

srcc, krcc, plcc, rmse, opinion_pairs_score = (
    functools.partial(score, higher_is_better=True) for score in (
        scores.srcc, scores.krcc, scores.plcc, scores.rmse, scores.opinion_pairs_score))
CORRELATIONS = (srcc, krcc, plcc)


@pytest.fixture(scope="module")
def judged():
  """Distances and opinions with ties, of 12 references with 15 versions each."""
  generator = np.random.default_rng(0)
  distance = np.round(generator.gamma(2, size=180), 1)
  opinion = np.round(5 - distance + generator.normal(size=180), 1)
  return distance, opinion, np.repeat(np.arange(12), 15)


# Over all examples


def test_rank_correlations_equal_scipys(judged):
  distance, opinion, _ = judged
  assert len(set(distance)) < 100  # so there are ties
  assert srcc(distance, opinion) == pytest.approx(stats.spearmanr(-distance, opinion)[0])
  assert krcc(distance, opinion) == pytest.approx(stats.kendalltau(-distance, opinion)[0])


def test_kendalls_of_more_examples_than_are_compared_at_once():
  generator = np.random.default_rng(3)
  distance = generator.integers(0, 200, size=1000)
  opinion = generator.integers(0, 50, size=1000) - distance
  assert krcc(distance, opinion) == pytest.approx(stats.kendalltau(-distance, opinion)[0])


def test_plcc_and_rmse_are_those_of_the_fitted_logistic(judged):
  distance, opinion, _ = judged
  mapped = scores.fit_logistic(distance, opinion)(distance)
  assert plcc(distance, opinion) == pytest.approx(stats.pearsonr(mapped, opinion)[0])
  assert rmse(distance, opinion) == pytest.approx(np.sqrt(np.mean((mapped - opinion)**2)))


@pytest.mark.parametrize("score", CORRELATIONS)
def test_perfect_and_reversed_metrics_score_one_and_minus_one(score):
  opinion = 1 / (1 + np.exp(np.linspace(-3, 3, 40)))
  assert score(np.linspace(0, 1, 40), opinion) == pytest.approx(1, abs=1e-6)
  assert score(-np.linspace(0, 1, 40), opinion) == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("score", CORRELATIONS)
def test_the_direction_of_the_opinions_is_told(score, judged):
  distance, opinion, _ = judged
  expected = score(distance, opinion)
  assert score(distance, -opinion, higher_is_better=False) == pytest.approx(expected, abs=1e-6)
  assert score(distance, -opinion) == pytest.approx(-expected, abs=1e-6)


def test_the_direction_of_the_opinions_must_be_told():
  for score in (*CORRELATIONS, rmse, opinion_pairs_score):
    with pytest.raises(TypeError, match="higher_is_better"):
      score.func(np.arange(20), np.arange(20), np.zeros(20, int))


def test_rank_correlations_ask_for_the_order_alone(judged):
  distance, opinion, _ = judged
  for score in (srcc, krcc):
    assert score(np.exp(distance), opinion) == pytest.approx(score(distance, opinion))


# The logistic


def curve(distance, at_near=4.5, at_far=1.2, midpoint=0.3, scale=0.05):
  return at_far + (at_near - at_far) / (1 + np.exp((distance - midpoint) / scale))


def test_the_logistic_that_made_the_opinions_is_found():
  distance = np.linspace(0, 1, 60)
  fit = scores.fit_logistic(distance, curve(distance))
  assert (fit.at_near, fit.at_far, fit.midpoint, fit.scale) == pytest.approx(
      (4.5, 1.2, 0.3, 0.05), rel=1e-3)
  assert rmse(distance, curve(distance)) == pytest.approx(0, abs=1e-4)


@pytest.mark.filterwarnings("ignore:overflow")  # of SciPy's search
def test_the_fit_is_at_least_as_good_as_scipys():
  generator = np.random.default_rng(1)
  for seed in range(4):
    distance = generator.lognormal(sigma=1 + seed / 2, size=100)
    opinion = curve(distance, midpoint=1, scale=0.5) + generator.normal(scale=0.5, size=100)
    ours = np.sum((scores.fit_logistic(distance, opinion)(distance) - opinion) ** 2)
    start = (opinion.max(), opinion.min(), np.median(distance), np.std(distance))
    parameters, _ = optimize.curve_fit(curve, distance, opinion, start, maxfev=20_000)
    assert ours <= np.sum((curve(distance, *parameters) - opinion) ** 2) * (1 + 1e-6)


@pytest.mark.parametrize("factor, offset", [(1e-6, 0), (1e6, 3e6), (-1, 0)])
def test_the_scale_of_distances_plays_no_part(judged, factor, offset):
  distance, opinion, _ = judged
  assert rmse(distance * factor + offset, opinion) == pytest.approx(
      rmse(distance, opinion), rel=1e-5)


def test_the_fit_is_monotone_and_outlives_an_outlier(judged):
  distance, opinion, _ = judged
  distance = np.append(distance, -np.finfo(np.float32).max)  # the PSNR of an image with itself
  fit = scores.fit_logistic(distance, np.append(opinion, opinion.max()))
  assert (np.diff(fit(np.linspace(-10, 20, 500))) <= 0).all()
  assert plcc(distance[:-1], opinion) == pytest.approx(
      plcc(distance, np.append(opinion, opinion.max())), abs=0.02)


def test_distances_that_say_nothing_of_opinions_have_no_plcc_to_speak_of():
  assert plcc(np.tile([0, 1], 10), np.repeat([1, 2], 10)) == 0.0


# Within references


def test_within_references_is_the_mean_of_each(judged):
  distance, opinion, references = judged
  groups = [references == reference for reference in range(12)]
  assert srcc(distance, opinion, references) == pytest.approx(
      np.mean([stats.spearmanr(-distance[g], opinion[g])[0] for g in groups]))
  assert krcc(distance, opinion, references) == pytest.approx(
      np.mean([stats.kendalltau(-distance[g], opinion[g])[0] for g in groups]))
  mapped = logistic.fit(distance, opinion)(distance)
  assert plcc(distance, opinion, references) == pytest.approx(
      np.mean([stats.pearsonr(mapped[g], opinion[g])[0] for g in groups]))
  assert rmse(distance, opinion, references) == pytest.approx(
      np.mean([np.sqrt(np.mean((mapped[g] - opinion[g])**2)) for g in groups]))


def test_offsets_of_references_play_no_part_within_them(judged):
  distance, opinion, references = judged
  shifted = opinion + 100 * references
  assert srcc(distance, shifted, references) == pytest.approx(
      srcc(distance, opinion, references))
  assert abs(srcc(distance, shifted)) < 0.3


def test_references_that_tell_nothing():
  distance = [1, 2, 3, 4, 5, 5, 5, 1, 2, 3, 1, 2]
  opinion = [3, 2, 1, 3, 2, 3, 2, 4, 4, 4, 1, 2]
  references = list("aaabbbbcccdd")
  # a: 1; b: nearly constant; c: one opinion, left out; d: two versions, left out.
  within_b = stats.spearmanr([-4, -5, -5, -5], [3, 2, 3, 2])[0]
  assert srcc(distance, opinion, references) == pytest.approx((1 + within_b) / 2)
  distance[3] = 5  # constant within b: counts 0
  assert srcc(distance, opinion, references) == pytest.approx(1 / 2)
  with pytest.raises(errors.UserError, match="No reference has 3 images"):
    srcc(np.arange(12), np.arange(12), np.arange(12))


# Pairs of opinions


def brute_force_pairs(distance, opinion, references, votes):
  agreed = weight = 0.0
  for i in range(len(distance)):
    for j in range(i):
      if references[i] != references[j] or opinion[i] == opinion[j]:
        continue
      w = votes[i] * votes[j] / (votes[i] + votes[j])
      better, worse = (i, j) if opinion[i] > opinion[j] else (j, i)
      agreed += w * (0.5 if distance[i] == distance[j] else distance[better] < distance[worse])
      weight += w
  return 100 * agreed / weight


def test_pairs_of_opinions_equal_brute_force(judged):
  distance, opinion, references = judged
  votes = np.random.default_rng(2).integers(1, 30, size=180)
  assert opinion_pairs_score(distance, opinion, references, votes=votes) == pytest.approx(
      brute_force_pairs(distance, opinion, references, votes))
  assert opinion_pairs_score(distance, opinion, references) == pytest.approx(
      brute_force_pairs(distance, opinion, references, np.ones(180)))


def test_pairs_of_opinions_in_closed_form(judged):
  _, opinion, references = judged
  assert opinion_pairs_score(-opinion, opinion, references) == 100
  assert opinion_pairs_score(opinion, opinion, references) == 0
  assert opinion_pairs_score(opinion, opinion, references, higher_is_better=False) == 100
  assert opinion_pairs_score(np.ones(180), opinion, references) == 50
  names = np.array([f"photo {reference}" for reference in references])
  assert opinion_pairs_score(-opinion, opinion, names) == 100


# Errors


@pytest.mark.parametrize("score", [*CORRELATIONS, rmse])
@pytest.mark.parametrize("distance, opinion, message", [
    (np.ones(20), np.arange(20), "Every distance is 1: its correlation is undefined"),
    (np.arange(20), np.full(20, -2), "Every opinion is -2: its correlation is undefined"),
    (np.arange(9), np.arange(9), "needs at least 10 examples. Received: 9"),
    (np.arange(20), np.arange(19), "20 of distance, 19 of opinion"),
    ([*range(19), np.nan], np.arange(20), r"distance must be finite\. Received nan at \[19\]"),
    ([*range(19), np.inf], np.arange(20), r"distance must be finite\. Received inf at \[19\]"),
    (list("abcdefghijkl"), np.arange(12), "distance must be an array of numbers"),
    (np.arange(12), np.ma.masked_less(np.arange(12), 2), "opinion is a masked array"),
])
def test_undefined_correlations_are_no_numbers(score, distance, opinion, message):
  with pytest.raises(errors.UserError, match=message):
    score(distance, opinion)


@pytest.mark.parametrize("references, message", [
    (np.arange(19), "19 of references"),
    (np.arange(20.0), "references must be one axis of names or whole numbers"),
    (np.zeros([20, 1], int), "references must be one axis"),
    ([None] * 20, "references must be one axis of names"),
])
def test_references_are_names_or_whole_numbers(references, message):
  for score in (srcc, opinion_pairs_score):
    with pytest.raises(errors.UserError, match=message):
      score(np.arange(20), np.arange(20), references)


def test_pairs_need_different_opinions_of_one_reference():
  with pytest.raises(errors.UserError, match="there is no pair"):
    opinion_pairs_score(np.arange(20), np.arange(20), np.arange(20))
