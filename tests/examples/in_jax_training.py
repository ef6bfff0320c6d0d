"""What a process of JAX makes of `tools.examples.jax_training`, for `test_jax_training.py`."""

import pathlib
import sys

import numpy as np

from perceptual.experiments import config
from tools.examples import jax_training

folder = pathlib.Path(sys.argv[1])
data = np.load(folder / "photographs.npz")
photographs = jax_training.Photographs(
    {"train": data["images"], "validation": data["images"]},
    {"train": data["labels"], "validation": data["labels"]}, num_classes=4)
config.parse(["tools/examples/jax_training.gin"], sys.argv[2:])
recipe = config.train_settings()
run = jax_training.Run(config.network(), recipe, photographs)
run.start(seed=3)
for name, steps in (("first", (0, 0)), ("last", (0, 3))):
  if steps[1]:
    print(run.train(*steps)[0])
  run.give(run.weights())
  run.evaluated.save_weights(folder / f"{name}.weights.h5")
print(run.validation_accuracy())
print(run.learning_rate())
np.save(folder / "varied.npy", jax_training.augmented(
    data["images"], np.array([0, 1], np.uint32), recipe.augmentation))
