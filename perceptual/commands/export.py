"""Write a metric as one SavedModel that any pipeline loads.

  perceptual export --model_dir=runs/demo --export_dir=runs/demo/metric
  perceptual export --metric=lpips-alex --export_dir=exports/lpips-alex
  perceptual export --model_dir=runs/resnet6 --checkpoint=best_score --distance=mean_pool \\
      --taps=reduction_2,reduction_3 --export_dir=exports/resnet6

Then, with nothing but TensorFlow and tensorflow_hub installed:

  metric = hub.load('runs/demo/metric')
  distance = metric(reference, candidate)   # [batch, height, width, 3] each -> [batch]

Images are uint8 (0 to 255) or float32 in the range declared by --float_range; others raise.
"""

from absl import flags

from perceptual import errors
from perceptual.commands import command_line

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "metric", None, "The metric to export: perceptual (the built-in one), lpips-alex, ssim, "
    "vgg16, gaussian-alexnet, kmeans-alexnet and so on, or a run directory. Either this or "
    "--model_dir.", flag_values=FLAGS)
flags.DEFINE_string(
    "model_dir", None, "The run directory to export, a path or an address, "
    "gs://bucket/run.", flag_values=FLAGS)
flags.DEFINE_string(
    "checkpoint", None, "Which of the training's checkpoints: best_score (the default), "
    "best_accuracy, last, or step-N, if train.keep_checkpoints kept it.", flag_values=FLAGS)
flags.DEFINE_string(
    "distance", None, "The distance between features: local, mean_pool, style, sort, or a sum, "
    "local+mean_pool. By default the metric's own; lin if weights were learned (perceptual learn).",
    flag_values=FLAGS)
flags.DEFINE_list(
    "taps", None, "Names of the feature taps, separated by commas; by default all.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "float_range", None, "The lowest and highest value of a float image: 0,1 or 0,255 or -1,1; "
    "by default 0,1.", flag_values=FLAGS)
flags.DEFINE_list(
    "serving_sizes", [], "Sizes of images, HEIGHTxWIDTH, for which TensorFlow Serving warms up as "
    "it loads the export: 64x64,256x256.", flag_values=FLAGS)
flags.DEFINE_string(
    "export_dir", None, "The folder to write, a path or an address.", flag_values=FLAGS)
flags.DEFINE_bool(
    "overwrite", False, "Replace an earlier export at --export_dir.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would be written, and stop.", flag_values=FLAGS)
flags.mark_flags_as_required(["export_dir"], flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  command_line.require_one(FLAGS, "metric", "model_dir")
  command_line.use_tensorflow("Exporting", extra="tensorflow")
  from perceptual import loading
  from perceptual.export import saved_model, warm_up

  warm_up_sizes = warm_up.sizes(FLAGS.serving_sizes)
  saved_model.require_free(FLAGS.export_dir, FLAGS.overwrite)
  metric = loading.load_chosen(
      metric=FLAGS.metric, model_dir=FLAGS.model_dir, checkpoint=FLAGS.checkpoint,
      distance=FLAGS.distance, taps=FLAGS.taps, float_range=FLAGS.float_range)
  if isinstance(metric, loading.ExportedMetric):
    raise errors.UserError(f"{FLAGS.metric} is an export already: copy its folder.")
  what = _what(loading.described(metric), metric)
  if FLAGS.dry_run:
    print(f"Dry run: would export {what}, to {FLAGS.export_dir}.")
    return
  fingerprint = saved_model.export(metric, FLAGS.export_dir, overwrite=FLAGS.overwrite,
                                   warm_up_sizes=warm_up_sizes)
  if "weights_sha256" in fingerprint:
    what += f".\nWeights SHA-256 {fingerprint['weights_sha256']}"
  print(f"Exported {what}.\n"
        f"Load it: hub.load({FLAGS.export_dir!r})\n"
        f"Try it:  perceptual compare --metric={FLAGS.export_dir} REFERENCE CANDIDATE ...")


def _what(description, metric):
  """Returns what is exported, for people."""
  if not metric.has_taps:
    return description
  return (f"{description}: distance {metric.distance_name} summed over {', '.join(metric.taps)}, "
          f"{metric.trunk.count_params():,} parameters")


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
