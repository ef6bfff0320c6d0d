"""Scores with intervals by reference, and paired differences: closed forms, coverage, Holm."""

import numpy as np
import pytest

from perceptual import errors
from perceptual.evaluation import clustered, scores

FEW = scores.Resampling(resamples=300)


def judged(references, versions, noise, seed=0):
  """(distance, opinion, references): opinions follow distances, up to noise."""
  generator = np.random.default_rng(seed)
  distance = generator.uniform(size=references * versions)
  opinion = 5 - 4 * distance + noise * generator.normal(size=len(distance))
  return distance, opinion, np.repeat(np.arange(references), versions)


def drawn(distance, opinion, references, counts):
  """The examples of one draw: those of each reference as often as it was drawn."""
  times = counts[references].astype(int)
  return np.repeat(distance, times), np.repeat(opinion, times)


# Opinions


def test_values_are_those_of_the_plain_scores():
  distance, opinion, references = judged(8, 12, 1.0)
  found = scores.opinion_scores(distance, opinion, references, higher_is_better=True,
                                resampling=FEW)
  plain = {"srcc": scores.srcc, "krcc": scores.krcc, "plcc": scores.plcc, "rmse": scores.rmse}
  for name, score in plain.items():
    assert found[name].value == pytest.approx(score(distance, opinion, higher_is_better=True))
  for name in ("srcc", "krcc", "plcc"):
    assert found[f"{name}_within"].value == pytest.approx(
        plain[name](distance, opinion, references, higher_is_better=True))
  assert found["two_afc"].value == pytest.approx(
      scores.opinion_pairs_score(distance, opinion, references, higher_is_better=True))
  assert all(score.low < score.value < score.high for score in found.values())
  assert all(score.references == 8 for score in found.values())


def test_draws_are_the_scores_of_the_examples_drawn():
  distance, opinion, references = judged(6, 10, 1.0)
  distance, opinion = np.round(distance, 1), np.round(opinion, 0)  # ties
  resampling = scores.Resampling(resamples=20, seed=3)
  found = scores.opinion_scores(distance, opinion, references, higher_is_better=True,
                                resampling=resampling)
  counts = np.concatenate(list(clustered._draws(6, resampling)))
  for name in ("srcc", "krcc"):
    expected = [getattr(scores, name)(*drawn(distance, opinion, references, count),
                                      higher_is_better=True)
                for count in counts]
    np.testing.assert_allclose(found[name].draws, expected)


def test_a_constant_metric_has_no_correlation_and_scores_half_of_the_pairs():
  _, opinion, references = judged(6, 10, 1.0)
  found = scores.opinion_scores(np.ones(60), opinion, references, higher_is_better=True,
                                resampling=FEW)
  assert found["two_afc"].value == found["two_afc"].high == 50
  for name in clustered.CORRELATIONS:
    assert found[name].value is found[name].low is None
    assert found[name].note == "undefined: every distance is the same"


def test_without_versions_of_one_reference_there_is_nothing_within():
  distance, opinion, _ = judged(30, 1, 1.0)
  found = scores.opinion_scores(distance, opinion, np.arange(30), higher_is_better=True,
                                resampling=FEW)
  assert found["srcc"].value is not None
  assert "no reference has 3 images" in found["srcc_within"].note
  assert "no reference has two images" in found["two_afc"].note


def test_opinions_of_either_direction_score_the_same():
  distance, opinion, references = judged(6, 10, 1.0)
  mos = scores.opinion_scores(distance, opinion, references, higher_is_better=True, resampling=FEW)
  dmos = scores.opinion_scores(distance, -opinion, references, higher_is_better=False,
                               resampling=FEW)
  assert mos == dmos


# Intervals


def test_intervals_by_reference_cover_what_intervals_by_judgement_do_not():
  # All twenty judgements of a reference agree or disagree together; the true score is 70.
  generator = np.random.default_rng(0)
  references = np.repeat(np.arange(60), 20)
  covered = {"reference": 0, "judgement": 0}
  for _ in range(100):
    judge = np.repeat((generator.random(60) < 0.7).astype(float), 20)
    by_reference = scores.two_afc_by_reference(
        np.ones(1200), np.zeros(1200), judge, references, resampling=FEW)
    assert by_reference.value == pytest.approx(100 * judge.mean())
    covered["reference"] += by_reference.low <= 70 <= by_reference.high
    low, high = scores.bootstrap_two_afc({"a": judge}, resamples=100)["a"]
    covered["judgement"] += low <= 70 <= high
  assert covered["reference"] >= 88
  assert covered["judgement"] < 55


def test_votes_weigh_triplets():
  judge, references = np.tile([1.0, 0.0], 10), np.repeat(np.arange(10), 2)
  score = scores.two_afc_by_reference(np.ones(20), np.zeros(20), judge, references,
                                      votes=np.tile([3, 1], 10), resampling=FEW)
  assert score.value == score.low == score.high == 75


def test_jnd_by_reference_is_the_map_of_the_pairs_drawn():
  generator = np.random.default_rng(1)
  same = generator.choice([0.0, 0.5, 1.0], size=60)
  distance, references = generator.normal(size=60) - same, np.repeat(np.arange(12), 5)
  resampling = scores.Resampling(resamples=20)
  score = scores.jnd_map_by_reference(distance, same, references, resampling=resampling)
  assert score.value == pytest.approx(scores.jnd_map(distance, same))
  counts = np.concatenate(list(clustered._draws(12, resampling)))
  np.testing.assert_allclose(
      score.draws, [scores.jnd_map(*drawn(distance, same, references, c)) for c in counts])


def test_draws_are_those_of_the_seed_and_the_number_of_references():
  blocks = [np.concatenate(list(clustered._draws(7, scores.Resampling(resamples=50, seed=seed))))
            for seed in (0, 0, 1)]
  np.testing.assert_array_equal(blocks[0], blocks[1])
  assert (blocks[0] != blocks[2]).any()
  assert blocks[0].shape == (50, 7)
  np.testing.assert_array_equal(blocks[0].sum(axis=1), 7)


# Differences


def srcc_of(distance, opinion, references):
  return scores.opinion_scores(distance, opinion, references, higher_is_better=True)["srcc"]


def test_a_metric_does_not_differ_from_itself():
  score = srcc_of(*judged(10, 8, 1.0))
  difference = scores.paired_difference(score, score)
  assert (difference.value, difference.low, difference.high, difference.p_value) == (0, 0, 0, 1)


def test_a_clear_difference_is_found_and_its_sign_follows_the_order():
  distance, opinion, references = judged(30, 8, 0.5)
  worse = distance + np.random.default_rng(5).normal(size=len(distance))
  good, bad = srcc_of(distance, opinion, references), srcc_of(worse, opinion, references)
  difference = scores.paired_difference(good, bad)
  assert difference.value == pytest.approx(good.value - bad.value)
  assert difference.low > 0
  assert difference.p_value == pytest.approx(2 / 2001)  # the smallest of 2000 draws
  assert scores.paired_difference(bad, good).value == -difference.value


def test_pairing_narrows_the_interval():
  # Easy and hard references move both metrics alike.
  generator = np.random.default_rng(6)
  references = np.repeat(np.arange(40), 10)
  judge = np.repeat(generator.choice([0.0, 1.0], p=[0.3, 0.7], size=40), 10)
  farther = np.ones(400)
  farther[generator.random(400) < 0.05] = -1
  first = scores.two_afc_by_reference(np.ones(400), np.zeros(400), judge, references)
  second = scores.two_afc_by_reference(farther, np.zeros(400), judge, references)
  difference = scores.paired_difference(first, second)
  assert difference.high - difference.low < (first.high - first.low) / 3


def test_equal_metrics_are_told_apart_as_seldom_as_p_says():
  generator = np.random.default_rng(8)
  p_values = []
  for _ in range(200):
    judge = generator.choice([0.0, 1.0], size=200)
    references = np.repeat(np.arange(40), 5)
    one, other = (scores.two_afc_by_reference(
        generator.normal(size=200), np.zeros(200), judge, references, resampling=FEW)
        for _ in range(2))
    p_values.append(scores.paired_difference(one, other).p_value)
  assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.11
  assert 0.4 < np.mean(p_values) < 0.6


@pytest.mark.parametrize("p_values, corrected", [
    ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ([0.5], [0.5]),
    ([0.9, 0.8], [1.0, 1.0]),
])
def test_holm_by_hand(p_values, corrected):
  np.testing.assert_allclose(scores.holm(p_values), corrected)


def test_all_differences_are_corrected_together():
  distance, opinion, references = judged(20, 8, 1.0)
  generator = np.random.default_rng(9)
  found = {name: srcc_of(distance + noise * generator.normal(size=160), opinion, references)
           for name, noise in (("a", 0.0), ("b", 0.1), ("c", 3.0))}
  found["constant"] = scores.opinion_scores(
      np.ones(160), opinion, references, higher_is_better=True)["srcc"]
  differences = scores.all_differences(found)
  assert list(differences) == [("a", "b"), ("a", "c"), ("b", "c")]
  np.testing.assert_allclose([d.corrected for d in differences.values()],
                             scores.holm([d.p_value for d in differences.values()]))
  assert scores.all_differences({"constant": found["constant"]}) == {}


# Errors


def test_what_cannot_be_compared_is_refused():
  score = srcc_of(*judged(10, 8, 1.0))
  other = srcc_of(*judged(20, 4, 1.0))
  nothing = scores.opinion_scores(np.ones(20), np.arange(20), np.arange(20),
                                  higher_is_better=True, resampling=FEW)["srcc"]
  with pytest.raises(errors.UserError, match="same examples and draws"):
    scores.paired_difference(score, other)
  with pytest.raises(errors.UserError, match="without a value: undefined"):
    scores.paired_difference(score, nothing)


@pytest.mark.parametrize("options, message", [
    ({"resamples": 1.5}, "resamples must be a whole number"),
    ({"seed": -1}, "seed must be a whole number"),
    ({"confidence": 1}, "confidence must be a number"),
])
def test_illegal_resampling_is_refused(options, message):
  with pytest.raises(errors.UserError, match=message):
    scores.Resampling(**options)


def test_fewer_than_ten_examples_have_no_interval():
  nine = np.arange(9.0)
  for call in (lambda: scores.two_afc_by_reference(nine, nine, nine / 9, np.arange(9)),
               lambda: scores.jnd_map_by_reference(nine, nine / 9, np.arange(9)),
               lambda: scores.opinion_scores(nine, nine, np.arange(9), higher_is_better=True)):
    with pytest.raises(errors.UserError, match="at least 10 examples"):
      call()
