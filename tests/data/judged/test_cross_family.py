"""Cross-family triplets: what they depend on, what they hold, what is dropped."""

import collections

import numpy as np
import pytest

from perceptual.data import distortions
from perceptual.data.judged import cross_family
from perceptual.data.labelled import demo
from perceptual.errors import UserError


@pytest.fixture(scope="module")
def images():
  return demo.crops("validation", per_photograph=1)[0][:6]


def _made(images, **options):
  return list(cross_family.triplets(images, **{"seed": 3, "per_image": 2, **options}))


def test_two_different_families_distort_the_very_image(images):
  triplets = _made(images, per_image=20)
  for triplet in triplets:
    assert triplet["family_0"] != triplet["family_1"]
    for key in ("reference", "candidate_0", "candidate_1"):
      assert triplet[key].shape == (64, 64, 3) and triplet[key].dtype == np.uint8
    np.testing.assert_array_equal(triplet["reference"], images[int(triplet["id"][6:12])])
    assert not np.array_equal(triplet["candidate_0"], triplet["candidate_1"])
  for side in (0, 1):  # each side has each family: 120 draws of 20 miss one in 500 of them
    assert {t[f"family_{side}"] for t in triplets} >= set(distortions.FAMILIES) - {"saturation"}


def test_a_triplet_depends_on_seed_image_and_indices_alone(images):
  some, again = _made(images), _made(images)
  other_seed, fewer = _made(images, seed=4), _made(images[:2], per_image=1)
  assert [t["id"] for t in some] == [t["id"] for t in again]
  for one, same in zip(some, again):
    np.testing.assert_array_equal(one["candidate_0"], same["candidate_0"])
    np.testing.assert_array_equal(one["candidate_1"], same["candidate_1"])
  assert [t["id"] for t in fewer] == ["cross-000000-00", "cross-000001-00"]
  for one, same in zip(fewer, some[::2]):
    np.testing.assert_array_equal(one["candidate_1"], same["candidate_1"])
  assert any(one["family_0"] != other["family_0"] for one, other in zip(some, other_seed))


def test_candidates_without_a_difference_are_dropped_and_counted():
  counts = collections.Counter()
  grey = np.full((40, 40, 3), 128, np.uint8)  # no blur, warp or saturation shows on it
  made = _made([grey], per_image=60, counts=counts)
  assert counts["identical"] > 10 and len(made) + counts["identical"] == 60
  for triplet in made:
    assert not np.array_equal(triplet["candidate_0"], grey)
    assert not np.array_equal(triplet["candidate_1"], grey)


@pytest.mark.parametrize("options", [{"seed": -1}, {"per_image": 0}])
def test_illegal_numbers_are_refused_before_any_work(images, options):
  with pytest.raises(UserError, match=r"seed >= 0 and per_image >= 1\. Received: "):
    cross_family.triplets(images, **{"seed": 0, "per_image": 1, **options})


def test_what_is_no_image_is_named():
  with pytest.raises(UserError, match=r"image 0, float64 \[64, 64, 3\]"):
    _made([np.zeros((64, 64, 3))])
