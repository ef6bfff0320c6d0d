"""Train networks with a perceptual loss, and test them: which loss is the best to train with?

  perceptual task list
      the tasks, and a gin file of a run of each.

  perceptual task train --gin_file=gin/runs/tasks/super_resolution_x4.gin --data_dir=data \\
      --model_dir=runs/x4
      trains a network. The loss is any metric's, at any of its taps, beside pixel terms:

        --gin_param="loss.metric = 'vgg16'" --gin_param="loss.taps = ['relu2_2']"
        --gin_param="loss.distance = 'l2'" --gin_param='loss.mse = 1.0'

      Folders in gin files are below --data_dir. The folder keeps the last checkpoint and the one at
      the best measure of validation, with metrics.csv and training.png. The same command
      resumes an interrupted run from where it was saved last, and ends with the same weights.

  perceptual task evaluate --model_dir=runs/x4 --data_dir=data
      tests the network of a run by its task's tests, and prints every measure with its interval;
      writes them into --output_dir, or the run's folder evaluation/, by image as well, with
      pictures of the input, the output and the target. --gin_param changes what is tested:

        --gin_param="super_resolution.tests = ['set5']"
"""

from absl import flags

from perceptual.commands import command_line, distribution, training_run

# Flags that not every subcommand takes -> those that do.
_TAKEN_BY = {
    "gin_file": ("train",),
    "gin_param": ("train", "evaluate"),
    "model_dir": ("train", "evaluate"),
    "data_dir": ("train", "evaluate"),
    "weights_dir": ("train",),
    "checkpoint": ("evaluate",),
    "seed": ("evaluate",),
    "output_dir": ("evaluate",),
    **dict.fromkeys(("dry_run", *distribution.FLAG_NAMES, "deterministic"), ("train",)),
}

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "gin_file", [], "train: a gin file: task, loss and recipe.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "train, evaluate: a gin binding, as \"loss.taps = ['relu2_2']\".",
    flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "train, evaluate: the folder of the run, a path or an address as "
    "gs://bucket/run.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "train, evaluate: the folder of data sets; by default the working directory.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "weights_dir", None, "train: the folder of converted weights; by default PERCEPTUAL_WEIGHTS, "
    "or perceptual/weights in the user's cache.", flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint", "best_score", "evaluate: which weights: best_score (the best measure of "
    "validation), last, or a step-N that was kept.", flag_values=FLAGS)
flags.DEFINE_integer(
    "seed", 0, "evaluate: seed of what a test draws, as the probes of autoencoding.",
    lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "evaluate: the folder of the results; by default evaluation/ in that of "
    "the run.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "train: print what would run, and stop.", flag_values=FLAGS)
distribution.define_training_flags(FLAGS)


def main(argv):
  """Runs the command."""
  if len(argv) != 2 or argv[1] not in _SUBCOMMANDS:
    received = " ".join(argv[1:]) or "nothing"
    raise command_line.UsageError(
        f"task needs one of {', '.join(_SUBCOMMANDS)}. Received: {received}.")
  command_line.refuse_flags_of_others(FLAGS, argv[1], _TAKEN_BY, command=f"task {argv[1]}")
  return _SUBCOMMANDS[argv[1]]()


def _list():
  from perceptual.common.text_table import aligned
  from perceptual.tasks import registry

  print(aligned([["task", "what it is", "a run of it"], *(
      [name, spec.summary, spec.run_file] for name, spec in registry.TASKS.items())]))


def _train():
  for flag in ("gin_file", "model_dir"):
    if not FLAGS[flag].value:
      raise command_line.UsageError(f"task train needs --{flag}.")
  command_line.use_tensorflow("Training", extra="train")
  from perceptual.experiments import config, runs

  config.parse(FLAGS.gin_file, FLAGS.gin_param)
  run = runs.task(
      FLAGS.model_dir, data_dir=FLAGS.data_dir, weights_dir=FLAGS.weights_dir,
      strategy=distribution.training_strategy(FLAGS), jit_compile=distribution.jit_compile(FLAGS))
  training_run.carry_out(run, dry_run=FLAGS.dry_run)


def _evaluate():
  if FLAGS.model_dir is None:
    raise command_line.UsageError("task evaluate needs --model_dir.")
  command_line.use_tensorflow("Evaluation", extra="train")
  from perceptual.experiments import runs
  from perceptual.tasks import evaluation, results

  if FLAGS.output_dir is None and any(
      FLAGS[flag].present for flag in ("checkpoint", "seed", "gin_param")):
    _require_own(FLAGS.model_dir)
  task = runs.trained_task(FLAGS.model_dir, FLAGS.gin_param, data_dir=FLAGS.data_dir)
  found, paths = evaluation.evaluate(
      FLAGS.model_dir, task, checkpoint=FLAGS.checkpoint, seed=FLAGS.seed,
      output_dir=FLAGS.output_dir)
  print(results.table(found))
  print(f"Written: {'  '.join(map(str, paths))}")


def _require_own(model_dir):
  """Raises `UsageError` for a run of a study, whose table takes its own evaluation alone."""
  from perceptual.common import files

  if (files.place(model_dir) / "study.json").is_file():
    raise command_line.UsageError(
        f"{model_dir} is a run of a study, which was tested as the study says: give --output_dir "
        "for another test, so that the study's table does not take it for its own.")


_SUBCOMMANDS = {"list": _list, "train": _train, "evaluate": _evaluate}


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
