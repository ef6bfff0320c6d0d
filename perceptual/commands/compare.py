"""Compare image files: a pair, one with many, two folders, clips, a list, or all pairs of a folder.

  A reference with one candidate, or with several, the closest first:
    perceptual compare reference.png candidate_a.png candidate_b.jpg
    perceptual compare --metric=runs/demo/metric reference.png candidate_a.png

  Two folders, paired by name; results are saved as they come, so that a killed run can go on:
    perceptual compare --metric=lpips-alex --metric=ssim --reference_dir=photographs \\
        --candidate_dir=restored --output_dir=runs/restored

  The same with a heat map of every pair, and one page to view and share:
    perceptual compare photographs restored --output_dir=runs/page --heatmap --report

  Clips, each a folder of frames: means by clip, and over clips:
    perceptual compare --metric=lpips-alex --reference_dir=clips --candidate_dir=decoded --frames

  A list of pairs, in a CSV file with the columns reference and candidate:
    perceptual compare --metric=lpips-alex --pairs_csv=pairs.csv

  How different the images of a folder are from each other:
    perceptual compare --metric=lpips-alex --all_pairs=generated

The two images of a pair must have one size. What cannot be compared is listed with the reason; of
images named one by one it is an error. Exit statuses: 0 something was compared, 1 nothing was.
"""

import contextlib
import dataclasses
import os
import pathlib
import shlex

from absl import flags

from perceptual.commands import command_line, compared_metrics
from perceptual.common import backends, packages

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "metric", None, "A metric: perceptual (the built-in one, which is the default), lpips-alex, "
    "lpips-vgg, lpips-squeeze, ssim, ms-ssim, psnr, mse, fsim, fsimc, a published network such as "
    "vgg16, gaussian-alexnet, kmeans-alexnet, the folder of an exported metric, a TF Hub handle, "
    "or a run directory. Options follow a name, as in psnr:channels=luma,crop=4. Images are "
    "decoded once for all metrics.", flag_values=FLAGS)
flags.DEFINE_string(
    "reference_dir", None, "A folder of references, whose partners have the same path in "
    "--candidate_dir, with or without the same extension.", flag_values=FLAGS)
flags.DEFINE_string("candidate_dir", None, "A folder of candidates.", flag_values=FLAGS)
flags.DEFINE_bool(
    "frames", False, "The folders hold clips: a folder inside is a clip, an image in it a frame.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "pairs_csv", None, "A CSV file with the columns reference and candidate; its paths start at "
    "its own folder.", flag_values=FLAGS)
flags.DEFINE_string(
    "all_pairs", None, "A folder, every image of which is compared with every other.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where results.csv, results.json and skipped.csv are written, and the "
    "journal from which a killed run goes on, a path or an address, gs://bucket/results; by "
    "default nowhere.", flag_values=FLAGS)
flags.DEFINE_bool(
    "heatmap", False, "Write to --output_dir, for each pair, where it differs, in colours over the "
    "candidate. All pictures of a metric have one scale.", flag_values=FLAGS)
flags.DEFINE_bool(
    "report", False, "Write report.html to --output_dir: the pairs farthest apart and closest, "
    "their heat maps, histograms and statistics on one page that needs nothing else.",
    flag_values=FLAGS)
flags.DEFINE_integer(
    "batch_size", None, "How many pairs go through a metric at a time; by default what suits the "
    "size of the images.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "bit_depth", None, "How many bits the samples of 16-bit files really have, for instance 10 "
    "where 1023 is white; by default 16, and dark files are refused.", lower_bound=8,
    upper_bound=16, flag_values=FLAGS)
flags.DEFINE_bool(
    "dry_run", False, "Look at the files, print which pairs would be compared, and stop.",
    flag_values=FLAGS)

_FORMS = ("reference_dir", "pairs_csv", "all_pairs")


def main(argv):
  """Runs the command; returns its exit status."""
  named = argv[1:]
  _check_flags(named)
  by_onnx = _may_run_by_onnx(named)
  if not by_onnx:
    backends.choose()
  from perceptual.comparison import outputs, run, tables

  sources = FLAGS.metric or ["perceptual"]
  inspected = run.inspect(dataclasses.replace(_pairing(named), bit_depth=FLAGS.bit_depth))
  if FLAGS.dry_run:
    print(f"Dry run: would compare, by {', '.join(sources)}, {tables.outlook(inspected)}")
    return 0
  metrics = compared_metrics.load(sources, by_onnx=by_onnx)
  if FLAGS.heatmap:
    outputs.require_maps(metrics)
  with command_line.resumable() if FLAGS.output_dir else contextlib.nullcontext():
    comparison = run.compare(
        inspected, metrics, output_dir=FLAGS.output_dir, batch_size=FLAGS.batch_size,
        per_tap=inspected.pairing.explicit and len(metrics) == 1)
  print(tables.text(comparison))
  if FLAGS.output_dir:
    written = outputs.write(
        comparison, metrics, FLAGS.output_dir, sources=sources, batch_size=FLAGS.batch_size,
        heatmap=FLAGS.heatmap, page=FLAGS.report,
        command=_command(named))
    print(f"\nWrote to {FLAGS.output_dir}: {', '.join(written)}")
  return 0 if len(comparison.compared()) else 1


def _check_flags(named):
  """Raises `UsageError` unless the command line asks for one comparison."""
  if bool(FLAGS.reference_dir) != bool(FLAGS.candidate_dir):
    raise command_line.UsageError("--reference_dir and --candidate_dir belong together.")
  forms = [f"--{flag}" for flag in _FORMS if FLAGS[flag].value]
  if named:
    forms.append("a reference and its candidates")
  if len(forms) != 1:
    raise command_line.UsageError(
        f"{' and '.join(forms)} were given; one of them is needed." if forms else
        "Name a reference and its candidates, or give --reference_dir and --candidate_dir, "
        "--pairs_csv or --all_pairs.")
  if len(named) == 1:
    raise command_line.UsageError("compare needs a reference image and at least one candidate.")
  if FLAGS.frames and not (FLAGS.reference_dir or _are_folders(named)):
    raise command_line.UsageError("--frames needs --reference_dir and --candidate_dir.")
  if FLAGS.heatmap or FLAGS.report:
    if not FLAGS.output_dir:
      raise command_line.UsageError("--heatmap and --report write files: give --output_dir.")
    packages.require("matplotlib", extra="report", purpose="--heatmap or --report")


def _command(named):
  """Returns the command line that was given, as a shell takes it."""
  flags_given = [line for name in FLAGS if FLAGS[name].present
                 for line in FLAGS[name].serialize().splitlines()]
  return shlex.join(["perceptual", "compare", *flags_given, *named])


def _are_folders(named):
  return len(named) == 2 and all(pathlib.Path(name).is_dir() for name in named)


def _pairing(named):
  """Returns the `Pairing` of the form that was given."""
  from perceptual.comparison import outputs, pairing
  from perceptual.evaluation import results

  folders = named if _are_folders(named) else [
      folder for folder in (FLAGS.reference_dir, FLAGS.candidate_dir, FLAGS.all_pairs) if folder]
  if FLAGS.output_dir:
    results.require_folder(FLAGS.output_dir)
    for folder in folders:
      outputs.require_outside(FLAGS.output_dir, folder)
  if FLAGS.pairs_csv:
    return pairing.from_csv(FLAGS.pairs_csv)
  if FLAGS.all_pairs:
    return pairing.every_pair(FLAGS.all_pairs)
  if folders:
    return (pairing.frames if FLAGS.frames else pairing.folders)(*folders)
  return pairing.one_with_many(named[0], named[1:])


def _may_run_by_onnx(named):
  """Whether ONNX Runtime is to be asked first, before anything of Keras is imported.

  It has values soonest; a backend of Keras has more of them a second, features to reuse and heat
  maps. The user's KERAS_BACKEND wins.
  """
  if os.environ.get("KERAS_BACKEND") or not packages.is_installed("onnxruntime"):
    return False
  shows_few = bool(named) and not _are_folders(named) and not FLAGS.output_dir
  return shows_few or not backends.installed()


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
