"""Learn a metric from judgements, on top of a network: the protocol of LPIPS.

  perceptual learn --gin_file=gin/runs/lpips_lin_alexnet.gin --data_dir=data --model_dir=runs/lin

A weight for each channel of the network's taps is trained to agree with people's choices between
two candidates (learn.mode = 'lin'), the network too ('tune'), or both from random ('scratch').
What is learned from is the training part of BAPPS, or of the teacher set (perceptual prepare).

The network is gin's network.name, with published weights that were converted before (perceptual
convert), with random weights for 'scratch', or one that perceptual train has trained:

  perceptual learn --gin_file=gin/runs/lpips_lin_own_teacher.gin --trunk_dir=runs/resnet6 \\
      --data_dir=data --model_dir=runs/resnet6_lin

The folder is used like one of perceptual train: evaluate, export and compare take it as the learned
metric. The same command resumes an interrupted run from where it was saved last, and ends with the
same weights. --dry_run builds everything, prints what would run, and stops.
"""

from absl import flags

from perceptual.commands import command_line, distribution, training_run

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "gin_file", None, "A gin file: network, judgements and recipe.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "A gin binding, as \"learn.mode = 'tune'\".", flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "The folder of the metric, created or resumed: a path, or an address, "
    "gs://bucket/run.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare), a path or an "
    "address.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "trunk_dir", None, "A run directory, whose network is taken instead of gin's, a path or an "
    "address.", flag_values=FLAGS)
flags.DEFINE_string(
    "trunk_checkpoint", "best_score", "Which of that training's checkpoints: best_score, "
    "best_accuracy, last, or step-N, if train.keep_checkpoints kept it.", flag_values=FLAGS)
flags.DEFINE_string(
    "weights_dir", None, "The folder of converted weights; by default PERCEPTUAL_WEIGHTS, or "
    "perceptual/weights in the user's cache.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would run, and stop.", flag_values=FLAGS)
flags.mark_flags_as_required(["gin_file", "data_dir", "model_dir"], flag_values=FLAGS)
distribution.define_training_flags(FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  command_line.use_tensorflow("Learning a metric", extra="train")
  from perceptual.experiments import config, runs

  config.parse(FLAGS.gin_file, FLAGS.gin_param)
  run = runs.learned(
      FLAGS.model_dir, data_dir=FLAGS.data_dir, trunk_dir=FLAGS.trunk_dir,
      trunk_checkpoint=FLAGS.trunk_checkpoint, weights_dir=FLAGS.weights_dir,
      strategy=distribution.training_strategy(FLAGS), jit_compile=distribution.jit_compile(FLAGS))
  training_run.carry_out(run, dry_run=FLAGS.dry_run, done="learned")


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
