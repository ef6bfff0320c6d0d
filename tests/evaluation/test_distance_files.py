"""Every score comes again from `distances.csv`, and what is no such file is refused."""

import json

import pytest

from perceptual.errors import UserError
from perceptual.evaluation import distance_files, leaderboard
from tests.evaluation import boards


@pytest.mark.parametrize("kind", boards.KINDS)
def test_scores_come_again_without_a_network(kind, tmp_path):
  board = boards.board(kind, votes=5 if kind == "opinions" else None)
  leaderboard.write(board, tmp_path, fingerprints={"right": {"name": "right"}}, settings={"x": 1})
  judged, distances, ranked, kept = distance_files.read(tmp_path)
  again = leaderboard.score(judged, distances, ranked=ranked)
  assert again.scores == board.scores and again.differences == board.differences
  assert again.ranking == board.ranking and "noisy/tap" in again.scores[again.headline]
  assert leaderboard.text(again) == leaderboard.text(board)
  assert kept == {"settings": {"x": 1}, "fingerprints": {"right": {"name": "right"}}}


def _spoil_json(folder):
  path = folder / "scores.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "votes"}))


def _edit(old, new):
  def spoil(folder):
    path = folder / "distances.csv"
    path.write_text(path.read_text().replace(old, new, 1))
  return spoil


@pytest.mark.parametrize("spoil, message", [
    (lambda folder: (folder / "distances.csv").unlink(), "distances.csv cannot be read: No such"),
    (lambda folder: (folder / "scores.json").unlink(), "scores.json cannot be read: No such file"),
    (_spoil_json, "are not as perceptual evaluate writes them for a judged set: 'votes'"),
    (_edit("example,reference", "example,left"), "the head is not that of an evaluation"),
    (_edit("\n3,", "\n4,"), "its examples are not in a row, from 0"),
    (_edit("\n0,r0,a0,0,", "\n0,r0,a0,0,x"), "could not convert string to float"),
])
def test_other_files_are_refused_in_one_line(spoil, message, tmp_path):
  leaderboard.write(boards.board("2afc"), tmp_path, fingerprints={}, settings={})
  spoil(tmp_path)
  with pytest.raises(UserError, match=message) as caught:
    distance_files.read(tmp_path)
  assert "\n" not in str(caught.value)
