"""Every classical metric and its gradient on Keras's other backends, where they are installed."""

import numpy as np
import tensorflow as tf

from perceptual.metrics import classical

OTHER_BACKEND = """
import sys
import numpy as np
import keras
from perceptual.metrics import classical

pair = np.load(sys.argv[1])
reference, candidate = pair["reference"], pair["candidate"]
results = {}
for name in classical.METRICS:
  metric = classical.build(name, **({"scales": 2} if name == "ms-ssim" else {}))
  if keras.backend.backend() == "jax":
    import jax
    def total(images):
      values = metric(reference, images)
      return values.sum(), values
    gradient, values = jax.jit(jax.grad(total, has_aux=True))(candidate)
  else:
    import torch
    images = torch.tensor(candidate, requires_grad=True)
    values = metric(torch.tensor(reference), images)
    values.sum().backward()
    gradient = images.grad
  results["value " + name] = keras.ops.convert_to_numpy(values)
  results["gradient " + name] = keras.ops.convert_to_numpy(gradient)
np.savez(sys.argv[2], **results)
"""


def test_other_backends_give_the_same(on_another_backend, tmp_path):
  rng = np.random.default_rng(0)
  reference = rng.random([2, 33, 38, 3]).astype(np.float32)
  candidate = np.clip(reference + rng.normal(0, 0.1, reference.shape), 0, 1).astype(np.float32)
  np.savez(tmp_path / "pair.npz", reference=reference, candidate=candidate)
  on_another_backend(OTHER_BACKEND, tmp_path / "pair.npz", tmp_path / "results.npz")
  results = np.load(tmp_path / "results.npz")
  for name in classical.METRICS:
    metric = classical.build(name, **({"scales": 2} if name == "ms-ssim" else {}))
    variable = tf.constant(candidate)
    with tf.GradientTape() as tape:
      tape.watch(variable)
      value = metric(reference, variable)
    gradient = tape.gradient(value, variable).numpy()
    np.testing.assert_allclose(results[f"value {name}"], value, rtol=2e-6, atol=1e-7)
    # As a whole: where two pixels are equal but for rounding, which of them is FSIM's median, and
    # has that part of the gradient, differs.
    difference = np.linalg.norm(results[f"gradient {name}"] - gradient)
    assert difference < (0.05 if "fsim" in name else 1e-4) * np.linalg.norm(gradient)
