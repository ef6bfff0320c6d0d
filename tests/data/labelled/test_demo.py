"""Demo data: no network, no shared pixel, determinism, balance, credits."""

import socket

import numpy as np
import pytest

from perceptual.data.labelled import demo
from perceptual.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
  def refuse(*args, **kwargs):
    raise AssertionError("the demo data went to the network")

  monkeypatch.setattr(socket, "socket", refuse)
  monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture(scope="module")
def crops():
  return {split: demo.crops(split, per_photograph=12) for split in demo.SPLITS}


def test_every_photograph_is_there_with_its_credits():
  assert 15 <= demo.NUM_CLASSES == len(demo.PHOTOGRAPHS) == len(set(demo.CLASS_NAMES))
  for photograph in demo.PHOTOGRAPHS:
    image = demo.load(photograph)
    assert image.mode == "RGB"
    assert min(image.size) > demo.SMALLEST_CROP
    assert photograph.title
    assert photograph.author
    assert photograph.licence


def test_some_of_the_photographs():
  images = demo.labelled_images(
      classes=[demo.CLASS_NAMES[3], 0], train_per_photograph=2, validation_per_photograph=1)
  assert (images.num_classes, images.classes) == (2, (3, 0))
  assert images.sizes == {"train": 4, "validation": 2}


@pytest.mark.parametrize("split", demo.SPLITS)
def test_crops_are_balanced_and_of_the_promised_type(crops, split):
  images, labels = crops[split]
  assert images.shape == (12 * demo.NUM_CLASSES, 64, 64, 3)
  assert images.dtype == np.uint8
  assert labels.dtype == np.int64
  np.testing.assert_array_equal(np.bincount(labels), 12)
  np.testing.assert_array_equal(labels[:demo.NUM_CLASSES], np.arange(demo.NUM_CLASSES))


def test_regions_of_the_splits_share_no_pixel_and_hold_every_column():
  for photograph in demo.PHOTOGRAPHS:
    width, height = demo.load(photograph).size
    used = np.zeros((height, width), int)
    for split in demo.SPLITS:
      for left, top, right, bottom in demo.regions(width, height, split):
        used[top:bottom, left:right] += 1
    assert used.min() == used.max() == 1


@pytest.mark.parametrize("split", demo.SPLITS)
def test_crops_come_from_their_region_alone(monkeypatch, split):
  """In photographs that are white in the split's region and black elsewhere, crops are white."""

  def painted(photograph):
    image = demo.Image.new("RGB", (300, 200))
    for box in demo.regions(300, 200, split):
      image.paste("white", box)
    return image

  monkeypatch.setattr(demo, "load", painted)
  images, _ = demo.crops(split, per_photograph=20)
  assert images.min() == 255


def test_small_photographs_give_smaller_crops(monkeypatch):
  noise = np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)
  monkeypatch.setattr(demo, "load", lambda photograph: demo.Image.fromarray(noise))
  for split in demo.SPLITS:
    images, _ = demo.crops(split, per_photograph=1)
    assert images.shape[1:] == (64, 64, 3)
    assert images.std() > 10


def test_crops_are_deterministic_and_more_of_them_append(crops):
  images, labels = demo.crops("train", per_photograph=15)
  np.testing.assert_array_equal(images[:len(crops["train"][0])], crops["train"][0])
  np.testing.assert_array_equal(labels[:len(crops["train"][1])], crops["train"][1])
  others, _ = demo.crops("train", seed=1, per_photograph=12)
  assert not np.array_equal(others, crops["train"][0])


def test_few_crops_are_bare(crops):
  images, _ = crops["train"]
  assert np.mean(images.std(axis=(1, 2)).mean(axis=-1) < demo.MIN_CONTRAST) < 0.05


def test_mean_colours_tell_the_photographs_apart(crops):
  """The task can be learned across the split: the nearest mean colour is right far above chance."""
  images, _ = crops["train"]
  means = images.mean(axis=(1, 2)).reshape(-1, demo.NUM_CLASSES, 3).mean(axis=0)
  validation, answers = crops["validation"]
  distances = np.linalg.norm(validation.mean(axis=(1, 2))[:, np.newaxis] - means, axis=-1)
  assert np.mean(distances.argmin(axis=1) == answers) > 4 / demo.NUM_CLASSES


def test_example_pair_is_what_l2_gets_wrong():
  reference, candidates = demo.example_pair()
  assert list(candidates) == ["shifted", "blurred"]
  for image in (reference, *candidates.values()):
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint8
  error = {name: np.mean((image.astype(float) - reference) ** 2)
           for name, image in candidates.items()}
  assert error["blurred"] < error["shifted"] / 2


def test_the_label_says_demo():
  assert demo.LABEL.startswith("demo")
  assert str(demo.NUM_CLASSES) in demo.LABEL


@pytest.mark.parametrize("call, culprit", [
    (lambda: demo.crops("test"), "'test'"),
    (lambda: demo.crops("train", per_photograph=0), "0"),
    (lambda: demo.crops("train", seed=-1), "-1"),
    (lambda: demo.load(demo.PHOTOGRAPHS[0]._replace(package="no_such_package")), "no_such_package"),
    (lambda: demo.load(demo.PHOTOGRAPHS[0]._replace(file="data/eagle.png")), "eagle"),
])
def test_mistakes_are_one_line(call, culprit):
  with pytest.raises(UserError, match=culprit) as error:
    call()
  assert "\n" not in str(error.value)
