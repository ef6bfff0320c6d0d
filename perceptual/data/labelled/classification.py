"""Labelled images for training classifiers, as seeded, resumable, sharded batches.

Sources are `imagenet_resized/64x64` through TFDS, and the embedded demo photographs. The stream of
training batches is a function of the seed and the step alone: a run that resumes at step N sees
what an uninterrupted run sees from step N on, whatever the number of threads or input pipelines.
"""

import collections
import collections.abc
import dataclasses
from collections.abc import Callable

import tensorflow as tf

from perceptual import errors
from perceptual.data.labelled import augment, class_subsets

# Decoded 64x64 images take 12 KB each: up to this many are kept in memory (1.2 GB).
CACHE_LIMIT = 100_000

# Of ImageNet (ILSVRC 2012): classes, training images, validation images.
PUBLISHED = (1000, 1_281_167, 50_000)


@dataclasses.dataclass(frozen=True)
class LabelledImages:
  """Images with class labels.

  Attributes:
    name: where they come from.
    note: one line that must stand wherever results on them are shown; may be empty.
    num_classes: labels are 0 to `num_classes - 1`.
    image_size: height and width in pixels.
    sizes: number of examples, for `train` and `validation`.
    examples: split name -> data set of `{'image', 'label'}`, in a fixed order.
    decode: turns the `image` of an example into `[image_size, image_size, 3]` uint8.
    classes: the source's labels that were kept, in the order of their new numbers; None for all.
  """

  name: str
  note: str
  num_classes: int
  image_size: int
  sizes: dict[str, int]
  examples: Callable[[str], tf.data.Dataset]
  decode: Callable[[tf.Tensor], tf.Tensor]
  classes: tuple[int, ...] | None = None


def imagenet64(data_dir, *, classes=None, image_size=64):
  """Returns `imagenet_resized/64x64` as prepared in `data_dir`.

  Args:
    data_dir: the TFDS folder, as given to `perceptual prepare imagenet64`.
    classes: labels to keep, renumbered 0, 1, ... in the order given, or a
      `class_subsets.ClassSubset`; None keeps every class that the prepared data hold (all 1000, or
      the 100 of a set prepared from 100 folders).
    image_size: the side to which images are resized (bilinearly); 64 leaves them as they are.

  Raises:
    UserError: if the data are not there or a class is not among them.
  """
  errors.require_integer("image_size", image_size)
  import tensorflow_datasets as tfds

  from perceptual.data.labelled import prepare_imagenet64

  builder = prepare_imagenet64.builder(data_dir)
  counts = prepare_imagenet64.class_counts(data_dir)
  kept = _checked_classes(classes, sorted(counts["train"]))
  total = builder.info.features["label"].num_classes
  renumber = [-1] * total
  for new, old in enumerate(kept):
    renumber[old] = new
  as_they_are = renumber == list(range(total))

  def examples(split):
    dataset = builder.as_dataset(
        split=split, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False))
    if not as_they_are:
      table = tf.constant(renumber, tf.int64)
      dataset = dataset.map(lambda e: {"image": e["image"], "label": table[e["label"]]})
      dataset = dataset.filter(lambda e: e["label"] >= 0)
    return dataset

  def decode(image):
    image = tf.ensure_shape(tf.io.decode_png(image, channels=3), [64, 64, 3])
    if image_size == 64:
      return image
    return tf.saturate_cast(tf.round(tf.image.resize(image, [image_size] * 2)), tf.uint8)

  return LabelledImages(
      name=_IMAGENET64, note=_resized_note(image_size), num_classes=len(kept),
      image_size=image_size,
      sizes={split: sum(counts.get(split, {}).get(c, 0) for c in kept)
             for split in ("train", "validation")},
      examples=examples, decode=decode, classes=None if classes is None else kept)


def outline_of_imagenet64(data_dir=None, *, classes=None, image_size=64):
  """Returns what `imagenet64` would, without its images: sizes alone, for plans.

  Args:
    data_dir: as for `imagenet64`; None for the published ImageNet's numbers.
    classes: as for `imagenet64`. Of some classes the numbers of images are in proportion.
    image_size: as for `imagenet64`.
  """
  errors.require_integer("image_size", image_size)
  if data_dir is None:
    total, *sizes = PUBLISHED
    present = range(total)
  else:
    from perceptual.data.labelled import prepare_imagenet64

    counts = prepare_imagenet64.class_counts(data_dir)
    present = sorted(counts["train"])
    total, sizes = len(present), [sum(counts.get(split, {}).values())
                                  for split in ("train", "validation")]
  kept = (classes.count if isinstance(classes, class_subsets.ClassSubset)
          else len(_checked_classes(classes, present)))
  if kept > total:
    raise errors.UserError(f"{kept} classes were asked for, but the data have {total}.")
  return LabelledImages(
      name=_IMAGENET64, note=_resized_note(image_size), num_classes=kept, image_size=image_size,
      sizes={split: size * kept // total for split, size in zip(("train", "validation"), sizes)},
      examples=None, decode=None)


_IMAGENET64 = "imagenet_resized/64x64"


def _resized_note(image_size):
  return "" if image_size == 64 else f"resized to {image_size}x{image_size}"


def _checked_classes(classes, present):
  if isinstance(classes, class_subsets.ClassSubset):
    classes = classes.labels(present)
  if classes is not None and not isinstance(classes, collections.abc.Iterable):
    raise errors.UserError(f"classes must be a list of labels, not {classes!r}.")
  classes = tuple(present if classes is None else classes)
  repeated = [c for c, n in collections.Counter(classes).items() if n > 1]
  if repeated:
    raise errors.UserError(f"classes names {repeated[0]!r} more than once.")
  for c in classes:
    if c not in present:
      raise errors.UserError(f"Unknown class {c!r}. Available: {_ranges(present)}.")
  if len(classes) < 2:
    raise errors.UserError(f"A classifier needs 2 classes or more, not {len(classes)}.")
  return classes


def _ranges(numbers):
  """Returns sorted whole numbers as '0-3, 7'."""
  spans = []
  for n in sorted(numbers):
    if spans and n == spans[-1][1] + 1:
      spans[-1][1] = n
    else:
      spans.append([n, n])
  return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def demo(*, train_per_photograph=240, validation_per_photograph=60):
  """Returns 64x64 crops of the photographs that ship with scikit-image and scikit-learn."""
  from perceptual.data.labelled import demo as photographs

  errors.require_integer("train_per_photograph", train_per_photograph)
  errors.require_integer("validation_per_photograph", validation_per_photograph)
  arrays = {
      "train": photographs.crops("train", per_photograph=train_per_photograph),
      "validation": photographs.crops("validation", per_photograph=validation_per_photograph),
  }

  def examples(split):
    images, labels = arrays[split]
    return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

  return LabelledImages(
      name="demo", note=photographs.LABEL, num_classes=photographs.NUM_CLASSES, image_size=64,
      sizes={split: len(labels) for split, (_, labels) in arrays.items()},
      examples=examples, decode=lambda image: tf.ensure_shape(image, [64, 64, 3]))


def train_batches(images, *, batch_size, seed, first_step=0, augmentation=None,
                  shuffle_buffer=100_000, cache=None, shard=(0, 1)):
  """Returns the endless stream of training batches, from a given step on.

  Of n input pipelines each takes every n-th example of the one stream, so that the next batches of
  all of them together hold what the next, n times larger batch of the undivided stream holds.

  Args:
    images: `LabelledImages`.
    batch_size: examples a batch of this pipeline.
    seed: seed of the order and of the augmentation, a whole number of at least 0.
    first_step: number of batches to pass over.
    augmentation: `augment.Augmentation`; None for the default one.
    shuffle_buffer: examples among which the next one is drawn.
    cache: whether decoded images are kept in memory; None keeps up to `CACHE_LIMIT`.
    shard: (index, count): which of several input pipelines this one is.

  Returns:
    `{'image': [batch_size, size, size, 3] uint8, 'label': [batch_size] int64}`; batches run over
    the ends of epochs, so all have the full size.
  """
  augmentation = augmentation or augment.Augmentation()
  size = images.sizes["train"]
  cache = size <= CACHE_LIMIT if cache is None else cache
  shard_index, shard_count = shard
  first = first_step * batch_size * shard_count

  def decoded(example):
    return {"image": images.decode(example["image"]), "label": example["label"]}

  def varied(position, example):
    example = example if cache else decoded(example)
    image_seed = tf.stack([tf.constant(seed, tf.int64), position])
    return {**example, "image": augmentation.train(example["image"], image_seed)}

  stored = images.examples("train")
  if cache:
    stored = stored.map(decoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).cache()
  stream = shuffled_epochs(stored, size, seed=seed, first=first, buffer=shuffle_buffer)
  stream = stream.enumerate(start=first).shard(shard_count, shard_index)
  stream = stream.map(varied, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  return stream.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def shuffled_epochs(dataset, size, *, seed, first, buffer):
  """The `size` elements of a data set over and over, in an order a pass, from the `first`-th on."""
  first_epoch, offset = divmod(first, size)
  # TensorFlow takes a seed that is a tensor, the epoch, only beside a graph seed that is not 0.
  graph_seed = 1 + seed % (2**31 - 2)

  def epoch(number):
    tf.compat.v1.set_random_seed(graph_seed)  # of this function's graph alone
    return dataset.shuffle(buffer, seed=number, reshuffle_each_iteration=False)

  return tf.data.Dataset.range(first_epoch, 2**62).flat_map(epoch).skip(offset)


def validation_batches(images, *, batch_size, augmentation=None, shard=(0, 1), replicas=1):
  """Returns the validation examples once, in padded batches (see `padded_batches`)."""
  augmentation = augmentation or augment.Augmentation()

  def decoded(example):
    image = augmentation.evaluation(images.decode(example["image"]))
    return {"image": image, "label": example["label"]}

  dataset = images.examples("validation").map(
      decoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  return padded_batches(dataset, images.sizes["validation"], batch_size, shard, replicas)


def padded_batches(dataset, size, batch_size, shard=(0, 1), replicas=1):
  """Returns batches of one static size, equally many in every shard and for every replica.

  Every element gets an `index`, its place in the whole data set, by which results are put back in
  order. Padding has index -1.

  Args:
    dataset: a data set of dictionaries of tensors of static shape.
    size: number of its elements.
    batch_size: elements a batch, which goes to one replica.
    shard: (index, count): which of several input pipelines this one is.
    replicas: how many replicas this pipeline feeds, each with a batch a step.
  """
  shard_index, shard_count = shard
  step_size = batch_size * replicas
  padded_size = -(-size // (shard_count * step_size)) * step_size
  dataset = dataset.enumerate().map(lambda i, e: {"index": i, **e})
  dataset = dataset.shard(shard_count, shard_index)
  padding = {key: tf.zeros(spec.shape, spec.dtype) for key, spec in dataset.element_spec.items()}
  padding["index"] = tf.constant(-1, tf.int64)
  dataset = dataset.concatenate(tf.data.Dataset.from_tensors(padding).repeat()).take(padded_size)
  return dataset.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
