"""The examples of judged sets as NumPy arrays, read without TensorFlow, for JAX and PyTorch.

`tensorflow_examples` has the same functions, and says what they take. The pixels are the same, but
that of a resized image a value between two levels may be rounded the other way.
"""

import itertools

import numpy as np

from perceptual.common.in_order import map_in_order
from perceptual.data import tfds_files, tfrecords
from perceptual.data.images import decoding, depth
from perceptual.data.judged.triplet_records import ANSWERS
from perceptual.errors import UserError, first_line


def prepared(directory, split, limit):
  """Returns a split of a prepared set, a function that reads it again, and its columns."""
  files = tfds_files.split_files(directory)[split]

  def examples():
    return itertools.islice(itertools.chain.from_iterable(map(_examples, files)), limit)

  rows = [{key: example[key][0] for key in ANSWERS if len(example.get(key, ()))}
          for example in examples()]
  if any(row.keys() != rows[0].keys() for row in rows):
    raise UserError(f"{directory} is damaged: some of its examples lack an answer.")
  return examples, _columns(rows)


def _examples(path):
  for number, record in enumerate(tfrecords.records(path)):
    try:
      yield tfrecords.example(record)
    except ValueError as error:
      raise UserError(f"{path} is damaged: record {number} is {first_line(error)}.") from None


def made(triplets):
  """Returns triplets that are in memory, a list of dicts, as `prepared` does."""
  rows = [{key: triplet[key] for key in ANSWERS if key in triplet} for triplet in triplets]
  return lambda: triplets, _columns(rows)


def images(examples, keys, *, size, count, cache_bytes):
  """Returns the images of examples alone: an iterable of `{key: [height, width, 3] uint8}`."""
  return _Images(examples, keys, size=size, count=count, cache_bytes=cache_bytes)


class _Images:
  """Images that threads decode ahead, in every iteration or in the first one alone."""

  def __init__(self, examples, keys, *, size, count, cache_bytes):
    """Takes what `images` takes."""
    self._examples = examples
    self._keys = keys
    self._size = size
    self._count = count
    self._cache_bytes = cache_bytes
    self._kept = []

  def __iter__(self):
    if len(self._kept) == self._count:
      yield from self._kept
      return
    kept = []
    for found in map_in_order(self._decoded, self._examples()):
      one = sum(image.nbytes for image in found.values())
      if one * self._count <= self._cache_bytes:
        kept.append(found)
      if len(kept) == self._count:  # before the last one is given: the caller may stop there
        self._kept = kept
      yield found

  def _decoded(self, example):
    return {key: _resized(_pixels(example, key), self._size) for key in self._keys}


def _columns(rows):
  return {key: np.array([row[key] for row in rows]) for key in rows[0]} if rows else {}


def _pixels(example, key):
  """Returns the pixels of an image that is stored as `[bytes]`, or is pixels already."""
  image = example.get(key, ())
  if isinstance(image, np.ndarray) and image.ndim == 3:
    return image
  if len(image) != 1:
    raise UserError(f"An example of the judged set holds no image {key!r}: prepare the set again.")
  return depth.to_uint8(decoding.decode(image[0], f"image {key!r} of the judged set"))


def _resized(image, size):
  """Bilinear with antialiasing, as `tf.image.resize` does it; None leaves the image as it is."""
  if size is None:
    return image
  rows, columns = (_weights(length, size) for length in image.shape[:2])
  resized = np.einsum("ih,jw,hwc->ijc", rows, columns, np.float32(image), optimize=True)
  return np.uint8(np.clip(np.rint(resized), 0, 255))


def _weights(length, size):
  """Returns how much each old pixel counts in each new one, `[size, length]` float32."""
  ratio = length / size
  centres = (np.arange(size) + 0.5) * ratio
  distances = np.abs(np.arange(length) + 0.5 - centres[:, np.newaxis]) / max(ratio, 1.0)
  weights = np.maximum(1.0 - distances, 0.0)
  return np.float32(weights / weights.sum(axis=1, keepdims=True))
