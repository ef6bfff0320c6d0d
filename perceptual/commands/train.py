"""Train a classifier, and score its features against judgements during training.

  perceptual train --gin_file=gin/runs/demo.gin --model_dir=runs/demo

What is trained, on what and how, is said in gin files, later ones winning over earlier ones, and
single bindings over all:

  perceptual train --gin_file=gin/runs/resnet6.gin --gin_param='train.epochs = 10' \\
      --data_dir=data --model_dir=runs/resnet6

The folder keeps three checkpoints - last, best_accuracy, best_score - and those of the steps in
train.keep_checkpoints, with metrics.csv, scores.csv (every judged set, subset, distance and tap),
training.png, TensorBoard events, and the configuration as given and as used. The same command
resumes an interrupted run from where it was saved last, and ends with the same weights; changes of
the recipe since then are listed. --dry_run builds everything, prints what would run, and stops.
"""

from absl import flags

from perceptual.commands import command_line, distribution, training_run

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "gin_file", None, "A gin file: network, data and recipe.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "A gin binding, as 'train.batch_size = 64'.", flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "The run directory, created or resumed: a path, or an address, "
    "gs://bucket/run.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare), a path or an "
    "address; not needed for the embedded demo data.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would run, and stop.", flag_values=FLAGS)
flags.mark_flags_as_required(["gin_file", "model_dir"], flag_values=FLAGS)
distribution.define_training_flags(FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  command_line.use_tensorflow("Training", extra="train")
  from perceptual.experiments import config, runs

  config.parse(FLAGS.gin_file, FLAGS.gin_param)
  run = runs.training(
      FLAGS.model_dir, data_dir=FLAGS.data_dir, strategy=distribution.training_strategy(FLAGS),
      jit_compile=distribution.jit_compile(FLAGS))
  training_run.carry_out(run, dry_run=FLAGS.dry_run)


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
