"""List the metrics that have a name: what each is, and whether its weights are here.

  perceptual metrics                         all of them
  perceptual metrics --metric=lpips-alex     one, with its options and the command for its weights
  perceptual metrics --metric=psnr:crop=4    one with options, which are checked
  perceptual metrics --output_dir=metrics    and as metrics.csv and metrics.json

A metric's name is what --metric of compare, evaluate and export takes, and what
perceptual.load_metric takes in Python; perceptual.list_metrics() gives this list there. Options
follow the name after a colon: psnr:channels=luma,crop=4. Exports and run directories are metrics
too: their folder is their name.
"""

from absl import flags

from perceptual.commands import command_line
from perceptual.common import backends

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "metric", None, "Show this metric alone, in full; options may follow its name, as in "
    "psnr:crop=4.", flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where metrics.csv (a line a metric) and metrics.json are written; by "
    "default nowhere.", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  if len(argv) > 1:
    raise command_line.UsageError(f"Unexpected argument {argv[1]!r}: a metric is named by "
                                  f"--metric={argv[1]}.")
  backends.make_optional()  # nothing is computed
  from perceptual.evaluation import results
  from perceptual.metrics import listing, registry

  if FLAGS.output_dir is not None:
    folder = results.require_folder(FLAGS.output_dir)
  if FLAGS.metric is None:
    specs = registry.list_metrics()
    print(listing.table(specs))
  else:
    specs = [_show(FLAGS.metric)]
  if FLAGS.output_dir is not None:
    results.write(folder, {
        "metrics.csv": listing.as_csv(specs), "metrics.json": listing.as_json(specs)})
    print(f"\nWritten: {folder / 'metrics.csv'}, {folder / 'metrics.json'}")


def _show(source):
  """Prints all about one metric; returns its row."""
  from perceptual import errors
  from perceptual.metrics import listing, options, registry

  name, given = options.split(source)
  spec = registry.find(name)
  if spec is None:
    raise errors.UserError(f"Unknown metric {errors.shown(name)}."
                           f"{errors.did_you_mean(name, registry.names())} `perceptual metrics` "
                           "lists all that have a name.")
  _require_network(name, spec)
  options.read(name, given, {**options.FOR_ALL, **spec.options})
  print(listing.details(spec, given=given, metric=_made(spec, source, given)))
  return spec


def _require_network(name, spec):
  """Raises `UserError` for `gaussian-NETWORK` of no network; which there are, a backend tells."""
  from perceptual import errors
  from perceptual.metrics import registry

  if not name.startswith(registry.GAUSSIAN) or name == spec.name or not backends.installed():
    return
  backends.choose()
  from perceptual import models

  network = name.removeprefix(registry.GAUSSIAN)
  if network not in models.names():
    raise errors.UserError(
        f"Unknown metric {errors.shown(name)}: there is no network {errors.shown(network)}."
        f"{errors.did_you_mean(network, models.names())} `perceptual models` lists them.")


def _made(spec, source, given):
  """Returns a metric with the options that it was given; None without any, or what it needs.

  Only the metric itself can check the values of options.
  """
  if not given or not backends.installed():
    return None
  if not (spec.weights_available or "weights" in given):
    return None
  backends.choose()
  from perceptual import loading

  return loading.load_metric(source)


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
