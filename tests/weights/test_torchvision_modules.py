"""Torchvision's names: files older than its modules' present names, and the catalogue's rows."""

import re

import numpy as np
import pytest

from perceptual import errors, weights
from perceptual.models import loss_networks
from perceptual.weights import catalogue, conversion, torchvision_modules


def densenet121(layer_name):
  """A state dict of DenseNet-121's trunk, typed in from torchvision.

  Args:
    layer_name: what "norm1", "conv2" and so on are called in a dense layer.
  """
  rng = np.random.default_rng(0)
  state = {}

  def conv(name, outputs, inputs, side):
    state[f"{name}.weight"] = rng.normal(size=(outputs, inputs, side, side)).astype("float32")

  def norm(name, channels):
    for part in ("weight", "bias", "running_mean", "running_var"):
      state[f"{name}.{part}"] = rng.uniform(0.5, 1, channels).astype("float32")

  conv("features.conv0", 64, 3, 7)
  norm("features.norm0", 64)
  channels = 64
  for block, count in enumerate((6, 12, 24, 16), start=1):
    for layer in range(1, count + 1):
      place = f"features.denseblock{block}.denselayer{layer}"
      norm(f"{place}.{layer_name('norm1')}", channels)
      conv(f"{place}.{layer_name('conv1')}", 128, channels, 1)
      norm(f"{place}.{layer_name('norm2')}", 128)
      conv(f"{place}.{layer_name('conv2')}", 32, 128, 3)
      channels += 32
    if block < 4:
      norm(f"features.transition{block}.norm", channels)
      conv(f"features.transition{block}.conv", channels // 2, channels, 1)
      channels //= 2
  norm("features.norm5", channels)
  state["classifier.weight"] = np.zeros((10, channels), "float32")
  state["classifier.bias"] = np.zeros(10, "float32")
  return state


@pytest.fixture
def write(tmp_path):
  def save(state):
    np.savez(tmp_path / "state.npz", **state)
    return tmp_path / "state.npz"
  return save


def test_densenets_old_names_are_those_of_the_published_file(write, tmp_path):
  current = conversion.read(write(densenet121(lambda name: name)), "densenet121")
  old_state = densenet121(lambda name: f"{name[:-1]}.{name[-1]}")
  assert "features.denseblock1.denselayer1.norm.1.weight" in old_state
  old = write(old_state)
  manifest = weights.convert(old, "densenet121", tmp_path)
  assert manifest["tensors_sha256"] == current.tensors_sha256
  assert manifest["published"]["file"] == "densenet121-a639ec97.pth"
  model = weights.load("densenet121", tmp_path)
  np.testing.assert_array_equal(
      model.get_layer("denseblock2_denselayer3_norm2").moving_variance,
      old_state["features.denseblock2.denselayer3.norm.2.running_var"])


def test_a_tensor_by_its_old_and_its_current_name_is_refused(write):
  state = densenet121(lambda name: name)
  state["features.denseblock1.denselayer1.norm.1.weight"] = np.zeros(64, "float32")
  with pytest.raises(errors.UserError, match=re.escape(
      "does not fit densenet121: both features.denseblock1.denselayer1.norm.1.weight and "
      "features.denseblock1.denselayer1.norm1.weight, which are the same.")):
    conversion.read(write(state), "densenet121")


def test_every_network_of_the_study_can_be_converted_from_a_file_of_its_own():
  files = [catalogue.get(name).file for name in loss_networks.LAYERS]
  assert len(set(files)) == 14
  for file, name in zip(files, loss_networks.LAYERS):
    assert re.fullmatch(r"[a-z0-9_-]+-[0-9a-f]{8}\.pth", file)
    assert file.startswith(name.removeprefix("torchvision_"))


def test_a_module_of_torchvision_s_belongs_to_one_layer():
  for trunk in torchvision_modules.TRUNKS.values():
    assert len(set(trunk.modules.values())) == len(trunk.modules)
