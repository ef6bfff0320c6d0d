"""Forward numbers of the Vision Transformers against two others', with the same weights.

The model garden's (official.vision) is the same network in tf_keras. PyTorch's encoder layer,
`norm_first`, sees also images of other sizes than 64x64, with `interpolate`d position embeddings.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models

RNG = np.random.default_rng(0)

# As the papers have them, but for the channels and the number of blocks.
NETWORKS = {"vit_b8": {"width": 1 / 16, "depth": 0.5}, "vit_l4": {"width": 1 / 32, "depth": 0.125}}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
  """One of ours, every weight random: fresh biases and scales would hide that they are used."""
  keras.utils.set_random_seed(0)
  model = models.build(
      request.param, **NETWORKS[request.param], num_classes=7, patch_taps=True)
  for variable in model.variables:
    offset = 1.0 if variable.path.endswith("gamma") else 0.0
    variable.assign(offset + RNG.normal(0, 0.2, variable.shape))
  return model


def weights(model):
  return {variable.path: np.array(variable) for variable in model.variables}


def size(model):
  """Channels, MLP channels, blocks, heads and patch of a model."""
  values = weights(model)
  patch, _, _, channels = values["patches/kernel"].shape
  blocks = sum(path.endswith("query/kernel") for path in values)
  return (channels, values["block1_mlp_hidden/bias"].size, blocks,
          model.get_layer("block1_attention").heads, patch)


def assert_same(outputs, expected):
  assert set(outputs) == set(expected)
  for name, value in expected.items():
    scale = np.abs(value).max()
    assert outputs[name].shape == value.shape
    np.testing.assert_allclose(outputs[name] / scale, value / scale, atol=2e-5, err_msg=name)


def of_the_block(tokens, number, rows):
  """The taps of a block, of its tokens."""
  tokens = np.asarray(tokens)
  patches = tokens[:, 1:].reshape(len(tokens), rows, -1, tokens.shape[-1])
  return {f"block_{number}": tokens[:, 0], f"patches_{number}": patches}


def garden_network(model):
  """The model garden's backbone with a model's weights."""
  from official.vision.modeling.backbones import vit as garden

  channels, mlp, blocks, heads, patch = size(model)
  backbone = garden.VisionTransformer(
      mlp_dim=mlp, num_heads=heads, num_layers=blocks, patch_size=patch, hidden_size=channels,
      input_specs=garden.layers.InputSpec(shape=[None, 64, 64, 3]))
  encoder = next(layer for layer in backbone.layers if isinstance(layer, garden.Encoder))
  values = weights(model)
  named = {"tokens/class_token": backbone.get_layer("cls").cls,
           "tokens/position_embedding": encoder._pos_embed.pos_embedding,
           **dict(zip(("patches/kernel", "patches/bias"), backbone.layers[1].weights)),
           **dict(zip(("norm/gamma", "norm/beta"), encoder._norm.weights))}
  for number, block in enumerate(encoder._encoder_layers, start=1):
    named |= {f"block{number}_{name}": weight for name, weight in _garden_block(block)}
  for path, weight in named.items():
    weight.assign(values[path].reshape(weight.shape))
  assert set(values) - set(named) == {"logits/kernel", "logits/bias"}
  return backbone, encoder


def _garden_block(block):
  attention = block._attention_layer
  parts = {
      "attention_norm": block._attention_layer_norm, "mlp_norm": block._output_layer_norm,
      "attention/query": attention._query_dense, "attention/key": attention._key_dense,
      "attention/value": attention._value_dense, "attention/output": attention._output_dense,
      "mlp_hidden": block._intermediate_dense, "mlp_out": block._output_dense}
  for name, layer in parts.items():
    ends = ("gamma", "beta") if name.endswith("norm") else ("kernel", "bias")
    for end, weight in zip(ends, layer.weights):
      yield f"{name}/{end}", weight


def test_every_tap_and_the_logits_are_the_garden_s(network):
  backbone, encoder = garden_network(network)
  images = RNG.normal(size=(2, 64, 64, 3)).astype("float32")
  tokens = tf.reshape(backbone.layers[1](images), (2, -1, size(network)[0]))
  tokens = encoder._pos_embed(backbone.get_layer("cls")(tokens))
  expected = {}
  for number, block in enumerate(encoder._encoder_layers, start=1):
    tokens = block(tokens, training=False)
    expected |= of_the_block(tokens, number, 64 // size(network)[-1])
  values = weights(network)
  features = backbone(images, training=False)["pre_logits"]
  expected["logits"] = np.reshape(features, (2, -1)) @ values["logits/kernel"] + (
      values["logits/bias"])
  assert_same(network(images), expected)


def torch_block(torch, values, number, *, channels, mlp, heads):
  """PyTorch's encoder layer with the weights of a block."""
  block = torch.nn.TransformerEncoderLayer(
      channels, heads, mlp, dropout=0.0, batch_first=True, norm_first=True, layer_norm_eps=1e-6,
      activation=lambda x: torch.nn.functional.gelu(x, approximate="tanh"))

  def value(*names):
    return torch.from_numpy(np.concatenate([values[f"block{number}_{name}"].T for name in names]))

  inner = ("attention/query", "attention/key", "attention/value")
  state = {"self_attn.in_proj_weight": value(*(f"{name}/kernel" for name in inner)),
           "self_attn.in_proj_bias": value(*(f"{name}/bias" for name in inner))}
  for theirs, ours in (("self_attn.out_proj", "attention/output"), ("linear1", "mlp_hidden"),
                       ("linear2", "mlp_out")):
    state |= {f"{theirs}.weight": value(f"{ours}/kernel"), f"{theirs}.bias": value(f"{ours}/bias")}
  for theirs, ours in (("norm1", "attention_norm"), ("norm2", "mlp_norm")):
    state |= {f"{theirs}.weight": value(f"{ours}/gamma"), f"{theirs}.bias": value(f"{ours}/beta")}
  block.load_state_dict(state)
  return block.eval()


def torch_tokens(torch, values, images, patch):
  """The tokens that the encoder begins with."""
  f = torch.nn.functional
  patches = f.conv2d(
      torch.from_numpy(images.transpose(0, 3, 1, 2)),
      torch.from_numpy(values["patches/kernel"].transpose(3, 2, 0, 1).copy()),
      torch.from_numpy(values["patches/bias"]), stride=patch)
  positions = torch.from_numpy(values["tokens/position_embedding"])
  grid = positions[1:].T.reshape(1, -1, 64 // patch, 64 // patch)
  grid = f.interpolate(grid, patches.shape[2:], mode="bilinear", align_corners=False)
  class_token = torch.from_numpy(values["tokens/class_token"]).expand(len(images), 1, -1)
  tokens = torch.cat([class_token, patches.flatten(2).transpose(1, 2)], 1)
  return tokens + torch.cat([positions[:1], grid.flatten(2)[0].T])


@pytest.mark.parametrize("height, width", [(64, 64), (32, 96), (8, 120)])
def test_every_tap_is_pytorch_s_at_every_size(network, height, width):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: no forward to compare")
  channels, mlp, blocks, heads, patch = size(network)
  values = weights(network)
  images = RNG.normal(size=(2, height, width, 3)).astype("float32")
  expected = {}
  with torch.no_grad():
    tokens = torch_tokens(torch, values, images, patch)
    for number in range(1, blocks + 1):
      block = torch_block(torch, values, number, channels=channels, mlp=mlp, heads=heads)
      tokens = block(tokens)
      expected |= of_the_block(tokens, number, height // patch)
  outputs = dict(network(images))
  del outputs["logits"]
  assert_same(outputs, expected)
