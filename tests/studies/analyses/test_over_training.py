"""Scores over training: peaks, what is lost of them, falls of the rate; on curves made by hand."""

import numpy as np
import pytest

from perceptual import errors
from perceptual.evaluation import clustered, paired
from perceptual.studies import findings
from perceptual.studies.analyses import configurations, over_training, registry
from perceptual.studies.analyses import table as tables

# Score and accuracy by epoch: up to a peak at epoch 2, down by a step after the rate has fallen.
SCORES = [60.0, 70.0, 80.0, 79.0, 76.0, 75.0]
ACCURACIES = [1.0, 10.0, 30.0, 35.0, 45.0, 46.0]
RATES = [np.nan, 0.1, 0.1, 0.01, 0.01, 0.01]


def rows_of(run, seed, *, tap="sum", distance="local", lift=0.0, half_width=0.0, upto=6, **more):
  return [{"run": run, "network": "resnet6", "varied": "", "seed": seed, "step": 10 * epoch,
           "epoch": epoch, "learning_rate": RATES[epoch], "accuracy": ACCURACIES[epoch] + lift,
           "judged_set": "teacher", "subset": "mean", "distance": distance, "tap": tap,
           "score": SCORES[epoch] + lift, "low": SCORES[epoch] + lift - half_width,
           "high": SCORES[epoch] + lift + half_width, **more} for epoch in range(upto)]


def curves(*rows):
  return over_training.curves(tables.of_rows([row for part in rows for row in part]))


def test_the_peak_is_found_and_what_is_lost_of_it():
  row, = over_training.peaks(curves(rows_of("a", 0), rows_of("b", 1, lift=2.0)))
  assert row["configuration"] == "resnet6" and row["seeds"] == 2
  assert (row["untrained"], row["peak"], row["last"]) == (61, 81, 76)
  assert (row["peak_epoch"], row["peak_accuracy"], row["last_accuracy"]) == (2, 31, 47)
  # Both seeds lose 5 points: the seeds differ in their scores, not in what they lose.
  assert (row["last_less_peak"], row["low"], row["high"]) == (-5, -5, -5)
  assert (row["peak_low"], row["peak_high"]) == (80, 82)


def test_the_interval_of_a_loss_holds_the_errors_of_both_scores():
  row, = over_training.peaks(curves(rows_of("a", 0, half_width=1.0)), resamples=4000)
  assert row["peak_high"] - row["peak_low"] == pytest.approx(2, rel=0.1)
  assert row["high"] - row["low"] == pytest.approx(2 * np.sqrt(2), rel=0.1)


def test_seeds_are_compared_at_the_steps_that_all_have():
  row, = over_training.peaks(curves(rows_of("a", 0), rows_of("b", 1, upto=4)))
  assert (row["last_epoch"], row["last"], row["seeds"]) == (3, 79, 2)
  assert curves(rows_of("a", 0, upto=2)) == [], "one step of training is no curve"


def test_there_is_a_curve_for_every_configuration_distance_and_tap():
  found = curves(*(
      rows_of(network, 0, tap=tap, distance=distance, network=network)
      for tap in ("block", "sum") for distance in ("local", "style") for network in ("a", "b")))
  assert [(c.configuration.label, c.distance, c.tap) for c in found] == [
      (network, distance, tap) for network in ("a", "b")
      for distance in ("local", "style") for tap in ("block", "sum")]


def test_a_fall_of_the_rate_is_told_with_what_it_does():
  row, = over_training.rate_falls(curves(rows_of("a", 0)))
  assert (row["from_epoch"], row["to_epoch"]) == (2, 4)
  assert (row["from_rate"], row["to_rate"]) == (0.1, 0.01)
  assert (row["accuracy_before"], row["accuracy_after"]) == (30, 45)
  assert (row["score_before"], row["score_after"], row["change"]) == (80, 76, -4)
  with pytest.raises(errors.UserError, match="no learning_rate: collect the study again"):
    over_training.rate_falls(curves(rows_of("a", 0, learning_rate=np.nan)))


def test_the_tail_of_a_cosine_is_no_step():
  rates = [np.nan, 1e-3, 5e-4, 9e-5, 1e-5, 0.0]
  rows = [{**row, "learning_rate": rate} for row, rate in zip(rows_of("a", 0), rates)]
  assert over_training.rate_falls(curves(rows)) == []


def test_a_run_in_training_counts_where_none_of_its_kind_has_finished():
  finished = rows_of("a", 0, state="finished")
  young = rows_of("b", 1, state="started", upto=4)
  alone = rows_of("c", 0, state="failed", upto=4, network="resnet18")
  found = {row["configuration"]: row for row in over_training.peaks(curves(finished, young, alone))}
  assert set(found) == {"resnet6", "resnet18, unfinished"}
  assert (found["resnet6"]["seeds"], found["resnet6"]["last_epoch"]) == (1, 5)
  known = configurations.configurations(tables.of_rows([*finished, *young, *alone]))
  assert [c.label for c in known] == ["resnet6"]
  with pytest.raises(errors.UserError, match="No run of the collected table has finished"):
    configurations.configurations(tables.of_rows(alone))


def test_checkpoints_are_compared_triplet_by_triplet():
  """The second checkpoint is wrong where the first is right, in a quarter of the triplets."""
  judges = {"a": np.ones(400), "b": np.ones(100)}
  right, wrong = [1.0, 0.0], [0.0, 1.0]
  at_peak = {name: np.full((2, len(judge), 2, 1), 0.0) for name, judge in judges.items()}
  for values in at_peak.values():
    values[:] = np.array(right)[:, None]
  at_last = {name: values.copy() for name, values in at_peak.items()}
  at_last["a"][:, :200] = np.array(wrong)[:, None]
  row, = over_training.peak_to_last(at_peak, at_last, judges, [("local", "sum")])
  assert (row["distance"], row["tap"], row["seeds"], row["examples"]) == ("local", "sum", 2, 500)
  assert (row["peak"], row["last"], row["last_less_peak"]) == (100, 75, -25)
  # The mean over two subsets, of which one varies: a binomial of 400.
  assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * 50 / 20 / 2, rel=0.15)
  assert row["unseen"] == "yes"
  same, = over_training.peak_to_last(at_peak, at_peak, judges, [("local", "sum")], unseen=False)
  assert (same["last_less_peak"], same["low"], same["high"], same["unseen"]) == (0, 0, 0, "no")


def test_judgements_of_one_s_own_are_compared_by_reference():
  """As `perceptual evaluate` compares two metrics; of networks that differ, over them as well."""
  rng, references = np.random.default_rng(0), np.repeat(np.arange(20), 5)
  right, others = np.zeros(100), [rng.uniform(-1, 0.5, 100) for _ in range(2)]
  peak, *last = ({("local", "sum"): clustered.two_afc_by_reference(
      margin, np.full(100, 0.25), np.zeros(100), references)} for margin in (right, *others))
  row, = over_training.peak_to_last_by_reference([peak], last[:1], examples=100)
  paired_alone = paired.paired_difference(last[0]["local", "sum"], peak["local", "sum"])
  assert (row["seeds"], row["examples"], row["peak"]) == (1, 100, 100)
  assert (row["last_less_peak"], row["low"], row["high"]) == (
      paired_alone.value, paired_alone.low, paired_alone.high)
  twice, = over_training.peak_to_last_by_reference([peak] * 2, [last[0], peak], examples=100)
  assert twice["last_less_peak"] == pytest.approx(paired_alone.value / 2)
  assert twice["low"] < paired_alone.value and twice["high"] == 0, "one network may be drawn twice"


def test_the_analyses_are_registered_and_findings_print_them(tmp_path):
  table = tables.of_rows([*rows_of("a", 0), *rows_of("a", 0, tap="block")])
  for name in ("peaks", "rate_falls"):
    assert len(registry.run(name, registry.Inputs(table=table))) == 2
  with pytest.raises(errors.UserError, match="needs metrics"):
    registry.run("peak_to_last", registry.Inputs())
  tables.write_csv(tmp_path / "collected.csv", [
      {name: None if value != value else value for name, value in row.items()}
      for row in [*rows_of("a", 0), *rows_of("a", 0, tap="block")]])
  tables.write_csv(tmp_path / "runs" / "a" / "analyses" / "peak_to_last.csv", [
      {"analysis": "peak_to_last", "run": "a", "judged_set": judged_set, "distance": "local",
       "tap": "sum", "seeds": 1, "examples": triplets, "unseen": "no", "peak": 80.5,
       "last": 76.5, "last_less_peak": -4.0, "low": -5.0, "high": -3.0}
      for judged_set, triplets in (("teacher", 2989), ("graded/nuisance", 1234))])
  found = findings.read(tmp_path)
  text = findings.as_text(found)
  assert "80.0 [80.0, 80.0]" in text and "-5.0 [-5.0, -5.0]" in text
  assert "2,989" in text and " no " in text and "1,234" not in text and "-4.0 [-5.0, -3.0]" in text
  findings.write(found, tmp_path / "findings")
  assert sorted(path.name for path in (tmp_path / "findings").iterdir()) == [
      "peak_to_last.csv", "peaks.csv", "rate_falls.csv"]
