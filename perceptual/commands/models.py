"""List the networks that can be trained and tapped, with what they cost; `perceptual models`.

  perceptual models                          all of them, at 64x64
  perceptual models --network=resnet50       one: every tap, every option and its default
  perceptual models --image_size=224 --output_dir=models   and as models.csv and models.json

A network's name and options are what gin takes (network.name = 'resnet50', network.width = 0.25)
and what perceptual.models.build takes. Any other Keras classifier is network.name = 'keras_file' or
'keras_applications'. Sizes and costs come from shapes alone: no weights are made.
"""

from absl import flags

from perceptual.commands import command_line

FLAGS = flags.FlagValues()
flags.DEFINE_string("network", None, "Show this network alone, in full.", flag_values=FLAGS)
flags.DEFINE_integer(
    "image_size", 64, "The side of the images for which operations are counted, in pixels.",
    lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "num_classes", 1000, "The classes of the classifier.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_string(
    "output_dir", None, "Where models.csv (a line a tap) and models.json are written; by default "
    "nowhere.", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  from perceptual import models
  from perceptual.common import progress
  from perceptual.evaluation import results
  from perceptual.models import listing

  size = FLAGS.image_size
  names = models.names() if FLAGS.network is None else [FLAGS.network]
  if FLAGS.output_dir is not None:
    folder = results.require_folder(FLAGS.output_dir)
  with progress.progress(names, description="building", unit="network") as building:
    rows = [listing.inspect(name, image_size=size, num_classes=FLAGS.num_classes)
            for name in building]
  print(listing.table(rows, size) if FLAGS.network is None else listing.details(rows[0], size))
  if FLAGS.output_dir is not None:
    results.write(folder, {"models.csv": listing.as_csv(rows, size),
                           "models.json": listing.as_json(rows, size)})
    print(f"\nWritten: {folder / 'models.csv'}, {folder / 'models.json'}")


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
