"""Print an exported metric's distances between a reference image and candidates; lower is closer.

  perceptual compare --metric=runs/demo/metric reference.png candidate_a.png candidate_b.jpg

All images must have one size. --output_dir also writes compare.csv and compare.json.
"""

from absl import flags

from perceptual import binary

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "metric", None, "The folder of an exported metric (see perceptual export), or a TF Hub handle.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where compare.csv and compare.json are written; by default nowhere.",
    flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would be compared, and stop.", flag_values=FLAGS)
flags.mark_flag_as_required("metric", flag_values=FLAGS)


def main(argv):
  """Runs the binary."""
  if len(argv) < 3:
    raise binary.UsageError("compare needs a reference image and at least one candidate.")
  reference, *candidates = argv[1:]
  if FLAGS.dry_run:
    print(f"Dry run: would compare {reference} with {', '.join(candidates)} by {FLAGS.metric}.")
    return
  from perceptual.evaluation import pairs, results

  if FLAGS.output_dir:
    results.require_folder(FLAGS.output_dir)
  comparison = pairs.compare(FLAGS.metric, reference, candidates)
  print(comparison.table())
  if FLAGS.output_dir:
    comparison.write(FLAGS.output_dir)


if __name__ == "__main__":
  binary.run(main, FLAGS, __doc__)
