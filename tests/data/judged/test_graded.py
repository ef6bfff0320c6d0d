"""Graded triplets: determinism, balance, legality, no degenerate triplet, and L2's known scores."""

import collections

import numpy as np
import pytest

from perceptual.data import distortions
from perceptual.data.images import image_files
from perceptual.data.judged import graded
from perceptual.data.labelled import demo
from perceptual.errors import UserError


@pytest.fixture(scope="module")
def images():
  return demo.crops("validation", per_photograph=20)[0]


@pytest.fixture(scope="module", params=graded.KINDS)
def made(request, images):
  counts = collections.Counter()
  triplets = list(graded.triplets(images, request.param, seed=0, per_image=2, counts=counts))
  return request.param, triplets, counts


def assert_same(triplet, other):
  assert triplet.keys() == other.keys()
  for key, value in triplet.items():
    np.testing.assert_array_equal(value, other[key])


def farther_and_closer(triplet):
  """Returns (candidate, family) of the farther and of the closer candidate."""
  sides = [(triplet[f"candidate_{i}"], triplet[f"family_{i}"]) for i in (0, 1)]
  return sides if triplet["judge"] else sides[::-1]


def l2_scores(triplets):
  """Returns the 2AFC (0, 0.5 or 1) of the mean squared error on each triplet."""
  right = []
  for triplet in triplets:
    (farther, _), (closer, _) = farther_and_closer(triplet)
    reference = triplet["reference"].astype(float)
    errors = [np.mean((candidate - reference) ** 2) for candidate in (closer, farther)]
    right.append(0.5 + 0.5 * np.sign(errors[1] - errors[0]))
  return np.array(right)


def test_triplets_are_as_promised(made):
  kind, triplets, _ = made
  for triplet in triplets:
    assert set(triplet) == {"reference", "candidate_0", "candidate_1", "judge", "family_0",
                            "family_1", "id"}
    for key in ("reference", "candidate_0", "candidate_1"):
      assert triplet[key].dtype == np.uint8
      assert triplet[key].shape == (64, 64, 3)
    assert triplet["judge"].dtype == np.float32
    assert triplet["judge"] in (0.0, 1.0)
    assert triplet["id"].startswith(kind)
    assert type(triplet["family_0"]) is type(triplet["family_1"]) is str
  assert len({triplet["id"] for triplet in triplets}) == len(triplets)


def test_no_triplet_is_degenerate(made):
  kind, triplets, _ = made
  for triplet in triplets:
    reference, first, second = (
        triplet[key].astype(float) for key in ("reference", "candidate_0", "candidate_1"))
    assert np.any(first != reference)
    assert np.any(second != reference)
    assert np.any(first != second)
    farther = farther_and_closer(triplet)[0][0]
    assert np.sqrt(np.mean((farther - reference) ** 2)) >= graded.VISIBLE[kind]


def test_sides_are_balanced(made):
  _, triplets, _ = made
  share = np.mean([triplet["judge"] for triplet in triplets])
  assert share == pytest.approx(0.5, abs=2.5 / np.sqrt(len(triplets)))


def test_counts_add_up(made, images):
  _, triplets, counts = made
  assert counts["triplets"] == len(triplets)
  assert counts["triplets"] + counts["skipped"] == 2 * len(images)


def test_monotone_is_one_family_and_the_weaker_is_closer(images):
  seen = collections.Counter()
  for triplet in graded.triplets(images, "monotone", seed=1, per_image=2):
    (farther, family), (closer, same) = farther_and_closer(triplet)
    assert family == same
    seen[family] += 1
    if distortions.FAMILIES[family].group == "noise":
      reference = triplet["reference"].astype(float)
      assert np.mean((closer - reference) ** 2) < np.mean((farther - reference) ** 2)
  assert set(seen) == set(distortions.FAMILIES)


def test_nuisance_pairs_harmless_with_damage_equally_often(images):
  seen = collections.Counter()
  for triplet in graded.triplets(images, "nuisance", seed=1, per_image=8):
    (_, damage), (_, harmless) = farther_and_closer(triplet)
    seen[harmless, damage] += 1
  assert set(seen) == {(h, d) for h in distortions.HARMLESS for d in distortions.DAMAGE}
  expected = seen.total() / len(seen)
  # Five standard deviations of a count: a pair that is favoured or starved stands out.
  assert max(abs(count - expected) for count in seen.values()) < 5 * np.sqrt(expected)


@pytest.mark.parametrize("kind", graded.KINDS)
def test_the_same_seed_gives_the_same_triplets_and_another_seed_others(kind, images):
  first, again, other = (
      list(graded.triplets(images[:20], kind, seed=seed, per_image=1)) for seed in (3, 3, 4))
  for triplet, same in zip(first, again, strict=True):
    assert_same(triplet, same)
  differing = sum(
      not np.array_equal(a["candidate_0"], b["candidate_0"]) for a, b in zip(first, other))
  assert differing == len(first)


@pytest.mark.parametrize("kind", graded.KINDS)
def test_a_triplet_depends_on_no_other_image_nor_on_how_many_are_made(kind, images):
  alone = {t["id"]: t for t in graded.triplets(images[:10], kind, seed=0, per_image=1)}
  others = images.copy()
  others[:9] = images[10:19]
  beside = {t["id"]: t for t in graded.triplets(iter(others), kind, seed=0, per_image=3)}
  shared = [i for i in alone if i.startswith(f"{kind}-000009")]
  assert shared
  for i in shared:
    assert_same(alone[i], beside[i])


@pytest.mark.parametrize("kind", graded.KINDS)
def test_flat_images_are_skipped_and_counted(kind, images):
  black, grey = (np.full((64, 64, 3), level, np.uint8) for level in (0, 128))
  counts = collections.Counter()
  triplets = list(graded.triplets(
      [black, images[7], grey], kind, seed=0, per_image=2, counts=counts))
  on_flat = [triplet for triplet in triplets if "-000001-" not in triplet["id"]]
  assert len(on_flat) < len(triplets)
  assert counts["skipped"] == 6 - len(triplets)
  if kind == "nuisance":
    assert not on_flat
  for triplet in on_flat:  # They show noise or a tint, but no blur and no warp.
    assert distortions.FAMILIES[triplet["family_0"]].group not in ("blur", "spatial")


def test_l2_on_real_photographs(testdata):
  """The sanity check: L2 nearly passes `monotone`, and fails `nuisance` where things move."""
  files = [file for file in image_files.image_files(testdata / "data" / "tiny-imagenet-100.tar.xz")
           if file.name.startswith("val/")]
  references = [file.decode() for file in files[::12]]
  monotone, nuisance = (
      list(graded.triplets(references, kind, seed=0, per_image=1)) for kind in graded.KINDS)
  assert 97.0 < 100 * l2_scores(monotone).mean() < 100.0
  scores = l2_scores(nuisance)
  assert 55.0 < 100 * scores.mean() < 72.0
  pairs = [(closer[1], farther[1]) for farther, closer in map(farther_and_closer, nuisance)]

  def score_on(pair):
    return np.mean([score for score, its_pair in zip(scores, pairs) if its_pair == pair])

  assert score_on(("small_shift", "strong_jpeg")) < 0.26
  assert score_on(("flatter", "heavy_noise")) > 0.9


def test_the_label_says_that_nobody_judged():
  assert graded.LABEL.startswith("graded")
  assert "no human judged" in graded.LABEL


@pytest.mark.parametrize("options, culprit", [
    ({"kind": "hard"}, "'hard'"),
    ({"seed": -1}, "-1"),
    ({"per_image": 0}, "0"),
])
def test_bad_options_are_refused_at_once(images, options, culprit):
  arguments = {"kind": "monotone", "seed": 0, "per_image": 1, **options}
  with pytest.raises(UserError, match=culprit) as error:
    graded.triplets(images, arguments.pop("kind"), **arguments)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("image", [
    np.zeros((64, 64, 3), np.float32),
    np.zeros((64, 64), np.uint8),
    np.zeros((64, 64, 4), np.uint8),
    np.zeros((64, 16, 3), np.uint8),
])
def test_bad_images_are_named(images, image):
  with pytest.raises(UserError, match="image 1") as error:
    list(graded.triplets([images[0], image], "monotone", seed=0, per_image=1))
  assert "\n" not in str(error.value)
