"""PyTorch's side of the benchmark of networks: eager and compiled, in both layouts of memory."""

import torch
from torch.nn import functional

from tools.benchmarks import matmul, torch_networks

_LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
_OPTIMIZER = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True, "fused": True}


def tasks(name, weights, images, labels, dtype):
  """Returns the tasks of a network, on the GPU if there is one.

  Args:
    name: a key of `torch_networks.NETWORKS`.
    weights: `{variable.path: NumPy array}` of the Keras model.
    images: `[batch, height, width, 3]` float32, normalised, a NumPy array.
    labels: `[batch]` int64, a NumPy array.
    dtype: "float32", or "bfloat16" for mixed precision.

  Returns:
    `{name: function}`: "forward VARIANT" and "train VARIANT" to measure, products of matrices, and
    "parameters" and "logits". A variant is "eager" or "compiled", and a layout of memory.
  """
  device = "cuda" if torch.cuda.is_available() else "cpu"
  found = matmul.with_torch(device, dtype)
  for layout, memory_format in _LAYOUTS.items():
    network = torch_networks.NETWORKS[name](num_classes=len(weights["logits/bias"]))
    torch_networks.load(network, weights)
    network.to(device, memory_format=memory_format)
    optimizer = torch.optim.SGD(network.parameters(), **_OPTIMIZER)
    batch = (torch.from_numpy(images).permute(0, 3, 1, 2).to(device).contiguous(
        memory_format=memory_format), torch.from_numpy(labels).to(device))
    for way, function in (("eager", network), ("compiled", torch.compile(network))):
      steps = _Steps(network, function, optimizer, batch, getattr(torch, dtype))
      found[f"forward {way}, {layout}"] = steps.forward
      found[f"train {way}, {layout}"] = steps.train
  return {
      "parameters": lambda: sum(parameter.numel() for parameter in network.parameters()),
      "logits": steps.forward,
      **found}


class _Steps:
  """What is measured of a network: one batch forward, and one step of training."""

  def __init__(self, network, function, optimizer, batch, dtype):
    """Takes the network, and itself or what it is compiled to as `function`."""
    self._network = network
    self._function = function
    self._optimizer = optimizer
    self._images, self._labels = batch
    self._precision = torch.autocast(
        self._images.device.type, dtype, enabled=dtype != torch.float32)

  def forward(self):
    """Returns the logits as a NumPy array, for which a GPU must be waited for."""
    self._network.eval()
    with torch.no_grad(), self._precision:
      logits = self._function(self._images)
    return logits.float().cpu().numpy()

  def train(self):
    """Takes a step and returns the loss, for which a GPU must be waited for."""
    self._network.train()
    self._optimizer.zero_grad()
    with self._precision:
      loss = functional.cross_entropy(self._function(self._images), self._labels)
    loss.backward()
    self._optimizer.step()
    return loss.item()
