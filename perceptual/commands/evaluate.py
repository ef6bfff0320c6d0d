"""Score metrics, or the features of a network, against judgements.

  perceptual evaluate --model_dir=runs/demo --dataset=graded --output_dir=runs/demo/graded
  perceptual evaluate --metric=lpips-alex --dataset=graded --output_dir=runs/lpips/graded
  perceptual evaluate --model_dir=runs/resnet6 --checkpoint=best_score --dataset=bapps/2afc \\
      --data_dir=data --output_dir=runs/resnet6/bapps_2afc
  perceptual evaluate --metric=lpips-alex --metric=ssim --metric=runs/resnet6 \\
      --dataset=judged/mine --data_dir=data --output_dir=runs/mine

A set that perceptual prepare judged wrote, judged/NAME, is scored for any number of metrics at
once, on any backend, with images at their own size or at --image_size and --crop: a leaderboard
with intervals by reference, and which metrics differ by more than chance, on screen, as pictures
and as a page, leaderboard.html. distances.csv holds every distance, from which --from_distances
computes every score again. Several sets make one leaderboard, with a column a set and the mean:

  perceptual evaluate --metric=lpips-alex --metric=ssim --dataset=judged/mine \\
      --dataset=judged/tid2013:image_size=256 --data_dir=data --output_dir=runs/both

The other sets take one metric, which is scored beside two baselines; on TensorFlow, several devices
share the work.

The table on screen gives 2AFC (or, for bapps/jnd, mean average precision) by subset, with 95%
bootstrap intervals: the network with several distances summed over its taps, the same network at
random initialisation, the MSE of pixels, and on BAPPS the human ceiling. Learned weights of
channels are scored as lin, beside distances without them; a metric without features to tap (ssim,
psnr, an export) is scored as it is, in one row. scores.json and scores.csv hold every tap alone as
well, scores.txt all tables: every tap, and for graded sets families of distortions. Distances,
taps, baselines and more are set by gin: --gin_param="evaluate.distances = ('local', 'sort')".
"""

import shlex

from absl import flags

from perceptual.commands import command_line, distribution, evaluate_judged
from perceptual.common import backends, packages
from perceptual.evaluation import own_sets

DATASETS = ("bapps/2afc", "bapps/jnd", "graded", "graded/monotone", "graded/nuisance", "teacher")
_OWN = own_sets.PREFIX

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "metric", None, "A metric to score: perceptual (the built-in one), lpips-alex, ssim, vgg16, "
    "gaussian-alexnet, kmeans-alexnet and so on, the folder of an exported metric, a TF Hub "
    "handle, or a run directory. Either this or --model_dir.", flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "The run directory to score, a path or an address, "
    "gs://bucket/run.", flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint", None, "Which of the training's checkpoints: best_score (the default), "
    "best_accuracy, last, or step-N, if train.keep_checkpoints kept it.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "dataset", None, f"The judged set: {', '.join(DATASETS)}, or judged/NAME, which may have a "
    "size of its own: judged/NAME:image_size=256,crop=224.", flag_values=FLAGS)
flags.DEFINE_integer(
    "image_size", None, "judged/NAME: resize images so that the shorter side has this many pixels.",
    lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "crop", None, "judged/NAME: then cut out the central square, this many pixels a side.",
    lower_bound=1, flag_values=FLAGS)
flags.DEFINE_list(
    "distances", [], "judged/NAME: score networks by these distances between their features too, "
    "as mean_pool,style.", flag_values=FLAGS)
flags.DEFINE_bool(
    "by_tap", False, "judged/NAME: score each tap of networks alone too, into scores.csv and "
    "distances.csv.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "from_distances", None, "Instead of metrics and a set: the output folder of an evaluation on "
    "judged/NAME, whose scores are computed again from its distances.csv; several make one "
    "leaderboard.", flag_values=FLAGS)
flags.DEFINE_bool(
    "report", True, "judged/NAME: draw the leaderboard and write leaderboard.html.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare), a path or an "
    "address; without it, graded sets are made from the embedded demo photographs.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where the scores are written, a path or an address.", flag_values=FLAGS)
flags.DEFINE_multi_string("gin_file", [], "A gin file.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "A gin binding, as 'evaluate.resamples = 200'.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would run, and stop.", flag_values=FLAGS)
flags.mark_flag_as_required("output_dir", flag_values=FLAGS)
distribution.define_flags(FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  if FLAGS.from_distances is not None:
    _rescore()
    return
  command_line.require_one(FLAGS, "metric", "model_dir")
  if FLAGS.dataset is None:
    raise command_line.UsageError("Required but not given: --dataset.")
  own = [dataset for dataset in FLAGS.dataset if own_sets.is_own(dataset)]
  if len(own) == len(FLAGS.dataset):
    _evaluate_own()
    return
  dataset = _other_dataset()
  strategy = _strategy()
  import contextlib
  import dataclasses

  from perceptual import loading
  from perceptual.data.judged import judged_sets
  from perceptual.evaluation import results, scoring

  settings = _settings()
  results.require_folder(FLAGS.output_dir)
  with strategy.scope() if strategy else contextlib.nullcontext():
    metric = loading.load_chosen(metric=FLAGS.metric and FLAGS.metric[0],
                                 model_dir=FLAGS.model_dir,
                                 checkpoint=FLAGS.checkpoint, taps=settings.taps)
  judged_set = judged_sets.load(dataset, data_dir=FLAGS.data_dir, limit=settings.limit,
                           image_size=settings.image_size)
  print(f"Scoring {loading.described(metric)} on {judged_set.name}:\n{judged_set.size:,} examples, "
        f"{_what(scoring.distances_of(metric, settings), metric)}, baselines "
        f"{', '.join(scoring.baselines_of(metric, settings)) or 'none'}.", flush=True)
  if FLAGS.dry_run:
    print(f"Dry run: nothing was scored; results would be in {FLAGS.output_dir}.")
    return
  rows, fingerprints = scoring.evaluate(metric, judged_set, settings, strategy=strategy,
                                        jit_compile=distribution.jit_compile(FLAGS))
  summary = scoring.write(
      FLAGS.output_dir, rows, judged_set, fingerprints=fingerprints,
      settings={**dataclasses.asdict(settings), "metric": metric.source,
                **(metric.trained or {}), "data_dir": FLAGS.data_dir})
  print(f"\n{summary}\n\nEvery tap and part, intervals and fingerprints: "
        f"{FLAGS.output_dir}/scores.txt, scores.csv, scores.json")


def _strategy():
  """Chooses what Keras runs on; returns the strategy of the flags on TensorFlow, None elsewhere."""
  if backends.choose() == "tensorflow":
    command_line.use_tensorflow("Scoring against judgements", extra="train")
    return distribution.strategy(FLAGS)
  given = [f"--{name}" for name in distribution.FLAG_NAMES if FLAGS[name].present]
  if given:
    raise command_line.UsageError(f"{given[0]} is for TensorFlow, and Keras runs on "
                                  f"{packages.called(backends.choose())}.")
  return None


def _settings():
  """Returns the `scoring.Settings` of the gin flags."""
  from perceptual.evaluation import scoring

  if not (FLAGS.gin_file or FLAGS.gin_param):
    return scoring.Settings()
  packages.require("gin", extra="train", purpose="--gin_file or --gin_param")
  from perceptual.experiments import config

  config.parse(FLAGS.gin_file, FLAGS.gin_param)
  return config.evaluate_settings()


def _of_run():
  """Returns the run directory as a metric's source."""
  return f"{FLAGS.model_dir}:checkpoint={FLAGS.checkpoint}" if FLAGS.checkpoint else FLAGS.model_dir


def _other_dataset():
  """Returns the one set that is not of `perceptual prepare judged`."""
  dataset, *more = FLAGS.dataset
  if more:
    raise command_line.UsageError(f"Several --dataset are for {_OWN}NAME alone, not for "
                                  f"{', '.join(FLAGS.dataset)}.")
  if dataset not in DATASETS:
    raise command_line.UsageError(f"Unknown --dataset={dataset}. Available: "
                                  f"{', '.join(DATASETS)}, {_OWN}NAME.")
  if FLAGS.metric and len(FLAGS.metric) > 1:
    raise command_line.UsageError(f"{dataset} takes one --metric at a time; sets that "
                                  f"perceptual prepare judged wrote, {_OWN}NAME, take many.")
  for name in ("image_size", "crop", "distances", "by_tap"):
    if FLAGS[name].present:
      raise command_line.UsageError(f"--{name} is for {_OWN}NAME; {dataset} has its settings by "
                                    "--gin_param.")
  return dataset


def _evaluate_own():
  """Scores metrics on sets that `perceptual prepare judged` wrote."""
  if FLAGS.data_dir is None:
    raise command_line.UsageError(f"{FLAGS.dataset[0]} lies in --data_dir: give it.")
  if FLAGS.gin_file or FLAGS.gin_param:
    raise command_line.UsageError(f"Gin settings have no effect on {_OWN} sets: leave them out.")
  evaluate_judged.run(evaluate_judged.Request(
      datasets=tuple(FLAGS.dataset), sources=tuple(FLAGS.metric or [_of_run()]),
      command=_command(), **{name: FLAGS[name].value for name in (
          "data_dir", "output_dir", "image_size", "crop", "distances", "by_tap", "report",
          "dry_run")}))


def _rescore():
  """Computes scores again from distances."""
  for name in ("metric", "model_dir", "dataset", "image_size", "crop", "distances", "by_tap",
               "gin_file", "gin_param"):
    if FLAGS[name].present:
      raise command_line.UsageError(f"--{name} and --from_distances exclude each other.")
  evaluate_judged.rescore(FLAGS.from_distances, output_dir=FLAGS.output_dir, report=FLAGS.report,
                          command=_command())


def _command():
  """Returns the command line that was given, as a shell takes it."""
  given = [line for name in FLAGS if FLAGS[name].present
           for line in FLAGS[name].serialize().splitlines()]
  return shlex.join(["perceptual", "evaluate", *given])


def _what(distances, metric):
  """Returns what is scored, for people."""
  if distances is None:
    return "the metric as it is"
  return f"distances {', '.join(distances)}, taps {', '.join(metric.taps)}"


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
