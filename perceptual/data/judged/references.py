"""The images that triplets are made from: files, a prepared data set or the embedded photographs.

A source is a folder or a tar archive (also compressed) of images; or a split of labelled images
prepared in the data folder, `'imagenet64'`, or `'own/<name>'` for one's own images of that name; or
`'demo'`, crops of the embedded photographs.
"""

import collections
import hashlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.common.progress import progress
from perceptual.data import distortions
from perceptual.data.images import image_files
from perceptual.data.labelled import demo, imagenet64, own_images
from perceptual.errors import UserError


def check(source, *, image_size, limit, under):
  """Raises a `UserError` unless the options are legal for `read`; a limit of None is."""
  if image_size < distortions.MIN_SIDE:
    raise UserError(f"image_size must be at least {distortions.MIN_SIDE}. Received: {image_size}.")
  if limit is not None and limit < 1:
    raise UserError(f"limit must be at least 1. Received: {limit}.")
  if under is not None and _reader(source):
    raise UserError(f"under={under!r} selects a folder; the source {source!r} has no folders.")


def read(source, data_dir, *, image_size, limit, under=None, split="validation"):
  """Reads reference images; of other sizes than asked for, their central square, box-resized.

  Args:
    source: as above.
    data_dir: the TFDS folder that holds the labelled images, where they are the source.
    image_size: height and width of the images returned.
    limit: the most images to read, spread evenly over the source (files sorted by name).
    under: with a folder or an archive, only images that have this folder in their path.
    split: of labelled images, `'train'` or `'validation'`; files have none.

  Returns:
    (images, unreadable, altered): a list of uint8 `[image_size, image_size, 3]`; the name of each
    image that could not be read, with the reason; and what was altered on reading, with the number
    of images.

  Raises:
    UserError: the source is missing, or has no readable image.
  """
  read_labelled = _reader(source)
  if read_labelled:
    images, unreadable, altered = read_labelled(data_dir, split, limit), {}, {}
  else:
    images, unreadable, altered = _read_files(source, under, limit)
  if not len(images):  # a list or an array
    raise UserError(f"None of the {len(unreadable)} images of {source} tried could be read; "
                    f"the first is {next(iter(unreadable))}.")
  return [_square(image, image_size) for image in images], unreadable, altered


def sha256_of_each(images):
  """Returns the set of the SHA-256 of the pixels of each image."""
  return {hashlib.sha256(image.tobytes()).hexdigest() for image in images}


def sha256(images):
  """Returns the SHA-256 of the pixels of images, one after another."""
  digest = hashlib.sha256()
  for image in images:
    digest.update(image.tobytes())
  return digest.hexdigest()


def described(metadata):
  """Returns which images a set was made from, for `already_there.require_made_alike`.

  Args:
    metadata: of the set, a dict with `images`, their number, and `images_sha256`.
  """
  return {"images": f"{metadata['images']:,} of SHA-256 {metadata['images_sha256'][:12]}"}


def _read_files(source, under, limit):
  sizes, _ = image_files.list_files(source)
  names = sorted(
      name for name in sizes if image_files.is_image_name(name) and _is_under(name, under))
  if not names:
    where = f"{source} under {under!r}" if under else source
    raise UserError(f"No images in {where}: looked for {', '.join(image_files.SUFFIXES)}.")
  wanted = {names[index] for index in _spread(len(names), limit)}
  images, unreadable, altered = {}, {}, collections.Counter()
  with progress(description="reading", total=len(wanted)) as bar:
    for file in image_files.image_files(source):
      if file.name not in wanted:
        continue
      try:
        images[file.name], notes = file.decode_with_notes()
        altered.update(notes)
      except image_files.UnreadableImage as error:
        unreadable[error.name] = error.reason
      bar.update()
  return [images[name] for name in sorted(images)], unreadable, dict(altered)


def _is_under(name, under):
  return under is None or f"/{under.strip('/')}/" in f"/{name}"


def _spread(count, limit):
  """Returns at most `limit` indices, evenly spread over 0..count - 1, ascending."""
  return np.linspace(0, count - 1, min(count, limit)).round().astype(int)


def _reader(source):
  """Returns the function that reads a source of labelled images; None for files."""
  name = str(source)
  if name == "demo":
    return _read_demo
  if name == "imagenet64":
    return lambda data_dir, *which: _read_prepared(imagenet64.builder(data_dir), *which)
  family, _, own = name.partition("/")
  if family == "own" and own and "/" not in own:
    return lambda data_dir, *which: _read_prepared(own_images.builder(data_dir, own), *which)
  return None


def _read_prepared(builder, split, limit):
  count = builder.info.splits[split].num_examples
  wanted = set(_spread(count, limit).tolist())
  dataset = builder.as_dataset(split=split, shuffle_files=False,
                               decoders={"image": tfds.decode.SkipDecoding()})
  examples = progress(dataset.as_numpy_iterator(), description="reading", total=count)
  return [
      image_files.decode(example["image"], f"{builder.data_path} {split} example {index}")
      for index, example in enumerate(examples) if index in wanted
  ]


def _read_demo(data_dir, split, limit):
  del data_dir
  images, _ = demo.crops(split)
  return images[_spread(len(images), limit)]


def _square(image, size):
  """Returns the central square, box-resized to [size, size, 3]."""
  height, width, _ = image.shape
  side = min(height, width)
  top, left = (height - side) // 2, (width - side) // 2
  box = (left, top, left + side, top + side)
  return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BOX, box=box))
