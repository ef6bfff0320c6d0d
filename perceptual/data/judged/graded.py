"""The `graded` 2AFC sets: triplets made from any images, whose right answer needs no human.

* `monotone`: one family of distortions at two strengths; the weaker is closer. A sanity check,
  which even the mean squared error (L2) nearly passes.
* `nuisance`: a change that no viewer minds against plain damage; the harmless one is closer. On
  shifts and rotations L2 does worse than guessing, so the set tells metrics apart.

No human judged these triplets, and a score on them is not a score on BAPPS: `LABEL` accompanies
every one that is shown. On 64x64 Tiny-ImageNet validation images L2 gets about 99 on `monotone` and
65 on `nuisance`.
"""

import collections

import numpy as np

from perceptual import errors
from perceptual.data import distortions

LABEL = "graded: right answers by construction, no human judged"
KINDS = ("monotone", "nuisance")

# How far apart the two strengths of `monotone` are, as a position in the family's range of 0 to 1:
# a ratio of 1.6 to 2.3, plain to see side by side.
STEP = 0.3

# A triplet whose worse candidate hardly differs from its reference has no visible right answer:
# the blur of a clear sky, the saturation of a grey image. Below this root mean square difference
# (levels of 255) a triplet is drawn again, up to DRAWS times. For `nuisance` an image must besides
# show every damage, at its weakest: else smooth images would get the noise and none of the blur.
VISIBLE = {"monotone": 5.0, "nuisance": 8.0}
DRAWS = 10


def check(kind, *, seed, per_image):
  """Raises a `UserError` unless these are legal for `triplets`."""
  if kind not in KINDS:
    raise errors.unknown("graded kind", kind, KINDS)
  if seed < 0 or per_image < 1:
    raise errors.UserError("Graded triplets need seed >= 0 and per_image >= 1. "
                           f"Received: {seed}, {per_image}.")


def triplets(images, kind, *, seed, per_image, counts=None):
  """Makes triplets from images, one after another.

  A triplet depends on the seed, the kind, its image, the image's index and its own index among
  that image's triplets, and on nothing else: neither on the other images nor on their order of
  processing. Families (pairs of families in `nuisance`) and sides are drawn with equal chances.

  Args:
    images: uint8 `[n, height, width, 3]`, or an iterable of uint8 `[height, width, 3]`; sides of
      at least 32 pixels. Strengths suit images of about 64x64.
    kind: one of `KINDS`.
    seed: a non-negative integer.
    per_image: triplets made from each image, at least 1.
    counts: a `collections.Counter` that receives `triplets` (made), `redrawn` (draws refused since
      their answer could not be seen) and `skipped` (triplets not made, since the image shows too
      little of the distortions).

  Returns:
    An iterator of dicts: `reference`, `candidate_0` and `candidate_1` uint8 `[height, width, 3]`;
    `judge` float32, the fraction preferring `candidate_1`, here 0 or 1; `family_0` and `family_1`,
    the names of the candidates' distortions; `id`, `<kind>-<image index>-<triplet index>`.

  Raises:
    UserError: the kind is unknown, a number is out of range, or (once it is reached) an image is
      not as said above.
  """
  check(kind, seed=seed, per_image=per_image)
  counts = collections.Counter() if counts is None else counts
  return _triplets(images, kind, seed, per_image, counts)


def _triplets(images, kind, seed, per_image, counts):
  for image_index, image in enumerate(images):
    image = np.asarray(image)
    check_image(image, image_index)
    if kind == "nuisance" and not _shows_every_damage(image):
      counts["skipped"] += per_image
      continue
    for triplet_index in range(per_image):
      rng = np.random.default_rng([seed, KINDS.index(kind), image_index, triplet_index])
      triplet = _triplet(image, kind, rng, counts)
      if triplet is None:
        counts["skipped"] += 1
        continue
      counts["triplets"] += 1
      yield {**triplet, "id": f"{kind}-{image_index:06d}-{triplet_index:02d}"}


def check_image(image, index):
  """Raises a `UserError` unless an array is an image that `triplets` takes; `index` names it."""
  if (image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3
      or min(image.shape[:2]) < distortions.MIN_SIDE):
    side = distortions.MIN_SIDE
    raise errors.UserError(
        f"Triplets need images of uint8 [height, width, 3], at least {side}x{side}. "
        f"Received: image {index}, {image.dtype} {list(image.shape)}.")


def _root_mean_square(reference, candidate):
  return np.sqrt(np.mean((candidate.astype(float) - reference) ** 2))


def _shows_every_damage(image):
  rng = np.random.default_rng(0)
  return all(
      _root_mean_square(image, family.apply(image, family.weakest, rng)) >= VISIBLE["nuisance"]
      for family in distortions.DAMAGE.values())


def _triplet(image, kind, rng, counts):
  """Returns a triplet of which the right answer shows, or None."""
  for _ in range(DRAWS):
    (closer, closer_family), (farther, farther_family) = _DRAW[kind](image, rng)
    if _answer_shows(image, closer, farther, VISIBLE[kind]):
      return _on_random_sides(image, closer, closer_family, farther, farther_family, rng)
    counts["redrawn"] += 1
  return None


def _draw_monotone(image, rng):
  """Draws one family at two strengths; each has its own sign, direction or pattern."""
  name = rng.choice(list(distortions.FAMILIES))
  family = distortions.FAMILIES[name]
  weak = rng.uniform(0.0, 1.0 - STEP)
  return tuple(
      (family.apply(image, family.strength(position), rng), name)
      for position in (weak, weak + STEP))


def _draw_nuisance(image, rng):
  """Draws a harmless change and a damage, each at any strength of its range."""
  drawn = []
  for table in (distortions.HARMLESS, distortions.DAMAGE):
    name = rng.choice(list(table))
    family = table[name]
    drawn.append((family.apply(image, family.strength(rng.uniform()), rng), name))
  return tuple(drawn)


_DRAW = {"monotone": _draw_monotone, "nuisance": _draw_nuisance}


def _answer_shows(reference, closer, farther, visible):
  # L2 decides here only whether the damage is there at all, never which candidate is closer.
  return (_root_mean_square(reference, farther) >= visible
          and not np.array_equal(closer, reference)
          and not np.array_equal(closer, farther))


def _on_random_sides(reference, closer, closer_family, farther, farther_family, rng):
  judge = int(rng.integers(2))
  sides = [(farther, farther_family), (closer, closer_family)]
  (candidate_0, family_0), (candidate_1, family_1) = sides if judge else sides[::-1]
  return {
      "reference": reference,
      "candidate_0": candidate_0,
      "candidate_1": candidate_1,
      "judge": np.float32(judge),
      "family_0": str(family_0),
      "family_1": str(family_1),
  }
