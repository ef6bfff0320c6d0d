"""Judged sets of any size, from files to leaderboard, with the scores of `perceptual.scores`."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import perceptual
from perceptual import scores
from perceptual.commands import cli
from perceptual.data.judged import prepare_judged, prepared
from perceptual.evaluation import leaderboard

_METRICS = ("mse", "psnr", "ssim")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Opinions of three references in two sizes, each in five ever noisier versions; and triplets."""
  source, data = (tmp_path_factory.mktemp(name) for name in ("source", "data"))
  rng = np.random.default_rng(0)
  opinions, triplets = ["reference,distorted,score"], ["reference,a,b,p"]
  for name, shape in (("x", (24, 32, 3)), ("y", (24, 32, 3)), ("z", (32, 24, 3))):
    clean = rng.uniform(60, 200, shape)
    for level in range(6):
      pixels = np.clip(clean + 8 * level * rng.normal(size=shape), 0, 255).astype(np.uint8)
      Image.fromarray(pixels).save(source / f"{name}{level}.png")
      if level:
        opinions.append(f"{name}0.png,{name}{level}.png,{5 - level + rng.normal() / 4:.3f}")
    triplets += [f"{name}0.png,{name}{a}.png,{name}{b}.png,{0.1 if a < b else 0.9}"
                 for a, b in ((1, 3), (4, 2), (2, 5), (5, 1))]
  (source / "opinions.csv").write_text("\n".join(opinions))
  (source / "triplets.csv").write_text("\n".join(triplets))
  for name, options in (("opinions", {"direction": "higher_is_better"}), ("triplets", {})):
    prepare_judged.prepare(source, data, name=name, table=f"{name}.csv", **options)
  return data


def _evaluate(data_dir, output_dir, name, *more):
  with pytest.raises(SystemExit) as stopped:
    cli.main(["evaluate", *(f"--metric={metric}" for metric in _METRICS),
              f"--dataset=judged/{name}", f"--data_dir={data_dir}", f"--output_dir={output_dir}",
              *more])
  return stopped.value.code


def _distances(judged, metric):
  sign = 1 if metric.lower_is_better else -1
  return sign * np.array([[float(np.asarray(metric(
      judged.image(reference)[None], judged.image(candidate)[None]))[0])
      for candidate in candidates] for reference, *candidates in judged.examples])


@pytest.mark.parametrize("name", ["opinions", "triplets"])
def test_from_files_to_leaderboard(name, data_dir, tmp_path, capsys):
  assert not _evaluate(data_dir, tmp_path, name)
  out = capsys.readouterr().out
  assert all(metric in out for metric in _METRICS) and "bootstrap of references" in out
  judged = prepared.load_judged(name, data_dir)
  written = json.loads((tmp_path / "scores.json").read_text("utf-8"))
  with (tmp_path / "distances.csv").open(newline="") as stream:
    rows = list(csv.DictReader(stream))
  for label in _METRICS:
    expected = _distances(judged, perceptual.load_metric(label))
    found = np.array([float(row[label]) for row in rows]).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if name == "triplets":
      score, value = "two_afc", scores.two_afc_score(*found.T, judged.answers)
    else:
      score, value = "srcc", scores.srcc(found[:, 0], judged.answers, higher_is_better=True)
    shown = written["scores"][score][label]
    assert shown["value"] == pytest.approx(value)
    assert shown["low"] <= shown["value"] <= shown["high"] and shown["references"] == 3
  assert len(written["differences"]) == 3
  assert {row["answer"] for row in rows} == {str(answer) for answer in judged.answers}


def test_the_best_metric_stands_first_and_beats_by_more_than_chance(data_dir):
  judged = prepared.load_judged("opinions", data_dir)
  rng = np.random.default_rng(1)
  right = -judged.answers[:, None]
  board = leaderboard.score(judged, {"noise": rng.normal(size=right.shape), "right": right})
  assert board.ranked() == ["right", "noise"]
  assert board.scores["srcc"]["right"].value == pytest.approx(1)
  lines = leaderboard.text(board).splitlines()
  assert next(line for line in lines if line.startswith("right")).endswith("noise")
  constant = leaderboard.score(judged, {"constant": np.ones_like(right), "right": right})
  assert constant.ranked() == ["right", "constant"]
  assert "constant, SRCC: undefined" in leaderboard.text(constant)


@pytest.mark.parametrize(("name", "more", "message"), [
    ("nothing", (), "No judged set 'nothing' in "),
    ("opinions", ("--gin_param=evaluate.resamples = 2",), "Gin settings have no effect"),
    ("triplets", ("--metric=mse",), "The metric mse is given twice."),
])
def test_mistakes_are_one_line_and_nothing_is_written(
    name, more, message, data_dir, tmp_path, capsys):
  assert _evaluate(data_dir, tmp_path / "out", name, *more) in (1, 2)
  error, = capsys.readouterr().err.splitlines()
  assert message in error and not (tmp_path / "out").exists()
