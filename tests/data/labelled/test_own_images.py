"""One's own images: from folders by class to batches for training, under a name."""

import collections
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.data.judged import references
from perceptual.data.labelled import class_subsets, classification, own_images, registry
from perceptual.errors import UserError


def _save(path, grey, size=(20, 20)):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.full((*size, 3), grey, np.uint8)).save(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  """Ten images each of three classes, whose grey value tells the class."""
  folder = tmp_path_factory.mktemp("own") / "photos"
  for label, name in enumerate(("bee", "cat", "dog")):
    for number in range(10):
      _save(folder / name / f"{number}.png", 50 * label + number)
  return folder


@pytest.fixture(scope="module")
def data_dir(photos):
  own_images.prepare(photos, photos.parent / "data", name="pets-1", image_size=16)
  return photos.parent / "data"


def _labels(images, split):
  return collections.Counter(
      (int(images.decode(example["image"])[0, 0, 0]) // 50, int(example["label"]))
      for example in images.examples(split))


def test_folders_by_class_become_labelled_images(data_dir):
  images = registry.load("own", data_dir, name="pets-1")
  assert (images.name, images.num_classes, images.image_size) == ("own_images/pets-1", 3, 16)
  assert images.sizes == {"train": 27, "validation": 3}
  assert _labels(images, "train") == {(label, label): 9 for label in range(3)}
  assert _labels(images, "validation") == {(label, label): 1 for label in range(3)}
  batch = next(classification.train_batches(images, batch_size=5, seed=0).as_numpy_iterator())
  assert batch["image"].shape == (5, 16, 16, 3)


def test_names_of_classes_that_were_cut_short_are_told(data_dir):
  path = data_dir / "own_images" / "pets-1" / "1.0.0" / "label.labels.txt"
  whole = path.read_bytes()
  path.write_bytes(whole[:len(whole) // 2])
  for read in (registry.load, registry.outline):
    with pytest.raises(UserError, match=r"label.labels.txt is damaged: it has no name for class 2"):
      read("own", data_dir, name="pets-1")
  path.write_bytes(whole)


def test_some_of_the_classes_by_their_folders(data_dir):
  images = registry.load("own", data_dir, name="pets-1", classes=("dog", "bee"))
  assert _labels(images, "train") == {(2, 0): 9, (0, 1): 9}


def test_a_random_choice_of_the_classes_and_its_outline(data_dir):
  options = {"name": "pets-1", "classes": class_subsets.ClassSubset(count=2), "image_size": 24}
  images, outline = (make("own", data_dir, **options) for make in (registry.load, registry.outline))
  assert _labels(images, "train") == {(old, new): 9 for new, old in enumerate(images.classes)}
  assert (images.image_size, images.note) == (24, "resized to 24x24")
  for name in ("name", "note", "num_classes", "image_size", "sizes"):
    assert getattr(outline, name) == getattr(images, name)


def test_tfds_reads_them_too(data_dir):
  builder = tfds.builder("own_images/pets-1", data_dir=data_dir)
  assert builder.info.features["label"].names == ["bee", "cat", "dog"]
  assert builder.info.splits["train"].num_examples == 27


def test_an_archive_with_folders_train_and_val(photos, tmp_path):
  with tarfile.open(tmp_path / "photos.tar", "w") as tar:
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
      for number in numbers:
        for name in ("cat", "dog"):
          tar.add(photos / name / f"{number}.png", f"photos/{split}/{name}/{number}.png")
  report = own_images.prepare(tmp_path / "photos.tar", tmp_path, name="pets")
  assert report.sizes == {"train": 8, "validation": 4}
  assert report.summary() == (
      "own_images/pets:1.0.0 from photos.tar: 8 train images of 2 classes, 4 validation images of "
      "2 classes; 12 of them resized.")


def test_the_share_for_validation_may_be_chosen(photos, tmp_path):
  report = own_images.prepare(photos, tmp_path, name="pets", validation=0.3)
  assert report.sizes == {"train": 21, "validation": 9}


@pytest.mark.parametrize(("options", "told"), [
    ({"image_size": 32}, "image_size 16, not 32"), ({"seed": 1}, "seed 0, not 1"),
    ({"validation": 0.5}, "validation 0.1, not 0.5"),
    ({"source": "others", "seed": 2}, "source photos, not others; seed 0, not 2")])
def test_what_was_prepared_otherwise_is_refused_unless_overwritten(photos, data_dir, options, told):
  given = {"source": photos, "image_size": 16}
  again = own_images.prepare(data_dir=data_dir, name="pets-1", **given)
  assert again.found and again.summary().startswith("Already complete, nothing to do: ")
  with pytest.raises(UserError, match=f"made with {told}: to replace it, overwrite"):
    own_images.prepare(data_dir=data_dir, name="pets-1", **{**given, **options})


def test_a_class_without_training_images_is_told(photos, tmp_path):
  for place in ("train/cat", "train/dog", "val/cat", "val/cow"):
    _save(tmp_path / "photos" / place / "0.png", 0)
  report = own_images.prepare(tmp_path / "photos", tmp_path, name="pets")
  assert report.notes == ["1 of 3 classes, such as 'cow', have no training images, so training "
                          "leaves them out."]
  assert registry.load("own", tmp_path, name="pets").sizes == {"train": 2, "validation": 1}


@pytest.mark.parametrize(("names", "message"), [
    (["1.png", "2.png"], "lie in no class folder; expected <split>/<class>/<image>"),
    (["cats/1.png", "cats/2.png"], "has one class, 'cats'; a classifier needs 2 or more"),
    (["cat/1.png", "dog/1.png"], "has 2 images, of which one could be held out"),
])
def test_images_that_cannot_be_trained_on_are_refused(tmp_path, names, message):
  for name in names:
    _save(tmp_path / "photos" / name, 0)
  with pytest.raises(UserError, match=message) as caught:
    own_images.prepare(tmp_path / "photos", tmp_path / "data", name="pets")
  assert "\n" not in str(caught.value) and str(tmp_path / "photos") in str(caught.value)
  assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("options", "message"), [
    ({"name": "my pets"}, "not 'my pets'"), ({"name": "../x"}, "not '../x'"),
    ({"name": ""}, "not ''"), ({"name": "x", "image_size": 4}, "at least 8, not 4"),
    ({"name": "x", "validation": 1.0}, "below 1, not 1.0"),
    ({"name": "x", "validation": 0.0}, "above 0 .* not 0.0"),
])
def test_illegal_options_are_refused(photos, tmp_path, options, message):
  with pytest.raises(UserError, match=message):
    own_images.prepare(photos, tmp_path, **options)


def test_what_is_not_there_names_the_command(tmp_path):
  with pytest.raises(UserError) as caught:
    registry.load("own", tmp_path, name="pets")
  assert str(caught.value) == (
      f"No data set in {tmp_path}/own_images/pets/1.0.0: prepare it first, with: perceptual "
      f"prepare images --source=DIR_OR_TAR --name=pets --data_dir={tmp_path}")


def test_triplets_can_be_made_of_them(data_dir):
  images, unreadable, altered = references.read("own/pets-1", data_dir, image_size=16, limit=10)
  assert len(images) == 3 and unreadable == altered == {}
  assert sorted(image[0, 0, 0] // 50 for image in images) == [0, 1, 2]
