"""Score a trained network's features against judgements, beside two baselines.

  perceptual evaluate --model_dir=runs/demo --dataset=graded --output_dir=runs/demo/graded
  perceptual evaluate --model_dir=runs/resnet6 --checkpoint=best_score --dataset=bapps/2afc \\
      --data_dir=data --output_dir=runs/resnet6/bapps_2afc

The table on screen gives 2AFC (or, for bapps/jnd, mean average precision) by subset, with 95%
bootstrap intervals: the network with several distances summed over its taps, the same network at
random initialisation, the L2 of pixels, and on BAPPS the human ceiling. scores.json and scores.csv
hold every tap alone as well, scores.txt all tables: every tap, and for graded sets families of
distortions. Distances, taps, baselines and more are set by gin:
--gin_param="evaluate.distances = ('local', 'sort')".
"""

from absl import flags

from perceptual import binary, distribution

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model_dir", None, "The training folder of the network.", flag_values=FLAGS)
flags.DEFINE_enum(
    "checkpoint", "best_score", ["best_score", "best_accuracy", "last"],
    "Which of the training's checkpoints.", flag_values=FLAGS)
flags.DEFINE_enum(
    "dataset", None,
    ["bapps/2afc", "bapps/jnd", "graded", "graded/monotone", "graded/nuisance", "teacher"],
    "The judged set.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare); without it, "
    "graded sets are made from the embedded demo photographs.", flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where scores.json, scores.csv and scores.txt are written.",
    flag_values=FLAGS)
flags.DEFINE_multi_string("gin_file", [], "A gin file.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "gin_param", [], "A gin binding, as 'evaluate.resamples = 200'.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would run, and stop.", flag_values=FLAGS)
flags.mark_flags_as_required(["model_dir", "dataset", "output_dir"], flag_values=FLAGS)
distribution.define_flags(FLAGS)


def main(argv):
  """Runs the binary."""
  binary.refuse_arguments(argv)
  import dataclasses

  from perceptual import config
  from perceptual.data import judged
  from perceptual.evaluation import results, scoring
  from perceptual.metric import Metric
  from perceptual.training import model_dir

  strategy = distribution.strategy(FLAGS)
  config.parse(FLAGS.gin_file, FLAGS.gin_param)
  settings = config.evaluate_settings()
  results.require_folder(FLAGS.output_dir)
  with strategy.scope():
    model, network, options, step = model_dir.load_network(FLAGS.model_dir, FLAGS.checkpoint)
    metric = Metric(model, network=network, options=options, taps=settings.taps)
  judged_set = judged.load(FLAGS.dataset, data_dir=FLAGS.data_dir, limit=settings.limit,
                           image_size=settings.image_size)
  print(f"Scoring {network} ({FLAGS.checkpoint}, step {step}) of {FLAGS.model_dir} on "
        f"{judged_set.name}:\n{judged_set.size:,} examples, distances "
        f"{', '.join(settings.distances)}, taps {', '.join(metric.taps)}, baselines "
        f"{', '.join(settings.baselines) or 'none'}.", flush=True)
  if FLAGS.dry_run:
    print(f"Dry run: nothing was scored; results would be in {FLAGS.output_dir}.")
    return
  rows, fingerprints = scoring.evaluate(metric, judged_set, settings, strategy=strategy,
                                        jit_compile=FLAGS.jit_compile)
  summary = scoring.write(
      FLAGS.output_dir, rows, judged_set, fingerprints=fingerprints,
      settings={**dataclasses.asdict(settings), "model_dir": FLAGS.model_dir,
                "checkpoint": FLAGS.checkpoint, "step": step, "data_dir": FLAGS.data_dir})
  print(f"\n{summary}\n\nEvery tap and part, intervals and fingerprints: "
        f"{FLAGS.output_dir}/scores.txt, scores.csv, scores.json")


if __name__ == "__main__":
  binary.run(main, FLAGS, __doc__)
