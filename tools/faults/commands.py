"""What the campaigns run: each command, on inputs so small that it takes seconds."""

import shutil
from collections.abc import Callable
from typing import NamedTuple

from tools.faults import forks, own_folder

_NETWORK = """
include 'gin/runs/demo.gin'
network.name = 'resnet2'
network.width = 0.1
network.dropout = 0.4
images.train_per_photograph = 2
images.validation_per_photograph = 1
judged.limit = 6
train.batch_size = 8
train.eval_batch_size = 8
train.train_steps = 6
train.steps_per_loop = 2
train.eval_interval = 4
train.checkpoint_interval = 2
train.score_distances = ['local']
train.score_resamples = 20
step_decay.warmup_epochs = 0
"""
_LEARNED = """
network.name = 'resnet3'
network.width = 0.1
triplets.name = 'teacher'
judged.name = 'teacher'
learn.mode = 'scratch'
learn.batch_size = 4
learn.eval_batch_size = 4
learn.train_steps = 6
learn.steps_per_loop = 2
learn.eval_interval = 4
learn.checkpoint_interval = 2
learn.score_resamples = 20
"""
_STUDY = """
study.name = 'micro'
study.sweeps = [@widths/sweep()]
study.bindings = {'train.train_steps': 4}
widths/sweep.bases = ['BASE']
widths/sweep.vary = {'network.width': [0.1, 0.2]}
"""
_TASK = """
include 'gin/runs/tasks/super_resolution_short.gin'
super_resolution.side = 40
super_resolution.channels = 4
super_resolution.held_out = 1
super_resolution.tests = ['photographs']
super_resolution.metrics = ['mse']
loss.metric = 'gaussian-resnet2'
loss.taps = ['stem']
fit.batch_size = 2
fit.eval_batch_size = 1
fit.train_steps = 6
fit.steps_per_loop = 2
fit.eval_interval = 4
fit.checkpoint_interval = 2
"""


class Command(NamedTuple):
  """A command to be disturbed.

  Attributes:
    arguments: `(folder) -> list` of arguments of `perceptual`; it writes below `folder / "out"`.
    make: `(folder) -> None`, writes its inputs; called in a process that may use TensorFlow.
    needs: names of the commands whose folders `out` must be there, as `folder / NAME`.
  """

  arguments: Callable
  make: Callable = lambda folder: None
  needs: tuple[str, ...] = ()


def _written(name, text):
  return lambda folder: (folder / name).write_text(text.replace("BASE", str(folder / "base.gin")))


def _make_teacher(folder):
  """Writes triplets to learn from and to score on, judged by a metric that needs no weights."""
  from perceptual import load_metric
  from perceptual.data.judged import prepare_teacher

  _written("learn.gin", _LEARNED)(folder)
  for split in ("val", "train"):
    prepare_teacher.prepare(
        "demo", folder / "data", load_metric("mse"), split=split, limit=12, image_size=32)


def _make_study(folder):
  _written("base.gin", _NETWORK)(folder)
  _written("study.gin", _STUDY)(folder)


def _make_task(folder):
  _written("task.gin", _TASK)(folder)
  _write_images(folder / "data" / "photographs", [f"{i}.png" for i in range(4)], 44, 60)


def _make_judgements(folder):
  names = [f"{i}.png" for i in range(13)]
  _write_images(folder / "study", names)
  rows = [f"0.png,{name},{5 - level / 3}" for level, name in enumerate(names[1:], 1)]
  (folder / "study" / "ratings.csv").write_text("\n".join(["reference,distorted,score", *rows]))


def _make_classes(folder):
  for label in ("cats", "dogs"):
    _write_images(folder / "classes" / label, [f"{i}.png" for i in range(8)])


def _make_folders(folder):
  for seed, name in enumerate(("images", "others")):
    _write_images(folder / name, [f"{i}.png" for i in range(6)], seed=seed)


def _write_images(folder, names, height=16, width=16, seed=0):
  import numpy as np
  from PIL import Image

  folder.mkdir(parents=True)
  rng = np.random.default_rng(seed)
  grey = np.full([height, width, 3], 128)
  for level, name in enumerate(names):
    pixels = np.clip(grey + (1 + level) * rng.integers(-8, 9, grey.shape), 0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


COMMANDS = {
    "train": Command(
        lambda folder: ["train", f"--gin_file={folder}/train.gin", f"--model_dir={folder}/out"],
        _written("train.gin", _NETWORK)),
    "learn": Command(
        lambda folder: ["learn", f"--gin_file={folder}/learn.gin", f"--data_dir={folder}/data",
                        f"--model_dir={folder}/out"],
        _make_teacher),
    "task train": Command(
        lambda folder: ["task", "train", f"--gin_file={folder}/task.gin",
                        f"--data_dir={folder}/data", f"--model_dir={folder}/out"],
        _make_task),
    "study run": Command(
        lambda folder: ["study", "run", f"--study={folder}/study.gin", f"--study_dir={folder}/out"],
        _make_study),
    "prepare graded": Command(
        lambda folder: ["prepare", "graded", "--source=demo", "--limit=4",
                        f"--data_dir={folder}/out"]),
    "prepare judged": Command(
        lambda folder: ["prepare", "judged", f"--source={folder}/study", "--name=mine",
                        "--direction=higher_is_better", f"--data_dir={folder}/out"],
        _make_judgements),
    "prepare images": Command(
        lambda folder: ["prepare", "images", f"--source={folder}/classes", "--name=mine",
                        "--image_size=16", f"--data_dir={folder}/out"],
        _make_classes),
    "evaluate": Command(
        lambda folder: ["evaluate", "--metric=mse", "--metric=ssim", "--dataset=judged/mine",
                        f"--data_dir={folder}/prepare-judged", f"--output_dir={folder}/out"],
        needs=("prepare judged",)),
    "export": Command(
        lambda folder: ["export", f"--model_dir={folder}/train",
                        f"--export_dir={folder}/out/metric", "--overwrite"],
        needs=("train",)),
    "compare": Command(
        lambda folder: ["compare", "--metric=mse", "--noheatmap", f"--output_dir={folder}/out",
                        f"--reference_dir={folder}/images", f"--candidate_dir={folder}/others"],
        _make_folders),
}


def perceptual(name, folder, *further, out=None):
  """Runs a command in its folder, in this process; raises `SystemExit` as it does.

  Args:
    name: one of `COMMANDS`.
    folder: its folder.
    *further: further arguments.
    out: where to write instead of `folder / "out"`.
  """
  from perceptual.commands import cli

  arguments = [argument.replace(f"{folder}/out", out or f"{folder}/out")
               for argument in COMMANDS[name].arguments(folder)]
  cli.main([*arguments, *further])


class Workplace:
  """A folder in which commands are run, and run again, on the same inputs.

  Attributes:
    folder: it.
  """

  def __init__(self, folder):
    """Empties the folder; ends the process as `own_folder.emptied` if it is not a campaign's."""
    self.folder = own_folder.emptied(folder)

  def made(self, name):
    """Returns the folder of an undisturbed run of a command, which is made if need be."""
    folder = self.folder / "made" / name.replace(" ", "-")
    if not folder.exists():
      self.lay(name, folder)
      status = forks.in_child(lambda: perceptual(name, folder))
      if status != 0:
        raise RuntimeError(f"{name} alone ends with status {status}; set FAULTS_LOG to a file")
    return folder

  def lay(self, name, folder):
    """Makes a folder with the inputs of a command, and nothing else; a copy of them from then on.
    """
    inputs = self.folder / "inputs" / name.replace(" ", "-")
    if not inputs.exists():
      inputs.mkdir(parents=True)
      status = forks.in_child(lambda: COMMANDS[name].make(inputs))
      if status != 0:
        raise RuntimeError(f"the inputs of {name} cannot be made; set FAULTS_LOG to a file")
      for needed in COMMANDS[name].needs:
        shutil.copytree(self.made(needed) / "out", inputs / needed.replace(" ", "-"))
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(inputs, folder)
    for gin in folder.glob("*.gin"):  # the study's names its base
      gin.write_text(gin.read_text().replace(str(inputs), str(folder)))
