"""LPIPS-Alex in PyTorch, as the lpips package computes it: the other side of benchmarks."""

import torch
from torch.nn import functional

# Stride and padding of the convolutions; the second and the third follow a max-pool.
_CONVOLUTIONS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
_POOLED = (2, 3)


def weights_of(metric):
  """Returns the weights of this package's LPIPS-Alex in PyTorch's layout, NumPy arrays by name."""
  weights = {}
  for number, tap in enumerate(metric.taps, 1):
    kernel, bias = metric.trunk.get_layer(f"conv{number}").get_weights()
    weights[f"kernel{number}"] = kernel.transpose(3, 2, 0, 1).copy()
    weights[f"bias{number}"] = bias
    weights[f"head{number}"] = metric.channel_weights[tap][None, :, None, None]
  return weights


def lpips_alex(weights):
  """Returns the distance of two batches of images, a function.

  Args:
    weights: what `weights_of` returned.

  Returns:
    A function of two tensors `[batch, 3, height, width]` in [-1, 1], each of which goes through
    the network; it returns `[batch]`.
  """
  weights = {name: torch.from_numpy(value) for name, value in weights.items()}
  shift = torch.tensor([-.030, -.088, -.188])[:, None, None]
  scale = torch.tensor([.458, .448, .450])[:, None, None]

  def features(image):
    x = (image - shift) / scale
    for number, (stride, padding) in enumerate(_CONVOLUTIONS, 1):
      if number in _POOLED:
        x = functional.max_pool2d(x, 3, 2)
      x = functional.relu(functional.conv2d(
          x, weights[f"kernel{number}"], weights[f"bias{number}"], stride=stride, padding=padding))
      yield x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + 1e-10)

  def distance(reference, candidate):
    terms = zip(features(reference), features(candidate))
    return sum(functional.conv2d((a - b) ** 2, weights[f"head{number}"]).mean((1, 2, 3))
               for number, (a, b) in enumerate(terms, 1))

  return distance


def from_uint8(images):
  """Returns images `[batch, height, width, 3]`, a NumPy array, as the lpips package takes them."""
  return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
