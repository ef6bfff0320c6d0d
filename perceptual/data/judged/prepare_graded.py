"""Writes the `graded` 2AFC sets as data sets that TFDS reads, from any images.

`tfds.load("graded/monotone", data_dir=...)` and `"graded/nuisance"` give one split, `val`, of
`{'reference', 'candidate_0', 'candidate_1', 'judge', 'family_0', 'family_1', 'id'}` as
`graded.triplets` makes them. `builder.info.metadata` says how they came to be, above all that no
human judged them.
"""

import collections
import dataclasses
import pathlib

from perceptual.common.in_order import map_in_order
from perceptual.data import already_there, tfds_files
from perceptual.data.images import image_files
from perceptual.data.judged import graded, references, tfds_sets, triplet_records
from perceptual.errors import UserError, unknown

NAME = "graded"
SPLIT = "val"

# Without a limit on the images, about as many triplets of each kind are made.
DEFAULT_TRIPLETS = 5000


@dataclasses.dataclass(frozen=True)
class Report:
  """What `prepare` did; `str(report)` is for people.

  Attributes:
    directories: where each kind was written.
    counts: for each kind, `triplets` made, draws `redrawn` and triplets `skipped`, as in
      `graded.triplets`.
    images: the number of references read.
    unreadable: the name of each image that could not be read, with the reason.
    altered: what was altered on reading -> in how many images.
    found: the kinds that were complete already, for which nothing was done.
  """

  directories: dict[str, pathlib.Path]
  counts: dict[str, dict[str, int]]
  images: int
  unreadable: dict[str, str]
  altered: dict[str, int]
  found: tuple[str, ...] = ()

  def __str__(self):
    lines = []
    for kind, directory in self.directories.items():
      counts = self.counts[kind]
      lines.append(
          f"{already_there.NOTHING_TO_DO if kind in self.found else ''}"
          f"{NAME}/{kind}: {counts['triplets']} triplets from {self.images} images "
          f"({counts['skipped']} skipped: the image shows too little of the distortions) "
          f"in {directory}")
    if len(self.found) == len(self.directories):
      return "\n".join(lines)
    lines += [f"could not read {name}: {reason}" for name, reason in self.unreadable.items()]
    return "\n".join([graded.LABEL, *lines, *image_files.altered_lines(self.altered)])


def open_prepared(kind, data_dir):
  """Returns the `tfds.core.DatasetBuilder` of a prepared graded set.

  Raises:
    UserError: the kind is unknown, or `data_dir` holds no whole set of that kind.
  """
  if kind not in graded.KINDS:
    raise unknown("graded kind", kind, graded.KINDS)
  return tfds_files.open_builder(tfds_sets.whole(f"{NAME}/{kind}", data_dir))


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
    A `Report`. Nothing is done for a set that is there already and was made from the same images
    with the same options.

  Raises:
    UserError: an option is illegal, the source is missing or has no readable image, a set is there
      already that was made otherwise, or no image shows the distortions. No half-written set is
      left, but a kind that was complete by then stays: the same call, given again, goes on with the
      other.
  """
  _check_kinds(kinds, seed=seed, per_image=per_image)
  references.check(source, image_size=image_size, limit=limit, under=under)
  directories = {kind: _directory(kind, data_dir) for kind in kinds}
  options = {"seed": seed, "per_image": per_image, "image_size": image_size, "under": under}
  there = {kind: already_there.made_with(directory) for kind, directory in directories.items()
           if tfds_files.is_kept(directory, overwrite=overwrite)}
  for kind, made_with in there.items():
    already_there.require_made_alike(directories[kind], options, made_with)
  limit = limit or -(-DEFAULT_TRIPLETS // per_image)
  images, unreadable, altered = references.read(
      source, data_dir, image_size=image_size, limit=limit, under=under)
  made_from = {
      "label": graded.LABEL,
      **options,
      "source": str(source),
      "images": len(images),
      "images_sha256": references.sha256(images),
      "unreadable": unreadable,
      "altered": altered,
  }
  for kind, made_with in there.items():
    already_there.require_made_alike(
        directories[kind], references.described(made_from), references.described(made_with))
  counts = {
      kind: there[kind]["counts"] if kind in there else
      _write(images, kind, data_dir, made_from, seed=seed, per_image=per_image,
             image_size=image_size, overwrite=overwrite)
      for kind in kinds
  }
  return Report(directories, counts, len(images), unreadable, altered, tuple(there))


def _directory(kind, data_dir):
  return tfds_sets.directory(f"{NAME}/{kind}", data_dir)


def _check_kinds(kinds, *, seed, per_image):
  if not kinds or isinstance(kinds, str) or len(set(kinds)) < len(kinds):
    raise UserError(
        f"kinds must list some of {', '.join(graded.KINDS)}, each once. Received: {kinds!r}.")
  for kind in kinds:
    graded.check(kind, seed=seed, per_image=per_image)


def _write(images, kind, data_dir, made_from, *, seed, per_image, image_size, overwrite):
  """Writes the set of one kind; returns what `graded.triplets` counted."""
  counts = collections.Counter(triplets=0, redrawn=0, skipped=0)
  triplets = graded.triplets(images, kind, seed=seed, per_image=per_image, counts=counts)
  tfds_files.write_dataset(
      data_dir, name=NAME, config=kind, version=tfds_sets.VERSION,
      features=triplet_records.features(image_size),
      splits={SPLIT: _examples(triplets, counts, kind)},
      description=f"{graded.LABEL}. Made from {made_from['source']}, seed {seed}.",
      # The writer takes the metadata after the last example, when the counts are complete.
      metadata={**made_from, "kind": kind, "counts": counts},
      overwrite=overwrite)
  return dict(counts)


def _examples(triplets, counts, kind):
  """Yields the triplets with their images as PNG bytes, which threads can compress."""
  yield from map_in_order(triplet_records.with_png, triplets)
  if not counts["triplets"]:
    raise UserError(f"None of the images shows enough of the distortions of {kind!r}: "
                    f"all {counts['skipped']} triplets were skipped.")
