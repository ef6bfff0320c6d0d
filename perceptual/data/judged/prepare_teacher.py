"""Writes the `teacher` 2AFC set: cross-family triplets whose judge is a metric, not a person.

`tfds.load("teacher/cross", data_dir=...)` gives one split, `val`, of `{'reference', 'candidate_0',
'candidate_1', 'judge', 'family_0', 'family_1', 'id'}`: triplets of `cross_family`, and `judge` 1
where the teacher finds `candidate_1` closer, else 0. `builder.info.metadata` holds the teacher's
fingerprint and how the set came to be. A score on it says how often a metric agrees with the
teacher, and no more. `"teacher/cross_train"` gives `train`, for metrics to learn from: made of
other photographs, with other draws.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from keras import ops

from perceptual.common import precision
from perceptual.common.in_order import map_in_order
from perceptual.data import already_there, tfds_files
from perceptual.data.images import image_files
from perceptual.data.judged import cross_family, references, tfds_sets, triplet_records
from perceptual.errors import UserError, unknown

NAME = "teacher"
CONFIGS = tfds_sets.TEACHER_CONFIGS

# Without a limit on the images, about as many triplets of a split are made.
DEFAULT_TRIPLETS = {"val": 5000, "train": 20_000}

# Of a source that has splits itself, the one that a split is made from.
_SOURCE_SPLITS = {"val": "validation", "train": "train"}

# Added to the seed, so that no draw of one split is one of the other.
_SEED_OFFSETS = {"val": 0, "train": 2**32}

_BATCH = 100  # triplets judged at a time


@dataclasses.dataclass(frozen=True)
class Report:
  """What `prepare` did; `str(report)` is for people.

  Attributes:
    directory: where the set was written, in the folder of its configuration.
    label: who judged.
    counts: `triplets` written, and those dropped: `identical` images, as in `cross_family`, and
      `ties` of the teacher.
    images: the number of references read.
    unreadable: the name of each image that could not be read, with the reason.
    altered: what was altered on reading -> in how many images.
    found: whether the set was complete already and nothing was done.
  """

  directory: pathlib.Path
  label: str
  counts: dict[str, int]
  images: int
  unreadable: dict[str, str]
  altered: dict[str, int]
  found: bool = False

  def __str__(self):
    counts = self.counts
    made = (
        f"{NAME}/{self.directory.parent.name}: {counts['triplets']} triplets from {self.images} "
        f"images (dropped: {counts['identical']} with identical images, {counts['ties']} ties) "
        f"in {self.directory}")
    if self.found:
      return f"{already_there.NOTHING_TO_DO}{made}; {self.label}"
    lines = [self.label, made]
    lines += [f"could not read {name}: {reason}" for name, reason in self.unreadable.items()]
    return "\n".join([*lines, *image_files.altered_lines(self.altered)])


def label(teacher):
  """Returns who judged, in words that are shown with every score on the set."""
  return f"judged by {teacher}, a stand-in for people: no human judged"


def open_prepared(data_dir, split="val"):
  """Returns the `tfds.core.DatasetBuilder` of the prepared set that has a split.

  Raises:
    UserError: if `data_dir` holds no whole one.
  """
  return tfds_files.open_builder(tfds_sets.whole(f"{NAME}/{CONFIGS[split]}", data_dir))


def prepare(source, data_dir, metric, *, split="val", seed=0, per_image=1, image_size=64,
            limit=None, under=None, overwrite=False):
  """Makes triplets, has a metric judge them, and writes one of `CONFIGS` below `data_dir/teacher`.

  The same images, options and metric give the same triplets and the same answers. Only near ties
  may be decided otherwise on a machine that rounds differently.

  Args:
    source: as `references.read` takes it: files, `'imagenet64'` or `'demo'`.
    data_dir: the TFDS folder to write to.
    metric: the teacher: `metric(reference, candidate)` takes uint8 `[batch, height, width, 3]` and
      returns `[batch]`; `metric.name` is its name, and `metric.lower_is_better` and
      `metric.fingerprint` are as those of `perceptual.metrics.base.Metric`.
    split: `'val'`, to score on, or `'train'`, to learn from: of `'imagenet64'` and `'demo'` it is
      made from the training images. Of files, say by `under` which are for which.
    seed: a non-negative integer.
    per_image: triplets made from each image.
    image_size: height and width of the triplets, at least 32. The distortions' strengths suit 64.
    limit: the most images to use, spread evenly over the source. By default as many as give about
      5,000 triplets (20,000 for `'train'`), or all where there are fewer. All are held in memory.
    under: with a folder or an archive, only images that have this folder in their path.
    overwrite: whether to replace a set that is already there.

  Returns:
    A `Report`. Nothing is done if the set is there already and was made from the same images, with
    the same options and teacher.

  Raises:
    UserError: an option is illegal, the source is missing or has no readable image, the set is
      there already and was made otherwise, the other split was made from some of the same images,
      the teacher's answer is not finite, or no triplet is left. Nothing is then left behind.
  """
  if split not in CONFIGS:
    raise unknown("split of teacher", split, CONFIGS)
  cross_family.check(seed=seed, per_image=per_image)
  references.check(source, image_size=image_size, limit=limit, under=under)
  directory = _directory(data_dir, split)
  options = {"seed": seed, "per_image": per_image, "image_size": image_size, "under": under}
  there = None
  if tfds_files.is_kept(directory, overwrite=overwrite):
    there = already_there.made_with(directory)
    already_there.require_made_alike(
        directory, {**options, **_described(metric.fingerprint)},
        {**there, **_described(there["teacher"])})
  images, unreadable, altered = references.read(
      source, data_dir, image_size=image_size, under=under, split=_SOURCE_SPLITS[split],
      limit=limit or -(-DEFAULT_TRIPLETS[split] // per_image))
  made_from = {
      "label": label(metric.name), "teacher": metric.fingerprint, **options, "source": str(source),
      "images": len(images), "images_sha256": references.sha256(images),
      "unreadable": unreadable, "altered": altered}
  if there is None:
    counts = _write(images, data_dir, metric, made_from, split=split, overwrite=overwrite)
  else:
    already_there.require_made_alike(
        directory, references.described(made_from), references.described(there))
    counts = there["counts"]
  return Report(directory, label(metric.name), counts, len(images), unreadable, altered,
                found=there is not None)


def _write(images, data_dir, metric, made_from, *, split, overwrite):
  """Writes the set of a split; returns what was counted."""
  for other in CONFIGS.keys() - {split}:
    _require_disjoint(images, data_dir, other)
  counts = collections.Counter(triplets=0, identical=0, ties=0)
  made = cross_family.triplets(
      images, seed=made_from["seed"] + _SEED_OFFSETS[split], per_image=made_from["per_image"],
      counts=counts)
  tfds_files.write_dataset(
      data_dir, name=NAME, config=CONFIGS[split], version=tfds_sets.VERSION, overwrite=overwrite,
      features=triplet_records.features(made_from["image_size"]),
      splits={split: _examples(judged(made, metric, counts), counts)},
      description=f"{made_from['label']}. Made from {made_from['source']}, "
                  f"seed {made_from['seed']}.",
      # The writer takes the metadata after the last example, when the counts are complete.
      metadata={**made_from, "counts": counts})
  return dict(counts)


def _described(fingerprint):
  """Returns which metric judged, apart from the versions of libraries, as an option to compare."""
  lasting = {key: value for key, value in fingerprint.items() if key != "versions"}
  digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
  return {"teacher": f"{fingerprint['name']} (fingerprint {digest[:12]})"}


def judged(triplets, metric, counts):
  """Yields triplets with the `judge` of a metric, float32 0 or 1; ties are dropped.

  Args:
    triplets: as `cross_family.triplets` makes them.
    metric: as `prepare` takes it.
    counts: a `collections.Counter` that receives `triplets` (yielded) and `ties` (dropped).

  Raises:
    UserError: if an answer of the metric is not finite.
  """
  triplets = iter(triplets)
  while batch := list(itertools.islice(triplets, _BATCH)):
    distance_0, distance_1 = (_distances(batch, side, metric) for side in (0, 1))
    for triplet, to_0, to_1 in zip(batch, distance_0, distance_1):
      if to_0 == to_1:
        counts["ties"] += 1
        continue
      counts["triplets"] += 1
      yield {**triplet, "judge": np.float32(to_1 < to_0)}


def _distances(batch, side, metric):
  """Distances of one side's candidates to their references, lower is better: [batch]."""
  images = (np.stack([triplet[key] for triplet in batch])
            for key in ("reference", f"candidate_{side}"))
  with precision.full_float32():
    values = ops.convert_to_numpy(metric(*images))
  if not np.isfinite(values).all():
    culprit = batch[int(np.argmin(np.isfinite(values)))]["id"]
    raise UserError(f"{metric.name} cannot judge: its answer for candidate_{side} of {culprit} "
                    "is not finite.")
  return values if metric.lower_is_better else -values


def _examples(triplets, counts):
  """Yields the triplets with their images as PNG bytes."""
  yield from map_in_order(triplet_records.with_png, triplets)
  if not counts["triplets"]:
    raise UserError(f"No triplet is left: {counts['identical']} had identical images, and the "
                    f"teacher was undecided on {counts['ties']}.")


def _require_disjoint(images, data_dir, split):
  """Raises `UserError` if a split is there and was made from any of these images."""
  if not tfds_files.is_complete(_directory(data_dir, split)):
    return
  decoders = tfds.decode.PartialDecoding(["reference"])
  examples = open_prepared(data_dir, split).as_dataset(split=split, decoders=decoders)
  there = references.sha256_of_each(e["reference"] for e in examples.as_numpy_iterator())
  common = len(there & references.sha256_of_each(images))
  if common:
    raise UserError(f"{common} of the images are in {_directory(data_dir, split)} already: "
                    "what is learned from and what is scored must be made from different images.")


def _directory(data_dir, split):
  return tfds_sets.directory(f"{NAME}/{CONFIGS[split]}", data_dir)
