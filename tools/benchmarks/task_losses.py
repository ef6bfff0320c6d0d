"""Measures what a loss costs: a step of training super-resolution with it, beside one with MSE.

  python -m tools.benchmarks.task_losses [--side=288] [--losses=mse,alexnet:relu2,vgg16:relu2_2]
  python -m tools.benchmarks.task_losses --torch     beside the same step in PyTorch

A step is that of `perceptual task train`: batch of 4, four times the size, Adam, the features of
the target without gradients. Weights are at random, which changes no time. Every loss has a process
of its own; they work in turns, and what is printed are medians over rounds:

  seconds   of a step
  x MSE     that divided by the seconds of a step with the mean squared error of pixels
  memory    the most that the process held, less what the process of MSE held

With --torch the same networks and the same step are measured in PyTorch, eager and by
torch.compile, in turns with the others; the better of the two is compared with. Needs PyTorch, and
for torch.compile on a CPU a C++ compiler.
"""

import os
import resource
import sys

import numpy as np

from tools.benchmarks import sides

_BATCH, _SCALE = 4, 4
_LOSSES = ("mse", "alexnet:relu2", "alexnet:relu5", "squeezenet1_1:fire2", "squeezenet1_1:fire9",
           "vgg16:relu2_2", "vgg16:relu5_3", "ssim")
_MSE = "mse"


def main():
  """Measures every loss, and prints a table."""
  options = _options()
  losses = list(dict.fromkeys([_MSE, *options.losses]))
  made = {loss: sides.Side(_keras_step, loss, options.side) for loss in losses}
  if options.torch:
    sides.require_torch()
    made |= {f"torch {loss}": sides.Side(_torch_steps, loss, options.side)
             for loss in losses if loss in _IN_TORCH}
  tasks = {f"{label}, {name}": task for label, side in made.items()
           for name, task in side.tasks().items() if name != "memory"}
  seconds = sides.in_turns(tasks, rounds=options.rounds, seconds=options.seconds)
  memory = {loss: made[loss].result("memory") for loss in losses}
  print(f"{os.cpu_count()} CPUs, batch of {_BATCH}, {options.side // _SCALE} to {options.side} "
        f"pixels; medians of {options.rounds} rounds\n\n"
        "| loss | seconds | x MSE | memory above MSE, MB | PyTorch, eager | PyTorch, compiled | "
        "ratio to the better |\n|---|---|---|---|---|---|---|")
  figures = []
  for loss in losses:
    ours = seconds[f"{loss}, step"]
    torch = [seconds.get(f"torch {loss}, {way}") for way in ("eager", "compiled")]
    known = [value for value in torch if value]
    figures.append({"loss": loss, "seconds": ours, "relative": ours / seconds[f"{_MSE}, step"],
                    "megabytes": (memory[loss] - memory[_MSE]) / 1e6, "torch": torch})
    print(f"| {loss} | {ours:.2f} | {figures[-1]['relative']:.2f} | "
          f"{figures[-1]['megabytes']:.0f} | "
          + " | ".join(f"{value:.2f}" if value else "" for value in torch)
          + f" | {f'{ours / min(known):.2f}' if known else ''} |", flush=True)
  sides.write_json(options.json, figures)


def _options():
  parser = sides.parser(__doc__, rounds=3, seconds=1.0)
  parser.add_argument("--side", type=int, default=288, help="of a target (default %(default)s)")
  parser.add_argument("--losses", type=lambda text: text.split(","), default=list(_LOSSES),
                      help="mse, a metric, or network:tap, with commas between them (default: all)")
  parser.add_argument("--torch", action="store_true", help="measure PyTorch as well")
  options = parser.parse_args()
  if options.side % _SCALE:
    sys.exit(f"error: --side must be a multiple of {_SCALE}, not {options.side}.")
  return options


def _images(side):
  """A batch of inputs and targets, uint8."""
  rng = np.random.default_rng(0)
  small = side // _SCALE
  return {"input": rng.integers(0, 256, (_BATCH, small, small, 3), np.uint8),
          "target": rng.integers(0, 256, (_BATCH, side, side, 3), np.uint8)}


def _keras_step(name, side):
  """Returns the step of `perceptual task train` with a loss, and the memory it has taken."""
  import tensorflow as tf

  from perceptual import loading, models
  from perceptual.metrics.feature_metric import FeatureMetric
  from perceptual.tasks import loss, settings, task, training
  from perceptual.tasks.super_resolution import network

  network_name, _, tap = name.partition(":")
  if name == _MSE:
    made = loss.Loss(pixels={"mse": 1.0})
  elif tap:
    model = models.build_at_random(network_name, num_classes=0)
    made = loss.Loss(FeatureMetric(model, name=network_name, taps=[tap], distance="l2"))
  else:
    made = loss.Loss(loading.load_metric(name))

  class Pairs:
    """What a trainer asks a task for."""

    outputs = task.Task.outputs

  model = network.build(_SCALE)
  trainer = training.TaskTrainer(
      model, settings.Settings().optimizer.keras(_BATCH, 1, 1), task=Pairs(), loss=made,
      strategy=tf.distribute.get_strategy(), batch_size=_BATCH)
  batch = {key: tf.constant(value) for key, value in _images(side).items()}
  return {"step": lambda: trainer.replica_step(batch),
          "memory": lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


# Network and tap -> the layers of torchvision's `features` up to it: (channels, kernel, stride,
# padding), or None for a max-pool of the size and stride given.
_VGG = ((64, 3, 1, 1), (64, 3, 1, 1), (None, 2, 2), (128, 3, 1, 1), (128, 3, 1, 1))
_ALEXNET = ((64, 11, 4, 2), (None, 3, 2), (192, 5, 1, 2))
_IN_TORCH = {_MSE: (), "vgg16:relu2_2": _VGG, "alexnet:relu2": _ALEXNET}


def _torch_steps(name, side):
  """Returns the same step in PyTorch, eager and compiled."""
  import torch

  from tools.benchmarks import torch_super_resolution

  images = {key: torch.from_numpy(value).permute(0, 3, 1, 2).contiguous()
            for key, value in _images(side).items()}
  return {way: torch_super_resolution.step(images, _IN_TORCH[name], compiled=way == "compiled")
          for way in ("eager", "compiled")}


if __name__ == "__main__":
  main()
