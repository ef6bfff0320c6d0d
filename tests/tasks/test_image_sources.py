"""Photographs by number: of folders, and of a data set that TFDS reads."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.data.labelled import own_images
from perceptual.errors import UserError
from perceptual.tasks import image_sources


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """A folder of data sets of TFDS with `own_images/pets`, of eight images."""
  source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("data")
  rng = np.random.default_rng(0)
  for label in ("cat", "dog"):
    (source / label).mkdir()
    for number in range(4):
      Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(
          source / label / f"{number}.png")
  own_images.prepare(source, folder, name="pets", image_size=8, validation=0.25)
  return folder


def test_a_folder_is_read_in_the_order_of_its_names(data_dir):
  images = image_sources.load("photographs", data_dir, limit=3)
  assert images.names == ("0.png", "1.png", "2.png")
  assert images.sizes == ((48, 60), (49, 60), (50, 60))
  assert images.read(2).shape == (50, 60, 3)
  chosen = images.some([2, 0])
  assert chosen.names == ("2.png", "0.png") and chosen.read(0).shape == (50, 60, 3)


def test_greyscale_files_are_told_from_grey_pictures(tmp_path):
  grey = np.full((8, 8), 100, np.uint8)
  Image.fromarray(grey).save(tmp_path / "a.png")
  Image.fromarray(grey[..., None].repeat(3, axis=-1)).save(tmp_path / "b.png")
  images = image_sources.load(str(tmp_path))
  assert images.greyscale == (True, False)
  np.testing.assert_array_equal(images.read(0), images.read(1))


def test_a_data_set_of_tfds_is_read(prepared):
  images = image_sources.load("tfds:own_images/pets:train", prepared, limit=5)
  assert len(images.names) == 5 and set(images.sizes) == {(8, 8)}
  assert images.read(0).dtype == np.uint8 and images.read(0).std() > 0
  expected = own_images.labelled_images(prepared, name="pets")
  first = next(iter(expected.examples("train")))
  np.testing.assert_array_equal(images.read(0), expected.decode(first["image"]))


@pytest.mark.parametrize(("source", "message"), [
    ("tfds:own_images/pets", "give the split as well"),
    ("tfds:own_images/pets:nothing", "cannot be read from"),
    ("tfds:no_such_data:train", "cannot be read from"),
    (3, "A source of images is a folder or tfds:NAME:SPLIT, not 3"),
])
def test_what_cannot_be_read_is_named(prepared, source, message):
  with pytest.raises(UserError, match=message):
    image_sources.load(source, prepared)


def test_a_data_set_that_an_address_does_not_have_is_named(prepared, monkeypatch):
  """Of addresses TensorFlow's errors arrive as they are."""
  def builder(name, data_dir):
    raise tf.errors.NotFoundError(None, None, "Could not find directory gs://a/b/c")

  monkeypatch.setattr(tfds, "builder", builder)
  with pytest.raises(UserError, match=r"tfds:c:train cannot be read from .*: Could not find dir"):
    image_sources.load("tfds:c:train", prepared)
