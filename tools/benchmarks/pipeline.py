"""Measures what surrounds the arithmetic of training: input, loops, devices, start-up, evaluation.

  python -m tools.benchmarks.pipeline [--parts input waiting ...] [--json=FILE]

  input        images/s of the training input alone, from TFDS files of 64x64, and what of its CPU
               time goes where
  waiting      share of the time of training ResNet-6 that is spent waiting for that input: from
               files, of images that are kept decoded, and without any input
  loops        a step of ResNet-6 with train.steps_per_loop of 1 and of 20
  devices      a step of ResNet-6 on one and on two logical devices of this machine
  start        `perceptual train` on the demo data, from the command to its first steps, by phase
  evaluation   one pass of ResNet-6 over triplets of BAPPS's shape and number, in time and in
               memory after a quarter and after all; the triplets are synthetic
  safety       share of a demo run's time that goes into checksums and syncing

Each part runs in a process of its own. Seconds of CPU, of all cores together, are shown beside
those of the clock: other work on the machine hardly alters them. Needs TensorFlow and the demo
data. Takes about 10 minutes on two quiet CPUs.
"""

import argparse
import contextlib
import io
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from tools.benchmarks import sides

_SIDE = 64
_CLASSES = 10
_WARM_UP_STEPS = 20


def main():
  """Measures, prints tables and writes the figures, if wanted."""
  options = _options()
  figures = {}
  with tempfile.TemporaryDirectory() as folder:
    for name in options.parts:
      # TensorFlow takes the number of devices once in a process.
      with sides.Side(_tasks, name, folder, vars(options)) as side:
        figures[name] = side.result(name)
      print(f"\n{name}\n{_table(figures[name])}", flush=True)
  sides.write_json(options.json, figures)


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--parts", nargs="+", default=list(_PARTS), choices=list(_PARTS),
                      help="what is measured; by default all")
  parser.add_argument("--images", type=int, default=4000, help="default %(default)s")
  parser.add_argument("--steps", type=int, default=40, help="default %(default)s")
  parser.add_argument("--batch_size", type=int, default=128, help="default %(default)s")
  parser.add_argument("--triplets", type=int, default=36_344, help="default %(default)s")
  parser.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return parser.parse_args()


def _tasks(name, folder, options):
  """What a process of `sides` is given to do."""
  options = argparse.Namespace(**options)
  return {name: lambda: _PARTS[name](pathlib.Path(folder), options)}


def _input(folder, options):
  import tensorflow as tf

  from perceptual.data.labelled import augment, classification

  images = _prepared(folder, options.images)
  stored = images.examples("train").repeat()
  decoded = stored.map(lambda example: {**example, "image": images.decode(example["image"])},
                       num_parallel_calls=tf.data.AUTOTUNE)

  def batches(augmentation, cache):
    return classification.train_batches(
        images, batch_size=options.batch_size, seed=0, shuffle_buffer=1000,
        augmentation=augmentation, cache=cache)

  plain = augment.Augmentation(crop="none", flip=False)
  return {label: _speed(dataset, options) for label, dataset in {
      "records as stored": stored.batch(options.batch_size),
      "and decoded": decoded.batch(options.batch_size),
      "and shuffled": batches(plain, False),
      "and augmented: all of it": batches(augment.Augmentation(), False),
      "all of it, decoded images kept in memory": batches(augment.Augmentation(), True)}.items()}


def _speed(dataset, options):
  """Returns how fast a data set gives its batches, once it has given as many before."""
  iterator, batches = iter(dataset), options.images // options.batch_size
  for _ in range(batches):
    next(iterator)
  with _clocks() as taken:
    for _ in range(batches):
      next(iterator)
  count = batches * options.batch_size
  return {"images/s": count / taken["seconds"],
          "ms of CPU an image": 1000 * taken["cpu_seconds"] / count}


def _waiting(folder, options):
  """Times the steps of training one by one, and of each how long its batch was waited for."""
  import tensorflow as tf

  images = _prepared(folder, options.images)
  trainer = _trainer(images, options, tf.distribute.get_strategy())
  return {source: _waits(trainer, iter(_batches(images, options.batch_size, source)), options.steps)
          for source in _SOURCES}


def _waits(trainer, batches, steps):
  for _ in range(5):  # the first builds the graph
    trainer.replica_step(next(batches))
  waited = 0.0
  with _clocks() as taken:
    for _ in range(steps):
      begin = time.perf_counter()
      batch = next(batches)
      waited += time.perf_counter() - begin
      trainer.replica_step(batch)
  return {**_of_a_step(taken, steps), "waiting, % of the time": 100 * waited / taken["seconds"]}


def _loops(folder, options):
  import tensorflow as tf

  images = _prepared(folder, options.images)
  return {f"steps_per_loop {loop}": _step(images, options, loop, tf.distribute.get_strategy())
          for loop in (1, 20)}


def _devices(folder, options):
  import tensorflow as tf

  physical = tf.config.list_physical_devices("CPU")[0]
  tf.config.set_logical_device_configuration(physical, [tf.config.LogicalDeviceConfiguration()] * 2)
  images = _prepared(folder, options.images)
  return {
      "one": _step(images, options, 20, tf.distribute.OneDeviceStrategy("/cpu:0")),
      "two, mirrored": _step(
          images, options, 20, tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))}


def _step(images, options, loop, strategy):
  """Returns the time of a step of ResNet-6, after some that build graphs and fill buffers."""
  import orbit

  trainer = _trainer(images, options, strategy)
  trainer.train_dataset = strategy.distribute_datasets_from_function(
      lambda context: _batches(images, context.get_per_replica_batch_size(options.batch_size),
                               "from files"))
  controller = orbit.Controller(
      global_step=trainer.global_step, strategy=strategy, trainer=trainer, steps_per_loop=loop)
  with contextlib.redirect_stdout(None):
    controller.train(_WARM_UP_STEPS, checkpoint_at_completion=False)
    with _clocks() as taken:
      controller.train(_WARM_UP_STEPS + options.steps, checkpoint_at_completion=False)
  return _of_a_step(taken, options.steps)


def _trainer(images, options, strategy):
  from perceptual import models
  from perceptual.models.preprocessing import IMAGENET
  from perceptual.training import classifier, settings

  given = settings.Settings(batch_size=options.batch_size, train_steps=2 * options.steps)
  with strategy.scope():
    model = models.build("resnet6", num_classes=images.num_classes)
    return classifier.ClassifierTrainer(
        model, given.optimizer.keras(options.batch_size, options.steps, 2 * options.steps),
        strategy=strategy, batch_size=options.batch_size, preprocess=IMAGENET,
        label_smoothing=0.0, weight_decay=1e-4, clip_norm=None, average=None, dataset=None)


_SOURCES = ("from files", "decoded images kept in memory", "one batch, again and again")


def _batches(images, batch_size, source):
  from perceptual.data.labelled import classification

  stream = classification.train_batches(
      images, batch_size=batch_size, seed=0, shuffle_buffer=1000, cache=source == _SOURCES[1])
  return stream.take(1).cache().repeat() if source == _SOURCES[2] else stream


def _of_a_step(taken, steps):
  return {"ms a step": 1000 * taken["seconds"] / steps,
          "ms of CPU a step": 1000 * taken["cpu_seconds"] / steps}


def _start(folder, options):
  """Times the lines that a demo run writes, by the clock of this process."""
  del options
  command = [sys.executable, "-m", "perceptual", "train", "--gin_file=gin/runs/demo.gin",
             f"--model_dir={folder / 'start'}", "--gin_param=train.train_steps = 4",
             "--gin_param=train.steps_per_loop = 2", "--gin_param=step_decay.warmup_epochs = 0"]
  marks = {"steps     ": "described: imports, data and network are there", "  evaluation at step 0":
           "first evaluation, its graph built", "step 2/4": "first two steps, their graph built",
           "step 4/4": "two more steps"}
  begin = before = time.monotonic()
  found, cpu_before = {}, 0.0
  process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             env={**os.environ, "PERCEPTUAL_LOG": "plain"})
  for line in process.stdout:
    for start, label in marks.items():
      if line.startswith(start) and label not in found:
        now, cpu = time.monotonic(), _cpu_seconds(process.pid)
        found[label] = {"seconds": now - before, "since the command": now - begin,
                        "cpu_seconds": cpu - cpu_before}
        before, cpu_before = now, cpu
  if process.wait() != 0:
    sys.exit("error: the demo run failed.")
  return found


def _cpu_seconds(process):
  """Returns the CPU time of a process so far, as Linux tells it (proc(5), fields 14 and 15)."""
  fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _evaluation(folder, options):
  del folder
  import numpy as np
  import tensorflow as tf

  from perceptual import models
  from perceptual.data.judged import judged_sets
  from perceptual.evaluation import judged_pass
  from perceptual.metrics.feature_metric import FeatureMetric

  model = models.build_at_random("resnet6", num_classes=0)
  one_pass = judged_pass.JudgedPass(
      FeatureMetric(model, name="resnet6"), distances=("local", "mean_pool", "style"),
      batch_size=options.batch_size)
  rng = np.random.default_rng(0)
  pool = tf.constant(rng.integers(0, 256, (300, _SIDE, _SIDE, 3), np.uint8))

  def triplets(count):
    images = tf.data.Dataset.range(count).map(lambda i: {
        "reference": pool[i % 300], "candidate_0": pool[(7 * i + 1) % 300],
        "candidate_1": pool[(11 * i + 2) % 300]})
    return judged_sets.Subset("synthetic", images, np.zeros(count))

  found = {}
  one_pass(triplets(options.batch_size), "2afc")  # builds the graph
  for count in (options.triplets // 4, options.triplets):
    with _clocks() as taken:
      one_pass(triplets(count), "2afc")
    found[f"{count:,} triplets"] = {
        **taken, "triplets/s": count / taken["seconds"],
        "most memory, GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
  return found


def _safety(folder, options):
  """Times every checksum and every sync of a demo run, each by itself."""
  del options
  from perceptual.commands import cli, command_line
  from perceptual.common import files

  command_line.configure_runtime()
  spent = {"syncing": 0.0, "checksums": 0.0}
  os.fsync = _timed(os.fsync, spent, "syncing")
  files.sha256 = _timed(files.sha256, spent, "checksums")
  with _clocks() as taken, contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(
      SystemExit):
    cli.main(["train", "--gin_file=gin/runs/demo.gin", f"--model_dir={folder / 'safety'}"])
  return {what: {"seconds": seconds, "% of the run": 100 * seconds / taken["seconds"]}
          for what, seconds in {**spent, "the run": taken["seconds"]}.items()}


def _timed(function, spent, what):
  def call(*arguments, **options):
    begin = time.monotonic()
    try:
      return function(*arguments, **options)
    finally:
      spent[what] += time.monotonic() - begin
  return call


_PARTS = {"input": _input, "waiting": _waiting, "loops": _loops, "devices": _devices,
          "start": _start, "evaluation": _evaluation, "safety": _safety}


def _prepared(folder, count):
  """Returns images of a data set in TFDS files, crops of the demo photographs, by photograph."""
  from perceptual.data.labelled import demo, own_images

  data = folder / "data"
  if not data.exists():
    _write_crops(folder / "crops", demo, count)
    own_images.prepare(str(folder / "crops"), str(data), name="crops", image_size=_SIDE)
  return own_images.labelled_images(str(data), name="crops")


def _write_crops(folder, demo, count):
  import numpy as np
  from PIL import Image

  rng = np.random.default_rng(0)
  photographs = demo.PHOTOGRAPHS[:_CLASSES]
  for number, name in enumerate(photographs):
    pixels = np.asarray(demo.load(name))
    (folder / f"{number:02d}").mkdir(parents=True)
    for crop in range(-(-count // len(photographs))):
      top, left = (rng.integers(side - _SIDE + 1) for side in pixels.shape[:2])
      Image.fromarray(pixels[top:top + _SIDE, left:left + _SIDE]).save(
          folder / f"{number:02d}" / f"{crop:05d}.png")


@contextlib.contextmanager
def _clocks():
  """Yields a dictionary that has "seconds" and "cpu_seconds" of the block after it."""
  taken = {}
  clock, cpu = time.perf_counter(), time.process_time()
  yield taken
  taken.update(seconds=time.perf_counter() - clock, cpu_seconds=time.process_time() - cpu)


def _table(figures):
  columns = list(next(iter(figures.values())))
  rows = [f"| {label} | " + " | ".join(f"{found[column]:.2f}" for column in columns) + " |"
          for label, found in figures.items()]
  return "\n".join([f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}", *rows])


if __name__ == "__main__":
  main()
