"""Rows of scores by hand and by the published figures; tables, CSV and JSON of them."""

import csv
import gzip
import io
import json

import numpy as np
import pytest

from perceptual.common.text_table import aligned
from perceptual.data.judged.judged_sets import JudgedSet, Subset
from perceptual.errors import UserError
from perceptual.evaluation import report, scores, tables
from perceptual.evaluation.judged_pass import Distances

_PEOPLE = "judged by people (BAPPS validation)"
_GRADED = "graded: right answers by construction, no human judged"
_BAPPS = ("traditional", "cnn", "superres", "deblur", "color", "frameinterp")


def _set(answers, *, kind="2afc", by_people=True, groups=None):
  subsets = tuple(Subset(name, None, np.asarray(values, np.float64), (groups or {}).get(name, {}))
                  for name, values in answers.items())
  return JudgedSet(f"bapps/{kind}" if by_people else "graded", kind,
                   _PEOPLE if by_people else _GRADED, subsets, by_people)


def _distances(values, distances=("local",), taps=("tap", "sum")):
  """Of `[examples, candidates]` or `[examples, candidates, distances, taps]`; else repeated."""
  values = np.asarray(values, np.float64)
  if values.ndim == 2:
    values = np.broadcast_to(values[:, :, None, None],
                             (*values.shape, len(distances), len(taps)))
  return Distances(distances, taps, values)


def _random(sizes, *, kind="2afc", by_people=True, groups=None, distances=("local", "mean_pool")):
  """A set, and distances at two taps and their sum, all random."""
  rng = np.random.default_rng(0)
  judged_set = _set({name: rng.integers(0, 6, n) / 5 for name, n in sizes.items()},
                    kind=kind, by_people=by_people, groups=groups)
  found = {}
  for name, n in sizes.items():
    taps = rng.random([n, 2 if kind == "2afc" else 1, len(distances), 2])
    found[name] = Distances(distances, ("first", "second", "sum"),
                            np.concatenate([taps, taps.sum(axis=-1, keepdims=True)], axis=-1))
  return judged_set, found


def _score(rows, **where):
  [row] = [r for r in rows if all(getattr(r, key) == value for key, value in where.items())]
  return row


@pytest.fixture
def by_hand():
  """Six subsets of two triplets, whose scores by hand are 80, 20, 50, 90, 100 and 55."""
  answers = dict(zip(_BAPPS, [
      [1.0, 0.4], [0.2, 0.2], [0.5, 0.5], [1.0, 0.8], [1.0, 0.0], [0.6, 0.3]]))
  # Candidate 1 closer in the first triplet, candidate 0 in the second, but for a tie in the last.
  distances = {name: [[2.0, 1.0], [1.0, 2.0]] for name in _BAPPS}
  distances["deblur"] = [[2.0, 1.0], [2.0, 1.0]]
  distances["cnn"] = [[2.0, 1.0], [2.0, 1.0]]
  distances["frameinterp"] = [[2.0, 1.0], [1.0, 1.0]]
  return _set(answers), {name: _distances(values) for name, values in distances.items()}


def test_scores_and_averages_are_those_computed_by_hand(by_hand):
  rows = report.metric_rows("net", *by_hand, resamples=10)
  found = {row.subset: row.score for row in rows if row.tap == "sum"}
  expected = {"traditional": 80, "cnn": 20, "superres": 50, "deblur": 90, "color": 100,
              "frameinterp": 55, "mean": 395 / 6, "pooled": 395 / 6, "distortions": 50,
              "real algorithms": (50 + 90 + 100 + 55) / 4}
  assert found == pytest.approx(expected)
  assert {row.subset: row.examples for row in rows} == {
      **dict.fromkeys(_BAPPS, 2), "mean": 12, "pooled": 12, "distortions": 4, "real algorithms": 8}
  assert len(rows) == 2 * 10
  assert {(r.metric, r.distance, r.division, r.part) for r in rows} == {("net", "local", "", "")}


def test_ceilings_are_those_computed_by_hand(by_hand):
  rows = report.ceiling_rows(by_hand[0])
  human, oracle = ({r.subset: r.score for r in rows if r.metric == name}
                   for name in ("human ceiling", "oracle"))
  assert human["traditional"] == pytest.approx(100 * (1 + 0.4**2 + 0.6**2) / 2)
  assert oracle["frameinterp"] == pytest.approx(100 * (0.6 + 0.7) / 2)
  assert oracle["mean"] == pytest.approx(np.mean([oracle[name] for name in _BAPPS]))
  assert oracle["distortions"] == pytest.approx((oracle["traditional"] + oracle["cnn"]) / 2)
  assert all(r.low is None and r.high is None and r.tap == r.distance == "" for r in rows)


def test_pooled_weights_by_size_and_mean_does_not():
  judged_set = _set({"traditional": [1.0], "superres": [1.0, 1.0, 1.0]})
  found = {"traditional": _distances([[2, 1]]), "superres": _distances([[1, 2]] * 3)}
  rows = report.metric_rows("net", judged_set, found, resamples=2)
  assert _score(rows, subset="mean", tap="sum").score == 50
  assert _score(rows, subset="pooled", tap="sum").score == 25
  assert not any(row.subset in scores.GROUPS for row in rows), "neither group is complete"


@pytest.fixture(scope="module")
def published(testdata):
  """All of BAPPS's validation judgements, with the distances of LPIPS's AlexNet."""
  path = testdata / "conformance" / "bapps_judgements" / "alex_vanilla.csv.gz"
  with gzip.open(path, "rt", newline="") as file:
    lines = list(csv.DictReader(file))
  columns = {name: [[float(line[key]) for key in ("d0", "d1", "judge")]
                    for line in lines if line["subset"] == name] for name in _BAPPS}
  arrays = {name: np.array(values) for name, values in columns.items()}
  return (_set({name: array[:, 2] for name, array in arrays.items()}),
          {name: _distances(array[:, :2]) for name, array in arrays.items()})


def test_the_published_judgements_give_the_published_figures(published):
  judged_set, found = published
  assert judged_set.size == 36344
  rows = report.metric_rows("alex", judged_set, found, resamples=20)
  scored = {row.subset: row.score / 100 for row in rows if row.tap == "sum"}
  expected = {"traditional": .7747881, "cnn": .8287076, "superres": .7118828, "deblur": .6103814,
              "color": .6523305, "frameinterp": .6242585, "mean": .7003915}
  assert {name: scored[name] for name in expected} == pytest.approx(expected, abs=5e-8)
  assert report.summed_score(judged_set, found, "local") / 100 == pytest.approx(.7003915, abs=5e-8)
  ceilings = report.ceiling_rows(judged_set)
  human = [_score(ceilings, metric="human ceiling", subset=name).score for name in _BAPPS]
  oracle = [_score(ceilings, metric="oracle", subset=name).score for name in _BAPPS]
  np.testing.assert_allclose(human, [80.84, 84.35, 73.60, 66.09, 68.83, 68.61], atol=0.0051)
  np.testing.assert_allclose(oracle, [85.78, 88.47, 80.12, 74.00, 76.41, 75.97], atol=0.0051)
  summary = tables.summary(rows + ceilings, judged_set)
  assert "36,344 triplets" in summary
  [alex] = [line.split() for line in summary.splitlines() if line.startswith("alex")]
  assert alex[2:] == ["77.5", "82.9", "80.2", "71.2", "61.0", "65.2", "62.4", "65.0", "70.0",
                      alex[-2], alex[-1]] and alex[-2].startswith("±0.")


def test_every_distance_tap_and_sum_has_its_score():
  judged_set, found = _random({"traditional": 40, "cnn": 30})
  rows = report.metric_rows("net", judged_set, found, resamples=20)
  assert len(rows) == 2 * 3 * 5  # distances, taps and sum, subsets and averages
  for subset in judged_set.subsets:
    for distance in ("local", "mean_pool"):
      for tap in ("first", "second", "sum"):
        pair = found[subset.name].at(distance, tap)
        row = _score(rows, subset=subset.name, distance=distance, tap=tap)
        expected = scores.two_afc_score(pair[:, 0], pair[:, 1], subset.answers)
        assert row.score == pytest.approx(expected) and row.examples == subset.size


def test_intervals_are_the_bootstraps_and_depend_on_the_seed_alone():
  judged_set, found = _random({"traditional": 40, "cnn": 30})
  rows = report.metric_rows("net", judged_set, found, resamples=50, seed=3)
  agreement = {}
  for subset in judged_set.subsets:
    pair = found[subset.name].at("mean_pool")
    agreement[subset.name] = scores.two_afc_agreement(pair[:, 0], pair[:, 1], subset.answers)
  expected = scores.bootstrap_two_afc(agreement, resamples=50, seed=3)
  for name, (low, high) in expected.items():
    row = _score(rows, subset=name, distance="mean_pool", tap="sum")
    assert (row.low, row.high) == pytest.approx((low, high))
    assert row.low < row.score < row.high
  assert report.metric_rows("net", judged_set, found, resamples=50, seed=3) == rows
  assert report.metric_rows("net", judged_set, found, resamples=50, seed=4) != rows


def test_a_constant_distance_scores_50_exactly():
  judged_set = _set({"cnn": [0.0, 0.2, 1.0]})
  rows = report.metric_rows("net", judged_set, {"cnn": _distances(np.ones([3, 2]))}, resamples=5)
  assert {(row.score, row.low, row.high) for row in rows} == {(50.0, 50.0, 50.0)}


def test_jnd_rows_are_mean_average_precisions():
  judged_set, found = _random({"traditional": 40, "cnn": 30}, kind="jnd")
  rows = report.metric_rows("net", judged_set, found, resamples=20)
  assert report.ceiling_rows(judged_set) == []
  for subset in judged_set.subsets:
    row = _score(rows, subset=subset.name, distance="mean_pool", tap="first")
    distance = found[subset.name].at("mean_pool", "first")
    assert row.score == pytest.approx(scores.jnd_map(distance, subset.answers))
    assert row.low < row.high and row.examples == subset.size
  per_subset = [_score(rows, subset=s.name, distance="local", tap="sum").score
                for s in judged_set.subsets]
  assert _score(rows, subset="mean", distance="local", tap="sum").score == pytest.approx(
      np.mean(per_subset))


_FAMILIES = {
    "monotone": {"family": np.array(["blur", "jpeg", "blur"])},
    "nuisance": {"damage family": np.array(["jpeg", "jpeg"]),
                 "pair of families": np.array(["shift vs jpeg", "rotation vs jpeg"])},
}


@pytest.fixture
def graded():
  judged_set = _set({"monotone": [1.0, 1.0, 0.0], "nuisance": [0.0, 1.0]}, by_people=False,
                    groups=_FAMILIES)
  found = {"monotone": _distances([[2, 1], [1, 2], [1, 1]]),
           "nuisance": _distances([[1, 2], [1, 2]])}
  return judged_set, report.metric_rows("net", judged_set, found, resamples=20)


def test_graded_sets_are_scored_by_family_and_pair_of_families(graded):
  _, rows = graded
  found = {(r.subset, r.division, r.part): (r.score, r.examples) for r in rows if r.tap == "sum"}
  assert found == {
      ("monotone", "", ""): (50.0, 3), ("nuisance", "", ""): (50.0, 2),
      ("monotone", "family", "blur"): (75.0, 2), ("monotone", "family", "jpeg"): (0.0, 1),
      ("nuisance", "damage family", "jpeg"): (50.0, 2),
      ("nuisance", "pair of families", "rotation vs jpeg"): (0.0, 1),
      ("nuisance", "pair of families", "shift vs jpeg"): (100.0, 1)}


def test_graded_sets_have_neither_averages_nor_a_human_ceiling(graded):
  judged_set, rows = graded
  assert {row.subset for row in rows} == {"monotone", "nuisance"}
  assert report.ceiling_rows(judged_set) == []
  assert "mean" not in tables.summary(rows, judged_set)


def test_the_score_of_training_is_one_of_the_rows():
  judged_set, found = _random({"traditional": 40, "cnn": 30, "color": 7})
  rows = report.metric_rows("net", judged_set, found, resamples=1000)
  for subset in (None, "cnn", "pooled", "mean", "distortions"):
    report.require_subset(judged_set, subset)
    row = _score(rows, subset=subset or "mean", distance="mean_pool", tap="sum")
    assert report.summed_score(judged_set, found, "mean_pool", subset) == pytest.approx(row.score)
    assert report.summed_half_width(judged_set, found, "mean_pool", subset) == pytest.approx(
        (row.high - row.low) / 2)
  with pytest.raises(UserError) as caught:
    report.require_subset(judged_set, "real algorithms")
  assert str(caught.value) == ("Unknown subset of bapps/2afc 'real algorithms'. Available: "
                               "traditional, cnn, color, mean, pooled, distortions.")


def test_csv_reads_back_as_the_rows(graded):
  judged_set, rows = graded
  rows = [*rows, report.Row("oracle", "", "", "monotone", "", "", 1 / 3, None, None, 3)]
  lines = list(csv.DictReader(io.StringIO(report.as_csv(rows, judged_set))))
  assert len(lines) == len(rows)
  for line, row in zip(lines, rows):
    assert (line.pop("dataset"), line.pop("note")) == ("graded", _GRADED)
    numbers = {key: float(line.pop(key)) if line[key] else line.pop(key) or None
               for key in ("score", "low", "high")}
    assert report.Row(**{**line, **numbers, "examples": int(line["examples"])}) == row


def _strict_json(text):
  def refuse(token):
    raise AssertionError(f"{token} is no JSON")
  return json.loads(text, parse_constant=refuse)


def test_json_is_strict_and_holds_everything(graded):
  judged_set, rows = graded
  result = _strict_json(report.as_json(rows, judged_set, fingerprints={"net": {"taps": ["tap"]}},
                                       settings={"resamples": 20}))
  assert [report.Row(**row) for row in result.pop("scores")] == rows
  assert result == {"dataset": "graded", "kind": "2afc", "note": _GRADED,
                    "score": "2AFC agreement, %", "examples": 5, "settings": {"resamples": 20},
                    "fingerprints": {"net": {"taps": ["tap"]}}}


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_an_interval_without_any_score_is_none_in_json_and_empty_in_the_table():
  # One pair in forty is the same: hardly a draw holds it, and without it there is no mAP.
  judged_set = _set({"cnn": [1.0] + [0.0] * 39}, kind="jnd")
  found = {"cnn": _distances(np.arange(40.0)[:, None])}
  for seed in range(20):
    rows = report.metric_rows("net", judged_set, found, resamples=1, seed=seed)
    if rows[0].low is None:
      break
  assert (rows[0].low, rows[0].high, rows[0].score) == (None, None, 100.0)
  text = report.as_json(rows, judged_set, fingerprints={}, settings={})
  assert _strict_json(text)["scores"][0]["low"] is None
  assert "±0" not in tables.summary(rows, judged_set)
  assert "nan" not in tables.every_tap(rows, judged_set)


def test_the_table_of_bapps_reads_like_the_papers_and_fits_a_terminal():
  sizes = dict(zip(_BAPPS, [60, 50, 40, 30, 20, 10]))
  judged_set, found = _random(sizes, distances=("local", "mean_pool", "style"))
  rows = [row for name in ("resnet6", "resnet6, random init")
          for row in report.metric_rows(name, judged_set, found, resamples=20)]
  rows += report.ceiling_rows(judged_set)
  lines = tables.summary(rows, judged_set).splitlines()
  assert lines[:3] == ["bapps/2afc: 2AFC agreement, %; 50 is chance; 210 triplets", _PEOPLE, ""]
  assert lines[3].split() == ["metric", "distance", "trad", "cnn", "dist", "superres", "deblur",
                              "color", "frame", "real", "mean", "pooled"]
  assert max(map(len, lines)) <= 110
  body = lines[5:13]
  assert [line[:31].split() for line in body] == [
      *(["resnet6", distance] for distance in ("local", "mean_pool", "style")),
      *(["resnet6,", "random", "init", distance] for distance in ("local", "mean_pool", "style")),
      ["human", "ceiling"], ["oracle"]]
  row = _score(rows, metric="resnet6", distance="local", subset="mean", tap="sum")
  assert f" {row.score:.1f} ±{(row.high - row.low) / 2:.1f} " in body[0]
  assert "\n".join(lines).count("±") == 6 + 1, "an interval at the mean alone, and the legend"
  assert lines[-2:] == [
      "dist: mean of trad, cnn; real: mean of superres, deblur, color, frame",
      "mean: of all 6 subsets; pooled: weighted by triplets; ±: half the 95% bootstrap interval"]
  assert max(map(len, tables.every_tap(rows, judged_set).splitlines())) <= 110


def test_a_group_of_all_subsets_is_not_shown_beside_the_mean():
  judged_set, found = _random({"traditional": 10, "cnn": 10}, kind="jnd")
  lines = tables.summary(report.metric_rows("n", judged_set, found, resamples=5), judged_set)
  assert "dist" not in lines.splitlines()[3].split()
  assert "JND mean average precision, %; 20 pairs" in lines
  assert "mean: of all 2 subsets; pooled: weighted by pairs" in lines


def test_the_summary_of_a_graded_set(graded):
  judged_set, rows = graded
  half = {r.subset: (r.high - r.low) / 2 for r in rows if r.tap == "sum" and not r.part}
  assert tables.summary(rows, judged_set) == f"""\
graded: 2AFC agreement, %; 50 is chance; 5 triplets
{_GRADED}

metric  distance    monotone    nuisance
----------------------------------------
net     local     50.0 ±{half['monotone']:.1f}  50.0 ±{half['nuisance']:.1f}

±: half the 95% bootstrap interval"""


def test_every_tap_stands_in_its_table_with_the_interval_of_the_sum():
  judged_set, found = _random({"color": 10}, by_people=False, distances=("local",))
  rows = report.metric_rows("net", judged_set, found, resamples=20)
  cells = {row.tap: f"{row.score:.1f}" for row in rows}
  total = _score(rows, tap="sum")
  assert tables.every_tap(rows, judged_set) == f"""\
graded: 2AFC agreement, %; 50 is chance; 10 triplets
{_GRADED}
every tap alone

metric, distance and tap  color
-------------------------------
net, local
  first                    {cells['first']}
  second                   {cells['second']}
  sum                      {cells['sum']}
  sum, 95% from            {total.low:.1f}
  sum, 95% to              {total.high:.1f}"""


def test_parts_have_a_table_a_division_with_the_networks_above_their_distances(graded):
  judged_set, rows = graded
  others = [report.Row("L2", "l2", "sum", r.subset, r.division, r.part, 0.0, 0.0, 0.0, r.examples)
            for r in rows if r.tap == "sum"]
  found = tables.parts(rows + others, judged_set)
  assert [text.splitlines()[2] for text in found] == [
      "monotone by family", "nuisance by damage family", "nuisance by pair of families"]
  assert all(_GRADED in text for text in found)
  assert found[0].splitlines()[4:] == [
      "                  net    L2",
      "family  triplets  local   l2",
      "----------------------------",
      "blur           2   75.0  0.0",
      "jpeg           1    0.0  0.0"]


def test_a_set_without_divisions_has_no_table_of_parts(by_hand):
  rows = report.metric_rows("net", *by_hand, resamples=2)
  assert tables.parts(rows, by_hand[0]) == []


def test_columns_are_aligned_numbers_to_the_right():
  assert aligned([["name", "n", "score"], ["a", "1", "-9.5"], ["longer", "12", ""]]) == (
      "name     n  score\n"
      "-----------------\n"
      "a        1   -9.5\n"
      "longer  12")


def test_a_heading_above_widens_its_columns_if_it_must():
  assert aligned([["x", "a", "b"], ["w", "1", "2"]], over=["", "long heading", "long heading"]) == (
      "   long heading\n"
      "x          a  b\n"
      "---------------\n"
      "w          1  2")
