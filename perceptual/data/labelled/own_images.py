"""One's own images by class, prepared as a TFDS data set of a name and a size of one's choice."""

import re

from perceptual import errors
from perceptual.data import tfds_files
from perceptual.data.labelled import (
    class_folders,
    classification,
    labelled_sources,
    preparation,
    registry,
)

_FAMILY, _VERSION = "own_images", "1.0.0"
_MIN_IMAGE_SIZE = 8


def labelled_images(data_dir, *, name, classes=None, image_size=None):
  """Returns the images that were prepared under a name.

  Args:
    data_dir: the TFDS folder, as given to `perceptual prepare images`.
    name: what they were called then.
    classes: as `classification.kept_classes` takes them: labels or names of class folders.
    image_size: the side to which images are resized (bilinearly); None leaves them as they were
      prepared.

  Raises:
    UserError: if the data are not there or a class is not among them.
  """
  prepared = builder(data_dir, name)
  return classification.of_builder(
      prepared, preparation.class_counts(prepared), name=f"{_FAMILY}/{name}", classes=classes,
      image_size=image_size)


def outline(data_dir, *, name, classes=None, image_size=None):
  """Returns what `labelled_images` would, without the images, as `classification.outline` does."""
  prepared = builder(data_dir, name)
  return classification.outline_of_builder(
      prepared, preparation.class_counts(prepared), name=f"{_FAMILY}/{name}", classes=classes,
      image_size=image_size)


def prepare(source, data_dir, *, name, image_size=64, validation=None, seed=0, max_unreadable=None,
            overwrite=False):
  """Writes `<data_dir>/own_images/<name>/1.0.0` from images by class.

  Args:
    source: a folder or tar archive of images by class: `<split>/<class>/<image>` or
      `<class>/<image>` (see `class_folders`). The classes, in sorted order, are the labels.
    data_dir: the folder of all TFDS data sets.
    name: what to call them: letters, digits, `_`, `-` and `.`.
    image_size: height and width to which images are resized, whole.
    validation: the share of each class to hold out for validation, above 0 and below 1, where the
      source has no folders train and val; None for a tenth.
    seed: of the order of the examples, and of what is held out.
    max_unreadable: as `preparation.prepare` takes it.
    overwrite: whether to replace a complete data set.

  Returns:
    A `preparation.Report`.

  Raises:
    UserError: if an argument is illegal, or as `preparation.prepare`.
  """
  errors.require_integer("image_size", image_size, at_least=_MIN_IMAGE_SIZE)
  if validation is not None:
    errors.require_number("validation", validation, above=0, below=1)
  return preparation.prepare(
      dataset(name), source, data_dir, image_size=image_size, seed=seed,
      made_with={"validation": validation or class_folders.HELD_OUT},
      max_unreadable=max_unreadable, overwrite=overwrite,
      look=lambda: _looked_through(source, validation, seed),
      description=f"Images by class, resized to {image_size}x{image_size}.")


def builder(data_dir, name):
  """Returns the TFDS builder of the images that were prepared under a name, for reading.

  Raises:
    UserError: if `data_dir` does not hold them, or a half-written data set.
  """
  return preparation.builder(
      dataset(name), data_dir, prepared_by=registry.prepared_by("own", name))


def dataset(name):
  """Returns the `tfds_files.DatasetName` of images that are prepared under a name.

  Raises:
    UserError: it is not a legal name.
  """
  if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
    raise errors.UserError(
        f"A data set's name is letters, digits, _, - and ., at most 100, not {str(name)[:120]!r}.")
  return tfds_files.DatasetName(_FAMILY, name, _VERSION)


def _looked_through(source, validation, seed):
  opened = labelled_sources.FolderSource(source, seed=seed, held_out=validation)
  classes = opened.label_names
  if len(classes) < 2:
    raise errors.UserError(
        f"{source} has one class, {classes[0]!r}; a classifier needs 2 or more, a folder each: "
        f"{class_folders.LAYOUTS}.")
  if "validation" not in opened.sizes:
    raise errors.UserError(f"No class of {source} has 2 images, of which one could be held out for "
                           "validation: add images, or folders train and val.")
  return opened
