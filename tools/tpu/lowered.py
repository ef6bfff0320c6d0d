"""The steps of a network as XLA programs, written to a folder.

    python -m tools.tpu.lowered --network=resnet6 --folder=DIR [--step=train] [--core_batch=128]

For each step there are DIR/NETWORK.STEP.hlo, a serialized HLO module, and DIR/NETWORK.STEP.json,
which says what it is. The steps are taken from the runs themselves:

    train      a training step of the classifier, mixed bfloat16
    evaluate   a step of its validation
    judge      a step of scoring it on triplets, every distance at every tap
    learn      a step of learning a distance on top of it, trunk included, float32

A step is lowered as it would be for a CPU: what TensorFlow does differently for a TPU at that point
(the generator of random numbers) does not show.
"""

import argparse
import json
import os
import pathlib
import tempfile

from perceptual.common import files

STEPS = ("train", "judge", "learn", "evaluate")


def main():
  """Lowers the steps of one network."""
  options = _options()
  os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
  from perceptual.commands import command_line

  command_line.configure_runtime()
  command_line.use_tensorflow("Lowering steps", extra="train")
  folder = pathlib.Path(options.folder)
  folder.mkdir(parents=True, exist_ok=True)
  from tools.tpu import recipes

  for step, program, about in lowered(
      recipes.of(options.network), options.step or STEPS, options.core_batch):
    (folder / f"{options.network}.{step}.hlo").write_bytes(program)
    files.write_text(folder / f"{options.network}.{step}.json", json.dumps(about, indent=2) + "\n")
    print(f"{options.network} {step}: {len(program):,} bytes", flush=True)


def lowered(recipe, steps, core_batch, stage="hlo_serialized"):
  """Yields (step, XLA program, what it is as plain data) of some steps of a network.

  Args:
    recipe: `recipes.Recipe` of the network.
    steps: some of `STEPS`.
    core_batch: images of a training step on one core.
    stage: form of the programs, as `tf.function.experimental_get_compiler_ir` takes it.
  """
  from perceptual.models import costs
  from tools.tpu import recipes

  with tempfile.TemporaryDirectory() as folder:
    if set(steps) - {"learn"}:
      run, cores = recipes.training(recipe, f"{folder}/train", core_batch)
      about = {
          "network": recipe.network, "recipe": recipe.text, "image_size": recipe.image_size,
          "parameters": costs.parameters(run.model), "cores": cores,
          "activations": costs.activations(run.model, recipe.image_size)}
      found = run.replica_steps()
      for step in steps:
        if step != "learn":
          program, batch = _program(*found[step], stage)
          yield step, program, {**about, "precision": "bfloat16", "batch": batch}
    if "learn" in steps:
      run = recipes.learned(recipe, f"{folder}/learn")
      about = {
          "network": recipe.network, "recipe": "gin/recipes/lpips.gin learn.mode = 'tune'",
          "image_size": recipe.image_size, "parameters": costs.parameters(run.model.trunk),
          "cores": 1, "activations": costs.activations(run.model.trunk, recipe.image_size),
          "precision": "float32"}
      program, batch = _program(*run.replica_steps()["train"], stage)
      yield "learn", program, {**about, "batch": batch}


def _program(step, spec, stage):
  """Returns a step lowered for batches of a spec, and the size of the batch."""
  import tensorflow as tf

  batch = tf.nest.map_structure(lambda each: tf.zeros(each.shape, each.dtype), spec)
  program = step.experimental_get_compiler_ir(batch)(stage=stage)
  return program, int(tf.nest.flatten(batch)[0].shape[0])


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--network", required=True)
  parser.add_argument("--folder", required=True)
  parser.add_argument("--step", action="append", choices=STEPS, help="all, if none is named")
  parser.add_argument("--core_batch", type=int, default=128, help="images on one core")
  return parser.parse_args()


if __name__ == "__main__":
  main()
