import collections

import pytest

from perceptual.data.labelled import class_folders
from perceptual.errors import UserError


def test_split_folders():
  assert class_folders.assign(["train/cat/1.png", "val/cat/1.png", "val/dog/2.png"]) == {
      "train/cat/1.png": ("train", "cat"),
      "val/cat/1.png": ("validation", "cat"),
      "val/dog/2.png": ("validation", "dog"),
  }


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
@pytest.mark.parametrize("wrapping", ["", "photos/", "ILSVRC/Data/CLS-LOC/"])
@pytest.mark.parametrize("below", ["", "images/", "deep/deeper/"])
def test_names_of_the_validation_split_wrapping_folders_and_folders_below(name, wrapping, below):
  names = [f"{wrapping}train/cat/{below}1.png", f"{wrapping}{name}/dog/{below}1.png"]
  assigned = class_folders.assign(names)
  assert list(assigned.values()) == [("train", "cat"), ("validation", "dog")]


def test_val_is_preferred_to_test():
  assigned = class_folders.assign(["test/a/1.png", "train/a/1.png", "val/a/1.png"])
  assert assigned == {"train/a/1.png": ("train", "a"), "val/a/1.png": ("validation", "a")}


def test_images_outside_the_splits_are_left_out():
  assigned = class_folders.assign(["about/1.png", "logo.png", "train/a/1.png", "val/a/1.png"])
  assert set(assigned) == {"train/a/1.png", "val/a/1.png"}


def test_tiny_imagenet_as_published():
  names = ["t/test/images/test_0.JPEG", "t/train/n01/images/n01_0.JPEG",
           "t/val/images/val_0.JPEG", "t/val/images/val_1.JPEG"]
  annotations = {"t/val/val_annotations.txt":
                 b"val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n"}
  assert class_folders.assign(names, annotations=annotations) == {
      "t/train/n01/images/n01_0.JPEG": ("train", "n01"),
      "t/val/images/val_0.JPEG": ("validation", "n02"),
      "t/val/images/val_1.JPEG": ("validation", "n01"),
  }


def test_damaged_annotations():
  names = ["train/n01/images/n01_0.JPEG", "val/images/val_0.JPEG"]
  with pytest.raises(UserError, match=r"val/val_annotations.txt: expected .* 'val_0.JPEG'"):
    class_folders.assign(names, annotations={"val/val_annotations.txt": b"val_0.JPEG\n"})


def photographs(classes, count, folder=""):
  return [f"{folder}{label}/{i}.png" for label in classes for i in range(count)]


@pytest.mark.parametrize("folder", ["", "photos/", "train/", "photos/train/"])
def test_a_tenth_of_every_class_is_held_out(folder):
  assigned = class_folders.assign(photographs(["cat", "dog"], 50, folder), seed=1)
  assert collections.Counter(assigned.values()) == {
      ("train", "cat"): 45, ("validation", "cat"): 5,
      ("train", "dog"): 45, ("validation", "dog"): 5}


def test_held_out_images_are_a_function_of_the_seed_and_the_names():
  names = photographs(["cat", "dog"], 50)
  assigned = class_folders.assign(names, seed=1)
  assert class_folders.assign(names[::-1], seed=1) == assigned
  assert class_folders.assign(names, seed=2) != assigned


def test_one_image_of_two_is_held_out_and_none_of_one():
  assigned = class_folders.assign(["a/1.png", "b/1.png", "b/2.png"])
  assert collections.Counter(assigned.values()) == {
      ("train", "a"): 1, ("train", "b"): 1, ("validation", "b"): 1}


@pytest.mark.parametrize(("share", "count"), [(0.2, 10), (0.01, 1), (0.99, 49)])
def test_the_share_that_is_held_out_may_be_chosen(share, count):
  assigned = class_folders.assign(photographs(["cat", "dog"], 50), held_out=share)
  assert collections.Counter(assigned.values())["validation", "cat"] == count


def test_a_share_is_refused_where_the_folders_tell_what_is_held_out():
  names = photographs(["cat", "dog"], 2, "train/") + photographs(["cat", "dog"], 1, "val/")
  with pytest.raises(UserError, match="The folder 'val' holds the validation images"):
    class_folders.assign(names, held_out=0.2)


def test_a_single_class():
  assigned = class_folders.assign(["photos/cat/1.png", "photos/cat/2.png"])
  assert {label for _, label in assigned.values()} == {"cat"}


def test_a_class_called_train():
  assigned = class_folders.assign(photographs(["bus", "train"], 2))
  assert {label for _, label in assigned.values()} == {"bus", "train"}


@pytest.mark.parametrize("names, culprit", [
    ([], "No images found"),
    (["1.png", "2.png"], "the top folder"),
    (["cat/1.png", "2.png"], "the top folder"),
    (["photos/cat/1.png", "photos/2.png"], "images in photos lie"),
    (["train/1.png", "val/2.png"], "images in train lie"),
    (["train/cat/1.png", "val/2.png"], "images in val lie"),
    (["train/cat/1.png", "val/images/2.png"], "images in val/images lie"),
    (["val/cat/1.png", "val/dog/1.png"], "a folder 'val' but no folder 'train'"),
])
def test_images_that_lie_in_no_class_folder(names, culprit):
  with pytest.raises(UserError, match=culprit) as error:
    class_folders.assign(names)
  assert "\n" not in str(error.value)
