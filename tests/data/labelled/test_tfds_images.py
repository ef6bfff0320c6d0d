"""Labelled images of TFDS, read from a data set that was prepared here."""

import numpy as np
import pytest

from perceptual.data.labelled import own_images, registry
from perceptual.errors import UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A prepared data set, which TFDS finds by its folder."""
  from PIL import Image

  source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("data")
  rng = np.random.default_rng(0)
  for split, count in (("train", 5), ("val", 3)):
    for label in ("cat", "dog"):
      (source / split / label).mkdir(parents=True)
      for number in range(count):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(
            source / split / label / f"{number}.png")
  own_images.prepare(source, folder, name="pets", image_size=8)
  return folder


def test_it_is_read_as_what_it_was_prepared_as(data_dir):
  found = registry.load("tfds", data_dir, name="own_images/pets", validation="validation")
  expected = registry.load("own", data_dir, name="pets")
  assert (found.sizes, found.num_classes, found.image_size) == (
      expected.sizes, expected.num_classes, expected.image_size)
  for part in ("train", "validation"):
    pairs = zip(found.examples(part), expected.examples(part), strict=True)
    for example, other in pairs:
      np.testing.assert_array_equal(found.decode(example["image"]), expected.decode(other["image"]))
      assert int(example["label"]) == int(other["label"])
  outline = registry.outline("tfds", data_dir, name="own_images/pets", validation="validation")
  assert outline.sizes == found.sizes and outline.examples is None


@pytest.mark.parametrize(("options", "message"), [
    ({"name": "own_images/pets"}, "has no split 'test'. Available: train, validation"),
    ({"name": "no_such_data"}, "TFDS has no data set 'no_such_data'"),
])
def test_what_is_not_there_is_named(data_dir, options, message):
  with pytest.raises(UserError, match=message):
    registry.load("tfds", data_dir, **options)
