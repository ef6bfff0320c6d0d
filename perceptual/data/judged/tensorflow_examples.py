"""The examples of judged sets as `tf.data`, which training and the pass over several devices read.

`numpy_examples` has the same functions for the other backends.
"""

import numpy as np
import tensorflow as tf

from perceptual.data import pipelines, tfds_files
from perceptual.data.judged.triplet_records import ANSWERS


def prepared(directory, split, limit):
  """Returns a split of a prepared set, and its columns, read without decoding an image.

  Args:
    directory: of the whole set.
    split: the name of the split.
    limit: at most this many examples, the first ones; None for all.

  Returns:
    (examples, `{key: [examples] values}` of the `ANSWERS` that there are).
  """
  import tensorflow_datasets as tfds

  builder = tfds_files.open_builder(directory)
  keys = [key for key in ANSWERS if key in builder.info.features]
  # Files are read one after another, so that examples have one order on every backend.
  examples, answers = (
      builder.as_dataset(
          split=split, shuffle_files=False, decoders=decoders,
          read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False))
      .take(-1 if limit is None else limit)
      for decoders in (None, tfds.decode.PartialDecoding(keys)))
  return examples, _columns(answers)


def made(triplets):
  """Returns triplets that are in memory, a list of dicts, as `prepared` does."""
  examples = tf.data.Dataset.from_tensor_slices(
      {key: np.stack([triplet[key] for triplet in triplets]) for key in triplets[0]})
  return examples, _columns(
      examples.map(lambda example: {key: example[key] for key in ANSWERS if key in example}))


def images(examples, keys, *, size, count, cache_bytes):
  """Returns the images of examples alone, in their order.

  Args:
    examples: as `prepared` returns them.
    keys: the names of the images.
    size: the side to which they are resized; None leaves them as they are.
    count: the number of examples.
    cache_bytes: up to how many bytes of images are kept in memory after the first pass.

  Returns:
    A `tf.data.Dataset` of `{key: [height, width, 3] uint8}`.
  """
  def images_alone(example):
    found = {key: example[key] for key in keys}
    return found if size is None else {
        key: _resized(image, size) for key, image in found.items()}

  alone = pipelines.mapped(examples, images_alone)
  one = sum(spec.shape.num_elements() for spec in alone.element_spec.values())
  return alone.cache() if one * count <= cache_bytes else alone


def _columns(dataset):
  rows = list(dataset.as_numpy_iterator())
  return {key: np.array([row[key] for row in rows]) for key in rows[0]} if rows else {}


def _resized(image, size):
  """Bilinear with antialiasing, as the Pillow resize through which LPIPS loads these files."""
  resized = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
  return tf.saturate_cast(tf.round(resized), tf.uint8)
