"""Ten steps of training with the built-in metric as the loss, as a user writes them.

  python ten_steps.py tensorflow|jax|torch IMAGE

Run by path, in an environment that has the package and that framework alone. A convolution learns
to give an image back. Prints the loss before each step, as JSON.
"""

import json
import sys

import numpy as np

STEPS = 10


def with_tensorflow(image):
  """`keras.Model.fit` with `PerceptualLoss`."""
  import keras

  import perceptual

  keras.utils.set_random_seed(0)
  model = keras.Sequential([
      keras.Input([None, None, 3]), keras.layers.Conv2D(3, 3, padding="same")])
  model.compile(optimizer=keras.optimizers.Adam(0.02), loss=perceptual.PerceptualLoss())
  return model.fit(image, image, epochs=STEPS, verbose=0).history["loss"]


def with_jax(image):
  """`jax.value_and_grad`, and plain gradient descent."""
  import jax

  import perceptual.jax

  loss = perceptual.jax.metric(check_candidate=False)
  kernel = 0.1 * jax.random.normal(jax.random.key(0), [3, 3, 3, 3])

  @jax.jit
  @jax.value_and_grad
  def step(kernel):
    output = jax.lax.conv_general_dilated(
        image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return loss(image, output).mean()

  losses = []
  for _ in range(STEPS):
    value, slope = step(kernel)
    kernel = kernel - 0.01 * slope
    losses.append(float(value))
  return losses


def with_torch(image):
  """A module, and an optimizer of PyTorch."""
  import torch

  import perceptual.torch

  torch.manual_seed(0)
  image = torch.from_numpy(image).permute(0, 3, 1, 2)
  loss = perceptual.torch.PerceptualMetric(check_candidate=False)
  model = torch.nn.Conv2d(3, 3, 3, padding=1)
  optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
  losses = []
  for _ in range(STEPS):
    value = loss(image, model(image)).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    losses.append(value.item())
  return losses


LOOPS = {"tensorflow": with_tensorflow, "jax": with_jax, "torch": with_torch}


def main(framework, path):
  """Prints the losses of a framework's loop on the image of a file."""
  import perceptual

  image = np.float32(perceptual.load_image(path)[None]) / 255
  print(json.dumps(LOOPS[framework](image)))


if __name__ == "__main__":
  main(*sys.argv[1:])
