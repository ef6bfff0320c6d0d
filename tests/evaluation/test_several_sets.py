"""One leaderboard of several judged sets."""

import csv
import json
import shutil

import numpy as np
import pytest

from perceptual.errors import UserError
from perceptual.evaluation import leaderboard, several_sets
from tests.evaluation import boards


@pytest.fixture(scope="module")
def summary():
  return several_sets.summarise({kind: boards.board(kind, name=kind) for kind in boards.KINDS})


def test_the_mean_is_that_of_the_columns_in_percent(summary):
  assert summary.ranking[0] == "right" and summary.ranking[-1] == "random"
  for metric in summary.ranking:
    columns = [summary.scores[kind][metric].value for kind in boards.KINDS]
    mean = summary.scores[several_sets.MEAN][metric]
    assert mean.value == pytest.approx(np.mean(columns))
    assert mean.low <= mean.value <= mean.high
  assert summary.scores["opinions"]["right"].value == pytest.approx(100)


def test_sets_are_drawn_from_independently(summary):
  """Of independent sets the mean is surer than any: three intervals of one width w give w / 3**0.5.

  Sets of equal size share their draws, so that draws side by side would give the mean of widths.
  """
  same = several_sets.summarise({name: boards.board("jnd") for name in "abcd"})
  def width(score):
    return score.high - score.low
  one, mean = (same.scores[column]["random"] for column in ("a", several_sets.MEAN))
  assert width(mean) == pytest.approx(width(one) / 2, rel=0.15)


def test_differences_of_means_are_beyond_chance_where_they_should_be(summary):
  assert summary.is_better("right", "random") and not summary.is_better("random", "right")
  assert summary.beaten("right") == [metric for metric in summary.ranking[1:]
                                     if summary.is_better("right", metric)]


def test_what_is_written_and_shown(summary, tmp_path):
  several_sets.write(summary, tmp_path)
  with (tmp_path / "leaderboard.csv").open(newline="") as stream:
    rows = list(csv.DictReader(stream))
  assert len(rows) == 3 * 4 and {row["set"] for row in rows} == {*boards.KINDS, "mean"}
  written = json.loads((tmp_path / "leaderboard.json").read_text())
  assert written["ranking"] == list(summary.ranking) and len(written["differences"]) == 3
  text = (tmp_path / "leaderboard.txt").read_text()
  assert "opinions, 2AFC %" in text and "jnd, JND mAP %" in text and "mean" in text


def test_sets_of_different_metrics_make_no_leaderboard(summary):
  other = boards.made("jnd")
  alone = leaderboard.score(other, {"right": boards.right(other)})
  with pytest.raises(UserError, match="one leaderboard needs the same metrics"):
    several_sets.summarise({"a": boards.board("jnd"), "b": alone})


def test_a_metric_without_a_score_on_one_set_has_no_mean():
  found = {}
  for kind in ("2afc", "opinions"):
    judged = boards.made(kind, references=60 if kind == "opinions" else 6)  # one version each
    found[kind] = leaderboard.score(judged, {"right": boards.right(judged)})
  mean = several_sets.summarise(found).scores[several_sets.MEAN]["right"]
  assert mean.value is None and "no reference has two images" in mean.note


def _several(folder, kinds=boards.KINDS):
  """Writes an evaluation on several sets, as `evaluate` lays it out."""
  found = {kind: boards.board(kind, name=kind) for kind in kinds}
  for kind, board in found.items():
    leaderboard.write(board, folder / kind, fingerprints={}, settings={})
  several_sets.write(several_sets.summarise(found), folder)
  return folder


def test_a_folder_of_several_sets_stands_for_its_sub_folders(tmp_path):
  folder = _several(tmp_path / "run")
  leaderboard.write(boards.board("jnd", name="other"), folder / "a", fingerprints={}, settings={})
  assert several_sets.folders_of(folder) == [folder / kind for kind in boards.KINDS]
  assert several_sets.folders_of(folder / "jnd") == [folder / "jnd"]
  assert several_sets.folders_of(tmp_path / "none") == [tmp_path / "none"]


def _copy(source, target):
  return lambda folder: shutil.copytree(folder / source, folder / target)


@pytest.mark.parametrize("spoil, message", [
    (lambda folder: shutil.rmtree(folder / "jnd"),
     "leaderboard.json is of judged/jnd, which none of its sub-folders holds"),
    (_copy("jnd", "twice"), "of judged/jnd, which 2 of its sub-folders hold"),
    (lambda folder: (folder / "leaderboard.json").unlink(),
     "run has no distances.csv; its sub-folders 2afc, jnd, opinions have"),
    (lambda folder: (folder / "leaderboard.json").write_text("{}"), "leaderboard.json is not as"),
    (lambda folder: shutil.copy(folder / "jnd" / "distances.csv", folder),
     "run holds both distances.csv, of one set, and leaderboard.json, of several"),
])
def test_a_folder_of_several_sets_that_is_not_whole_is_refused(spoil, message, tmp_path):
  folder = _several(tmp_path / "run")
  spoil(folder)
  with pytest.raises(UserError, match=message) as caught:
    several_sets.folders_of(folder)
  assert "\n" not in str(caught.value)
