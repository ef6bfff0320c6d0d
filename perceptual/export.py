"""Write a trained network as a metric: one SavedModel that any pipeline loads.

  perceptual export --model_dir=runs/demo --export_dir=runs/demo/metric
  perceptual export --model_dir=runs/resnet6 --checkpoint=best_score --distance=mean_pool \\
      --taps=reduction_2,reduction_3 --export_dir=exports/resnet6

Then, with nothing but TensorFlow and tensorflow_hub installed:

  metric = hub.load('runs/demo/metric')
  distance = metric(reference, candidate)   # [batch, height, width, 3] each -> [batch]

Images are uint8 (0 to 255) or float32 in the range declared by --float_range; others raise.
"""

from absl import flags

from perceptual import binary

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model_dir", None, "The training folder of the network.", flag_values=FLAGS)
flags.DEFINE_enum(
    "checkpoint", "best_score", ["best_score", "best_accuracy", "last"],
    "Which of the training's checkpoints.", flag_values=FLAGS)
flags.DEFINE_string(
    "distance", "local", "The distance between features: local, mean_pool, style, sort, or a sum "
    "as local+mean_pool.", flag_values=FLAGS)
flags.DEFINE_list(
    "taps", None, "Names of the feature taps, separated by commas; by default all.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "float_range", "0,1", "What the lowest and highest value of a float image are: 0,1 or 0,255 "
    "or -1,1.", flag_values=FLAGS)
flags.DEFINE_string("export_dir", None, "The folder to write.", flag_values=FLAGS)
flags.DEFINE_bool(
    "overwrite", False, "Replace an earlier export at --export_dir.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Print what would be written, and stop.", flag_values=FLAGS)
flags.mark_flags_as_required(["model_dir", "export_dir"], flag_values=FLAGS)


def main(argv):
  """Runs the binary."""
  binary.refuse_arguments(argv)
  from perceptual import preprocessing
  from perceptual.exporting import saved_model
  from perceptual.metric import Metric
  from perceptual.training import model_dir

  saved_model.require_free(FLAGS.export_dir, FLAGS.overwrite)
  preprocess = preprocessing.Preprocessing(
      float_range=preprocessing.float_range(FLAGS.float_range))
  model, network, options, step = model_dir.load_network(FLAGS.model_dir, FLAGS.checkpoint)
  metric = Metric(model, network=network, options=options, taps=FLAGS.taps,
                  distance=FLAGS.distance, preprocess=preprocess)
  what = (f"{network} ({FLAGS.checkpoint}, step {step}) of {FLAGS.model_dir}: distance "
          f"{metric.distance.name} summed over {', '.join(metric.taps)}, "
          f"{metric.trunk.count_params():,} parameters")
  if FLAGS.dry_run:
    print(f"Dry run: would export {what}, to {FLAGS.export_dir}.")
    return
  fingerprint = saved_model.export(
      metric, FLAGS.export_dir, overwrite=FLAGS.overwrite,
      extra={"checkpoint": FLAGS.checkpoint, "step": step})
  print(f"Exported {what}.\nWeights SHA-256 {fingerprint['weights_sha256']}.\n"
        f"Load it: hub.load({FLAGS.export_dir!r})\n"
        f"Try it:  perceptual compare --metric={FLAGS.export_dir} REFERENCE CANDIDATE ...")


if __name__ == "__main__":
  binary.run(main, FLAGS, __doc__)
