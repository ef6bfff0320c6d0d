"""Say what is installed here, which devices are seen, and where weights lie.

  perceptual doctor           a table, and the command that installs what is missing
  perceptual doctor --json    the same as JSON, for other programs

Nothing is changed or downloaded. The exit status is 1 if no backend of Keras can run.
"""

from absl import flags

from perceptual.commands import command_line

FLAGS = flags.FlagValues()
flags.DEFINE_bool("json", False, "Print JSON.", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  import json

  from perceptual.commands import installation

  found = installation.inspect()
  print(json.dumps(found, indent=2) if FLAGS.json else installation.as_text(found))
  return 0 if found["backend"]["name"] else 1


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
