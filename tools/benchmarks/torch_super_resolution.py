"""The training step of super-resolution in PyTorch: the network of the study, and its losses."""

import torch
from torch import nn
from torch.nn import functional

_PARAMETERS = 401_865


def step(images, layers, *, compiled):
  """Returns a function that takes one step of training.

  Args:
    images: `{"input", "target": [batch, 3, height, width] uint8}`.
    layers: of the loss network: `(channels, kernel, stride, padding)` of a convolution with its
      ReLU, or `(None, size, stride)` of a max-pool; none for the mean squared error of pixels.
    compiled: whether torch.compile compiles the forward passes and the loss.
  """
  model, features = _network(), _features(layers)
  if sum(weight.numel() for weight in model.parameters()) != _PARAMETERS:
    raise ValueError("The network is not the study's.")
  optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-8)

  def loss(small, target, target_features):
    output = (torch.tanh(model(small)) + 1) / 2
    return functional.mse_loss(features(output), target_features)

  computed = torch.compile(loss) if compiled else loss
  encode = torch.compile(features) if compiled else features

  def run():
    small, target = (images[key].float() / 255 for key in ("input", "target"))
    with torch.no_grad():
      target_features = encode(target)
    optimizer.zero_grad(set_to_none=True)
    value = computed(small, target, target_features)
    value.backward()
    optimizer.step()

  return run


def _network():
  layers = [*_conv_norm(3, 64, 9), nn.ReLU()]
  layers += [_Residual() for _ in range(4)]
  for _ in range(2):
    layers += [nn.Upsample(scale_factor=2), *_conv_norm(64, 64, 3), nn.ReLU()]
  return nn.Sequential(*layers, *_conv_norm(64, 3, 9)).train()


class _Residual(nn.Module):
  def __init__(self):
    super().__init__()
    self.branch = nn.Sequential(*_conv_norm(64, 64, 3), nn.ReLU(), *_conv_norm(64, 64, 3))

  def forward(self, x):
    return x + self.branch(x)


def _conv_norm(inputs, outputs, size):
  return (nn.ReflectionPad2d(size // 2), nn.Conv2d(inputs, outputs, size), nn.BatchNorm2d(outputs))


def _features(layers):
  """The loss network, frozen and in inference mode; without layers the images as they are."""
  modules, channels = [], 3
  for layer in layers:
    if layer[0] is None:
      modules.append(nn.MaxPool2d(*layer[1:]))
    else:
      outputs, kernel, stride, padding = layer
      modules += [nn.Conv2d(channels, outputs, kernel, stride, padding), nn.ReLU()]
      channels = outputs
  return nn.Sequential(*modules).eval().requires_grad_(False)
