"""Judged sets of images - triplets with a preference, pairs with a same/different - as one thing.

A 2AFC example is `{'reference', 'candidate_0', 'candidate_1': [size, size, 3] uint8, 'judge':
float32}`, `judge` the fraction of people who find `candidate_1` closer. A JND example is
`{'reference', 'candidate', 'same': float32}`, `same` the fraction who could not tell the two apart.
BAPPS files are 256x256 and are scored at 64x64, resized bilinearly, as in Zhang et al. 2018.
"""

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np

from perceptual import errors
from perceptual.common import backends, progress
from perceptual.data import tfds_files
from perceptual.data.judged import bapps_files, tfds_sets

DATASETS = ("bapps/2afc", "bapps/jnd", "graded", "graded/monotone", "graded/nuisance", "teacher")
IMAGE_KEYS = {"2afc": ("reference", "candidate_0", "candidate_1"),
              "jnd": ("reference", "candidate")}
ANSWER_KEY = {"2afc": "judge", "jnd": "same"}
SPLITS = ("val", "train")
TRAINING_DATASETS = ("bapps/2afc", "teacher")  # those with a split to learn from

# Bytes of one subset's images, as scored, up to which they are kept in memory: several metrics, and
# the evaluations of a training run, then decode them once. BAPPS's largest takes 0.4 GB at 64x64.
CACHE_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Subset:
  """One subset of a judged set.

  Attributes:
    name: for instance `superres`.
    images: the images alone, `{key: [height, width, 3] uint8}` with the keys `IMAGE_KEYS` of its
      kind, of one size, in the order of `answers`; to be iterated over again and again. Where Keras
      runs on TensorFlow a `tf.data.Dataset`, otherwise of arrays.
    answers: `[examples]` float64 in [0, 1]: `judge` or `same`.
    groups: name of a finer division -> `[examples]` names of the part each example belongs to.
  """

  name: str
  images: Iterable
  answers: np.ndarray
  groups: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

  @property
  def size(self):
    """The number of examples."""
    return len(self.answers)


@dataclasses.dataclass(frozen=True)
class JudgedSet:
  """A judged set: its subsets, and how its answers came to be.

  Attributes:
    name: one of `DATASETS`; of what is to be learned from, with `(train)` behind it.
    kind: `2afc` or `jnd`.
    note: where the answers come from; shown with every score on this set.
    subsets: the subsets, in the papers' order.
    by_people: whether people judged. Only then do the human ceiling and the averages over subsets
      mean something.
  """

  name: str
  kind: str
  note: str
  subsets: tuple[Subset, ...]
  by_people: bool

  @property
  def size(self):
    """The number of examples of all subsets."""
    return sum(subset.size for subset in self.subsets)


def load(name, *, data_dir=None, image_size=64, limit=None, split="val"):
  """Returns a judged set by name.

  Args:
    name: one of `DATASETS`; for the split `'train'`, one of `TRAINING_DATASETS`.
    data_dir: the TFDS folder that holds it. None, for the graded sets only: they are then made from
      the validation part of the embedded demo photographs.
    image_size: height and width at which BAPPS is scored; the other sets have their own size.
    limit: at most this many examples a subset, the first ones; None for all.
    split: `'val'`, to score on, or `'train'`, other images to learn from.

  Raises:
    UserError: if the name is unknown or the set is missing, empty or incomplete, or has no such
      split.
  """
  if name not in DATASETS:
    raise errors.unknown("judged set", name, DATASETS)
  if split not in SPLITS:
    raise errors.unknown("split of a judged set", split, SPLITS)
  if split == "train" and name not in TRAINING_DATASETS:
    raise errors.unknown("judged set to learn from", name, TRAINING_DATASETS)
  family, _, kind = name.partition("/")
  if family == "bapps":
    return _bapps(kind, split, data_dir, image_size, limit)
  if family == "teacher":
    return _teacher(split, data_dir, limit)
  return _graded(name, kind, data_dir, limit)


def _bapps(kind, split, data_dir, image_size, limit):
  if data_dir is None:
    raise errors.UserError(f"bapps/{kind} needs a data_dir, the folder in which it was prepared "
                           "with: perceptual prepare bapps --data_dir=DATA_DIR")
  directory = tfds_sets.whole(f"bapps/{kind}", data_dir)
  published = bapps_files.subsets(kind, split)
  splits = tfds_files.split_files(directory)
  there = [name for name in published if f"{split}_{name}" in splits]
  called = {"val": "validation", "train": "training"}[split]
  if not there:
    raise errors.UserError(
        f"bapps/{kind} in {data_dir} has no {called} subset: its splits are "
        f"{', '.join(splits)}. Published are {', '.join(published)}.")
  notes = [f"judged by people (BAPPS {called})"]
  if len(there) < len(published):
    notes.append(f"without {', '.join(name for name in published if name not in there)}")
  with progress.progress(there, description=f"reading bapps/{kind}", unit="subset") as names:
    subsets = [_subset(name, *_reader().prepared(directory, f"{split}_{name}", limit), kind,
                       image_size) for name in names]
  return _judged_set(_named(f"bapps/{kind}", split), kind, notes, subsets, limit, by_people=True)


def _graded(name, kind, data_dir, limit):
  from perceptual.data.judged import graded

  notes = [graded.LABEL]
  if data_dir is None:
    notes.append("made from the embedded demo photographs")
  subsets = [_subset(kind, *_graded_examples(kind, data_dir, limit), "2afc")
             for kind in ((kind,) if kind else graded.KINDS)]
  return _judged_set(name, "2afc", notes, subsets, limit, by_people=False)


def _teacher(split, data_dir, limit):
  if data_dir is None:
    raise errors.UserError(
        "teacher needs a data_dir, the folder in which it was prepared with: perceptual prepare "
        f"teacher --split={split} --source=DIR_OR_TAR --data_dir=DATA_DIR")
  directory = tfds_sets.whole(f"teacher/{tfds_sets.TEACHER_CONFIGS[split]}", data_dir)
  subset = _subset("cross", *_reader().prepared(directory, split, limit), "2afc",
                   groups=_cross_family_groups)
  notes = [tfds_files.metadata(directory)["label"]]
  return _judged_set(_named("teacher", split), "2afc", notes, [subset], limit, by_people=False)


def _named(name, split):
  """The name of a set, which says so where it is to be learned from."""
  return f"{name} (train)" if split == "train" else name


def _judged_set(name, kind, notes, subsets, limit, *, by_people):
  if limit is not None and any(subset.size == limit for subset in subsets):
    notes = [*notes, f"at most {limit} examples a subset"]
  return JudgedSet(name=name, kind=kind, note="; ".join(notes), subsets=tuple(subsets),
                   by_people=by_people)


def _graded_examples(kind, data_dir, limit):
  """The examples of a graded set, prepared or made here, and their answers again."""
  if data_dir is None:
    return _graded_demo(kind, limit)
  return _reader().prepared(tfds_sets.whole(f"graded/{kind}", data_dir), "val", limit)


def _graded_demo(kind, limit):
  """The graded triplets of the embedded photographs: examples, and their answers again."""
  from perceptual.data.judged import graded
  from perceptual.data.labelled import demo

  images, _ = demo.crops("validation")
  made = itertools.islice(graded.triplets(images, kind, seed=0, per_image=1), limit)
  with progress.progress(made, description=f"making graded/{kind}", unit="triplet") as making:
    return _reader().made(list(making))


def _subset(name, examples, columns, kind, image_size=None, *, groups=None):
  """Returns a `Subset`; its images are resized to `image_size` unless that is None.

  Args:
    examples: as `_reader` returns them.
    columns: the answers, and what divides the subset, `{key: [examples] values}`.
    groups: columns -> the `groups` of the subset; None for `_family_groups`.
  """
  if not columns:
    raise errors.UserError(f"Judged subset {name!r} is empty.")
  answers = np.asarray(columns[ANSWER_KEY[kind]], np.float64)
  images = _reader().images(examples, IMAGE_KEYS[kind], size=image_size, count=len(answers),
                            cache_bytes=CACHE_BYTES)
  return Subset(name, images, answers, (groups or _family_groups)(columns))


def _reader():
  """Returns the module that reads examples: `tf.data` where Keras runs on TensorFlow."""
  if backends.choose() == "tensorflow":
    from perceptual.data.judged import tensorflow_examples

    return tensorflow_examples
  from perceptual.data.judged import numpy_examples

  return numpy_examples


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


def _cross_family_groups(columns):
  """Divisions of a set of two families a triplet: by each, and by the pair of their kinds."""
  from perceptual.data import distortions

  first, second = (columns[key].astype(str) for key in ("family_0", "family_1"))
  closer_is_1 = np.asarray(columns["judge"]) > 0.5
  kinds = [sorted(distortions.FAMILIES[name].group for name in pair) for pair in zip(first, second)]
  return {"closer family": np.where(closer_is_1, second, first),
          "farther family": np.where(closer_is_1, first, second),
          "kinds of distortion": np.array([" and ".join(pair) for pair in kinds])}

