"""Triplets of two different distortions of one image: what `graded` leaves out, as no rule answers.

Each side has one of `distortions.FAMILIES`, never the other's, at any strength of its range: noise
against blur, a colour cast against JPEG. It is the manner of the `traditional` part of BAPPS (Zhang
et al. 2018), without its chains of distortions. Who answers is said elsewhere: `prepare_teacher`.
"""

import collections

import numpy as np

from perceptual import errors
from perceptual.data import distortions
from perceptual.data.judged import graded

# Tells these draws from those of the graded sets, which have the position in `graded.KINDS` here.
_STREAM = len(graded.KINDS)


def check(*, seed, per_image):
  """Raises a `UserError` unless these are legal for `triplets`."""
  if seed < 0 or per_image < 1:
    raise errors.UserError("Cross-family triplets need seed >= 0 and per_image >= 1. "
                           f"Received: {seed}, {per_image}.")


def triplets(images, *, seed, per_image, counts=None):
  """Makes triplets from images, one after another; they have no answer yet.

  A triplet depends on the seed, its image, the image's index and its own index among that image's
  triplets, and on nothing else. Pairs of families, sides and positions in a family's range are
  drawn with equal chances.

  Args:
    images: as `graded.triplets` takes them.
    seed: a non-negative integer.
    per_image: triplets made from each image, at least 1.
    counts: a `collections.Counter` that receives `identical`: triplets dropped, since a candidate
      is its reference, pixel for pixel, or the other candidate.

  Returns:
    An iterator of dicts: `reference`, `candidate_0` and `candidate_1` uint8 `[height, width, 3]`;
    `family_0` and `family_1`, the names of the candidates' distortions; `id`,
    `cross-<image index>-<triplet index>`.

  Raises:
    UserError: a number is out of range, or (once it is reached) an image is malformed.
  """
  check(seed=seed, per_image=per_image)
  return _triplets(images, seed, per_image, collections.Counter() if counts is None else counts)


def _triplets(images, seed, per_image, counts):
  for image_index, image in enumerate(images):
    image = np.asarray(image)
    graded.check_image(image, image_index)
    for triplet_index in range(per_image):
      rng = np.random.default_rng([seed, _STREAM, image_index, triplet_index])
      triplet = _triplet(image, rng)
      if _has_identical_images(triplet):
        counts["identical"] += 1
        continue
      yield {**triplet, "id": f"cross-{image_index:06d}-{triplet_index:02d}"}


def _triplet(image, rng):
  triplet = {"reference": image}
  names = rng.choice(list(distortions.FAMILIES), size=2, replace=False)
  for side, name in enumerate(names):
    family = distortions.FAMILIES[name]
    triplet[f"candidate_{side}"] = family.apply(image, family.strength(rng.uniform()), rng)
    triplet[f"family_{side}"] = str(name)
  return triplet


def _has_identical_images(triplet):
  return (np.array_equal(triplet["candidate_0"], triplet["reference"])
          or np.array_equal(triplet["candidate_1"], triplet["reference"])
          or np.array_equal(triplet["candidate_0"], triplet["candidate_1"]))
