"""`imagenet_resized/64x64`, prepared from files on disk: TFDS's own download addresses are dead.

The result is what `tfds.load("imagenet_resized/64x64", data_dir=...)` reads: whole images,
box-resized to 64x64 as by the data set's makers (Chrabaszcz et al. 2017). Labels are TFDS's own,
the 1000 of ImageNet, whose order is neither alphabetical nor torchvision's (`n02119789` is 0).
Where the class folders are not all among these, the labels are the class folders in sorted order,
and the report says so.
"""

import tensorflow_datasets as tfds

from perceptual.data import tfds_files
from perceptual.data.labelled import classification, labelled_sources, preparation, registry

DATASET = tfds_files.DatasetName("imagenet_resized", "64x64", "0.1.0")
IMAGE_SIZE = 64

# Of ImageNet (ILSVRC 2012): training and validation images, of 1000 classes.
PUBLISHED_SIZES = {"train": 1_281_167, "validation": 50_000}

_NAME = f"{DATASET.name}/{DATASET.config}"


def labelled_images(data_dir, *, classes=None, image_size=IMAGE_SIZE):
  """Returns `imagenet_resized/64x64` as prepared in `data_dir`.

  Args:
    data_dir: the TFDS folder, as given to `perceptual prepare imagenet64`.
    classes: as `classification.kept_classes` takes them; None keeps every class that the prepared
      data hold (all 1000, or the 100 of a set prepared from 100 folders).
    image_size: the side to which images are resized (bilinearly); 64 leaves them as they are.

  Raises:
    UserError: if the data are not there or a class is not among them.
  """
  return classification.of_builder(
      builder(data_dir), class_counts(data_dir), name=_NAME, classes=classes,
      image_size=image_size)


def outline(data_dir=None, *, classes=None, image_size=IMAGE_SIZE):
  """Returns what `labelled_images` would, without the images, as `classification.outline` does.

  Args:
    data_dir: as for `labelled_images`; None for the numbers of the published ImageNet.
    classes: as for `labelled_images`.
    image_size: as for `labelled_images`.

  Raises:
    UserError: as `labelled_images`.
  """
  if data_dir is None:
    return classification.outline(
        PUBLISHED_SIZES, name=_NAME, class_names=imagenet_labels(), stored_size=IMAGE_SIZE,
        classes=classes, image_size=image_size)
  return classification.outline_of_builder(
      builder(data_dir), class_counts(data_dir), name=_NAME, classes=classes,
      image_size=image_size)


def prepare(source, data_dir, *, seed=0, max_unreadable=None, overwrite=False):
  """Writes `<data_dir>/imagenet_resized/64x64/0.1.0` from images on disk.

  Args:
    source: the folder that holds the three official npz zips, or a folder or tar archive of images
      by class: `<split>/<class>/<image>` or `<class>/<image>` (see `class_folders`).
    data_dir: the folder of all TFDS data sets.
    seed: of the order of the examples, and of the images held out for validation where the source
      has no such split.
    max_unreadable: as `preparation.prepare` takes it.
    overwrite: whether to replace a complete data set.

  Returns:
    A `preparation.Report`.

  Raises:
    UserError: as `preparation.prepare`.
  """
  return preparation.prepare(
      DATASET, source, data_dir, image_size=IMAGE_SIZE, seed=seed, max_unreadable=max_unreadable,
      overwrite=overwrite,
      look=lambda: labelled_sources.open_source(
          source, imagenet_labels=imagenet_labels(), seed=seed),
      description="ImageNet images resized to 64x64, prepared from files on disk.",
      homepage="https://patrykchrabaszcz.github.io/Imagenet32/")


def imagenet_labels():
  """Returns the 1000 label names of `imagenet_resized`, in the order of the labels."""
  path = tfds.core.tfds_path("image_classification/imagenet_resized_labels.txt")
  return path.read_text().split()


def builder(data_dir):
  """Returns the TFDS builder of the prepared data set, for reading.

  Raises:
    UserError: if `data_dir` holds no `imagenet_resized/64x64`, or a half-written one.
  """
  return preparation.builder(
      DATASET, data_dir, prepared_by=registry.prepared_by("imagenet64"))


def class_counts(data_dir):
  """Returns the number of examples by label, of each split: `{split: {label: count}}`."""
  return preparation.class_counts(builder(data_dir))
