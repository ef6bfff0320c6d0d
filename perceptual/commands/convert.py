"""Convert published weights from PyTorch's files for use here: LPIPS, or a network of torchvision.

  perceptual convert --network=lpips-alex --trunk=alexnet-owt-7be5be79.pth --heads=alex.pth
  perceptual convert --network=lpips-vgg --trunk=vgg16-397923af.pth --heads=vgg.pth
  perceptual convert --network=lpips-squeeze --trunk=squeezenet1_1-b8a52dc0.pth --heads=squeeze.pth
  perceptual convert --network=vgg19 --trunk=vgg19-dcbb9e9d.pth

Trunks are torchvision's ImageNet weights, which PyTorch keeps in ~/.cache/torch/hub/checkpoints;
heads lie in the lpips package, in lpips/weights/v0.1. Both are .pth state dicts, or .npz files with
the same names; neither PyTorch nor torchvision is needed. A file that does not fit in every name
and shape is refused. Then, in Python:

  from perceptual.metrics.lpips import lpips
  distance = lpips("alex")(reference, candidate)   # [batch, height, width, 3] each -> [batch]
"""

from absl import flags

from perceptual.commands import command_line

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "network", None, "What the weights are of: lpips-alex, lpips-vgg, lpips-squeeze, or a network "
    "of torchvision.", flag_values=FLAGS)
flags.DEFINE_string(
    "trunk", None, "The file of the network's weights. For LPIPS without --heads, the trunk alone.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "heads", None, "The file of LPIPS's linear heads. Without --trunk, the heads alone.",
    flag_values=FLAGS)
flags.DEFINE_enum("version", "0.1", ["0.1", "0.0"], "LPIPS's version of the heads.",
                  flag_values=FLAGS)
flags.DEFINE_string(
    "weights_dir", None, "The folder to write to; by default what the environment variable "
    "PERCEPTUAL_WEIGHTS names, or else ~/.cache/perceptual/weights.", flag_values=FLAGS)
flags.DEFINE_bool(
    "overwrite", False, "Replace other weights of the same name.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Read and check the files, write nothing.", flag_values=FLAGS)
flags.mark_flag_as_required("network", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  from perceptual.weights import conversion, store

  # All are read before any is written: if one does not fit, nothing changes.
  converted = [conversion.read(path, name) for name, path in _files().items()]
  for weights in converted:
    path, _ = store.paths(weights.entry.name, FLAGS.weights_dir)
    if FLAGS.dry_run:
      print(f"Dry run: {weights.source} fits; would write {path}.")
      continue
    manifest = weights.write(FLAGS.weights_dir, overwrite=FLAGS.overwrite)
    print(f"Wrote {path}: {manifest['parameters']:,} weights of {weights.entry.name}, "
          f"{manifest['published']['licence']}, from {weights.source}.")


def _files():
  """Returns the files to convert by the names of the weights in them."""
  from perceptual import errors
  from perceptual.weights import catalogue, torchvision_modules

  of_lpips = {f"lpips-{net}": (net, trunk) for net, trunk in catalogue.LPIPS_TRUNKS.items()}
  if FLAGS.network in of_lpips:
    net, trunk = of_lpips[FLAGS.network]
    files = {trunk.network: FLAGS.trunk, catalogue.lpips_heads(net, FLAGS.version): FLAGS.heads}
  elif FLAGS.network in torchvision_modules.TRUNKS:
    if FLAGS.heads:
      raise command_line.UsageError(f"{FLAGS.network} has no heads: leave --heads out.")
    files = {FLAGS.network: FLAGS.trunk}
  else:
    raise errors.unknown("network", FLAGS.network, [*of_lpips, *torchvision_modules.TRUNKS])
  files = {name: path for name, path in files.items() if path}
  if not files:
    raise command_line.UsageError("Nothing to convert: --trunk=FILE is needed"
                            f"{', or --heads=FILE' if FLAGS.network in of_lpips else ''}.")
  return files


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
