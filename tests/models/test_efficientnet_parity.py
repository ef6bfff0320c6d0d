"""Forward numbers of the EfficientNets against others' with the same weights.

The papers' networks are compared with keras.applications', torchvision's with a forward written
down for PyTorch from the names and shapes of a state dict, apart from the code under test.
"""

import keras
import numpy as np
import pytest

from perceptual import models
from perceptual.models import costs, efficientnet
from perceptual.weights import torch_layout, torchvision_modules

RNG = np.random.default_rng(0)
# Our layers of a block to those of keras.applications.
KERAS_PARTS = {
    "expand": "expand_conv", "expand_bn": "expand_bn", "depthwise": "dwconv", "depthwise_bn": "bn",
    "se_reduce": "se_reduce", "se_expand": "se_expand", "project": "project_conv",
    "project_bn": "project_bn"}
KERAS_TAPS = {
    "b0": ("block2b_add", "block3b_add", "block5c_add", "block7a_project_bn"),
    "b2": ("block2c_add", "block3c_add", "block5d_add", "block7b_add"),
}


def images(height, width):
  return RNG.normal(size=(2, height, width, 3)).astype("float32")


def _keras_name(name):
  place, _, part = name.partition("_block")
  if not part:
    return name.replace("head_conv", "top_conv").replace("conv_bn", "bn").replace(
        "logits", "predictions")
  block, _, part = part.partition("_")
  return f"block{place.removeprefix('stage')}{'abcdefghij'[int(block) - 1]}_{KERAS_PARTS[part]}"


def _randomise(model):
  """Gives normalisations and biases numbers of their own: fresh ones do nothing."""
  for variable in model.variables:
    if "_bn/" in variable.path or variable.path.endswith("/bias"):
      low = -0.3 if variable.path.endswith(("beta", "moving_mean", "bias")) else 0.5
      variable.assign(RNG.uniform(low, low + 1.0, variable.shape))


# With 65x33 pixels every stride meets a map of odd sides, with 64x64 of even ones, with 86x50 both.
@pytest.mark.parametrize("variant, size", [("b0", (64, 64)), ("b0", (65, 33)), ("b2", (86, 50))])
def test_taps_and_logits_are_those_of_keras_applications(variant, size):
  keras.utils.set_random_seed(0)
  ours = efficientnet.efficientnet(variant, num_classes=10, image_size=size)
  _randomise(ours)
  theirs = getattr(keras.applications, f"EfficientNet{variant.upper()}")(
      weights=None, input_shape=(*size, 3), classes=10, classifier_activation=None)
  for layer in ours.layers:
    if layer.weights:
      theirs.get_layer(_keras_name(layer.name)).set_weights(layer.get_weights())
  expected = keras.Model(theirs.input, [
      *(theirs.get_layer(name).output for name in KERAS_TAPS[variant]), theirs.output])
  image = images(*size)
  # Theirs begins with a division by 255 and, without weights, a normalisation that does nothing.
  references = expected(255 * image, training=False)
  names = [*(f"reduction_{i}" for i in range(2, 6)), "logits"]
  outputs = ours(image, training=False)
  for name, reference in zip(names, references, strict=True):
    assert outputs[name].shape == reference.shape
    _assert_close(outputs[name], reference)


def _assert_close(output, reference, atol=1e-5):
  scale = np.abs(reference).max()
  assert np.std(reference) > 1e-2 * scale > 0, "a comparison of constants would prove nothing"
  np.testing.assert_allclose(output / scale, reference / scale, atol=atol)


def _random_state(model, modules):
  """A state dict of a model's shapes, with values that neither vanish nor explode."""
  state = {}
  for layer in model.layers:
    for variable in layer.weights:
      name = f"{modules[layer.name]}."
      if isinstance(layer, keras.layers.BatchNormalization):
        names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
                 "moving_variance": "running_var"}
        low = -0.3 if variable.name in ("beta", "moving_mean") else 0.5
        state[name + names[variable.name]] = RNG.uniform(low, low + 1, variable.shape)
        state[f"{name}num_batches_tracked"] = np.array(7)
      elif variable.name == "bias":
        state[f"{name}bias"] = RNG.normal(0, 0.1, variable.shape)
      else:
        shape = _torch_shape(layer, variable.shape)
        state[f"{name}weight"] = RNG.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
  return {name: value.astype("float32") if value.shape else value for name, value in state.items()}


def _torch_shape(layer, shape):
  if isinstance(layer, keras.layers.DepthwiseConv2D):
    return (shape[2], 1, *shape[:2])
  return (shape[1], shape[0]) if len(shape) == 2 else (shape[3], shape[2], *shape[:2])


# Strides of the first block of each stage of `features`, and the epsilon, as torchvision has them.
TORCH_STRIDES = {1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 2, 7: 1}
TORCH_EPSILON = {"b0": 1e-5, "b7": 1e-3}


def torch_efficientnet(torch, state, x, *, epsilon):
  f, outputs = torch.nn.functional, {}

  def conv_bn(x, name, stride=1):
    weight = state[f"{name}.0.weight"]
    x = f.conv2d(x, weight, None, stride, (weight.shape[-1] - 1) // 2,
                 groups=x.shape[1] // weight.shape[1])
    return f.batch_norm(x, *(state[f"{name}.1.{part}"] for part in (
        "running_mean", "running_var", "weight", "bias")), eps=epsilon)

  def squeeze_excite(x, name):
    y = f.adaptive_avg_pool2d(x, 1)
    y = f.silu(f.conv2d(y, state[f"{name}.fc1.weight"], state[f"{name}.fc1.bias"]))
    return x * torch.sigmoid(f.conv2d(y, state[f"{name}.fc2.weight"], state[f"{name}.fc2.bias"]))

  x = outputs["features_0"] = f.silu(conv_bn(x, "features.0", 2))
  for stage, first_stride in TORCH_STRIDES.items():
    block = 0
    while any(name.startswith(f"features.{stage}.{block}.") for name in state):
      stride, y, place = first_stride if block == 0 else 1, x, 0
      name = f"features.{stage}.{block}.block"
      if stage > 1:
        y, place = f.silu(conv_bn(y, f"{name}.0")), 1
      y = f.silu(conv_bn(y, f"{name}.{place}", stride))
      y = conv_bn(squeeze_excite(y, f"{name}.{place + 1}"), f"{name}.{place + 2}")
      x = x + y if stride == 1 and x.shape == y.shape else y
      block += 1
    outputs[f"features_{stage}"] = x
  x = f.silu(conv_bn(x, "features.8")).mean((2, 3))
  logits = f.linear(x, state["classifier.1.weight"], state["classifier.1.bias"])
  return {**outputs, "logits": logits}


@pytest.mark.parametrize("variant, options, sizes", [
    ("b0", {"width": 0.25}, [(64, 64), (65, 33)]),
    ("b7", {"width": 0.125, "depth": 1 / 3}, [(50, 87)])])
def test_taps_and_logits_are_those_of_pytorch(variant, options, sizes):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: no forward to compare")
  name = f"torchvision_efficientnet_{variant}"
  model = models.build(name, num_classes=7, kernel_initializer="zeros", **options)
  modules = torchvision_modules.TRUNKS[name].modules
  state = _random_state(model, modules)
  torch_layout.assign(model, state, modules)
  state = {key: torch.from_numpy(value) for key, value in state.items() if value.shape}
  for size in sizes:
    image = images(*size)
    with torch.no_grad():
      expected = torch_efficientnet(
          torch, state, torch.from_numpy(image.transpose(0, 3, 1, 2)),
          epsilon=TORCH_EPSILON[variant])
    outputs = model(image, training=False)
    assert set(outputs) == set(expected)
    for tap, output in outputs.items():
      value = expected[tap].numpy()
      value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
      assert output.shape == value.shape
      # Random weights amplify rounding, which differs with the threads that share a sum.
      _assert_close(output, value, atol=1e-4)


@pytest.mark.parametrize("variant", efficientnet.TORCHVISION_VARIANTS)
def test_every_layer_with_weights_is_one_module_of_torchvision_s(variant):
  name = f"torchvision_efficientnet_{variant}"
  with costs.unallocated():
    model = models.build(name)
  modules = torchvision_modules.TRUNKS[name].modules
  assert set(modules) == {layer.name for layer in model.layers if layer.weights}
  assert len(set(modules.values())) == len(modules)
