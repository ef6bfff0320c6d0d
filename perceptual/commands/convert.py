"""Convert published weights from PyTorch's files for use here: LPIPS, or a network of torchvision.

  perceptual convert --network=lpips-alex               from files that this machine has
  perceptual convert --network=lpips-alex --download    the same; what is missing is downloaded
  perceptual convert --network=lpips-alex --trunk=alexnet-owt-7be5be79.pth --heads=alex.pth
  perceptual convert --network=vgg19 --trunk=vgg19-dcbb9e9d.pth

Trunks are torchvision's ImageNet weights, looked for in PyTorch's own cache (TORCH_HOME, or
~/.cache/torch); LPIPS's heads are looked for in an installed lpips package. Neither PyTorch nor
torchvision nor lpips is needed. Nothing is downloaded without --download, which fetches the
publishers' files, resumes a transfer that broke off, and keeps a file only if its hash is right.

Files that are named are .pth state dicts, or .npz files with the same names. A file that does not
fit in every name and shape is refused. Then, in Python:

  from perceptual.metrics.lpips import lpips
  distance = lpips("alex")(reference, candidate)   # [batch, height, width, 3] each -> [batch]
"""

from absl import flags

from perceptual.commands import command_line
from perceptual.common import backends, packages

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "network", None, "The metric or network of the weights: lpips-alex, lpips-vgg, "
    "lpips-squeeze, or a network of torchvision.", flag_values=FLAGS)
flags.DEFINE_string(
    "trunk", None, "The file of the network's weights. For LPIPS without --heads, the trunk alone.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "heads", None, "The file of LPIPS's linear heads. Without --trunk, the heads alone.",
    flag_values=FLAGS)
flags.DEFINE_enum("version", "0.1", ["0.1", "0.0"], "LPIPS's version of the heads.",
                  flag_values=FLAGS)
flags.DEFINE_bool(
    "download", False, "Download the files that are not on this machine.", flag_values=FLAGS)
flags.DEFINE_string(
    "mirror", None, "With --download: the address of a copy of the publishers' files, which are "
    "MIRROR/alexnet-owt-7be5be79.pth, MIRROR/v0.1/alex.pth and so on.", flag_values=FLAGS)
flags.DEFINE_string(
    "weights_dir", None, "The folder to write to; by default what the environment variable "
    "PERCEPTUAL_WEIGHTS names, or else ~/.cache/perceptual/weights.", flag_values=FLAGS)
flags.DEFINE_bool(
    "overwrite", False, "Replace other weights of the same name.", flag_values=FLAGS)
flags.DEFINE_bool("dry_run", False, "Read and check the files, download and write nothing.",
                  flag_values=FLAGS)
flags.mark_flag_as_required("network", flag_values=FLAGS)


def main(argv):
  """Runs the command."""
  command_line.refuse_arguments(argv)
  from perceptual.weights import catalogue

  names = catalogue.needed(FLAGS.network, FLAGS.version)
  if FLAGS.mirror is not None and not FLAGS.download:
    raise command_line.UsageError("--mirror says where --download looks: give both.")
  if FLAGS.trunk is None and FLAGS.heads is None:
    _convert_published(names)
    return
  if FLAGS.download:
    raise command_line.UsageError("--download is for files that are not named: leave --trunk and "
                                  "--heads out.")
  if FLAGS.heads is not None and len(names) == 1:
    raise command_line.UsageError(f"{FLAGS.network} has no heads: leave --heads out.")
  given = dict(zip(names, (FLAGS.trunk, FLAGS.heads)))
  _convert({name: path for name, path in given.items() if path is not None})


def _convert_published(names):
  """Converts those of the published files that are not converted yet: found here, or downloaded."""
  from perceptual.weights import catalogue, published_files, store

  files, missing = {}, []
  for name in names:
    if store.has(name, FLAGS.weights_dir) and not FLAGS.overwrite:
      print(f"Already converted: {store.paths(name, FLAGS.weights_dir)[0]}.")
      continue
    path = published_files.find(catalogue.get(name))
    if path is None:
      missing.append(catalogue.get(name))
    else:
      print(f"Found {path}.")
      files[name] = path
  if missing and not FLAGS.download:
    raise published_files.not_found(missing)
  downloaded = _download(missing)
  _convert({**files, **downloaded})
  for path in downloaded.values():
    published_files.remove(path)


def _download(entries):
  """Downloads published files; returns their paths by the names of the weights in them."""
  from perceptual.weights import published_files

  paths = {}
  for entry in entries:
    address = published_files.url(entry, FLAGS.mirror)
    if FLAGS.dry_run:
      print(f"Dry run: would download {address}.")
      continue
    paths[entry.name] = published_files.fetch(
        entry, weights_dir=FLAGS.weights_dir, mirror=FLAGS.mirror)
    print(f"Downloaded {address}: its hash is right.")
  return paths


def _convert(files):
  """Converts files, by the names of the weights in them."""
  from perceptual.weights import conversion, store

  # All are read before any is written: if one does not fit, nothing changes.
  converted = [conversion.read(path, name) for name, path in files.items()]
  for weights in converted:
    path, _ = store.paths(weights.entry.name, FLAGS.weights_dir)
    if FLAGS.dry_run:
      print(f"Dry run: {weights.source} fits; would write {path}.")
      continue
    manifest = weights.write(FLAGS.weights_dir, overwrite=FLAGS.overwrite)
    print(f"Wrote {path}: {manifest['parameters']:,} weights of {weights.entry.name}, "
          f"{manifest['published']['licence']}, from {weights.source}.")
  if converted and not FLAGS.dry_run:
    _write_onnx()


def _write_onnx():
  """Writes a metric of new weights as an ONNX file too, by which `perceptual compare` starts fast.

  Without TensorFlow and tf2onnx there is no such file, and one of earlier weights is removed.
  """
  from perceptual.metrics import registry
  from perceptual.weights import store

  spec = registry.find(FLAGS.network)
  path = store.weights_dir(FLAGS.weights_dir) / f"{FLAGS.network}.onnx"
  path.unlink(missing_ok=True)
  complete = all(store.has(name, FLAGS.weights_dir) for name in spec.weights)
  able = all(packages.is_installed(name) for name in ("tensorflow", "onnx", "tf2onnx"))
  if spec.kind != "lpips" or not (complete and able and backends.choose() == "tensorflow"):
    return
  from perceptual import loading
  from perceptual.export import onnx_file

  onnx_file.write(loading.load_metric(FLAGS.network, weights=FLAGS.weights_dir), path)
  print(f"Wrote {path}: the metric for ONNX Runtime.")


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
