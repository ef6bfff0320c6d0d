"""Analyse trained networks, metrics, or the collected table of a study.

  perceptual analyze --analysis=layers --model_dir=runs/resnet6 --dataset=graded --data_dir=data
  perceptual analyze --analysis=low_pass --model_dir=runs/resnet6-seed0 \\
      --model_dir=runs/resnet6-seed1 --data_dir=data --output_dir=analyses
  perceptual analyze --analysis=agreement --metric=ssim --metric=lpips-alex --dataset=graded \\
      --output_dir=analyses
  perceptual analyze --analysis=gains --table=study/collected.csv --output_dir=analyses

The table is printed and written as ANALYSIS.csv: into --output_dir, or for a single run directory
by default into its folder analyses/, where the figures of a study find it, beside the rows of other
judged sets. Run directories given together are seeds of one network (for agreement, metrics of
their own). Intervals are 95%, by bootstrap over seeds and examples; those of class_accuracy are
Wilson's. Labelled images are the validation part of those that the run was trained on.

Of a judged set (--dataset) and networks (--model_dir or --metric):
  layers             the perceptual score of each tap alone
  sensitivity        how much farther the farther patch is, where raters are unanimous
  peak_to_last       what is lost from the best score (--checkpoint) to the last step, triplet by
                     triplet, on those that did not choose the best one, by distance and tap; also
                     of judged/NAME:image_size=64, by reference
  agreement          how often metrics choose alike, and rank correlation of their distances
  dynamic_range      the score of simulated distances; of the judged set alone
Of labelled images and networks:
  entropy            the normalised entropy of the features
  low_pass           accuracy on low-pass filtered images and its slopes
  inverse_band_pass  accuracy on images without a band of frequencies
  class_accuracy     accuracy class by class, best first
Of a collected table (--table):
  functions          the score of each distance, learned weights included
  class_subsets      accuracy and score of networks trained on some classes
  correlations       accuracy against score, before and beyond the best score
  peaks              the best score over training, and what is lost of it by the end
  rate_falls         accuracy and score before and after each step down of the learning rate
  optimum            the best score of each network, and the accuracy there
  gains              gains of each sweep over the network out of the box
  frontier           the Pareto frontier of accuracy and score
"""

from absl import flags

from perceptual.commands import command_line

FLAGS = flags.FlagValues()
flags.DEFINE_string("analysis", None, "Which analysis; see above.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "model_dir", [], "A run directory of perceptual train, a path or an address as "
    "gs://bucket/run.", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "metric", [], "A metric by name, such as ssim or lpips-alex.", flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint", "best_score", "Which of the training's checkpoints: best_score, best_accuracy, "
    "last, or step-N, if train.keep_checkpoints kept it.", flag_values=FLAGS)
flags.DEFINE_string(
    "dataset", None, "The judged set, as perceptual evaluate takes it; judged/NAME for "
    "peak_to_last alone.", flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets, a path or an address; without it, the "
    "demo photographs.", flag_values=FLAGS)
flags.DEFINE_string(
    "table", None, "The collected table of a study, CSV or Parquet, a path or an address.",
    flag_values=FLAGS)
flags.DEFINE_string("distance", "local", "The distance between features.", flag_values=FLAGS)
flags.DEFINE_integer(
    "limit", None, "At most this many images, and triplets of each subset; by default all.",
    lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string("output_dir", None, "Where ANALYSIS.csv is written, a path or an address.",
                    flag_values=FLAGS)
flags.mark_flag_as_required("analysis", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  from perceptual.common import files, text_table
  from perceptual.evaluation import results
  from perceptual.studies.analyses import loading
  from perceptual.studies.analyses import table as tables

  output_dir = FLAGS.output_dir
  if output_dir is None and len(FLAGS.model_dir) == 1:
    output_dir = files.place(FLAGS.model_dir[0]) / loading.FOLDER
  if output_dir is not None:
    output_dir = results.require_folder(output_dir)
  sources = loading.Sources(
      model_dirs=tuple(FLAGS.model_dir), metrics=tuple(FLAGS.metric), checkpoint=FLAGS.checkpoint,
      dataset=FLAGS.dataset, data_dir=FLAGS.data_dir, table=FLAGS.table, distance=FLAGS.distance,
      limit=FLAGS.limit)
  rows = loading.analyse(FLAGS.analysis, sources)
  shown = [name for name in rows[0] if name not in loading.MARKS]
  print(text_table.aligned([shown, *([_cell(row[name]) for name in shown] for row in rows)]))
  if output_dir is not None:
    name = f"{FLAGS.analysis}.csv"
    kept = [] if FLAGS.output_dir else loading.rows_there(
        output_dir / name, FLAGS.analysis, sources, rows[0].get("judged_set"))[1]
    results.write(output_dir, {name: tables.as_csv([*kept, *rows])})
    print(f"\nWritten: {output_dir / name}")


def _cell(value):
  if value is None:
    return ""
  return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
