"""Labelled images of any data set that TFDS has prepared, such as svhn_cropped and stl10."""

import collections
import dataclasses

from perceptual.common import progress
from perceptual.data import tfds_files
from perceptual.data.labelled import classification
from perceptual.errors import UserError


def labelled_images(data_dir=None, *, name, train="train", validation="test", classes=None,
                    image_size=None):
  """Returns the images of a data set of TFDS.

  Args:
    data_dir: the folder in which TFDS prepared it; None for TFDS's default one.
    name: the data set, as TFDS calls it, with its config if it has one.
    train: the split to train on.
    validation: the split that is held out.
    classes: as `classification.kept_classes` takes them.
    image_size: the side to which images are resized (bilinearly); None leaves them as they are.

  Raises:
    UserError: the data set is not there, has no such split, or no square images with labels.
  """
  builder, splits = _builder(name, data_dir, {"train": train, "validation": validation})
  counts = {part: _counts(builder, split) for part, split in splits.items()}
  images = classification.of_builder(
      builder, counts, name=name, classes=classes, image_size=image_size)
  return dataclasses.replace(images, examples=lambda part: images.examples(splits[part]))


def outline(data_dir=None, *, name, train="train", validation="test", classes=None,
            image_size=None):
  """Returns what `labelled_images` would, without the images, as `classification.outline` does."""
  builder, splits = _builder(name, data_dir, {"train": train, "validation": validation})
  features = builder.info.features
  return classification.outline(
      {part: builder.info.splits[split].num_examples for part, split in splits.items()},
      name=name, class_names=features["label"].names, stored_size=features["image"].shape[0],
      classes=classes, image_size=image_size)


def _builder(name, data_dir, splits):
  import tensorflow_datasets as tfds

  tfds_files.require_local_name(name)
  try:
    builder = tfds.builder(name, data_dir=data_dir)
  except (ValueError, ImportError, tfds.core.DatasetNotFoundError) as error:
    raise UserError(f"TFDS has no data set {name!r}: {str(error).splitlines()[0]}") from None
  if not builder.info.splits:
    raise UserError(f"{name} is not prepared in {data_dir or builder.data_dir}: prepare it with "
                    f"tfds build {name} --data_dir={data_dir or 'DATA_DIR'}")
  for split in splits.values():
    if split not in builder.info.splits:
      raise UserError(f"{name} has no split {split!r}. Available: "
                      f"{', '.join(builder.info.splits)}.")
  features = builder.info.features
  shape = tuple(features["image"].shape) if {"image", "label"} <= set(features) else ()
  if len(shape) != 3 or shape[0] is None or shape[0] != shape[1] or shape[2] != 3:
    raise UserError(f"{name} has no square colour images of one size with labels.")
  return builder, splits


def _counts(builder, split):
  """Returns the number of examples by label of a split; negative labels stand for none."""
  import tensorflow_datasets as tfds

  labels = builder.as_dataset(
      split=split, decoders={"image": tfds.decode.SkipDecoding()}).map(lambda e: e["label"])
  with progress.progress(labels.as_numpy_iterator(), description=f"counting {split}") as bar:
    counts = collections.Counter(int(label) for label in bar)
  if min(counts) < 0:
    raise UserError(f"The split {split} of {builder.name} has no labels.")
  return dict(counts)
