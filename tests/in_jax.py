"""What a process of JAX makes of `perceptual.jax`: prints it as JSON, for `test_jax.py`."""

import json
import sys

import jax
import keras
import numpy as np

import perceptual.jax
from perceptual.errors import UserError

SOURCE = "gaussian-resnet2"  # quick to compile, and the same on every backend


def refusal(function, *arguments, **options):
  """Returns the message of the `UserError` that a call raises; None if it raises none."""
  try:
    function(*arguments, **options)
  except UserError as error:
    return str(error)


def values(distance, x, y):
  """Every function, and the same of the Keras metric; compiled where that is quicker."""
  keras_metric, pixels = perceptual.load_metric(SOURCE), perceptual.jax.metric("mse")
  mask = np.zeros(x.shape[:3])
  mask[:, 4:20, 4:20] = 1
  return {
      "backend": keras.backend.backend(),
      "call": [distance(x, y), keras_metric(x, y)],
      "per_tap": [list(jax.jit(each.per_tap)(x, y).values()) for each in (distance, keras_metric)],
      "map": [jax.jit(each.spatial_map)(x, y) for each in (distance, keras_metric)],
      "mask": [jax.jit(lambda x, y, mask, each=each: each(x, y, mask=mask))(x, y, mask)
               for each in (distance, keras_metric)],
      "ranges": [perceptual.jax.metric("mse", float_range="-1,1")(2 * x - 1, 2 * y - 1),
                 pixels(np.uint8(255 * x), np.uint8(255 * y)), pixels(np.uint8(255 * x), y)],
      "lower_is_better": distance.lower_is_better, "float_range": distance.float_range,
      "name": distance.fingerprint["name"], "repr": repr(distance),
  }


def transformed(distance, x, y):
  """Calls under transformations; of a metric of pixels where JAX would compile for long."""
  pixels = perceptual.jax.metric("mse")
  zeros = jax.tree.map(lambda weight: 0 * weight, distance.params)
  apply = jax.jit(distance.apply)
  return {
      "jit": [jax.jit(distance)(x, y), apply(distance.params, x, y)],
      "zeroed": apply(zeros, x, y),
      "vmap": [jax.vmap(lambda x, y: pixels(x[None], y[None])[0])(x, y), pixels(x, y)],
      "gradient": jax.grad(lambda y: pixels(x, y).sum())(y),
  }


def ranges(distance, x, y):
  """What is made of values outside the declared range."""
  over = y.copy()
  over[1, 0, 0, 0] = 2
  free = perceptual.jax.metric("mse", check_candidate=False)
  return {
      "refused": {
          "candidate": refusal(distance, x, over),
          "reference": refusal(distance, 255 * x, y),
          "reference of a loss": refusal(free, 255 * x, y),
          "mask of ssim": refusal(perceptual.jax.metric("ssim"), x, y, mask=np.ones(x.shape[:3])),
          "taps": refusal(perceptual.jax.metric("ssim").per_tap, x, y),
          "options": refusal(perceptual.jax.metric, perceptual.load_metric("mse"), crop=1),
      },
      "hidden": jax.jit(distance)(x, over),
      "overshoot": [free(x, over), jax.jit(free)(x, over)],
      "hidden reference": jax.jit(free)(over, y),
  }


def main(path):
  """Prints the results for the images of a file."""
  x, y = np.load(path)
  distance = perceptual.jax.metric(SOURCE)
  results = {}
  for part in (values, transformed, ranges):
    results.update(part(distance, x, y))
  print(json.dumps(results, default=lambda array: np.asarray(array).tolist()))


if __name__ == "__main__":
  main(sys.argv[1])
