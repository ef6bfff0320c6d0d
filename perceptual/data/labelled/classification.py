"""Labelled images for training classifiers, as seeded, resumable, sharded batches.

`registry` lists where they come from; here they become what training reads. The stream of training
batches is a function of the seed and the step alone: a run that resumes at step N sees
what an uninterrupted run sees from step N on, whatever the number of threads or input pipelines.
"""

import collections.abc
import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from perceptual import errors
from perceptual.data import pipelines
from perceptual.data.labelled import augment, class_subsets

# Decoded 64x64 images take 12 KB each: up to this many are kept in memory (1.2 GB).
CACHE_LIMIT = 100_000

_NAMES_SHOWN = 20  # of classes, in an error


@dataclasses.dataclass(frozen=True)
class LabelledImages:
  """Images with class labels.

  Attributes:
    name: where they come from.
    note: one line that is shown with all results on them; may be empty.
    num_classes: labels are 0 to `num_classes - 1`.
    image_size: height and width in pixels.
    sizes: number of examples, for `train` and `validation`.
    examples: split name -> data set of `{'image', 'label'}`, in a fixed order; None in `outline`s.
    decode: turns the `image` of an example into `[image_size, image_size, 3]` uint8; as `examples`.
    classes: the source's labels that were kept, in the order of their new numbers; None for all.
  """

  name: str
  note: str
  num_classes: int
  image_size: int
  sizes: dict[str, int]
  examples: Callable[[str], tf.data.Dataset] | None
  decode: Callable[[tf.Tensor], tf.Tensor] | None
  classes: tuple[int, ...] | None = None


def of_builder(builder, counts, *, name, classes=None, image_size=None):
  """Returns the images of a prepared data set.

  Args:
    builder: the TFDS builder of a data set that `preparation` wrote.
    counts: the number of examples by label, of each split: `{split: {label: count}}`.
    name: where the images come from.
    classes: as `kept_classes` takes them, of the labels that the split `train` has.
    image_size: the side to which images are resized (bilinearly); None leaves them as they are.

  Raises:
    UserError: as `kept_classes`, or `image_size` is illegal.
  """
  import tensorflow_datasets as tfds

  features = builder.info.features
  kept = kept_classes(classes, sorted(counts["train"]), _class_names(builder, counts["train"]))
  renumber = [-1] * features["label"].num_classes
  for new, old in enumerate(kept):
    renumber[old] = new
  as_they_are = renumber == list(range(len(renumber)))

  def examples(split):
    dataset = builder.as_dataset(
        split=split, shuffle_files=False, decoders={"image": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False))
    if not as_they_are:
      table = tf.constant(renumber, tf.int64)
      dataset = dataset.map(lambda e: {"image": e["image"], "label": table[e["label"]]})
      dataset = dataset.filter(lambda e: e["label"] >= 0)
    return dataset

  stored_size = features["image"].shape[0]
  image_size, note = _resized(stored_size, image_size)

  def decode(image):
    image = tf.ensure_shape(tf.io.decode_png(image, channels=3), [stored_size, stored_size, 3])
    if image_size == stored_size:
      return image
    return tf.saturate_cast(tf.round(tf.image.resize(image, [image_size] * 2)), tf.uint8)

  return LabelledImages(
      name=name, note=note, num_classes=len(kept), image_size=image_size,
      sizes={split: sum(counts.get(split, {}).get(c, 0) for c in kept)
             for split in ("train", "validation")},
      examples=examples, decode=decode, classes=None if classes is None else kept)


def of_arrays(arrays, *, name, note, class_names, classes=None):
  """Returns images that are in memory.

  Args:
    arrays: `{split: (images, labels)}`: `[n, size, size, 3]` uint8, and `[n]` int64.
    name: where the images come from.
    note: one line that must stand wherever results on them are shown.
    class_names: the names of all labels, in their order.
    classes: as `kept_classes` takes them.

  Raises:
    UserError: as `kept_classes`.
  """
  kept = kept_classes(classes, range(len(class_names)), class_names)
  renumber = np.full(len(class_names), -1)
  renumber[list(kept)] = np.arange(len(kept))
  chosen = {split: (images[renumber[labels] >= 0], renumber[labels][renumber[labels] >= 0])
            for split, (images, labels) in arrays.items()}
  shape = chosen["train"][0].shape[1:]

  def examples(split):
    images, labels = chosen[split]
    return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

  return LabelledImages(
      name=name, note=note, num_classes=len(kept), image_size=shape[0],
      sizes={split: len(labels) for split, (_, labels) in chosen.items()},
      examples=examples, decode=lambda image: tf.ensure_shape(image, shape),
      classes=None if classes is None else kept)


def _class_names(builder, present):
  """Returns the names of a prepared data set's classes by label; `present` has those of images."""
  names = builder.info.features["label"].names
  if max(present, default=-1) >= len(names):
    raise errors.UserError(f"{builder.data_path}/label.labels.txt is damaged: it has no name for "
                           f"class {max(present)}. Prepare the data set again, with --overwrite.")
  return names


def outline_of_builder(builder, counts, *, name, classes=None, image_size=None):
  """Returns what `of_builder` would, without the images; as `outline`."""
  features = builder.info.features
  return outline(
      {split: sum(counts.get(split, {}).values()) for split in ("train", "validation")},
      name=name, class_names=_class_names(builder, counts["train"]),
      present=sorted(counts["train"]), stored_size=features["image"].shape[0],
      classes=classes, image_size=image_size)


def outline(sizes, *, name, class_names, stored_size, present=None, note="", classes=None,
            image_size=None):
  """Returns `LabelledImages` of sizes alone, without `examples` and `decode`, for plans.

  A `class_subsets.ClassSubset` is counted, not resolved: its accuracies may be of a run to come.

  Args:
    sizes: number of examples of all classes, for `train` and `validation`. Of some classes the
      numbers are in proportion.
    name: where the images come from.
    class_names: the names of all labels, in their order.
    stored_size: height and width of the images as they are.
    present: the labels that the data have, ascending; None for all.
    note: one line that must stand wherever results on them are shown.
    classes: as `kept_classes` takes them.
    image_size: the side to which images are resized; None leaves them as they are.

  Raises:
    UserError: as `kept_classes`, or `image_size` is illegal.
  """
  present = range(len(class_names)) if present is None else present
  if isinstance(classes, class_subsets.ClassSubset):
    classes.require_enough(present)
    num_classes = classes.count
  else:
    num_classes = len(kept_classes(classes, present, class_names))
  image_size, resized_note = _resized(stored_size, image_size)
  return LabelledImages(
      name=name, note=note or resized_note, num_classes=num_classes, image_size=image_size,
      sizes={split: size * num_classes // len(present) for split, size in sizes.items()},
      examples=None, decode=None)


def _resized(stored_size, image_size):
  """Returns the side that images get, of `image_size` or else their own, and a note on it."""
  if image_size is None:
    return stored_size, ""
  errors.require_integer("image_size", image_size)
  return image_size, "" if image_size == stored_size else f"resized to {image_size}x{image_size}"


def kept_classes(classes, present, names):
  """Returns the labels to keep, in the order of their new numbers 0, 1, ...

  Args:
    classes: a list of labels, or of names of classes, or a `class_subsets.ClassSubset`; None for
      all that are present.
    present: the labels that the data have, ascending.
    names: the names of all labels, in their order.

  Raises:
    UserError: a class is not present or repeated, or there are fewer than two; as
      `class_subsets.ClassSubset.labels`.
  """
  if isinstance(classes, class_subsets.ClassSubset):
    classes = classes.labels(present)
  if isinstance(classes, str) or (
      classes is not None and not isinstance(classes, collections.abc.Iterable)):
    raise errors.UserError(f"classes must be a list of labels, not {classes!r}.")
  label_of = {names[label]: label for label in present} | {label: label for label in present}
  kept = []
  for c in present if classes is None else classes:
    if not isinstance(c, (int, str)) or isinstance(c, bool) or c not in label_of:
      raise errors.UserError(f"Unknown class {c!r}. Available: {_available(present, names)}.")
    kept.append(label_of[c])
    if kept.count(kept[-1]) > 1:
      raise errors.UserError(f"classes names {c!r} more than once.")
  if len(kept) < 2:
    raise errors.UserError(f"A classifier needs 2 classes or more, not {len(kept)}.")
  return tuple(kept)


def _available(present, names):
  """Returns the labels that there are, and the first of their names, for people."""
  first = ", ".join(names[label] for label in present[:_NAMES_SHOWN])
  return f"{_ranges(present)}; or by name {first}{', ...' if len(present) > _NAMES_SHOWN else ''}"


def _ranges(numbers):
  """Returns sorted whole numbers as '0-3, 7'."""
  spans = []
  for n in sorted(numbers):
    if spans and n == spans[-1][1] + 1:
      spans[-1][1] = n
    else:
      spans.append([n, n])
  return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


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
    stored = pipelines.mapped(stored, decoded).cache()
  stream = shuffled_epochs(stored, size, seed=seed, first=first, buffer=shuffle_buffer)
  stream = stream.enumerate(start=first).shard(shard_count, shard_index)
  return pipelines.batched(pipelines.mapped(stream, varied), batch_size)


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

  dataset = pipelines.mapped(images.examples("validation"), decoded)
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
  return pipelines.batched(dataset, batch_size)
