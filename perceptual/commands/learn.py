"""Learn a metric from judgements, on top of a network: the protocol of LPIPS.

  perceptual learn --gin_file=gin/runs/lpips_lin_alexnet.gin --data_dir=data --model_dir=runs/lin

A weight for each channel of the network's taps is trained to agree with people's choices between
two candidates (learn.mode = 'lin'), the network too ('tune'), or both from random ('scratch').
What is learned from is the training part of BAPPS, or of the teacher set (perceptual prepare).

The network is gin's network.name, with published weights that were converted before (perceptual
convert), at random for 'scratch', or one that perceptual train has trained:

  perceptual learn --gin_file=gin/runs/lpips_lin_own_teacher.gin --trunk_dir=runs/resnet6 \\
      --data_dir=data --model_dir=runs/resnet6_lin

The folder is used as one of perceptual train: evaluate, export and compare take it for the learned
metric. The same command given again takes an interrupted run up where it was saved last, and ends
with the same weights. --dry_run builds everything, prints what would run, and stops.
"""

import functools

from absl import flags

from perceptual.commands import command_line, distribution

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "gin_file", None, "A gin file: network, judgements and recipe.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "A gin binding, as \"learn.mode = 'tune'\".", flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "The folder of the metric, made or taken up again.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare).",
    flag_values=FLAGS)
flags.DEFINE_string(
    "trunk_dir", None, "A run directory, whose network is taken instead of gin's.",
    flag_values=FLAGS)
flags.DEFINE_enum(
    "trunk_checkpoint", "best_score", ["best_score", "best_accuracy", "last"],
    "Which of that training's checkpoints.", flag_values=FLAGS)
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
  from perceptual.experiments import config
  from perceptual.training import learning

  config.parse(FLAGS.gin_file, FLAGS.gin_param)
  strategy = distribution.training_strategy(FLAGS)
  settings = config.learn_settings()
  run = learning.Run(
      FLAGS.model_dir, trunk=_trunk(settings.mode), train_set=config.triplets(FLAGS.data_dir),
      judged_set=config.judged_set(FLAGS.data_dir), settings=settings, strategy=strategy,
      jit_compile=FLAGS.jit_compile)
  config.check_used(config.LEARNING)
  print(run.description(), flush=True)
  if FLAGS.dry_run:
    print("Dry run: nothing was learned or written.")
    return
  if run.is_complete:
    print("This run is complete: nothing was learned or written.")
  run.train(config={"config.gin": config.given(), "operative_config.gin": config.operative()})
  print(run.summary())


def _trunk(mode):
  """Returns what `learning.Run` makes its trunk by."""
  from perceptual import errors
  from perceptual.experiments import config
  from perceptual.training import learning_settings, trunks

  is_random = learning_settings.MODES[mode].trunk_random
  if FLAGS.trunk_dir is None:
    build = trunks.at_random if is_random else functools.partial(
        trunks.published, weights_dir=FLAGS.weights_dir)
    return functools.partial(build, *config.network())
  if is_random:
    raise errors.UserError(f"learn.mode {mode!r} begins with a network at random: leave out "
                           "--trunk_dir, or choose 'tune'.")
  return functools.partial(
      trunks.trained, FLAGS.trunk_dir, checkpoint=FLAGS.trunk_checkpoint)


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
