"""The collected table, and analyses of it, on small tables made by hand."""

import numpy as np
import pytest

from perceptual import errors
from perceptual.studies.analyses import (
    comparisons,
    configurations,
    correlation,
    frontier,
    optimum,
    parameters,
    registry,
)
from perceptual.studies.analyses import table as tables


def rows_of(network, points, *, last=10, varied=None, **bindings):
  """Rows of a network: a run for each (accuracy, score), a step before the last included.

  All bindings are varied, unless `varied` names some.
  """
  settings = "".join(f"-{name}{value}" for name, value in bindings.items())
  return [
      {"run": f"{network}{settings}-{seed}", "network": network, "seed": seed, "step": step,
       "accuracy": accuracy if step == last else 1.0, "judged_set": "graded", "subset": "mean",
       "distance": "local", "tap": "sum", "score": score if step == last else 99.0,
       "low": score - 1, "high": score + 1,
       "varied": "+".join(bindings if varied is None else varied),
       **{f"binding.{name}": value for name, value in bindings.items()}}
      for seed, (accuracy, score) in enumerate(points) for step in (0, last)]


@pytest.fixture
def table():
  return tables.of_rows([
      *rows_of("resnet6", [(40, 70), (42, 71)]),
      *rows_of("resnet6", [(30, 72), (34, 73)], **{"network.width": 0.5}),
      *rows_of("resnet6", [(20, 69), (20, 69)], **{"network.width": 0.25}),
      *rows_of("resnet6", [(41, 70), (41, 72)], **{"train.weight_decay": 1e-3}),
      *rows_of("vit_b8", [(60, 68)])])


def test_a_table_comes_back_from_csv(table, tmp_path):
  rows = [{name: column[i] for name, column in table.columns.items()} for i in range(len(table))]
  path = tmp_path / "collected.csv"
  tables.write_csv(path, [{name: "" if value != value else value for name, value in row.items()}
                          for row in rows])
  read = tables.read(path)
  for name, column in table.columns.items():
    np.testing.assert_array_equal(read[name], column, err_msg=name)
    assert read[name].dtype == column.dtype


def test_whole_numbers_have_no_point_though_they_were_read_as_floats():
  assert tables.as_csv([{"step": 390.0, "score": 68.5}, {"step": 7, "score": float("nan")}]) == (
      "step,score\n390,68.5\n7,nan\n")


def test_rows_can_be_passed_over_as_a_table_is_read(table, tmp_path):
  path = tmp_path / "collected.csv"
  path.write_text("run,tap,subset\na,sum,x\nb,one,x\nc,one,mean\n")
  read = tables.read(path, (), either={"tap": "sum", "subset": "mean"})
  assert read["run"].tolist() == ["a", "c"]


def test_a_parquet_table_is_the_same(table, tmp_path):
  pytest.importorskip("pyarrow", reason="pyarrow is not installed: Parquet is not tried")
  import pyarrow as pa
  from pyarrow import parquet

  columns = {name: [None if value in ("", None) or value != value else value for value in column]
             for name, column in table.columns.items()}
  columns["binding.network.width"] = [
      None if value is None else str(value) for value in columns["binding.network.width"]]
  path = tmp_path / "collected.parquet"
  parquet.write_table(pa.table(columns), path)
  for name, column in tables.read(path, either={"tap": "sum"}).columns.items():
    np.testing.assert_array_equal(column, table[name], err_msg=name)
    assert column.dtype == table[name].dtype
  assert not len(tables.read(path, either={"tap": "x"}))


def test_a_table_keeps_names_that_look_like_numbers_as_text():
  table = tables.of_rows([{"run": 7, "seed": 7, "binding.images.classes": "random-50"}])
  assert (table["run"][0], table["seed"][0]) == ("7", 7.0)
  assert table["binding.images.classes"][0] == "random-50"


@pytest.mark.parametrize(("text", "message"), [
    ("", "is empty"), ("run,seed\n", "lacks the column 'varied'"),
    (",".join(tables.REQUIRED) + "\na,b\n", "line 2 has 2 cells, the head has 11"),
    (",".join(tables.REQUIRED) + "\na,,b,0,x,1,s,m,l,t,2\n", "column step must hold numbers")])
def test_a_bad_table_is_refused(text, message, tmp_path):
  path = tmp_path / "bad.csv"
  path.write_text(text)
  with pytest.raises(errors.UserError, match=message):
    tables.read(path)


def test_a_missing_table_is_a_line(tmp_path):
  with pytest.raises(errors.UserError, match="cannot be read: No such file"):
    tables.read(tmp_path / "none.csv")


def test_runs_of_one_configuration_are_one_point_at_the_last_step(table):
  found = configurations.configurations(table)
  assert {c.label: c.point for c in found} == {
      "resnet6": (41, 70.5), "resnet6, width 0.5": (32, 72.5), "resnet6, width 0.25": (20, 69),
      "resnet6, weight decay 0.001": (41, 71), "vit_b8": (60, 68)}
  assert found[0].spread == pytest.approx((1, 0.5))  # |difference| / 2 of two seeds
  assert np.isnan(found[-1].spread).all()
  assert found[0].error == pytest.approx([1 / 1.959964] * 2)


def test_a_run_that_stands_twice_counts_once(table):
  found = configurations.configurations(table.take(np.tile(np.arange(len(table)), 2)))
  assert len(found[0].score) == 2


def test_a_sweep_is_of_one_parameter_and_ascends(table):
  found = configurations.configurations(table)
  swept = configurations.sweep(found, "resnet6", "width")
  assert [value for value, _ in swept] == [0.25, 0.5]
  assert configurations.default(found, "resnet6").point == (41, 70.5)


def test_the_network_out_of_the_box_has_its_place_in_a_sweep():
  table = tables.of_rows([
      *rows_of("vit_b8", [(40, 70)], varied=(),
               **{"train.weight_decay": 0.0, "adam.weight_decay": 0.3}),
      *rows_of("vit_b8", [(30, 71)], varied=("adam.weight_decay",),
               **{"train.weight_decay": 0.0, "adam.weight_decay": 0.1})])
  found = configurations.configurations(table)
  assert [c.varied for c in found] == [{}, {"weight_decay": 0.1}]
  assert [(value, c.point) for value, c in configurations.sweep_with_default(
      found, "vit_b8", "weight_decay")] == [(0.1, (30, 71)), (0.3, (40, 70))]


def test_bindings_that_go_together_are_one_parameter_and_unknown_ones_stay_apart():
  crop = {"augmentation.crop": "center", "augmentation.center_fraction": 0.875}
  table = tables.of_rows([
      *rows_of("resnet6", [(40, 70)], varied=(),
               **{"augmentation.crop": "pad", "augmentation.center_fraction": 0.875}),
      *rows_of("resnet6", [(41, 71)], varied=("augmentation.crop",), **crop),
      *rows_of("resnet6", [(42, 72)], varied=("sgd.momentum",), **crop, **{"sgd.momentum": 0.5})])
  found = configurations.configurations(table)
  assert [c.varied for c in found] == [{}, {"central_crop": 0.875}, {"sgd.momentum": 0.5}]
  # Random crops have no place among central ones.
  assert [value for value, _ in configurations.sweep_with_default(
      found, "resnet6", "central_crop")] == [0.875]


def test_learned_metrics_have_no_accuracy_and_stand_under_their_own_distance(table):
  learned = [{**row, "run": f"{row['run']}-lin", "distance": distance, "accuracy": None}
             for row in rows_of("resnet6", [(0, 74)]) for distance in ("local", "lin")]
  rows = [{name: column[i] for name, column in table.columns.items()} for i in range(len(table))]
  both = tables.of_rows([*rows, *learned])
  assert len(configurations.configurations(both)) == 5
  found, = configurations.configurations(both, configurations.View(distance="lin"))
  assert np.isnan(found.point[0]) and found.point[1] == 74
  row = comparisons.functions(both, resamples=20)[-1]
  assert (row["distance"], row["accuracy"], row["score"]) == ("lin", None, 74)


def test_a_view_of_what_is_not_there_says_what_is(table):
  with pytest.raises(errors.UserError, match=r"Unknown judged_set .* Available: graded"):
    configurations.configurations(table, configurations.View(judged_set="bapps/2afc"))


@pytest.mark.parametrize(("value", "expected"), [
    ("random-50", ("random", 50)), ("(1, 2)", (None, None)), (None, (None, None))])
def test_choices_of_classes_are_read(value, expected):
  assert parameters.choice_of_classes(value) == expected


def test_optimum_and_gains_by_hand(table):
  found = configurations.configurations(table)
  best = optimum.optimum(found)
  assert (best["p_max"], best["accuracy"], best["points"]) == (72.5, 32, 5)
  assert best["p_max_low"] < 72.5 < best["p_max_high"]
  rows = {(row["network"], row["parameter"]): row for row in optimum.gains(found)}
  assert set(rows) == {("resnet6", "width"), ("resnet6", "weight_decay")}
  assert rows["resnet6", "width"]["gain"] == pytest.approx(2)
  assert rows["resnet6", "width"]["value"] == 0.5
  assert rows["resnet6", "weight_decay"]["low"] < 0.5 < rows["resnet6", "weight_decay"]["high"]


def _line_of(points):
  return configurations.configurations(tables.of_rows(
      [row for i, point in enumerate(points) for row in rows_of(f"net{i}", [point])]))


def test_correlations_before_and_beyond_the_optimum():
  found = _line_of([(10, 60), (20, 65), (30, 70), (40, 66), (50, 62), (60, 58)])
  rows = {row["region"]: row for row in correlation.correlations(found, resamples=100)}
  assert rows["before"]["pearson"] == pytest.approx(1)
  assert rows["beyond"]["pearson"] == pytest.approx(-1)
  assert rows["beyond"]["spearman"] == pytest.approx(-1)
  assert (rows["before"]["points"], rows["beyond"]["points"]) == (3, 4)


def test_a_correlation_of_two_points_or_a_constant_is_undefined():
  rows = correlation.correlations(_line_of([(10, 60), (20, 65)]), resamples=10)
  assert rows[0]["pearson"] is rows[0]["spearman"] is None
  assert np.isnan(correlation.correlation([1, 2, 3], [5, 5, 5]))


def test_frontier_is_strict_and_says_how_sure_it_is():
  found = _line_of([(10, 70), (20, 70), (30, 60)])
  rows = frontier.pareto_frontier(found, resamples=200)
  assert [row["on_frontier"] for row in rows] == [False, True, True]
  assert 0.2 < rows[0]["share"] < 0.8 and rows[2]["share"] == 1


def test_functions_and_class_subsets_are_compared(table):
  rows = comparisons.functions(table, resamples=20)
  assert [(row["network"], row["distance"], row["score"]) for row in rows] == [
      ("resnet6", "local", 70.5), ("vit_b8", "local", 68)]
  trained = tables.of_rows([
      *rows_of("resnet6", [(40, 70)]),
      *rows_of("resnet6", [(50, 69)], **{"class_subset.choose": "top", "class_subset.count": 100}),
      *rows_of("resnet6", [(60, 68)], **{"class_subset.choose": "top", "class_subset.count": 50})])
  rows = comparisons.class_subsets(configurations.configurations(trained), resamples=20)
  subsets = {"resnet6, classes top-50", "resnet6, classes top-100"}
  on_all = registry.run("frontier", registry.Inputs(table=trained))
  assert on_all and not subsets & {row["configuration"] for row in on_all}
  assert [(row["choice"], row["classes"], row["score"]) for row in rows] == [
      ("top", 50, 68), ("top", 100, 69)]
