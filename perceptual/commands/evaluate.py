"""Score metrics, or the features of a network, against judgements.

  perceptual evaluate --model_dir=runs/demo --dataset=graded --output_dir=runs/demo/graded
  perceptual evaluate --metric=lpips-alex --dataset=graded --output_dir=runs/lpips/graded
  perceptual evaluate --model_dir=runs/resnet6 --checkpoint=best_score --dataset=bapps/2afc \\
      --data_dir=data --output_dir=runs/resnet6/bapps_2afc
  perceptual evaluate --metric=lpips-alex --metric=ssim --metric=runs/resnet6 \\
      --dataset=judged/mine --data_dir=data --output_dir=runs/mine

A set that perceptual prepare judged wrote, judged/NAME, is scored for any number of metrics at
once, on any backend and at the images' own size: a leaderboard with intervals by reference, and
which metrics differ by more than chance. distances.csv holds every distance. The other sets take
one metric, which is scored beside two baselines; on TensorFlow, several devices share the work.

The table on screen gives 2AFC (or, for bapps/jnd, mean average precision) by subset, with 95%
bootstrap intervals: the network with several distances summed over its taps, the same network at
random initialisation, the MSE of pixels, and on BAPPS the human ceiling. Learned weights of
channels are scored as lin, beside distances without them; a metric without features to tap (ssim,
psnr, an export) is scored as it is, in one row. scores.json and scores.csv hold every tap alone as
well, scores.txt all tables: every tap, and for graded sets families of distortions. Distances,
taps, baselines and more are set by gin: --gin_param="evaluate.distances = ('local', 'sort')".
"""

from absl import flags

from perceptual.commands import command_line, compared_metrics, distribution
from perceptual.common import backends, packages

DATASETS = ("bapps/2afc", "bapps/jnd", "graded", "graded/monotone", "graded/nuisance", "teacher")
_OWN = "judged/"

FLAGS = flags.FlagValues()
flags.DEFINE_multi_string(
    "metric", None, "What is scored: perceptual (the built-in metric), lpips-alex, ssim, vgg16, "
    "gaussian-alexnet, kmeans-alexnet and so on, the folder of an exported metric, a TF Hub "
    "handle, or a run directory. Either this or --model_dir.", flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "The run directory of what is scored.", flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint", None, "Which of the training's checkpoints: best_score (the default), "
    "best_accuracy, last, or step-N, if train.keep_checkpoints kept it.", flag_values=FLAGS)
flags.DEFINE_string(
    "dataset", None, f"The judged set: {', '.join(DATASETS)}, or judged/NAME.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare); without it, "
    "graded sets are made from the embedded demo photographs.", flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where the scores are written.", flag_values=FLAGS)
flags.DEFINE_multi_string("gin_file", [], "A gin file.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "A gin binding, as 'evaluate.resamples = 200'.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would run, and stop.", flag_values=FLAGS)
flags.mark_flags_as_required(["dataset", "output_dir"], flag_values=FLAGS)
distribution.define_flags(FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  command_line.require_one(FLAGS, "metric", "model_dir")
  if FLAGS.dataset.startswith(_OWN):
    _evaluate_own(FLAGS.dataset.removeprefix(_OWN), FLAGS.metric or [_of_run()])
    return
  if FLAGS.dataset not in DATASETS:
    raise command_line.UsageError(f"Unknown --dataset={FLAGS.dataset}. Available: "
                                  f"{', '.join(DATASETS)}, {_OWN}NAME.")
  if FLAGS.metric and len(FLAGS.metric) > 1:
    raise command_line.UsageError(f"{FLAGS.dataset} takes one --metric at a time; sets that "
                                  f"perceptual prepare judged wrote, {_OWN}NAME, take many.")
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
  judged_set = judged_sets.load(FLAGS.dataset, data_dir=FLAGS.data_dir, limit=settings.limit,
                           image_size=settings.image_size)
  print(f"Scoring {loading.described(metric)} on {judged_set.name}:\n{judged_set.size:,} examples, "
        f"{_what(scoring.distances_of(metric, settings), metric)}, baselines "
        f"{', '.join(scoring.baselines_of(metric, settings)) or 'none'}.", flush=True)
  if FLAGS.dry_run:
    print(f"Dry run: nothing was scored; results would be in {FLAGS.output_dir}.")
    return
  rows, fingerprints = scoring.evaluate(metric, judged_set, settings, strategy=strategy,
                                        jit_compile=FLAGS.jit_compile)
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


def _evaluate_own(name, sources):
  """Scores metrics on a set that `perceptual prepare judged` wrote."""
  if FLAGS.data_dir is None:
    raise command_line.UsageError(f"{_OWN}{name} lies in --data_dir: give it.")
  if FLAGS.gin_file or FLAGS.gin_param:
    raise command_line.UsageError(f"Gin settings have no effect on {_OWN} sets: leave them out.")
  from perceptual.data.judged import prepared
  from perceptual.evaluation import results

  judged = prepared.load_judged(name, FLAGS.data_dir)
  results.require_folder(FLAGS.output_dir)
  print(f"Scoring {', '.join(sources)} on judged/{name}: {judged.size:,} examples.", flush=True)
  if FLAGS.dry_run:
    print(f"Dry run: nothing was scored; results would be in {FLAGS.output_dir}.")
    return
  metrics = compared_metrics.load(sources, by_onnx=not backends.installed())
  from perceptual.comparison import judged_pairs
  from perceptual.evaluation import leaderboard

  distances = judged_pairs.measure(judged, metrics, output_dir=FLAGS.output_dir)
  board = leaderboard.score(judged, distances)
  leaderboard.write(
      board, FLAGS.output_dir, settings={"metrics": list(sources), "data_dir": FLAGS.data_dir},
      fingerprints={label: metric.fingerprint for label, metric in metrics.items()})
  print(f"\n{leaderboard.text(board)}\n\n"
        f"Every distance and score: {FLAGS.output_dir}/distances.csv, scores.csv, scores.json")


def _what(distances, metric):
  """Returns what is scored, for people."""
  if distances is None:
    return "the metric as it is"
  return f"distances {', '.join(distances)}, taps {', '.join(metric.taps)}"


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
