"""Write a data set from archives or folders of images, where TFDS and `perceptual` read it.

  perceptual prepare imagenet64 --source=DIR --data_dir=data
      imagenet_resized/64x64, from the official npz zips (Imagenet64_train_part1_npz.zip, ...) in
      DIR, or from images by class (<split>/<class>/<image>, or <class>/<image>) in DIR or in a
      .tar, .tar.gz or .tar.xz. Then tfds.load('imagenet_resized/64x64', data_dir='data') reads it.

  perceptual prepare images --source=DIR --name=NAME --data_dir=data
      Your own images by class, laid out in the same ways, of any number of classes and at the size
      --image_size, to train on with gin/data/own_images.gin.

  perceptual prepare bapps [--source=DIR] --data_dir=data
      BAPPS 2afc and jnd, from DIR (2afc/val/superres/ref/000000.png, ... or the official
      archives), or without --source by download of the official archives.

  perceptual prepare graded --source=DIR|imagenet64|own/NAME|demo --data_dir=data
      2AFC triplets whose right answer is known by construction (no human judged them), made from
      any images: a folder or tar, the validation images of imagenet64 or of your own images NAME
      in --data_dir, or the embedded demo photographs.

  perceptual prepare teacher --source=DIR|imagenet64|own/NAME|demo --data_dir=data
      2AFC triplets of two different distortions of one image, judged by a metric, LPIPS
      (--teacher), as a stand-in for people (no human judged them). Its weights are converted
      before: perceptual convert --help. With --split=train the triplets are for perceptual learn
      to learn from, made from the training images.

  perceptual prepare judged --source=DIR_OR_TAR --name=mine --data_dir=data
      Judgements of people from a CSV beside its images, of any size: triplets (columns reference,
      a, b and p or votes_a, votes_b), opinions (reference, distorted, score, and --direction) or
      same/different pairs (reference, distorted, and same or votes_same, votes_different).

  perceptual prepare judged --source=DIR_OR_TAR --layout=tid2013 --data_dir=data
      A public set as it is downloaded: tid2013, kadid10k, csiq, live, pipal, pieapp or nights.

An interrupted preparation leaves no data set that reads as complete; give the command again. The
same command for a complete data set does nothing; for a data set that was made otherwise it fails,
unless --overwrite is given.
"""

import inspect

from absl import flags

from perceptual import errors
from perceptual.commands import command_line
from perceptual.data.labelled import registry

DATASETS = (*registry.preparers(), "bapps", "graded", "teacher", "judged")
LAYOUTS = ("tid2013", "kadid10k", "csiq", "live", "pipal", "pieapp", "nights")
DIRECTIONS = ("higher_is_better", "lower_is_better")
TEACHERS = ("lpips-alex", "lpips-vgg", "lpips-squeeze")

# Flags that not every data set takes -> those that do.
_TRIPLETS = ("graded", "teacher")
_TAKEN_BY = {
    "seed": ("imagenet64", "images", *_TRIPLETS),
    "max_unreadable": ("imagenet64", "images"),
    "name": ("images", "judged"),
    "image_size": ("images",),
    "validation": ("images",),
    "kinds": ("graded",),
    "per_image": _TRIPLETS,
    "limit": _TRIPLETS,
    "under": _TRIPLETS,
    "teacher": ("teacher",),
    "split": ("teacher",),
    "weights_dir": ("teacher",),
    "layout": ("judged",),
    "direction": ("judged",),
    "columns": ("judged",),
    "table": ("judged",),
    "accept_reversed": ("judged",),
}

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "source", None, "The folder or archive to read; see above.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets, a path or an address, gs://bucket/data; "
    "each gets its own below it.",
    flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "Replace a data set that is there.", flag_values=FLAGS)
flags.DEFINE_integer(
    "seed", 0, "Seed of the order (imagenet64, images) or of the triplets (graded, teacher).",
    lower_bound=0, flag_values=FLAGS)
flags.DEFINE_integer(
    "max_unreadable", None, "imagenet64, images: how many unreadable images are skipped (and "
    "listed); with more, nothing is prepared. By default 10, or one in a hundred if that is more.",
    lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string(
    "name", None, "images, judged: what to call the set; for judged by default the layout's name.",
    flag_values=FLAGS)
flags.DEFINE_integer(
    "image_size", 64, "images: height and width to which they are resized, in pixels.",
    flag_values=FLAGS)
flags.DEFINE_float(
    "validation", None, "images: the share of each class that is held out for validation, where "
    "there are no folders train and val; by default 0.1.", flag_values=FLAGS)
flags.DEFINE_list(
    "kinds", ["monotone", "nuisance"], "graded: which sets to make.", flag_values=FLAGS)
flags.DEFINE_integer(
    "per_image", 1, "graded, teacher: triplets (of each kind) from one image.", lower_bound=1,
    flag_values=FLAGS)
flags.DEFINE_integer(
    "limit", None, "graded, teacher: use at most this many images, spread evenly over the source.",
    lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string(
    "under", None, "graded, teacher: use only images with this folder in their path, as 'val'.",
    flag_values=FLAGS)
flags.DEFINE_enum(
    "teacher", "lpips-alex", TEACHERS, "teacher: the metric that judges.", flag_values=FLAGS)
flags.DEFINE_enum(
    "split", "val", ["val", "train"], "teacher: triplets to score on, or to learn from.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "weights_dir", None, "teacher: the folder of converted weights; by default PERCEPTUAL_WEIGHTS, "
    "or perceptual/weights in the user's cache.", flag_values=FLAGS)
flags.DEFINE_enum(
    "layout", None, LAYOUTS, "judged: the public set whose files these are; by default a CSV holds "
    "the judgements.", flag_values=FLAGS)
flags.DEFINE_enum(
    "direction", None, DIRECTIONS, "judged: which opinions are better; higher for mean opinion "
    "scores (MOS), lower for differential ones (DMOS).", flag_values=FLAGS)
flags.DEFINE_list(
    "columns", [], "judged: what the columns of the CSV are called, as reference=ref,score=mos.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "table", None, "judged: the CSV of judgements, where the source holds several.",
    flag_values=FLAGS)
flags.DEFINE_bool(
    "accept_reversed", False, "judged: prepare answers even if they look reversed.",
    flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would be made, and stop.", flag_values=FLAGS)
flags.mark_flag_as_required("data_dir", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  if len(argv) != 2 or argv[1] not in DATASETS:
    received = " ".join(argv[1:]) or "nothing"
    raise command_line.UsageError(
        f"prepare needs the name of one data set: {', '.join(DATASETS)}. Received: {received}."
        f"{errors.did_you_mean(received, DATASETS)}")
  dataset = argv[1]
  command_line.refuse_flags_of_others(
      FLAGS, dataset, _TAKEN_BY, command=f"prepare {dataset}")
  if FLAGS.source is None and dataset != "bapps":
    raise command_line.UsageError(f"prepare {dataset} needs --source.")
  if FLAGS.name is None and dataset == "images":
    raise command_line.UsageError("prepare images needs --name.")
  if FLAGS.dry_run:
    source = FLAGS.source or "the official archives, by download"
    print(f"Dry run: would prepare {dataset} from {source} below {FLAGS.data_dir}.")
    return
  if dataset != "judged":  # which is plain files
    command_line.use_tensorflow("Preparing data sets", extra="train")
  print(_PREPARERS[dataset]() if dataset in _PREPARERS else _labelled(dataset))


def _labelled(dataset):
  """Prepares one of the labelled data sets, whose options are flags of the same names."""
  prepare = registry.preparers()[dataset].function("prepare")
  return prepare(**{name: FLAGS[name].value for name in inspect.signature(prepare).parameters}
                 ).summary()


def _bapps():
  from perceptual.data.judged import bapps

  return bapps.prepare(FLAGS.source, FLAGS.data_dir, overwrite=FLAGS.overwrite)


def _graded():
  from perceptual.data.judged import prepare_graded

  return prepare_graded.prepare(
      FLAGS.source, FLAGS.data_dir, kinds=tuple(FLAGS.kinds), seed=FLAGS.seed,
      per_image=FLAGS.per_image, limit=FLAGS.limit, under=FLAGS.under, overwrite=FLAGS.overwrite)


def _teacher():
  from perceptual.data.judged import prepare_teacher
  from perceptual.metrics import lpips

  teacher = lpips.lpips(FLAGS.teacher.removeprefix("lpips-"), weights=FLAGS.weights_dir)
  return prepare_teacher.prepare(
      FLAGS.source, FLAGS.data_dir, teacher, split=FLAGS.split, seed=FLAGS.seed,
      per_image=FLAGS.per_image, limit=FLAGS.limit, under=FLAGS.under, overwrite=FLAGS.overwrite)


def _judged():
  from perceptual.data.judged import prepare_judged

  if not (FLAGS.name or FLAGS.layout):
    raise command_line.UsageError("prepare judged needs --name or --layout.")
  columns = {}
  for pair in FLAGS.columns:
    column, equals, called = pair.partition("=")
    if not (column and equals and called):
      raise command_line.UsageError(f"--columns has {pair!r}; each is written reference=ref.")
    columns[column] = called
  return prepare_judged.prepare(
      FLAGS.source, FLAGS.data_dir, name=FLAGS.name or FLAGS.layout, layout=FLAGS.layout,
      table=FLAGS.table, columns=columns, direction=FLAGS.direction, overwrite=FLAGS.overwrite,
      accept_reversed=FLAGS.accept_reversed)


_PREPARERS = {"bapps": _bapps, "graded": _graded, "teacher": _teacher, "judged": _judged}


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
