"""The examples on which metrics and people disagree most."""

import dataclasses

import numpy as np
import pytest

from perceptual.evaluation import disagreements, leaderboard
from tests.evaluation import boards


@pytest.mark.parametrize("kind", boards.KINDS)
def test_a_metric_that_is_wrong_in_one_place_is_found_there(kind):
  judged = boards.made(kind)
  values = np.where(np.arange(60) % 2, 0.9, 0.1)
  values[7] = 1.0
  judged = dataclasses.replace(judged, values=values)
  wrong = boards.right(judged)
  wrong[7] = boards.right(dataclasses.replace(judged, values=1 - values))[7]
  found = disagreements.choices(leaderboard.score(judged, {"wrong": wrong}))
  best, = disagreements.most(found.of("wrong"), found.references, 1)
  assert 7 in found.images[best][:, 0]
  assert found.of("wrong")[best] == found.of_all()[best] > 0.3
  assert found.images.shape[1] == (2 if kind == "jnd" else 3)


def test_pairs_of_opinions_are_of_one_reference():
  board = boards.board("opinions")
  found = disagreements.choices(board)
  assert len(found.people) == 6 * (10 * 9 // 2)
  first, second = found.images[:, 1, 0], found.images[:, 2, 0]
  assert (board.judged.references[first] == board.judged.references[second]).all()
  assert np.abs(found.metrics["right"]).max() <= 1
  assert (found.people * found.metrics["right"] >= 0).all()


def test_one_vote_is_not_taken_for_unanimity():
  judged = boards.made("2afc")
  judged = dataclasses.replace(judged, values=np.ones(60), votes=np.arange(1, 61))
  found = disagreements.choices(leaderboard.score(judged, {"right": boards.right(judged)}))
  assert found.people[0] == pytest.approx(1 / 3) and found.people[-1] > 0.96


def test_one_reference_does_not_fill_the_page():
  names = np.array(["x"] * 50 + ["y"] * 2)
  chosen = disagreements.most(np.linspace(1, 0.1, 52), names, 10)
  assert chosen == [0, 1, 50, 51]


@pytest.mark.parametrize("kind", boards.KINDS)
def test_where_a_metric_agrees_with_all_there_is_nothing_to_show(kind):
  found = disagreements.choices(boards.board(kind))
  if kind != "jnd":  # shares of people have another middle than ranks
    assert disagreements.most(found.of("right"), found.references, 9) == []
  assert len(disagreements.most(found.of("random"), found.references, 9)) == 9
