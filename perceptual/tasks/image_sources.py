"""Photographs without labels, by number: of a folder, or of a data set of TFDS.

    bsd200                 a folder below the folder of data, or a path
    tfds:coco/2014:train   a split of a data set that TFDS has prepared there
"""

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable

from perceptual.common import progress
from perceptual.common.files import expanded, is_remote, place
from perceptual.data import tfds_files
from perceptual.data.images import decoding, depth, folders, formats, loading
from perceptual.errors import UserError, first_line

_TFDS = "tfds:"
_FEATURES = ("image", "hr")  # of photographs: DIV2K's are high and low resolution
_GREYSCALE = ("1", "L", "LA", "I", "I;16", "I;16B", "F")  # modes of Pillow


@dataclasses.dataclass(frozen=True)
class Images:
  """Photographs in a fixed order.

  Attributes:
    name: where they come from.
    names: the name of each.
    read: number -> `[height, width, 3]` uint8, of any size.
    sizes: (height, width) of each in pixels.
    greyscale: whether each is stored without colour.
  """

  name: str
  names: tuple[str, ...]
  read: Callable
  sizes: tuple[tuple[int, int], ...]
  greyscale: tuple[bool, ...]

  def some(self, numbers):
    """Returns those of some numbers, which are counted anew."""
    numbers = list(numbers)
    return Images(
        self.name, tuple(self.names[n] for n in numbers), lambda n: self.read(numbers[n]),
        tuple(self.sizes[n] for n in numbers), tuple(self.greyscale[n] for n in numbers))


def load(source, data_dir=None, *, limit=None):
  """Returns the `Images` of a source.

  Args:
    source: a folder, taken from `data_dir` unless it is absolute, or `tfds:NAME:SPLIT`.
    data_dir: the folder of data sets; None for the working directory.
    limit: at most so many, the first by name, or of a TFDS data set in its order; None for all.

  Raises:
    UserError: there is no such folder or data set, it has no images, or a file is not an image.
  """
  if not isinstance(source, str) or not source:
    raise UserError(f"A source of images is a folder or tfds:NAME:SPLIT, not {source!r}.")
  if source.startswith(_TFDS):
    return _of_tfds(source, data_dir, limit)
  return _of_folder(source, folder(source, data_dir), limit)


def folder(source, data_dir=None):
  """Returns the path of a folder of data, from `data_dir` unless it is absolute.

  Raises:
    UserError: there is none, or `data_dir` is an address.
  """
  if not isinstance(source, (str, os.PathLike)) or not source:
    raise UserError(f"A folder of images is named by its path, not by {source!r}.")
  path = expanded(source)
  if data_dir is not None and not path.is_absolute():
    root = place(data_dir)
    if is_remote(root):
      raise UserError(f"{source}: in {root} images are read as tfds:NAME:SPLIT, and a folder of "
                      "them from this machine: give its absolute path.")
    path = root / path
  if not path.is_dir():
    raise UserError(f"There is no folder {path}: give a folder of images; its path starts at "
                    "--data_dir.")
  return path


def image_paths(path):
  """Returns `{name: path}` of the image files of a folder and those inside it, sorted by name."""
  return {name: file for name, file in folders.files(path) if formats.is_image_name(name)}


def read_image(path):
  """Returns the pixels of a file, `[height, width, 3]` uint8."""
  return depth.to_uint8(loading.load_image(path))


def is_opaque(path):
  """Whether no pixel of an image file is transparent, not even in part."""
  if not head_of(path).transparent:
    return True
  with formats.open_image(io.BytesIO(loading.read_bytes(path, str(path)))) as image:
    return image.convert("RGBA").getchannel("A").getextrema()[0] == 255


def head_of(path):
  """Returns the `decoding.Head` of an image file, whose `size` is (height, width) in pixels."""
  with loading.opened(path, str(path)) as stream:
    return decoding.read_head(stream, str(path))


def _of_folder(source, path, limit):
  found = image_paths(path)
  if not found:
    raise UserError(f"There are no images in {path}.")
  names = tuple(found)[:limit]
  paths = [found[name] for name in names]
  with progress.progress(paths, description=f"looking through {source}",
                         silent=len(paths) < 1000) as bar:
    heads = list(map(head_of, bar))
  return _images(pathlib.Path(source).name, names, lambda n: read_image(paths[n]), heads)


def _of_tfds(source, data_dir, limit):
  """Reads the encoded images into memory, since TFDS's files are read from their beginning."""
  import tensorflow as tf
  import tensorflow_datasets as tfds

  name, _, split = source.removeprefix(_TFDS).partition(":")
  if not split:
    raise UserError(f"{source}: give the split as well, as in tfds:coco/2014:train.")
  tfds_files.require_local_name(name)
  try:
    builder = tfds.builder(name, data_dir=data_dir and place(data_dir))
    if not builder.info.splits:
      raise UserError(f"{name} is not prepared in {data_dir or builder.data_dir}: prepare it with "
                      f"tfds build {name} --data_dir={data_dir or 'DATA_DIR'}")
    key = _feature(source, builder.info.features)
    dataset = builder.as_dataset(split=split, shuffle_files=False, decoders=(
        tfds.decode.PartialDecoding({key: True}, decoders={key: tfds.decode.SkipDecoding()})))
  except UserError:
    raise
  except (ValueError, AssertionError, OSError, KeyError, tfds.core.DatasetNotFoundError,
          tf.errors.NotFoundError) as error:  # the last at an address
    raise UserError(f"{source} cannot be read from {data_dir}: {first_line(error)}") from None
  with progress.progress(dataset.take(-1 if limit is None else limit).as_numpy_iterator(),
                         description=f"reading {source}") as bar:
    encoded = [example[key] for example in bar]
  names = tuple(f"{number:06d}" for number in range(len(encoded)))

  def read(number):
    return depth.to_uint8(decoding.decode(encoded[number], names[number]))

  heads = [decoding.read_head(io.BytesIO(data), name) for data, name in zip(encoded, names)]
  return _images(source.removeprefix(_TFDS), names, read, heads)


def _feature(source, features):
  """Returns which feature of a data set of TFDS holds the photographs."""
  for key in _FEATURES:
    if key in features:
      return key
  raise UserError(f"{source} has no feature {' or '.join(_FEATURES)}: "
                  f"it has {', '.join(features)}.")


def _images(name, names, read, heads):
  return Images(name, names, read, tuple(head.size for head in heads),
                tuple(head.mode in _GREYSCALE for head in heads))
