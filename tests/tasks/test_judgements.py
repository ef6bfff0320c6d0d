"""How often a loss sides with people: closed form, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual import scores
from perceptual.data.judged import judged_sets
from perceptual.errors import UserError
from perceptual.metrics import classical
from perceptual.tasks import judgements, loss

_PIXELS = loss.Loss(pixels={"mse": 1.0})


def _set(images, answers, *, kind="2afc", subsets=("a",)):
  return judged_sets.JudgedSet(
      name="made", kind=kind, note="made by a test", by_people=False, subsets=tuple(
          judged_sets.Subset(name, tf.data.Dataset.from_tensor_slices(images), answers)
          for name in subsets))


@pytest.fixture(scope="module")
def images():
  names = judged_sets.IMAGE_KEYS["2afc"]
  drawn = np.random.default_rng(0).integers(0, 256, (3, 5, 24, 24, 3), np.uint8)
  return dict(zip(names, drawn, strict=True))


def test_the_score_of_pixels_is_that_of_mean_squared_error(images):
  answers = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
  [found] = judgements.score(
      _PIXELS, [_set(images, answers)], batch_size=2, progress=lambda line: None)
  first, second = ([np.square(one / 255 - other / 255).mean() for one, other in zip(
      images["reference"], images[name])] for name in ("candidate_0", "candidate_1"))
  assert found.measures["score"].mean() == pytest.approx(
      scores.two_afc_score(first, second, answers))
  assert (found.test, found.protocol, len(found.items)) == ("made", "2afc", 5)


def test_similarities_side_with_the_larger(images):
  alike = {**images, "candidate_1": images["reference"]}
  for metric in ("ssim", "mse"):
    found = judgements.score(
        loss.Loss(classical.build(metric)), [_set(alike, np.ones(5), subsets=("a", "b"))],
        progress=lambda line: None)
    assert [(one.test, one.measures["score"].tolist()) for one in found] == [
        ("made/a", 5 * [100.0]), ("made/b", 5 * [100.0])]


def test_it_is_scored_in_full_float32(images):
  noted = []

  class Noting(loss.Loss):
    """The same, noting whether a GPU might compute in a shorter format."""

    def __call__(self, *args):
      noted.append(tf.config.experimental.tensor_float_32_execution_enabled())
      return super().__call__(*args)

  judgements.score(Noting(pixels={"mse": 1.0}), [_set(images, np.ones(5))],
                   progress=lambda line: None)
  assert noted and not any(noted)


def test_pairs_and_small_images_are_refused(images, tiny_metric):
  with pytest.raises(UserError, match="made has no triplets"):
    judgements.score(_PIXELS, [_set(images, np.ones(5), kind="jnd")])
  with pytest.raises(UserError, match="made have 24x24"):
    judgements.score(loss.Loss(tiny_metric("alexnet", ["relu5"])), [_set(images, np.ones(5))])
