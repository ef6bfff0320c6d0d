"""Writes the `graded` 2AFC sets as data sets that TFDS reads, from any images.

`tfds.load("graded/monotone", data_dir=...)` and `"graded/nuisance"` give one split, `val`, of
`{'reference', 'candidate_0', 'candidate_1', 'judge', 'family_0', 'family_1', 'id'}` as
`graded.triplets` makes them. `builder.info.metadata` says how they came to be, above all that no
human judged them.
"""

import collections
import dataclasses
import hashlib
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.data import demo, distortions, graded, image_files, tfds_files
from perceptual.data.in_order import map_in_order
from perceptual.data.progress import progress
from perceptual.errors import UserError, unknown

NAME = "graded"
VERSION = "1.0.0"
SPLIT = "val"
IMAGE_KEYS = ("reference", "candidate_0", "candidate_1")

# Without a limit on the images, about as many triplets of each kind are made.
DEFAULT_TRIPLETS = 5000

_IMAGENET64 = tfds_files.DatasetName("imagenet_resized", "64x64", "0.1.0")


@dataclasses.dataclass(frozen=True)
class Report:
  """What `prepare` did; `str(report)` is for people.

  Attributes:
    directories: where each kind was written.
    counts: for each kind, `triplets` made, draws `redrawn` and triplets `skipped`, as in
      `graded.triplets`.
    images: the number of references read.
    unreadable: the name of each image that could not be read, with the reason.
  """

  directories: dict[str, pathlib.Path]
  counts: dict[str, dict[str, int]]
  images: int
  unreadable: dict[str, str]

  def __str__(self):
    lines = [graded.LABEL]
    for kind, directory in self.directories.items():
      counts = self.counts[kind]
      lines.append(
          f"{NAME}/{kind}: {counts['triplets']} triplets from {self.images} images "
          f"({counts['skipped']} skipped: the image shows too little of the distortions) "
          f"in {directory}")
    lines += [f"could not read {name}: {reason}" for name, reason in self.unreadable.items()]
    return "\n".join(lines)


def open_prepared(kind, data_dir):
  """Returns the `tfds.core.DatasetBuilder` of a prepared graded set.

  Raises:
    UserError: the kind is unknown, or `data_dir` holds no whole set of that kind.
  """
  if kind not in graded.KINDS:
    raise unknown("graded kind", kind, graded.KINDS)
  directory = _directory(kind, data_dir)
  tfds_files.require_complete(directory)
  return tfds.builder_from_directory(directory)


def prepare(source, data_dir, *, kinds=graded.KINDS, seed=0, per_image=1, image_size=64,
            limit=None, under=None, overwrite=False):
  """Makes graded triplets from a source of images and writes `data_dir/graded/<kind>/1.0.0`.

  The same images and options give the same bytes. Images of other sizes are cropped to their
  central square and box-resized.

  Args:
    source: a folder or a tar archive (also compressed) of images; or `'imagenet64'`, the
      validation split of `imagenet_resized/64x64` prepared in `data_dir`; or `'demo'`, the
      validation crops of the embedded photographs.
    data_dir: the TFDS folder to write to.
    kinds: which of `graded.KINDS` to make.
    seed: a non-negative integer.
    per_image: triplets of each kind from one image.
    image_size: height and width of the triplets, at least 32. The distortions' strengths suit 64.
    limit: the most images to use, spread evenly over the source (files sorted by name). By
      default as many as give about 5,000 triplets of a kind, or all where there are fewer. All
      are held in memory.
    under: with a folder or an archive, only images that have this folder in their path.
    overwrite: whether to replace sets that are already there.

  Returns:
    A `Report`.

  Raises:
    UserError: an option is illegal, the source is missing or has no readable image, a set is
      already there, or no image shows the distortions. No half-written set is left, but a kind
      that was complete by then stays.
  """
  _check_options(source, kinds, seed=seed, per_image=per_image, image_size=image_size,
                 limit=limit, under=under)
  directories = {kind: _directory(kind, data_dir) for kind in kinds}
  _check_free(directories.values(), overwrite)
  limit = limit or -(-DEFAULT_TRIPLETS // per_image)
  images, unreadable = _read(source, data_dir, under, limit, image_size)
  if not images:
    raise UserError(f"None of the {len(unreadable)} images of {source} tried could be read; "
                    f"the first is {next(iter(unreadable))}.")
  made_from = {
      "label": graded.LABEL,
      "seed": seed,
      "per_image": per_image,
      "image_size": image_size,
      "source": str(source),
      "under": under,
      "images": len(images),
      "images_sha256": _sha256(images),
      "unreadable": unreadable,
  }
  counts = {
      kind: _write(images, kind, data_dir, made_from, seed=seed, per_image=per_image,
                   image_size=image_size, overwrite=overwrite)
      for kind in kinds
  }
  return Report(directories, counts, len(images), unreadable)


def _directory(kind, data_dir):
  return tfds_files.DatasetName(NAME, kind, VERSION).directory(data_dir)


def _check_options(source, kinds, *, seed, per_image, image_size, limit, under):
  if not kinds or isinstance(kinds, str) or len(set(kinds)) < len(kinds):
    raise UserError(
        f"kinds must list some of {', '.join(graded.KINDS)}, each once. Received: {kinds!r}.")
  for kind in kinds:
    graded.check(kind, seed=seed, per_image=per_image)
  if image_size < distortions.MIN_SIDE:
    raise UserError(f"image_size must be at least {distortions.MIN_SIDE}. Received: {image_size}.")
  if limit is not None and limit < 1:
    raise UserError(f"limit must be at least 1. Received: {limit}.")
  if under is not None and source in _SOURCES:
    raise UserError(f"under={under!r} selects a folder; the source {source!r} has no folders.")


def _check_free(directories, overwrite):
  """Finds out before any work what the writer would say after it."""
  for directory in directories:
    if tfds_files.is_complete(directory) and not overwrite:
      raise UserError(
          f"{directory} already holds a data set: choose another data_dir, or overwrite.")


def _read(source, data_dir, under, limit, image_size):
  """Returns the references, uint8 [image_size, image_size, 3] each, and {name: reason}."""
  if source in _SOURCES:
    images, unreadable = _SOURCES[source](data_dir, limit), {}
  else:
    images, unreadable = _read_files(source, under, limit)
  return [_square(image, image_size) for image in images], unreadable


def _read_files(source, under, limit):
  sizes, _ = image_files.list_files(source)
  names = sorted(
      name for name in sizes if image_files.is_image_name(name) and _is_under(name, under))
  if not names:
    where = f"{source} under {under!r}" if under else source
    raise UserError(f"No images in {where}: looked for {', '.join(image_files.SUFFIXES)}.")
  wanted = {names[index] for index in _spread(len(names), limit)}
  images, unreadable = {}, {}
  with progress(description="reading", total=len(wanted)) as bar:
    for file in image_files.image_files(source):
      if file.name not in wanted:
        continue
      try:
        images[file.name] = file.decode()
      except image_files.UnreadableImage as error:
        unreadable[error.name] = error.reason
      bar.update()
  return [images[name] for name in sorted(images)], unreadable


def _is_under(name, under):
  return under is None or f"/{under.strip('/')}/" in f"/{name}"


def _spread(count, limit):
  """Returns at most `limit` indices, evenly spread over 0..count - 1, ascending."""
  return np.linspace(0, count - 1, min(count, limit)).round().astype(int)


def _read_imagenet64(data_dir, limit):
  directory = _IMAGENET64.directory(data_dir)
  tfds_files.require_complete(directory)
  builder = tfds.builder_from_directory(directory)
  count = builder.info.splits["validation"].num_examples
  wanted = set(_spread(count, limit).tolist())
  dataset = builder.as_dataset(split="validation", shuffle_files=False,
                               decoders={"image": tfds.decode.SkipDecoding()})
  examples = progress(dataset.as_numpy_iterator(), description="reading", total=count)
  return [
      image_files.decode(example["image"], f"{directory} validation example {index}")
      for index, example in enumerate(examples) if index in wanted
  ]


def _read_demo(data_dir, limit):
  del data_dir
  images, _ = demo.crops("validation")
  return images[_spread(len(images), limit)]


_SOURCES = {"imagenet64": _read_imagenet64, "demo": _read_demo}


def _square(image, size):
  """Returns the central square, box-resized to [size, size, 3]."""
  height, width, _ = image.shape
  side = min(height, width)
  top, left = (height - side) // 2, (width - side) // 2
  box = (left, top, left + side, top + side)
  return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BOX, box=box))


def _sha256(images):
  digest = hashlib.sha256()
  for image in images:
    digest.update(image.tobytes())
  return digest.hexdigest()


def _write(images, kind, data_dir, made_from, *, seed, per_image, image_size, overwrite):
  """Writes the set of one kind; returns what `graded.triplets` counted."""
  counts = collections.Counter(triplets=0, redrawn=0, skipped=0)
  triplets = graded.triplets(images, kind, seed=seed, per_image=per_image, counts=counts)
  tfds_files.write_dataset(
      data_dir, name=NAME, config=kind, version=VERSION, features=_features(image_size),
      splits={SPLIT: _examples(triplets, counts, kind)},
      description=f"{graded.LABEL}. Made from {made_from['source']}, seed {seed}.",
      # The writer takes the metadata after the last example, when the counts are complete.
      metadata={**made_from, "kind": kind, "counts": counts},
      overwrite=overwrite)
  return dict(counts)


def _features(image_size):
  image = {
      key: tfds.features.Image(shape=(image_size, image_size, 3), encoding_format="png")
      for key in IMAGE_KEYS
  }
  text = {key: tfds.features.Text() for key in ("family_0", "family_1", "id")}
  return tfds.features.FeaturesDict({**image, "judge": tf.float32, **text})


def _examples(triplets, counts, kind):
  """Yields the triplets with their images as PNG bytes, which threads can compress."""
  yield from map_in_order(_with_png, triplets)
  if not counts["triplets"]:
    raise UserError(f"None of the images shows enough of the distortions of {kind!r}: "
                    f"all {counts['skipped']} triplets were skipped.")


def _with_png(triplet):
  return {**triplet, **{key: image_files.encode_png(triplet[key]) for key in IMAGE_KEYS}}
