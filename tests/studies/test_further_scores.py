"""Checkpoints scored after training: as the metric itself scores, by any distance and tap."""

import csv

import numpy as np
import pytest
from PIL import Image

from perceptual import loading
from perceptual.data.images.view import View
from perceptual.data.judged import judged_sets, prepare_judged, prepared
from perceptual.evaluation import own_sets, scores
from perceptual.studies import further_scores
from perceptual.studies.analyses import by_reference


@pytest.fixture(scope="module")
def metric():
  return loading.load_metric("gaussian-resnet6")


def _score(rows, distance, tap="sum"):
  """The score of the mean over subsets in rows, and its interval."""
  found, = (row for row in rows if row[2:5] == ["mean", distance, tap])
  return [float(value) for value in found[5:]]


def _expected(metric, judged, images):
  reference, *candidates = images
  return scores.two_afc_score(
      *(np.asarray(metric(np.stack(reference), np.stack(candidate))) for candidate in candidates),
      judged)


def test_triplets_are_scored_as_the_metric_scores_them(metric):
  judged = judged_sets.load("graded/nuisance", limit=6)
  rows = further_scores.scorer(judged, metric, ("local", "style"), lambda count: None)(7)
  assert {(row[0], row[1], row[3]) for row in rows} == {
      ("7", "graded/nuisance", "local"), ("7", "graded/nuisance", "style")}
  subset, = judged.subsets
  images = [[example[side] for example in subset.images.as_numpy_iterator()]
            for side in ("reference", "candidate_0", "candidate_1")]
  assert _score(rows, "local")[0] == pytest.approx(
      _expected(metric, subset.answers, images), abs=1e-4)


def test_judgements_of_one_s_own_are_scored_in_their_view(metric, tmp_path):
  judged, view = _prepared(tmp_path), View(image_size=32)
  own = by_reference.OwnSet(judged, view)
  assert own.name == own_sets.title("judged/mine:image_size=32") == "judged/mine at 32 pixels"
  score_at = further_scores.scorer(own, metric, ("local", "style"), lambda count: None)
  rows = score_at(7)
  assert {row[4] for row in rows} == {"sum", *metric.taps}
  score, low, high = _score(rows, "local")
  images = [[view(judged.image(index)) for index in column] for column in judged.examples.T]
  assert score == pytest.approx(_expected(metric, judged.answers, images), abs=1e-4)
  assert low <= score <= high
  for weight in metric.trunk.weights:  # of another checkpoint
    weight.assign(np.roll(weight, 1))
  other = _expected(metric, judged.answers, images)
  assert _score(score_at(8), "local")[0] == pytest.approx(other, abs=1e-4) and other != score


def _prepared(folder):
  """Twelve triplets of four pictures, some with an answer that no metric would give."""
  rng, rows = np.random.default_rng(0), []
  for picture in range(4):
    plain = rng.integers(40, 200, (48, 48, 3))
    for level in range(4):
      noisy = plain + level * rng.integers(-12, 13, plain.shape)
      Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{picture}_{level}.png")
    rows += [(f"{picture}_0.png", f"{picture}_{near}.png", f"{picture}_{far}.png", share)
             for near, far, share in ((1, 2, 0.2), (1, 3, 0.0), (2, 3, 0.6))]
  with (folder / "triplets.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("reference", "a", "b", "p"), *rows])
  prepare_judged.prepare(folder, folder / "data", name="mine")
  return prepared.load_judged("mine", folder / "data")
