"""Ranks of losses, what explains them and what predicts them: closed forms on small grids."""

import csv
import dataclasses

import numpy as np
import pytest

from perceptual import errors
from perceptual.studies.losses import analyses, figures, table


def _scores(grid, *, networks=None, task="super_resolution"):
  """Scores of networks (rows) at layers (columns), two seeds each."""
  networks = networks or [f"network{i}" for i in range(len(grid))]
  return [table.Score(task, network, f"tap{j}", "mean", "standard", "psnr",
                      (value - 0.5, value + 0.5))
          for network, row in zip(networks, grid) for j, value in enumerate(row)]


def test_ranks_are_among_all_losses_and_within_each_layer():
  pixels = table.Score("super_resolution", "pixels", "", "mean", "standard", "psnr", (40.0,))
  rows = analyses.ranks([pixels, *_scores([[30, 20], [31, 20]])])
  assert [row["rank"] for row in rows] == [1, 3, 4.5, 2, 4.5]
  assert [row["rank_in_layer"] for row in rows] == [None, 2, 1.5, 1, 1.5]
  assert [row["layer"] for row in rows] == [None, 1, 2, 1, 2]


def test_the_best_network_has_the_lowest_mean_rank_over_tasks():
  rows = [*analyses.ranks(_scores([[30, 20], [31, 21]])),
          *analyses.ranks(_scores([[1, 2], [3, 4]], task="autoencoding"))]
  found = analyses.mean_ranks(rows)
  assert [row["network"] for row in found] == ["network1", "network0"]
  assert found[0]["mean_rank_in_layer"] == 1 and found[1]["losses"] == 4
  assert found[0]["mean_rank_super_resolution"] == 2 and found[1]["mean_rank_autoencoding"] == 3.5


@pytest.mark.parametrize(("grid", "network", "layer"), [
    ([[1, 1], [2, 2]], 1.0, 0.0),
    ([[1, 2], [1, 2]], 0.0, 1.0),
    ([[0, 1], [1, 2]], 0.5, 0.5),
    ([[0, 1], [1, 0]], 0.0, 0.0),
])
def test_variance_is_shared_among_network_layer_and_the_rest(grid, network, layer):
  (row,) = analyses.explained(analyses.ranks(_scores(grid)))
  assert (row["network"], row["layer"]) == (pytest.approx(network), pytest.approx(layer))
  assert row["rest"] == pytest.approx(1 - network - layer)


def test_networks_without_a_score_at_every_layer_are_left_out_of_shares():
  scores = _scores([[1, 2], [3, 4], [5, 6]])[:-1]
  (row,) = analyses.explained(analyses.ranks(scores))
  assert row["networks"] == 2


def test_shares_are_of_networks_at_the_same_layers():
  rows = [{"task": "t", "network": network, "layer": layer, "numbered_among": "", "score": layer}
          for network, layers in {"a": (1, 2), "b": (2, 4), "c": (2, 4)}.items()
          for layer in layers]
  (row,) = analyses.explained(rows)
  assert (row["networks"], row["layers"], row["layer"]) == (2, 2, 1.0)


def test_what_predicts_scores_is_correlated_by_rank():
  names = list(analyses.IMAGENET_ACCURACY)[:6]
  order = np.argsort(np.argsort([analyses.IMAGENET_ACCURACY[name] for name in names]))
  grid = [[10 * rank, 10 * rank] for rank in order]
  rows = analyses.ranks(_scores(grid, networks=names))
  found = {row["predictor"]: row for row in analyses.predicted(
      rows, {name: {"parameters": -int(rank)} for name, rank in zip(names, order)})}
  assert found["imagenet_accuracy"]["spearman"] == pytest.approx(1)
  assert found["parameters"]["spearman"] == pytest.approx(-1)
  assert "flops" not in found and "layer" not in found, "one of them is not the study's own"
  for row in rows:
    row["numbered_among"] = table.OF_THE_STUDY
  layer = next(row for row in analyses.predicted(rows) if row["predictor"] == "layer")
  assert (layer["spearman"], layer["losses"]) == (pytest.approx(0), 12)


def test_intervals_are_students_over_seeds():
  (score, *_) = _scores([[30]])
  assert score.mean == 30
  assert score.half_width == pytest.approx(12.706 * np.sqrt(0.5) / np.sqrt(2), rel=1e-3)
  undefined = table.Score("autoencoding", "a", "b", "c", "d", "e", (1.0, np.nan))
  assert undefined.mean == 1.0 and np.isnan(undefined.half_width)
  single = table.Score("autoencoding", "a", "b", "c", "d", "e", (1.0,))
  assert np.isnan(single.half_width)


def test_the_layers_of_the_study_are_its_four():
  score = table.Score("super_resolution", "vgg16", "relu5_3", "", "", "", (1.0,))
  assert table.layer(score, [score]) == (4, table.OF_THE_STUDY)
  random = table.Score("super_resolution", "gaussian-alexnet", "relu5", "", "", "", (1.0,))
  assert table.layer(random, [random]) == (4, table.OF_THE_STUDY)
  both = dataclasses.replace(score, tap="relu2_2+relu5_3")
  assert table.layer(both, [score, both]) == (None, None)


def test_a_layer_is_ranked_beside_those_it_corresponds_to():
  """`reduction_3` is the second layer of one network, and nothing to do with another's second."""
  scores = [table.Score("super_resolution", network, tap, "mean", "standard", "psnr", (value,))
            for network, tap, value in (
                ("alexnet", "relu2", 20.0), ("vgg16", "relu2_2", 21.0),
                ("mine", "reduction_1", 22.0), ("mine", "reduction_3", 23.0))]
  rows = analyses.ranks(scores)
  assert [row["rank_in_layer"] for row in rows] == [2, 1, None, None]
  assert [row["mean_rank_in_layer"] for row in analyses.mean_ranks(rows)] == [1, 2, None]


def _write(path, rows):
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, [*_ROW, "binding.loss.taps", "binding.loss.distance"])
    writer.writeheader()
    writer.writerows({**_ROW, "run": str(number), **row} for number, row in enumerate(rows))
  return path


_ROW = {"run": "", "network": "alexnet", "seed": 0, "task": "super_resolution", "test": "set5",
        "protocol": "standard", "method": "network", "measure": "psnr", "mean": 20.0}


def test_other_differences_than_network_and_layer_are_refused(tmp_path):
  rows = [{"binding.loss.taps": "['relu2']", "binding.loss.distance": distance}
          for distance in ("l2", "local")]
  with pytest.raises(errors.UserError, match=r"0 and 1 are .* and differ in loss\.distance"):
    table.read(_write(tmp_path / "collected_tasks.csv", rows))


def test_two_runs_of_one_loss_and_seed_are_refused(tmp_path):
  with pytest.raises(errors.UserError, match="0 and 1 are of one network and layer and of one s"):
    table.read(_write(tmp_path / "collected_tasks.csv", [{}, {}]))
  (score,) = table.read(_write(tmp_path / "collected_tasks.csv", [{}, {"seed": 1}]))
  assert len(score.values) == 2


@pytest.mark.parametrize("row", [{"mean": "x"}, {"task": "nothing"}])
def test_a_damaged_table_is_named(tmp_path, row):
  path = _write(tmp_path / "collected_tasks.csv", [{}, row])
  with pytest.raises(errors.UserError, match=r"collected_tasks.csv is damaged: .*study collect"):
    table.read(path)
  path.write_text(_write(path, [{}]).read_text()[:-8])
  with pytest.raises(errors.UserError, match=r"collected_tasks.csv is damaged: .*study collect"):
    table.read(path)


def test_losses_that_were_tested_on_other_sets_are_refused(tmp_path):
  rows = [{"run": run, "test": test, "network": run} for run, test in (
      ("alexnet", "set5"), ("alexnet", "set14"), ("vgg16", "set5"))]
  with pytest.raises(errors.UserError, match="super_resolution: vgg16 was not tested on set14"):
    table.read(_write(tmp_path / "collected_tasks.csv", rows))


def test_a_loss_of_all_taps_is_drawn(tmp_path):
  scores = [table.Score("super_resolution", "alexnet", tap, "mean", "standard", "psnr", (20.0,))
            for tap in ("relu2", "", "relu1+relu2")]
  rows = analyses.ranks(scores)
  drawn = figures.layers(rows, {}).axes[0]
  assert {"alexnet, all taps", "alexnet, relu1+relu2"} <= set(
      drawn.get_legend_handles_labels()[1])
  assert len(figures.accuracy(rows).axes[0].collections) == 1
