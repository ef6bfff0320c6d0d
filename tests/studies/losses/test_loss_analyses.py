"""Ranks of losses, what explains them and what predicts them: closed forms on small grids."""

import numpy as np
import pytest

from perceptual.studies.losses import analyses, table


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
  rows = [{"task": "t", "network": network, "layer": layer, "score": layer}
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
  assert found["layer"]["spearman"] == pytest.approx(0)
  assert "flops" not in found and found["layer"]["losses"] == 12


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
  assert table.layer(score, [score]) == 4
  random = table.Score("super_resolution", "gaussian-alexnet", "relu5", "", "", "", (1.0,))
  assert table.layer(random, [random]) == 4
