"""Measures the networks, forward and in training, against the same networks in PyTorch.

  python -m tools.benchmarks.networks [--networks=resnet6,vit_b8] [--rounds=5] [--seconds=1]
  python -m tools.benchmarks.networks --backend=jax --dtype=bfloat16     on a GPU

Images are of 64x64 pixels. Each side has a process of its own; they work in turns, and what is
printed are medians over rounds and their ratios:

  forward   a batch to logits: a tf.function, or jax.jit
  train     a step: forward, cross entropy, backward, SGD with Nesterov momentum and weight decay;
            on TensorFlow it is the step of `perceptual train`
  PyTorch   the same networks with the same weights, eager and by torch.compile, each with
            contiguous and channels-last tensors: the best of the four is compared with
  peak      the highest speed of a product of matrices, by either framework in the same rounds.
            Operations of a step of training are taken for three times those of a forward pass

That both sides have as many parameters and the same logits is checked first. Needs PyTorch, and for
torch.compile on a CPU a C++ compiler. What it compiles is kept for the next time; all networks take
about a quarter of an hour at first.
"""

import contextlib
import os
import sys

import numpy as np

from tools.benchmarks import keras_side, matmul, sides

# Images in a batch.
_BATCHES = {"resnet6": 128, "resnet18": 128, "resnet50": 64, "efficientnet_b0": 64, "vit_b8": 32}
_SIZE = 64

# The largest difference of logits, as a share of the largest of them.
_TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}

# Operations of a task, in those of a forward pass.
_TASKS = {"forward": 1, "train": 3}

_HEADING = """\
| network | MFLOP an image | task | images/s | PyTorch's best, images/s | ratio | share of peak |
|---|---|---|---|---|---|---|"""


def main():
  """Measures the networks one after the other, and prints the rows of a table as they come."""
  options = _options()
  sides.require_torch()
  figures = []
  print(f"{os.cpu_count()} CPUs, images of {_SIZE}x{_SIZE}, {options.backend}, {options.dtype}; "
        f"medians of {options.rounds} rounds\n\n{_HEADING}", flush=True)
  for network in options.networks:
    figures += _measure(network, options)
    print("\n".join(map(_row, figures[-len(_TASKS):])), flush=True)
  sides.write_json(options.json, figures)


def _options():
  parser = sides.parser(__doc__, rounds=5, seconds=1.0)
  parser.add_argument("--networks", type=_networks, default=list(_BATCHES),
                      help="names with commas between them (default: all)")
  parser.add_argument("--batch", type=int,
                      help="images in a batch (default: of a size for CPUs, by network)")
  parser.add_argument("--backend", choices=["tensorflow", "jax"], default="tensorflow",
                      help="Keras's (default %(default)s)")
  parser.add_argument("--dtype", choices=list(_TOLERANCES), default="float32",
                      help="bfloat16 is mixed precision, on the backend jax (default %(default)s)")
  options = parser.parse_args()
  if options.backend == "tensorflow" and options.dtype != "float32":
    parser.error("TensorFlow is measured in float32; --dtype=bfloat16 goes with --backend=jax.")
  return options


def _networks(text):
  """Names of networks from the command line."""
  names = text.split(",")
  for name in names:
    if name not in _BATCHES:
      sys.exit(f"error: Unknown network {name!r}. Available: {', '.join(_BATCHES)}.")
  return names


def _measure(network, options):
  """Returns the figures of a network, plain data for each of `_TASKS`."""
  from tools.benchmarks import torch_side  # here, where PyTorch is known to be installed

  environment = {"KERAS_BACKEND": options.backend, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
  with contextlib.ExitStack() as stack:
    ours = stack.enter_context(sides.Side(
        keras_side.tasks, network, options.batch or _BATCHES[network], _SIZE, options.dtype,
        environment=environment))
    given = [ours.result(task) for task in ("weights", "images", "labels")]
    theirs = stack.enter_context(sides.Side(torch_side.tasks, network, *given, options.dtype))
    costs = _costs(network, ours, theirs, options.dtype)
    found = sides.in_turns({
        task: measured for start in (*_TASKS, "matmul")
        for task, measured in {**ours.tasks(start), **theirs.tasks(start)}.items()},
        rounds=options.rounds, seconds=options.seconds)
  batch = options.batch or _BATCHES[network]
  return [_figures(network, task, batch, found, costs["flops"]) for task in _TASKS]


def _costs(network, ours, theirs, dtype):
  """Returns parameters and operations of a network, if it is the same on both sides."""
  costs = ours.result("costs")
  if costs["parameters"] != theirs.result("parameters"):
    sys.exit(f"error: {network} has {costs['parameters']:,} parameters, and in PyTorch "
             f"{theirs.result('parameters'):,}.")
  our_logits, their_logits = ours.result("logits"), theirs.result("logits")
  apart = np.abs(our_logits - their_logits).max() / np.abs(their_logits).max()
  if not apart <= _TOLERANCES[dtype]:
    sys.exit(f"error: The logits of {network} are {apart:.1e} of the largest apart in PyTorch.")
  return costs


def _figures(network, task, batch, found, flops):
  peak = matmul.peak(found)
  theirs = {label: seconds for label, seconds in found.items() if label.startswith(f"{task} ")}
  best = min(theirs, key=theirs.get)
  flops_per_second = batch * _TASKS[task] * flops / found[task]
  return {
      "network": network, "task": task, "batch": batch, "flops_per_image": flops,
      "images_per_second": batch / found[task],
      "pytorch_images_per_second": {
          label.removeprefix(f"{task} "): batch / seconds for label, seconds in theirs.items()},
      "pytorch_best": best.removeprefix(f"{task} "),
      "ratio": theirs[best] / found[task],
      "matmul_flops_per_second": peak,
      "share_of_matmul": flops_per_second / peak,
  }


def _row(figures):
  best = figures["pytorch_best"]
  return (f"| {figures['network']} | {figures['flops_per_image'] / 1e6:,.0f} | {figures['task']} "
          f"| {figures['images_per_second']:,.0f} "
          f"| {figures['pytorch_images_per_second'][best]:,.0f} ({best}) "
          f"| {figures['ratio']:.2f} | {100 * figures['share_of_matmul']:.0f}% |")


if __name__ == "__main__":
  main()
