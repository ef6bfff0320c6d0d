"""The benchmarked networks in PyTorch: the same layers, and by `load` the same weights.

They are written for images of 64x64 pixels. Modules are named as the layers of `perceptual.models`
(`group1_block1.conv1` for `group1_block1_conv1`), by which `load` finds each weight its place.
"""

import torch
from torch import nn
from torch.nn import functional

_GROUP_CHANNELS = (64, 128, 256, 512)

# Kernel, stride, expansion, channels and blocks of EfficientNet-B0's stages.
_STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3),
           (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))

# The weights of Keras's layers as PyTorch's call them; others have one name.
_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias",
           "moving_mean": "running_mean", "moving_variance": "running_var"}


class Convolution(nn.Sequential):
  """A convolution without bias, a batch normalisation and an activation, or None."""

  def __init__(self, inputs, outputs, kernel, *, stride=1, groups=1, activation=None,
               pads_end=False, epsilon=1e-5):
    super().__init__()
    same_sides = (kernel - 1) // 2
    if pads_end and stride == 2:  # TensorFlow's "same", for maps of even sides
      first = (kernel - 2) // 2
      last = kernel - 2 - first
      self.pad, same_sides = nn.ZeroPad2d((first, last, first, last)), 0
    self.conv = nn.Conv2d(
        inputs, outputs, kernel, stride, same_sides, groups=groups, bias=False)
    self.bn = nn.BatchNorm2d(outputs, eps=epsilon)
    if activation:
      self.activation = activation(inplace=True)


class ResidualBlock(nn.Module):
  """A branch of convolutions and a shortcut, which is a projection or nothing."""

  def __init__(self, branch, projection):
    super().__init__()
    for number, convolution in enumerate(branch, 1):
      self.add_module(f"conv{number}", convolution)
    self._branch = branch
    self.projection = projection

  def forward(self, x):
    shortcut = self.projection(x) if self.projection else x
    for convolution in self._branch:
      x = convolution(x)
    return functional.relu(x + shortcut, inplace=True)


class InvertedBottleneck(nn.Module):
  """EfficientNet's block: expansion, depthwise, squeeze and excite, projection."""

  def __init__(self, inputs, outputs, kernel, stride, expansion):
    super().__init__()
    hidden, squeezed = expansion * inputs, inputs // 4
    self.expand = _efficient(inputs, hidden, 1) if expansion > 1 else None
    self.depthwise = _efficient(hidden, hidden, kernel, stride=stride, groups=hidden)
    self.se_reduce = nn.Conv2d(hidden, squeezed, 1)
    self.se_expand = nn.Conv2d(squeezed, hidden, 1)
    self.project = _efficient(hidden, outputs, 1, activation=None)
    self._has_shortcut = stride == 1 and inputs == outputs

  def forward(self, x):
    shortcut = x
    if self.expand:
      x = self.expand(x)
    x = self.depthwise(x)
    squeezed = functional.silu(self.se_reduce(x.mean((2, 3), keepdim=True)))
    x = self.project(x * torch.sigmoid(self.se_expand(squeezed)))
    return x + shortcut if self._has_shortcut else x


class Tokens(nn.Module):
  """A class token and the patches, each with its position added."""

  def __init__(self, patches, channels):
    super().__init__()
    self.class_token = nn.Parameter(torch.zeros(1, 1, channels))
    self.position_embedding = nn.Parameter(torch.zeros(1 + patches, channels))

  def forward(self, x):
    patches = x.flatten(2).transpose(1, 2)
    class_token = self.class_token.to(x.dtype).expand(len(x), -1, -1)
    return torch.cat([class_token, patches], 1) + self.position_embedding.to(x.dtype)


class Attention(nn.Module):
  """Multi-head attention by PyTorch's fused function."""

  def __init__(self, channels, heads):
    super().__init__()
    self.query, self.key, self.value, self.output = (
        nn.Linear(channels, channels) for _ in range(4))
    self._heads = heads

  def forward(self, x):
    query, key, value = (
        projection(x).unflatten(2, (self._heads, -1)).transpose(1, 2)
        for projection in (self.query, self.key, self.value))
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return self.output(mixed.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
  """Attention and an MLP, each of normalised tokens and then added."""

  def __init__(self, channels, mlp_channels, heads):
    super().__init__()
    self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
    self.attention = Attention(channels, heads)
    self.mlp_norm = nn.LayerNorm(channels, eps=1e-6)
    self.mlp_hidden = nn.Linear(channels, mlp_channels)
    self.mlp_out = nn.Linear(mlp_channels, channels)

  def forward(self, x):
    x = x + self.attention(self.attention_norm(x))
    hidden = functional.gelu(self.mlp_hidden(self.mlp_norm(x)), approximate="tanh")
    return x + self.mlp_out(hidden)


class ClassToken(nn.Module):
  """The first token."""

  def forward(self, x):
    return x[:, 0]


def resnet(branch, blocks, num_classes):
  """Returns a ResNet of Kumar et al.

  Args:
    branch: a function of input channels, channels and stride that returns the convolutions of a
      block.
    blocks: the blocks of each group.
    num_classes: the number of logits.
  """
  network = nn.Sequential()
  network.add_module("stem_conv", Convolution(3, 64, 7, stride=2, activation=nn.ReLU))
  network.add_module("stem_pool", nn.MaxPool2d(3, 2, ceil_mode=True))
  inputs = 64
  for group, (channels, count) in enumerate(zip(_GROUP_CHANNELS, blocks), 1):
    for number in range(1, count + 1):
      stride = 2 if group > 1 and number == 1 else 1
      convolutions = branch(inputs, channels, stride)
      outputs = convolutions[-1].conv.out_channels
      projection = Convolution(inputs, outputs, 1, stride=stride) if number == 1 else None
      network.add_module(
          f"group{group}_block{number}", ResidualBlock(convolutions, projection))
      inputs = outputs
  return _with_classifier(network, inputs, num_classes)


def efficientnet_b0(num_classes):
  """Returns an EfficientNet-B0 without dropout and stochastic depth."""
  network = nn.Sequential()
  network.add_module("stem_conv", _efficient(3, 32, 3, stride=2))
  inputs = 32
  for stage, (kernel, stride, expansion, channels, blocks) in enumerate(_STAGES, 1):
    for number in range(1, blocks + 1):
      network.add_module(f"stage{stage}_block{number}", InvertedBottleneck(
          inputs, channels, kernel, stride if number == 1 else 1, expansion))
      inputs = channels
  network.add_module("head_conv", _efficient(inputs, 1280, 1))
  return _with_classifier(network, 1280, num_classes)


def vit_b8(num_classes):
  """Returns a ViT-B/8."""
  network = nn.Sequential()
  network.add_module("patches", nn.Conv2d(3, 768, 8, 8))
  network.add_module("tokens", Tokens(64, 768))
  for number in range(1, 13):
    network.add_module(f"block{number}", EncoderBlock(768, 3072, heads=12))
  network.add_module("class_token", ClassToken())
  network.add_module("norm", nn.LayerNorm(768, eps=1e-6))
  network.add_module("logits", nn.Linear(768, num_classes))
  return network


def load(network, weights):
  """Gives a network the weights of a Keras model; every one must find its place.

  Args:
    network: what one of `NETWORKS` returned.
    weights: `{variable.path: NumPy array}` of the Keras model.

  Raises:
    ValueError: a weight is missing or left over.
  """
  places = {_as_keras_calls_it(name): tensor for name, tensor in network.state_dict().items()
            if not name.endswith("num_batches_tracked")}
  arrays = {}
  for path, array in weights.items():
    layer, _, leaf = path.rpartition("/")
    array = _outputs_first(array) if leaf == "kernel" else array
    arrays[layer.replace("/", "_"), _LEAVES.get(leaf, leaf)] = torch.from_numpy(array)
  if set(places) != set(arrays):
    raise ValueError(f"Weights of one side alone: {sorted(set(places) ^ set(arrays))}")
  for place, tensor in places.items():
    tensor.copy_(arrays[place])


def _single(inputs, channels, stride):
  return [Convolution(inputs, channels, 3, stride=stride)]


def _basic(inputs, channels, stride):
  return [Convolution(inputs, channels, 3, stride=stride, activation=nn.ReLU),
          Convolution(channels, channels, 3)]


def _bottleneck(inputs, channels, stride):
  return [Convolution(inputs, channels, 1, activation=nn.ReLU),
          Convolution(channels, channels, 3, stride=stride, activation=nn.ReLU),
          Convolution(channels, 4 * channels, 1)]


def _efficient(inputs, outputs, kernel, *, activation=nn.SiLU, **options):
  return Convolution(inputs, outputs, kernel, activation=activation, pads_end=True, epsilon=1e-3,
                     **options)


def _with_classifier(network, channels, num_classes):
  network.add_module("pool", nn.AdaptiveAvgPool2d(1))
  network.add_module("flatten", nn.Flatten())
  network.add_module("logits", nn.Linear(channels, num_classes))
  return network


def _as_keras_calls_it(name):
  """Returns the layer and the leaf: `group1_block1.conv1.bn.weight` is that of `..._conv1_bn`."""
  module, _, leaf = name.rpartition(".")
  return module.removesuffix(".conv").replace(".", "_"), leaf


def _outputs_first(kernel):
  """Returns a kernel of Keras in PyTorch's layout."""
  if kernel.ndim == 2:
    return kernel.T
  depthwise = kernel.shape[-1] == 1
  return kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))


NETWORKS = {
    "resnet6": lambda num_classes: resnet(_single, (1, 1, 1, 1), num_classes),
    "resnet18": lambda num_classes: resnet(_basic, (2, 2, 2, 2), num_classes),
    "resnet50": lambda num_classes: resnet(_bottleneck, (3, 4, 6, 3), num_classes),
    "efficientnet_b0": efficientnet_b0,
    "vit_b8": vit_b8,
}
