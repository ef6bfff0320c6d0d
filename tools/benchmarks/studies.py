"""Measures what a study costs besides training: between runs, in scoring, in tables and figures.

  python -m tools.benchmarks.studies [--parts next_run scoring tables] [--rounds=3] [--json=FILE]

  next_run  seconds from the end of one small run to the first score and the first steps of the
            next, in the process of `perceptual study run`
  scoring   an evaluation of a ResNet-18 on 3,000 triplets, by three distances at every tap with
            intervals, beside its forward passes alone and an epoch of training on 50,000 images
  tables    `perceptual study collect` and `perceptual study figures` of gin/studies/paper.gin as if
            all its runs had finished, with invented scores: time, and the most memory

Needs TensorFlow alone, and for `tables` 2 GB of disk. Takes about ten minutes on two CPUs.
"""

import argparse
import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from tools.benchmarks import sides

_STUDY = "gin/studies/paper.gin"
_SUBSETS = ("traditional", "cnn", "superres", "deblur", "color", "frameinterp", "mean", "pooled",
            "distortions", "real algorithms")
_DISTANCES = ("local", "mean_pool", "style")
_STEPS = (0, 125, 250, 500, 750, 1000, 1500, 2000, 3000, 4000, *range(5000, 112_590, 5000), 112_590)

_SMALL = """
include 'gin/studies/bases/resnet6_small.gin'
network.width = 0.25
images.source = 'demo'
images.train_per_photograph = 8
judged.name = 'graded/nuisance'
judged.limit = 64
train.epochs = 1
train.steps_per_loop = 5
train.batch_size = 16
step_decay.warmup_epochs = 0
"""
_SMALL_STUDY = """
study.name = 'small'
study.sweeps = [@small/sweep()]
small/sweep.bases = ['BASE']
small/sweep.seeds = [0, 1, 2, 3]
"""

_BATCH, _TRIPLETS, _EPOCH = 128, 3000, 50_000


def main():
  """Measures, prints and writes the figures, if wanted."""
  options = _options()
  os.environ.update(sides.ENVIRONMENT)
  figures = {}
  for name in options.parts:
    with tempfile.TemporaryDirectory() as folder:
      figures[name] = _PARTS[name](pathlib.Path(folder), options)
    print(f"\n{name}")
    for label, value in figures[name].items():
      print(f"| {label} | {value:.4g} |", flush=True)
  sides.write_json(options.json, figures)


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--parts", nargs="+", default=list(_PARTS), choices=list(_PARTS),
                      help="what is measured; by default all")
  parser.add_argument("--rounds", type=int, default=3, help="of scoring (default %(default)s)")
  parser.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return parser.parse_args()


def _next_run(folder, options):
  """Seconds from the end of a run to marks of the next one, medians over all runs but the first.

  Those of CPU time, which other work on the machine changes little, are read from Linux's /proc.
  """
  del options
  (folder / "base.gin").write_text(_SMALL)
  (folder / "study.gin").write_text(_SMALL_STUDY.replace("BASE", str(folder / "base.gin")))
  command = _command("run", folder / "study.gin", folder / "study")
  marks = {"first score": r"evaluation at step 0:", "first steps": r"\bstep +\d+/"}
  waits, ended, seen = {label: [] for label in marks}, None, set()
  with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
    for line in process.stderr:
      now = np.array([time.monotonic(), _cpu_seconds(process.pid)])
      if "finished: " in line:
        ended, seen = now, set()
      for label, pattern in marks.items():
        if ended is not None and label not in seen and re.search(pattern, line):
          seen.add(label)
          waits[label].append(now - ended)
  if process.returncode:
    sys.exit("error: the small study failed.")
  return {f"seconds {kind}to the {label} of the next run": float(np.median(times, axis=0)[column])
          for label, times in waits.items() for column, kind in enumerate(("", "of CPU time "))}


def _cpu_seconds(pid):
  """CPU time that a process has used."""
  fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _scoring(folder, options):
  """Seconds of an evaluation, of its forward passes, and of an epoch."""
  del folder
  import keras
  import tensorflow as tf

  from perceptual import models
  from perceptual.data.judged import judged_sets
  from perceptual.evaluation import judged_pass
  from perceptual.metrics.feature_metric import FeatureMetric
  from perceptual.training import step_scores
  from tools.benchmarks import keras_side

  rng = np.random.default_rng(0)
  images = {key: rng.integers(0, 256, (_TRIPLETS, 64, 64, 3), np.uint8)
            for key in judged_sets.IMAGE_KEYS["2afc"]}
  answers = rng.integers(0, 2, _TRIPLETS).astype(np.float64)
  subset = judged_sets.Subset("invented", tf.data.Dataset.from_tensor_slices(images), answers)
  judged = judged_sets.JudgedSet("invented", "2afc", "invented", (subset,), by_people=False)
  model = models.build("resnet18", num_classes=100)
  scoring = judged_pass.JudgedPass(
      FeatureMetric(model, name="resnet18"), distances=_DISTANCES, batch_size=_BATCH)
  forward = tf.function(lambda batch: model(batch, training=False))
  batch = tf.constant(rng.standard_normal((3 * _BATCH, 64, 64, 3), np.float32))
  step = keras_side.tasks("resnet18", _BATCH, 64, "float32")["train"]

  def score():
    return step_scores.rows(0, judged, {"invented": scoring(subset, "2afc")})

  def forwards():
    for _ in range(_TRIPLETS // _BATCH):
      forward(batch)

  score(), forward(batch), step()
  found = {"an evaluation, s": score, "its forward passes, s": forwards, "a step, s": step}
  seconds = {label: [] for label in found}
  for _ in range(options.rounds):
    for label, call in found.items():
      start = time.process_time(), time.monotonic()
      call()
      seconds[label].append((time.process_time() - start[0], time.monotonic() - start[1]))
  keras.backend.clear_session()
  median = {label: statistics.median(cpu for cpu, _ in times) for label, times in seconds.items()}
  epoch = median.pop("a step, s") * _EPOCH / _BATCH
  return {**{f"{label} of CPU time": value for label, value in median.items()},
          "an epoch of training, s of CPU time": epoch,
          "an evaluation, % of an epoch": 100 * median["an evaluation, s"] / epoch,
          "its forward passes, % of an epoch": 100 * median["its forward passes, s"] / epoch}


def _tables(folder, options):
  """Time and memory of `collect` and `figures`."""
  del options
  lines = _invent(folder)
  found = {"lines of scores": lines}
  for subcommand in ("collect", "figures"):
    start = time.monotonic()
    process = subprocess.Popen(
        _command(subcommand, _STUDY, folder), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
      sys.exit(f"error: study {subcommand} failed.")
    found[f"{subcommand}, s"] = time.monotonic() - start
    found[f"{subcommand}, MiB"] = usage.ru_maxrss / 1024
  return found


def _invent(folder):
  """Writes the runs of the study as if they had finished; returns the number of their scores."""
  from perceptual.studies import definition, study_dir
  from perceptual.training import step_scores

  study = definition.read(_STUDY)
  place = study_dir.StudyDir(folder, study)
  place.open()
  rng, lines = np.random.default_rng(0), 0
  for run in study.runs:
    place.write_state(run, study_dir.FINISHED, steps=_STEPS[-1])
    with contextlib.ExitStack() as stack:
      metrics, scores = (stack.enter_context(path.open("w", encoding="utf-8")) for path in (
          place.model_dir(run).metrics, place.model_dir(run).scores))
      metrics.write("step,epoch,validation_accuracy,learning_rate\n")
      scores.write(",".join(step_scores.COLUMNS) + "\n")
      distances = ("lin",) if run.kind == "learn" else _DISTANCES
      for step in _STEPS:
        accuracy = "" if run.kind == "learn" else f"{100 * rng.random():.4f}"
        metrics.write(f"{step},{step / 1251:.4f},{accuracy},0.1\n")
        rows = [f"{step},bapps/2afc,{subset},{distance},{tap}"
                for subset in _SUBSETS for distance in distances for tap in (*_taps(run), "sum")]
        values = 65 + 5 * rng.random(len(rows))
        scores.writelines(f"{row},{value:.4f},{value - 0.5:.4f},{value + 0.5:.4f}\n"
                          for row, value in zip(rows, values))
        lines += len(rows)
  return lines


def _taps(run):
  """Names of as many taps as a network has."""
  blocks = {"vit_b": 12, "vit_l": 24}.get(run.network[:5], 4)
  return [f"tap_{number}" for number in range(1, blocks + 1)]


def _command(subcommand, study, folder):
  return [sys.executable, "-m", "perceptual", "study", subcommand, f"--study={study}",
          f"--study_dir={folder}"]


_PARTS = {"next_run": _next_run, "scoring": _scoring, "tables": _tables}


if __name__ == "__main__":
  main()
