"""Labelled crops of the free photographs that ship inside scikit-image and scikit-learn.

They let everything be tried without a download: the label is *which photograph* a crop comes from,
a task that a small network learns in minutes. It is a demonstration, no benchmark, and `LABEL`
goes wherever its numbers are shown.

Only photographs whose package states that they are free are used, and their files are opened by
path: the packages' own loaders may go to the network for a file that they miss.
"""

import importlib.util
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageStat, UnidentifiedImageError

from perceptual import errors
from perceptual.common import packages
from perceptual.data import distortions

IMAGE_SIZE = 64
SPLITS = ("train", "validation")
PER_PHOTOGRAPH = {"train": 240, "validation": 60}

# A crop's side, in pixels of its photograph, before it is resized to IMAGE_SIZE.
SMALLEST_CROP = 64
LARGEST_CROP = 192

# Validation crops come from these columns (as fractions of the width), training crops from the
# columns on either side. Off centre, so that training sees most of each photograph's subject.
VALIDATION_COLUMNS = (0.6, 0.8)

# A crop of bare sky or background says nothing about its photograph: it is drawn again, up to
# DRAWS times, while the standard deviation over its pixels (of 255, mean of the channels) is below
# MIN_CONTRAST.
MIN_CONTRAST = 10.0
DRAWS = 20

# The part of the Chinese pavilion that `example_pair` shows, and its size there.
EXAMPLE_BOX = (128, 64, 384, 320)
EXAMPLE_SIZE = (128, 128)


class Photograph(NamedTuple):
  """A photograph and its credits, as the package that ships it states them.

  Attributes:
    package: `skimage` or `sklearn`.
    file: its path inside the package.
    title: what it shows.
    author: who made it, or where the package has it from.
    licence: the terms stated.
  """

  package: str
  file: str
  title: str
  author: str
  licence: str


PHOTOGRAPHS = (
    Photograph("skimage", "data/astronaut.png", "Astronaut Eileen Collins",
               "NASA Great Images database", "public domain"),
    Photograph("skimage", "data/brick.png", "Brick wall",
               "CC0Textures, Bricks25", "CC0"),
    Photograph("skimage", "data/camera.png", "Man with a camera",
               "Lav Varshney", "CC0"),
    Photograph("skimage", "data/cell.png", "Cell floating in saline (phase image)",
               "Paul Müller et al., Optics Express 26(8), 2018", "CC0"),
    Photograph("skimage", "data/chelsea.png", "Chelsea the cat",
               "Stefan van der Walt", "CC0"),
    Photograph("skimage", "data/clock_motion.png", "Motion-blurred clock",
               "Stefan van der Walt", "public domain"),
    Photograph("skimage", "data/coffee.png", "Coffee cup (courtesy of Pikolo Espresso Bar)",
               "Rachel Michetti", "CC0"),
    Photograph("skimage", "data/coins.png", "Greek coins from Pompeii",
               "Brooklyn Museum Collection", "no known copyright restrictions"),
    Photograph("skimage", "data/grass.png", "Grass",
               "linolafett, DeviantArt, Grass-01", "CC0"),
    Photograph("skimage", "data/gravel.png", "Gravel",
               "CC0Textures, Gravel04", "CC0"),
    Photograph("skimage", "data/hubble_deep_field.jpg", "Hubble eXtreme Deep Field",
               "NASA, HubbleSite", "public domain"),
    Photograph("skimage", "data/ihc.png", "Colonic glands, immunohistochemical staining",
               "Center for Microscopy And Molecular Imaging", "no known copyright restrictions"),
    Photograph("skimage", "data/retina.jpg", "Human retina",
               "Mikael Häggström, WikiJournal of Medicine 1(2), 2014", "CC0"),
    Photograph("skimage", "data/rocket.jpg", "Launch of DSCOVR on Falcon 9",
               "SpaceX", "public domain"),
    Photograph("skimage", "data/text.png", "Handwritten text",
               "Wikipedia, File:Corner.png", "public domain"),
    Photograph("sklearn", "datasets/images/china.jpg", "Chinese pavilion",
               "danielbuechele, Flickr", "CC BY 2.0"),
    Photograph("sklearn", "datasets/images/flower.jpg", "Flower",
               "vultilion, Flickr (linked by the package; its text names danielbuechele)",
               "CC BY 2.0"),
)

NUM_CLASSES = len(PHOTOGRAPHS)
CLASS_NAMES = tuple(pathlib.PurePosixPath(photograph.file).stem for photograph in PHOTOGRAPHS)

LABEL = (f"demo: crops of {NUM_CLASSES} photographs, label = which photograph; "
         "a demonstration, no benchmark")


def load(photograph):
  """Reads one of `PHOTOGRAPHS` from the installed package, grey ones as RGB.

  Returns:
    A `PIL.Image.Image` in mode RGB.

  Raises:
    UserError: the package, or the file in it, is not there or cannot be read.
  """
  packages.require(photograph.package, extra="demo", purpose="The demo data set")
  path = pathlib.Path(importlib.util.find_spec(photograph.package).origin).parent / photograph.file
  try:
    with Image.open(path) as image:
      return image.convert("RGB")
  except (OSError, UnidentifiedImageError) as error:
    raise errors.UserError(
        f"The demo photograph {path} cannot be read ({error}); "
        f"install a version of {photograph.package!r} that ships it.") from error


def regions(width, height, split):
  """Returns the boxes (left, top, right, bottom) of a photograph that belong to a split.

  The boxes of the two splits share no pixel.
  """
  first, last = (round(fraction * width) for fraction in VALIDATION_COLUMNS)
  return {
      "train": [(0, 0, first, height), (last, 0, width, height)],
      "validation": [(first, 0, last, height)],
  }[split]


def _random_box(boxes, rng):
  """Returns a random square inside one of the boxes, wider boxes more often."""
  widths = np.array([right - left for left, _, right, _ in boxes], float)
  left, top, right, bottom = boxes[rng.choice(len(boxes), p=widths / widths.sum())]
  room = min(right - left, bottom - top)
  side = rng.integers(min(SMALLEST_CROP, room), min(LARGEST_CROP, room), endpoint=True)
  x = rng.integers(left, right - side, endpoint=True)
  y = rng.integers(top, bottom - side, endpoint=True)
  return x, y, x + side, y + side


def _random_crop(image, boxes, rng):
  for _ in range(DRAWS):
    box = _random_box(boxes, rng)
    crop = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX, box=box)
    if np.mean(ImageStat.Stat(crop).stddev) >= MIN_CONTRAST:
      break
  return np.asarray(crop)


def crops(split, *, seed=0, per_photograph=None):
  """Returns labelled square crops, equally many from each photograph.

  Sides are drawn from 64 to 192 pixels (fewer where a photograph is smaller) and box-resized to
  64. Training and validation crops share no pixel of any photograph. The labels go round and
  round, so every run of `NUM_CLASSES` examples holds each photograph once; more crops per
  photograph append to the same ones.

  Args:
    split: `'train'` or `'validation'`.
    seed: a non-negative integer; the same seed gives the same crops.
    per_photograph: how many crops of each; by default `PER_PHOTOGRAPH[split]`.

  Returns:
    `(images, labels)`: uint8 `[n, 64, 64, 3]` and int64 `[n]` in `0..NUM_CLASSES - 1`, the index
    into `PHOTOGRAPHS` and `CLASS_NAMES`.

  Raises:
    UserError: the split is unknown, a number is out of range, or a photograph is missing.
  """
  if split not in SPLITS:
    raise errors.unknown("demo split", split, SPLITS)
  per_photograph = PER_PHOTOGRAPH[split] if per_photograph is None else per_photograph
  if per_photograph < 1 or seed < 0:
    raise errors.UserError("Demo crops need per_photograph >= 1 and seed >= 0. "
                           f"Received: {per_photograph}, {seed}.")
  images = np.empty((per_photograph, NUM_CLASSES, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
  for label, photograph in enumerate(PHOTOGRAPHS):
    image = load(photograph)
    boxes = regions(*image.size, split)
    rng = np.random.default_rng([seed, SPLITS.index(split), label])
    for index in range(per_photograph):
      images[index, label] = _random_crop(image, boxes, rng)
  labels = np.tile(np.arange(NUM_CLASSES, dtype=np.int64), per_photograph)
  return images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3), labels


def labelled_images(*, classes=None, train_per_photograph=PER_PHOTOGRAPH["train"],
                    validation_per_photograph=PER_PHOTOGRAPH["validation"]):
  """Returns 64x64 crops of the photographs, as training reads them.

  Args:
    classes: as `classification.kept_classes` takes them: of `CLASS_NAMES`, or their places there.
    train_per_photograph: how many crops of each to train on.
    validation_per_photograph: how many crops of each to validate with.

  Raises:
    UserError: a number or a class is illegal, or a photograph is missing.
  """
  from perceptual.data.labelled import classification

  counts = _checked_counts(train_per_photograph, validation_per_photograph)
  return classification.of_arrays(
      {split: crops(split, per_photograph=count) for split, count in counts.items()},
      name="demo", note=LABEL, class_names=CLASS_NAMES, classes=classes)


def outline(*, classes=None, train_per_photograph=PER_PHOTOGRAPH["train"],
            validation_per_photograph=PER_PHOTOGRAPH["validation"]):
  """Returns what `labelled_images` would, without the images, as `classification.outline` does."""
  from perceptual.data.labelled import classification

  counts = _checked_counts(train_per_photograph, validation_per_photograph)
  return classification.outline(
      {split: NUM_CLASSES * count for split, count in counts.items()}, name="demo", note=LABEL,
      class_names=CLASS_NAMES, stored_size=IMAGE_SIZE, classes=classes)


def _checked_counts(train, validation):
  """Returns the numbers of crops of each photograph by split."""
  counts = {"train": train, "validation": validation}
  for split, count in counts.items():
    errors.require_integer(f"{split}_per_photograph", count)
  return counts


def example_pair():
  """Returns a photograph and two changed ones, on which people and L2 disagree.

  To people the shifted photograph is the same and the blurred one is spoilt; the mean squared error
  has it the other way round.

  Returns:
    `(reference, candidates)`: uint8 `[128, 128, 3]`, and a dict of two such images, `'shifted'`
    (by 2 pixels) and `'blurred'` (by a Gaussian of standard deviation 3 pixels).
  """
  pavilion = load(PHOTOGRAPHS[CLASS_NAMES.index("china")])
  reference = np.asarray(pavilion.resize(EXAMPLE_SIZE, Image.Resampling.BOX, box=EXAMPLE_BOX))
  rng = np.random.default_rng(0)
  return reference, {
      "shifted": distortions.shift(reference, 2, rng),
      "blurred": distortions.gaussian_blur(reference, 3, rng),
  }
