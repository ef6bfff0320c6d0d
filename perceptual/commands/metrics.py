"""List the metrics that have a name: what each is, and whether its weights are here.

  perceptual metrics                         all of them
  perceptual metrics --metric=lpips-alex     one, with its options and the command for its weights
  perceptual metrics --output_dir=metrics    and as metrics.csv and metrics.json

A metric's name is what --metric of compare, evaluate and export takes, and what
perceptual.load_metric takes in Python; perceptual.list_metrics() gives this list there. Exports and
run directories are metrics too: their folder is their name.
"""

from absl import flags

from perceptual.commands import command_line
from perceptual.common import backends

FLAGS = flags.FlagValues()
flags.DEFINE_string("metric", None, "Show this metric alone, in full.", flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where metrics.csv (a line a metric) and metrics.json are written; by "
    "default nowhere.", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  backends.make_optional()  # nothing is computed
  from perceptual.evaluation import results
  from perceptual.metrics import listing

  if FLAGS.output_dir is not None:
    folder = results.require_folder(FLAGS.output_dir)
  specs = _specs()
  print(listing.table(specs) if FLAGS.metric is None else listing.details(specs[0]))
  if FLAGS.output_dir is not None:
    results.write(folder, {
        "metrics.csv": listing.as_csv(specs), "metrics.json": listing.as_json(specs)})
    print(f"\nWritten: {folder / 'metrics.csv'}, {folder / 'metrics.json'}")


def _specs():
  """Returns the rows to show."""
  from perceptual import errors
  from perceptual.metrics import registry

  if FLAGS.metric is None:
    return registry.list_metrics()
  spec = registry.find(FLAGS.metric)
  if spec is None:
    raise errors.UserError(f"Unknown metric {errors.shown(FLAGS.metric)}."
                           f"{errors.did_you_mean(FLAGS.metric, registry.names())} `perceptual "
                           "metrics` lists all that have a name.")
  return [spec]


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
