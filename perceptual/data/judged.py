"""Judged image sets - triplets with a preference, pairs with a same/different - under one interface.

A 2AFC example is `{'reference', 'candidate_0', 'candidate_1': [size, size, 3] uint8, 'judge': float32}`,
`judge` the fraction of people who find `candidate_1` closer. A JND example is `{'reference',
'candidate', 'same': float32}`, `same` the fraction who could not tell the two apart. BAPPS files are
256x256 and are scored at 64x64, resized bilinearly, as in Zhang et al. 2018.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from perceptual import errors

DATASETS = ("bapps/2afc", "bapps/jnd", "graded", "graded/monotone", "graded/nuisance")
IMAGE_KEYS = {"2afc": ("reference", "candidate_0", "candidate_1"),
              "jnd": ("reference", "candidate")}
ANSWER_KEY = {"2afc": "judge", "jnd": "same"}
ANSWER_KEYS = ("judge", "same", "family_0", "family_1")
GRADED_KINDS = ("monotone", "nuisance")


@dataclasses.dataclass(frozen=True)
class Subset:
  """One subset of a judged set.

  Attributes:
    name: for instance `superres`.
    images: data set of the images alone, uint8 of one size, in the order of `answers`.
    answers: `[examples]` float64 in [0, 1]: `judge` or `same`.
    groups: name of a finer division -> `[examples]` names of the part each example belongs to.
  """

  name: str
  images: tf.data.Dataset
  answers: np.ndarray
  groups: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

  @property
  def size(self):
    return len(self.answers)


@dataclasses.dataclass(frozen=True)
class JudgedSet:
  """A judged set: its subsets, and how its answers came to be.

  Attributes:
    name: one of `DATASETS`.
    kind: `2afc` or `jnd`.
    note: where the answers come from; stands wherever a score on this set is shown.
    subsets: the subsets, in the papers' order.
    by_people: whether people judged. Only then do the human ceiling and the aggregates over subsets
      mean something.
  """

  name: str
  kind: str
  note: str
  subsets: tuple[Subset, ...]
  by_people: bool

  @property
  def size(self):
    return sum(subset.size for subset in self.subsets)


def load(name, *, data_dir=None, image_size=64, limit=None):
  """Returns a judged set by name.

  Args:
    name: one of `DATASETS`.
    data_dir: the TFDS folder that holds it. None, for the graded sets only: they are then made from
      the validation part of the embedded demo photographs.
    image_size: height and width at which BAPPS is scored; the graded sets have their own size.
    limit: at most this many examples a subset, the first ones; None for all.

  Raises:
    UserError: if the name is unknown or the set is missing, empty or incomplete.
  """
  if name not in DATASETS:
    raise errors.unknown("judged set", name, DATASETS)
  if name.startswith("bapps"):
    return _bapps(name, data_dir, image_size, limit)
  kinds = GRADED_KINDS if name == "graded" else (name.split("/")[1],)
  return _graded(name, kinds, data_dir, limit)


def _bapps(name, data_dir, image_size, limit):
  from perceptual.data import bapps

  kind = name.split("/")[1]
  builder = bapps.open_prepared(kind, data_dir)
  subsets = []
  for split in builder.info.splits:
    if split.startswith("val_"):
      examples = _prepared(builder, split, limit)
      subsets.append(_subset(split.removeprefix("val_"), *examples, kind, image_size))
  if not subsets:
    raise errors.UserError(f"{name} in {data_dir} has no validation subsets: its splits are "
                           f"{', '.join(builder.info.splits)}.")
  order = {subset: i for i, subset in enumerate(bapps.VAL_SUBSETS[kind])}
  return JudgedSet(name=name, kind=kind, note="judged by people (BAPPS validation)", by_people=True,
                   subsets=tuple(sorted(subsets, key=lambda s: order[s.name])))


def _graded(name, kinds, data_dir, limit):
  from perceptual.data import graded

  subsets = []
  for kind in kinds:
    if data_dir is None:
      examples = _graded_demo(kind, limit)
    else:
      from perceptual.data import prepare_graded
      examples = _prepared(prepare_graded.open_prepared(kind, data_dir), "val", limit)
    subsets.append(_subset(kind, *examples, "2afc"))
  return JudgedSet(name=name, kind="2afc", note=graded.LABEL, subsets=tuple(subsets),
                   by_people=False)


def _graded_demo(kind, limit):
  """The graded triplets of the embedded photographs: examples, and their answers again."""
  from perceptual.data import demo, graded

  images, _ = demo.crops("validation")
  triplets = list(graded.triplets(images, kind, seed=0, per_image=1))[:limit]
  dataset = tf.data.Dataset.from_tensor_slices(
      {key: np.stack([t[key] for t in triplets]) for key in triplets[0]})
  return dataset, dataset.map(lambda e: {key: e[key] for key in ANSWER_KEYS if key in e})


def _prepared(builder, split, limit):
  """The examples of a prepared set, and their answers again, read without decoding an image."""
  import tensorflow_datasets as tfds

  keys = [key for key in ANSWER_KEYS if key in builder.info.features]
  decoders = (None, tfds.decode.PartialDecoding(keys))
  return [builder.as_dataset(split=split, shuffle_files=False, decoders=d)
          .take(-1 if limit is None else limit) for d in decoders]


def _subset(name, examples, answers, kind, image_size=None):
  def images_alone(example):
    images = {key: example[key] for key in IMAGE_KEYS[kind]}
    if image_size is None:
      return images
    return {key: _resized(image, image_size) for key, image in images.items()}

  columns = _columns(answers)
  if not columns:
    raise errors.UserError(f"Judged subset {name!r} is empty.")
  images = examples.map(images_alone, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  return Subset(name, _static(images), np.asarray(columns[ANSWER_KEY[kind]], np.float64),
                _family_groups(columns))


def _columns(dataset):
  rows = list(dataset.as_numpy_iterator())
  return {key: np.array([row[key] for row in rows]) for key in rows[0]} if rows else {}


def _family_groups(columns):
  """Divisions of a graded set: by the family of its distortions, and by the pair of families."""
  if "family_0" not in columns:
    return {}
  first, second = (columns[key].astype(str) for key in ("family_0", "family_1"))
  if np.array_equal(first, second):
    return {"family": first}
  # The judge prefers the harmless candidate: name it first, whichever side it stands on.
  closer_is_1 = np.asarray(columns["judge"]) > 0.5
  harmless = np.where(closer_is_1, second, first)
  damage = np.where(closer_is_1, first, second)
  pair = np.char.add(np.char.add(harmless, " vs "), damage)
  return {"harmless family": harmless, "damage family": damage, "pair of families": pair}


def _resized(image, size):
  """Bilinear with antialiasing, as the Pillow resize through which LPIPS loads these files."""
  resized = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
  return tf.saturate_cast(tf.round(resized), tf.uint8)


def _static(images):
  """Gives the images the static shape of the first ones; others raise when they are read."""
  shapes = {key: image.shape for key, image in next(images.as_numpy_iterator()).items()}
  return images.map(lambda e: {key: tf.ensure_shape(e[key], shapes[key]) for key in e})
