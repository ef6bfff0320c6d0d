"""PyTorch's weights in Keras's layers, by layers of both: batch normalisation, groups, channels."""

import keras
import numpy as np
import pytest

from perceptual import errors
from perceptual.models import layers
from perceptual.weights import torch_layout

RNG = np.random.default_rng(0)
MODULES = {"conv": "a.conv", "grouped": "a.grouped", "depthwise": "a.depthwise", "bn": "a.bn",
           "dense": "fc", "auxiliary_bn": "aux.bn"}
SHAPES = {
    "a.conv.weight": (4, 3, 3, 5),
    "a.grouped.weight": (8, 2, 3, 3), "a.grouped.bias": (8,),
    "a.depthwise.weight": (8, 1, 3, 5), "a.depthwise.bias": (8,),
    "a.bn.weight": (8,), "a.bn.bias": (8,), "a.bn.running_mean": (8,), "a.bn.running_var": (8,),
    "fc.weight": (6, 8), "fc.bias": (6,),
}


def build():
  image = keras.Input((None, None, 3))
  x = keras.layers.Conv2D(
      4, (3, 5), use_bias=False, data_format="channels_last", name="conv")(image)
  x = keras.layers.Conv2D(8, 3, groups=2, data_format="channels_last", name="grouped")(x)
  x = keras.layers.DepthwiseConv2D((3, 5), data_format="channels_last", name="depthwise")(x)
  x = layers.BatchNormalization(epsilon=1e-5, name="bn")(x)
  return keras.Model(image, keras.layers.Dense(6, name="dense")(x))


def random_state():
  return {name: RNG.uniform(0.2, 1, shape).astype("float32") for name, shape in SHAPES.items()}


def changed(changes):
  """A state dict that fits with some entries put in, or with None taken out."""
  return {name: value for name, value in {**random_state(), **changes}.items()
          if value is not None}


def test_layers_compute_what_those_of_pytorch_do():
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: no forward to compare")
  f = torch.nn.functional
  model, state = build(), random_state()
  torch_layout.assign(model, state, MODULES)
  images = RNG.normal(size=(2, 9, 14, 3)).astype("float32")
  state = {name: torch.from_numpy(value) for name, value in state.items()}
  x = f.conv2d(torch.from_numpy(images.transpose(0, 3, 1, 2)), state["a.conv.weight"])
  x = f.conv2d(x, state["a.grouped.weight"], state["a.grouped.bias"], groups=2)
  x = f.conv2d(x, state["a.depthwise.weight"], state["a.depthwise.bias"], groups=8)
  x = f.batch_norm(x, state["a.bn.running_mean"], state["a.bn.running_var"],
                   state["a.bn.weight"], state["a.bn.bias"], eps=1e-5)
  expected = f.linear(x.permute(0, 2, 3, 1), state["fc.weight"], state["fc.bias"]).numpy()
  np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_what_a_batch_normalisation_counts_and_modules_without_a_layer_are_ignored():
  superfluous = {"a.bn.num_batches_tracked": np.int64(7), "aux.bn.weight": np.ones(3),
                 "aux.bn.num_batches_tracked": np.int64(7)}
  model, state = build(), random_state()
  torch_layout.assign(model, {**state, **superfluous}, MODULES)
  expected = torch_layout.tensors_hash(model, MODULES)
  other = build()
  torch_layout.assign(other, state, MODULES)
  assert torch_layout.tensors_hash(other, MODULES) == expected


@pytest.mark.parametrize("changes, message", [
    ({"a.bn.running_var": None}, "missing: a.bn.running_var."),
    ({"a.conv.bias": np.zeros(4)}, "unknown: a.conv.bias."),
    ({"a.conv.running_mean": np.zeros(4)}, "unknown: a.conv.running_mean."),
    ({"a.grouped.num_batches_tracked": np.int64(7)}, "unknown: a.grouped.num_batches_tracked."),
    ({"a.grouped.weight": np.zeros((8, 4, 3, 3), "float32")},
     "a.grouped.weight has the shape [8, 4, 3, 3], not [8, 2, 3, 3]."),
    ({"a.depthwise.weight": np.zeros((1, 8, 3, 5), "float32")},
     "a.depthwise.weight has the shape [1, 8, 3, 5], not [8, 1, 3, 5]."),
    ({"a.bn.running_mean": np.full(8, np.nan)}, "a.bn.running_mean holds NaN or infinity."),
    ({"a.bn.running_var": np.full(8, -0.1)}, "a.bn.running_var holds negative values."),
])
def test_what_does_not_fit_is_named_and_changes_nothing(changes, message):
  model = build()
  before = torch_layout.tensors_hash(model, MODULES)
  with pytest.raises(errors.UserError) as error:
    torch_layout.assign(model, changed(changes), MODULES)
  assert str(error.value) == message
  assert torch_layout.tensors_hash(model, MODULES) == before
