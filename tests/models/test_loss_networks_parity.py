"""Every tap and the logits of the loss networks against PyTorch, from the same random state dict.

The networks are written down here once more, for `torch.nn.functional` and by the names of
torchvision's state dicts, apart from the code and from the table of names under test.
"""

import functools

import keras
import numpy as np
import pytest

from perceptual import errors, models
from perceptual.weights import torch_layout, torchvision_modules

RNG = np.random.default_rng(0)


class Forward:
  """Torchvision's modules by their names in a state dict; remembers which were used."""

  def __init__(self, torch, state, eps):
    self.torch, self.f, self.eps = torch, torch.nn.functional, eps
    self.state = {name: torch.from_numpy(value) for name, value in state.items()}
    self.used = set()

  def __contains__(self, name):
    return name in self.state

  def weight(self, name):
    self.used.add(name)
    return self.state[name]

  def conv(self, x, name, *, stride=1, padding=0, groups=1, bias=False):
    return self.f.conv2d(x, self.weight(f"{name}.weight"),
                         self.weight(f"{name}.bias") if bias else None, stride, padding, 1, groups)

  def bn(self, x, name):
    return self.f.batch_norm(
        x, *(self.weight(f"{name}.{part}")
             for part in ("running_mean", "running_var", "weight", "bias")), False, 0.0, self.eps)

  def bn_relu(self, x, name):
    return self.f.relu(self.bn(x, name))

  def basic_conv(self, x, name, *, stride=1, padding=0):
    return self.bn_relu(self.conv(x, f"{name}.conv", stride=stride, padding=padding), f"{name}.bn")

  def linear(self, x, name):
    return self.f.linear(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))

  def pooled_linear(self, x, name):
    return self.linear(self.torch.flatten(self.f.adaptive_avg_pool2d(x, (1, 1)), 1), name)

  def cat(self, *maps):
    return self.torch.cat(maps, 1)


def vgg16_bn(net, x):
  outputs, place = {}, 0
  for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
    for _ in range(count):
      x = net.conv(x, f"features.{place}", padding=1, bias=True)
      x = net.bn_relu(x, f"features.{place + 1}")
      place += 3
    outputs[f"relu{stage}_{count}"] = x
    x = net.f.max_pool2d(x, 2, 2)
    place += 1
  x = net.torch.flatten(net.f.adaptive_avg_pool2d(x, (7, 7)), 1)
  for place in (0, 3):
    x = net.f.relu(net.linear(x, f"classifier.{place}"))
  return {**outputs, "logits": net.linear(x, "classifier.6")}


def densenet121(net, x):
  x = net.bn_relu(net.conv(x, "features.conv0", stride=2, padding=3), "features.norm0")
  outputs = {"relu0": x}
  x = net.f.max_pool2d(x, 3, 2, 1)
  for block, count in enumerate((6, 12, 24, 16), start=1):
    maps = [x]
    for layer in range(1, count + 1):
      name = f"features.denseblock{block}.denselayer{layer}"
      y = net.conv(net.bn_relu(net.cat(*maps), f"{name}.norm1"), f"{name}.conv1")
      maps.append(net.conv(net.bn_relu(y, f"{name}.norm2"), f"{name}.conv2", padding=1))
    x = outputs[f"denseblock{block}"] = net.cat(*maps)
    if block < 4:
      name = f"features.transition{block}"
      x = net.f.avg_pool2d(net.conv(net.bn_relu(x, f"{name}.norm"), f"{name}.conv"), 2, 2)
  x = net.bn_relu(x, "features.norm5")
  return {**outputs, "logits": net.pooled_linear(x, "classifier")}


def resnet(net, x, *, blocks, groups):
  x = net.bn_relu(net.conv(x, "conv1", stride=2, padding=3), "bn1")
  outputs = {"relu": x}
  x = net.f.max_pool2d(x, 3, 2, 1)
  for layer, count in enumerate(blocks, start=1):
    for block in range(count):
      stride = 2 if layer > 1 and block == 0 else 1
      x = resnet_block(net, x, f"layer{layer}.{block}", stride, groups)
    outputs[f"layer{layer}"] = x
  return {**outputs, "logits": net.pooled_linear(x, "fc")}


def resnet_block(net, x, name, stride, groups):
  if f"{name}.conv3.weight" in net:
    y = net.bn_relu(net.conv(x, f"{name}.conv1"), f"{name}.bn1")
    y = net.conv(y, f"{name}.conv2", stride=stride, padding=1, groups=groups)
    y = net.bn(net.conv(net.bn_relu(y, f"{name}.bn2"), f"{name}.conv3"), f"{name}.bn3")
  else:
    y = net.bn_relu(net.conv(x, f"{name}.conv1", stride=stride, padding=1), f"{name}.bn1")
    y = net.bn(net.conv(y, f"{name}.conv2", padding=1), f"{name}.bn2")
  if f"{name}.downsample.0.weight" in net:
    x = net.bn(net.conv(x, f"{name}.downsample.0", stride=stride), f"{name}.downsample.1")
  return net.f.relu(x + y)


def transform_input(net, x):
  mean, std = (net.torch.tensor(colours).reshape(1, 3, 1, 1)
               for colours in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
  return (x * std + mean - 0.5) / 0.5


def googlenet(net, x):
  x = net.basic_conv(transform_input(net, x), "conv1", stride=2, padding=3)
  outputs = {"conv1": x}
  x = net.basic_conv(net.f.max_pool2d(x, 3, 2, ceil_mode=True), "conv2")
  x = outputs["conv3"] = net.basic_conv(x, "conv3", padding=1)
  x = net.f.max_pool2d(x, 3, 2, ceil_mode=True)
  for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
    name = f"inception{module}"
    pooled = net.f.max_pool2d(x, 3, 1, 1, ceil_mode=True)
    x = outputs[name] = net.cat(
        net.basic_conv(x, f"{name}.branch1"),
        net.basic_conv(net.basic_conv(x, f"{name}.branch2.0"), f"{name}.branch2.1", padding=1),
        net.basic_conv(net.basic_conv(x, f"{name}.branch3.0"), f"{name}.branch3.1", padding=1),
        net.basic_conv(pooled, f"{name}.branch4.1"))
    if module in ("3b", "4e"):
      x = net.f.max_pool2d(x, 3 if module == "3b" else 2, 2, ceil_mode=True)
  return {**outputs, "logits": net.pooled_linear(x, "fc")}


def chain(net, x, name, *steps):
  """Applies convolutions of one branch: (name's end, padding) or (name's end, padding, stride)."""
  for end, padding, *stride in steps:
    x = net.basic_conv(x, f"{name}.{end}", padding=padding, stride=stride[0] if stride else 1)
  return x


def inception_a(net, x, name):
  return net.cat(
      chain(net, x, name, ("branch1x1", 0)),
      chain(net, x, name, ("branch5x5_1", 0), ("branch5x5_2", 2)),
      chain(net, x, name, ("branch3x3dbl_1", 0), ("branch3x3dbl_2", 1), ("branch3x3dbl_3", 1)),
      chain(net, net.f.avg_pool2d(x, 3, 1, 1), name, ("branch_pool", 0)))


def inception_b(net, x, name):
  return net.cat(
      chain(net, x, name, ("branch3x3", 0, 2)),
      chain(net, x, name, ("branch3x3dbl_1", 0), ("branch3x3dbl_2", 1), ("branch3x3dbl_3", 0, 2)),
      net.f.max_pool2d(x, 3, 2))


def inception_c(net, x, name):
  return net.cat(
      chain(net, x, name, ("branch1x1", 0)),
      chain(net, x, name, ("branch7x7_1", 0), ("branch7x7_2", (0, 3)), ("branch7x7_3", (3, 0))),
      chain(net, x, name, ("branch7x7dbl_1", 0), ("branch7x7dbl_2", (3, 0)),
            ("branch7x7dbl_3", (0, 3)), ("branch7x7dbl_4", (3, 0)), ("branch7x7dbl_5", (0, 3))),
      chain(net, net.f.avg_pool2d(x, 3, 1, 1), name, ("branch_pool", 0)))


def inception_d(net, x, name):
  return net.cat(
      chain(net, x, name, ("branch3x3_1", 0), ("branch3x3_2", 0, 2)),
      chain(net, x, name, ("branch7x7x3_1", 0), ("branch7x7x3_2", (0, 3)),
            ("branch7x7x3_3", (3, 0)), ("branch7x7x3_4", 0, 2)),
      net.f.max_pool2d(x, 3, 2))


def inception_e(net, x, name):
  single = chain(net, x, name, ("branch3x3_1", 0))
  double = chain(net, x, name, ("branch3x3dbl_1", 0), ("branch3x3dbl_2", 1))
  return net.cat(
      chain(net, x, name, ("branch1x1", 0)),
      chain(net, single, name, ("branch3x3_2a", (0, 1))),
      chain(net, single, name, ("branch3x3_2b", (1, 0))),
      chain(net, double, name, ("branch3x3dbl_3a", (0, 1))),
      chain(net, double, name, ("branch3x3dbl_3b", (1, 0))),
      chain(net, net.f.avg_pool2d(x, 3, 1, 1), name, ("branch_pool", 0)))


def inception_v3(net, x):
  x = net.basic_conv(transform_input(net, x), "Conv2d_1a_3x3", stride=2)
  x = net.basic_conv(net.basic_conv(x, "Conv2d_2a_3x3"), "Conv2d_2b_3x3", padding=1)
  outputs = {"Conv2d_2b_3x3": x}
  x = net.basic_conv(net.f.max_pool2d(x, 3, 2), "Conv2d_3b_1x1")
  x = outputs["Conv2d_4a_3x3"] = net.basic_conv(x, "Conv2d_4a_3x3")
  x = net.f.max_pool2d(x, 3, 2)
  for module, block in (("5b", inception_a), ("5c", inception_a), ("5d", inception_a),
                        ("6a", inception_b), ("6b", inception_c), ("6c", inception_c),
                        ("6d", inception_c), ("6e", inception_c)):
    x = outputs[f"Mixed_{module}"] = block(net, x, f"Mixed_{module}")
  x = inception_d(net, x, "Mixed_7a")
  x = inception_e(net, inception_e(net, x, "Mixed_7b"), "Mixed_7c")
  return {**outputs, "logits": net.pooled_linear(x, "fc")}


# Network: its forward, the epsilon of its normalisations, and sizes of images.
NETWORKS = {
    "vgg16_bn": (vgg16_bn, 1e-5, [(32, 33), (47, 64)]),
    "densenet121": (densenet121, 1e-5, [(32, 64), (45, 57)]),
    "torchvision_resnet18": (functools.partial(resnet, blocks=(2, 2, 2, 2), groups=1), 1e-5,
                             [(1, 2), (64, 48), (33, 71)]),
    "torchvision_resnet50": (functools.partial(resnet, blocks=(3, 4, 6, 3), groups=1), 1e-5,
                             [(64, 48), (33, 71)]),
    "resnext50_32x4d": (functools.partial(resnet, blocks=(3, 4, 6, 3), groups=32), 1e-5,
                        [(64, 48), (33, 71)]),
    "googlenet": (googlenet, 1e-3, [(15, 16), (64, 50), (57, 83), (79, 98)]),
    "inception_v3": (inception_v3, 1e-3, [(75, 76), (96, 107)]),
}


def narrow(name, **options):
  return models.build(name, width=0.0625, **options)


def random_state(name, model):
  """A state dict of a model's shapes, with values that neither vanish nor explode."""
  state, modules = {}, torchvision_modules.TRUNKS[name].modules
  for layer in model.layers:
    if not layer.weights:
      continue
    module = modules[layer.name]
    if isinstance(layer, keras.layers.BatchNormalization):
      for part, low, high in (("weight", 0.7, 1.3), ("bias", -0.3, 0.3),
                              ("running_mean", -0.3, 0.3), ("running_var", 0.5, 1.5)):
        state[f"{module}.{part}"] = RNG.uniform(low, high, layer.gamma.shape).astype("float32")
      state[f"{module}.num_batches_tracked"] = np.int64(9)
      continue
    kernel = layer.kernel.shape
    shape = (kernel[3], kernel[2], *kernel[:2]) if len(kernel) == 4 else kernel[::-1]
    state[f"{module}.weight"] = RNG.normal(
        0, np.sqrt(2 / np.prod(shape[1:])), shape).astype("float32")
    if layer.use_bias:
      state[f"{module}.bias"] = RNG.normal(0, 0.1, kernel[-1]).astype("float32")
  return state


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tap_and_the_logits_are_those_of_pytorch(name):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: no forward to compare")
  forward, eps, sizes = NETWORKS[name]
  model = narrow(name, num_classes=7)
  state = random_state(name, model)
  torch_layout.assign(model, state, torchvision_modules.TRUNKS[name].modules)
  state = {key: value for key, value in state.items() if value.ndim}
  net = Forward(torch, state, eps)
  for size in sizes:
    images = RNG.normal(size=(2, *size, 3)).astype("float32")
    with torch.no_grad():
      expected = forward(net, torch.from_numpy(images.transpose(0, 3, 1, 2)))
    assert net.used == set(state), "every weight has its place"
    outputs = model(images)
    assert set(outputs) == set(expected)
    for tap, output in outputs.items():
      value = expected[tap].numpy()
      value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
      assert output.shape == value.shape
      assert np.abs(value).max() > 1e-3, "a comparison of zeros would prove nothing"
      np.testing.assert_allclose(output, value, rtol=1e-4, atol=1e-5 * np.abs(value).max())


def test_without_transform_input_images_are_taken_as_they_are():
  models_of = {wanted: narrow("googlenet", num_classes=0, transform_input=wanted)
               for wanted in (True, False)}
  models_of[False].set_weights(models_of[True].get_weights())
  images = RNG.normal(size=(1, 32, 32, 3)).astype("float32")
  mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
  expected = models_of[True](images)["conv1"]
  np.testing.assert_allclose(
      models_of[False]((images * std + mean - 0.5) / 0.5)["conv1"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, weights", [
    ("googlenet", ["aux1.conv.conv.weight", "aux1.conv.bn.running_var", "aux2.fc1.bias",
                   "aux2.fc2.weight"]),
    ("inception_v3", ["AuxLogits.conv0.conv.weight", "AuxLogits.conv1.bn.num_batches_tracked",
                      "AuxLogits.fc.bias", "Mixed_7c.branch_pool.conv.weight"]),
    ("densenet121", ["features.norm5.weight", "classifier.bias"]),
    ("torchvision_resnet18", ["fc.weight"])])
def test_classifiers_may_be_there_and_other_things_may_not(name, weights):
  model, modules = narrow(name, num_classes=0), torchvision_modules.TRUNKS[name].modules
  state = {**random_state(name, model), **{weight: np.zeros(3, "float32") for weight in weights}}
  torch_layout.assign(model, state, modules)
  with pytest.raises(errors.UserError, match=r"unknown: aux3\.fc1\.weight\."):
    torch_layout.assign(model, {**state, "aux3.fc1.weight": np.zeros(3)}, modules)


def test_a_state_dict_of_another_network_is_told_by_the_first_names_that_differ():
  state = random_state("torchvision_resnet50", narrow("torchvision_resnet50", num_classes=0))
  model = narrow("torchvision_resnet18", num_classes=0)
  before = [np.array(variable) for variable in model.variables]
  with pytest.raises(errors.UserError, match=r"^unknown: layer1\.0\.conv3\.weight, "):
    torch_layout.assign(
        model, state, torchvision_modules.TRUNKS["torchvision_resnet18"].modules)
  with pytest.raises(errors.UserError, match=(
      r"^missing: features\.conv0\.weight, features\.norm0\.weight, features\.norm0\.bias and \d+ "
      r"more; unknown: conv1\.weight, ")):
    torch_layout.assign(narrow("densenet121", num_classes=0), state,
                        torchvision_modules.TRUNKS["densenet121"].modules)
  for variable, value in zip(model.variables, before):
    np.testing.assert_array_equal(variable, value)
