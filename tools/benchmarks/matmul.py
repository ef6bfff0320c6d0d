"""Products of square matrices: the highest speed at which a machine computes.

Every function returns tasks for `sides.Side`: names that end in the side of the matrices.
"""

import numpy as np

_SIDES_ON_CPU = (2048, 3072)
_SIDES_ON_GPU = (4096, 8192)


def with_tensorflow():
  """Products by TensorFlow on the CPU, in float32."""
  import tensorflow as tf

  def product(side):
    matrix = tf.constant(_matrix(side))

    def multiply():
      tf.matmul(matrix, matrix)

    return multiply

  return _tasks("tensorflow", product, _SIDES_ON_CPU)


def with_torch(device="cpu", dtype="float32"):
  """Products by PyTorch."""
  import torch

  def product(side):
    matrix = torch.from_numpy(_matrix(side)).to(device, getattr(torch, dtype))
    return lambda: (matrix @ matrix)[0, 0].item()  # which waits for a GPU

  return _tasks("torch", product, _sides(device))


def with_jax(device="cpu", dtype="float32"):
  """Products by JAX on its first device, which is one of the kind `device`."""
  import jax

  def product(side):
    matrix = jax.numpy.asarray(_matrix(side), dtype)

    def multiply():
      (matrix @ matrix).block_until_ready()

    return multiply

  return _tasks("jax", product, _sides(device))


def peak(found):
  """Returns the highest speed among what `sides.in_turns` found, in FLOP/s."""
  products = {label: int(label.split()[-1]) for label in found if label.startswith("matmul ")}
  return max(2 * side**3 / found[label] for label, side in products.items())


def _tasks(framework, product, matrix_sides):
  return {f"matmul {framework} {side}": product(side) for side in matrix_sides}


def _sides(device):
  return _SIDES_ON_CPU if device == "cpu" else _SIDES_ON_GPU


def _matrix(side):
  return np.random.default_rng(0).standard_normal((side, side), "float32")
