"""Weights converted strictly: what fits is kept to the bit, what does not is refused whole."""

import hashlib
import json
import os
import pathlib
import warnings

import numpy as np
import pytest

from perceptual import errors, weights
from perceptual.common import folders
from perceptual.models import linear_heads
from perceptual.weights import catalogue, conversion, store, torch_layout

# Typed in from torchvision, apart from the tables under test: module, and shape of its weight.
ALEXNET = {
    "features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3), "features.10": (256, 256, 3, 3)}
ALEXNET_CLASSIFIER = {
    "classifier.1": (8, 9216), "classifier.4": (8, 8), "classifier.6": (10, 8)}
VGG16 = {
    f"features.{place}": (outputs, inputs, 3, 3) for place, inputs, outputs in (
        (0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256),
        (14, 256, 256), (17, 256, 512), (19, 512, 512), (21, 512, 512), (24, 512, 512),
        (26, 512, 512), (28, 512, 512))}
SQUEEZE_HEADS = {f"lin{i}.model.1": (1, channels, 1, 1) for i, channels in enumerate(
    (64, 128, 256, 384, 384, 512, 512))}


def state_dict(modules, bias=True, seed=0):
  rng = np.random.default_rng(seed)
  state = {}
  for module, shape in modules.items():
    state[f"{module}.weight"] = rng.uniform(0, 0.1, shape).astype("float32")
    if bias:
      state[f"{module}.bias"] = rng.uniform(-1, 1, shape[0]).astype("float32")
  return state


def write(path, state):
  np.savez(path, **state)
  return path


@pytest.fixture
def alexnet(tmp_path):
  return write(tmp_path / "alexnet.npz", state_dict(ALEXNET))


@pytest.fixture
def folder(tmp_path):
  return tmp_path / "weights"


def refusal(path, name, folder):
  with pytest.raises(errors.UserError) as error:
    weights.convert(path, name, folder)
  assert not folder.exists() or not list(folder.iterdir())
  message = str(error.value)
  assert "\n" not in message and str(path) in message
  return message


def test_weights_come_back_to_the_bit(alexnet, folder):
  state = state_dict(ALEXNET)
  weights.convert(alexnet, "alexnet", folder)
  model = weights.load("alexnet", folder)
  for number, module in enumerate(ALEXNET, start=1):
    layer = model.get_layer(f"conv{number}")
    np.testing.assert_array_equal(
        np.array(layer.kernel), state[f"{module}.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(np.array(layer.bias), state[f"{module}.bias"])


def test_vgg16_has_torchvisions_names(tmp_path, folder):
  path = write(tmp_path / "vgg16.npz", state_dict(VGG16))
  weights.convert(path, "vgg16", folder)
  layers = [layer for layer in weights.load("vgg16", folder).layers if layer.weights]
  assert [layer.name for layer in layers] == [
      f"conv{stage}_{number}" for stage, count in enumerate((2, 2, 3, 3, 3), start=1)
      for number in range(1, count + 1)]
  state = state_dict(VGG16)
  for layer, module in zip(layers, VGG16):
    np.testing.assert_array_equal(np.array(layer.bias), state[f"{module}.bias"])


def test_heads_come_in_the_order_of_the_taps(tmp_path, folder):
  state = state_dict(SQUEEZE_HEADS, bias=False)
  path = write(tmp_path / "squeeze.npz", state)
  weights.convert(path, "lpips-squeeze-v0.0", folder)
  found = linear_heads.channel_weights(weights.load("lpips-squeeze-v0.0", folder))
  assert list(found) == ["relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"]
  for value, expected in zip(found.values(), state.values()):
    np.testing.assert_array_equal(value, expected.ravel())


@pytest.mark.parametrize("name, file", [
    ("alexnet", "torchvision_alexnet.npz"), ("squeezenet1_1", "torchvision_squeezenet1_1.npz"),
    ("lpips-alex-v0.1", "lpips_v0.1_alex_lin.npz"), ("lpips-vgg-v0.1", "lpips_v0.1_vgg_lin.npz"),
    ("lpips-squeeze-v0.1", "lpips_v0.1_squeeze_lin.npz")])
def test_published_files_fit(name, file, testdata, folder):
  source = testdata / "conformance" / "lpips" / file
  with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)
    manifest = weights.convert(source, name, folder)
  model = weights.load(name, folder)
  with np.load(source) as state:
    assert manifest["parameters"] == sum(value.size for value in state.values())
    kernels = [layer.kernel for layer in model.layers if layer.weights]
    total = sum(float(np.sum(np.float64(kernel))) for kernel in kernels)
    assert total == pytest.approx(
        sum(np.sum(np.float64(state[key])) for key in state if key.endswith("weight")))
  assert manifest["published"]["identical"] == (True if name.startswith("lpips") else None)


def test_heads_of_another_version_are_refused(testdata, folder):
  source = testdata / "conformance" / "lpips" / "lpips_v0.1_alex_lin.npz"
  assert "holds lpips-alex-v0.1, not lpips-alex-v0.0" in refusal(
      source, "lpips-alex-v0.0", folder)


def test_heads_that_are_not_the_published_are_said_to_be(tmp_path, folder):
  path = write(tmp_path / "heads.npz", state_dict(SQUEEZE_HEADS, bias=False))
  with pytest.warns(UserWarning, match="not what was published"):
    manifest = weights.convert(path, "lpips-squeeze-v0.1", folder)
  assert manifest["published"]["identical"] is False


def test_the_manifest_says_where_weights_come_from(alexnet, folder):
  manifest = weights.convert(alexnet, "alexnet", folder)
  assert json.loads((folder / "alexnet.json").read_text()) == manifest
  assert sorted(path.name for path in folder.iterdir()) == ["alexnet.json", "alexnet.weights.h5"]
  assert {key: manifest[key] for key in ("name", "network", "version", "parameters")} == {
      "name": "alexnet", "network": "alexnet", "version": "IMAGENET1K_V1",
      "parameters": 2_469_696}
  assert manifest["source"] == {
      "file": "alexnet.npz", "sha256": hashlib.sha256(alexnet.read_bytes()).hexdigest()}
  assert manifest["sha256"] == hashlib.sha256(
      (folder / "alexnet.weights.h5").read_bytes()).hexdigest()
  assert manifest["published"]["licence"] == "BSD-3-Clause"


def test_the_classifier_may_be_there_and_is_left_out(tmp_path, folder, alexnet):
  whole = {**state_dict(ALEXNET), **state_dict(ALEXNET_CLASSIFIER, seed=1)}
  path = write(tmp_path / "whole.npz", whole)
  assert (weights.convert(path, "alexnet", folder)["tensors_sha256"]
          == weights.convert(alexnet, "alexnet", folder)["tensors_sha256"])


def test_other_floats_become_float32(tmp_path, folder):
  state = {name: value.astype("float64") for name, value in state_dict(ALEXNET).items()}
  path = write(tmp_path / "double.npz", state)
  weights.convert(path, "alexnet", folder)
  assert weights.load("alexnet", folder).get_layer("conv1").kernel.dtype == "float32"


def changed(changes):
  """A state dict of AlexNet with some entries put in, or with None taken out."""
  state = {**state_dict(ALEXNET), **changes}
  return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize("changes, message", [
    ({"features.3.bias": None}, "missing: features.3.bias."),
    ({"features.3.bias": None, "features.3.biases": np.zeros(192)},
     "missing: features.3.bias; unknown: features.3.biases."),
    ({"features.12.weight": np.zeros(3)}, "unknown: features.12.weight."),
    ({"features.0.weight": np.zeros((64, 11, 11, 3), "float32")},
     "features.0.weight has the shape [64, 11, 11, 3], not [64, 3, 11, 11]."),
    ({"features.0.bias": np.zeros(64, "int64")}, "features.0.bias is int64, not float."),
    ({"features.0.bias": np.full(64, np.nan, "float32")}, "features.0.bias holds NaN"),
    ({"features.8.bias": np.full(256, np.inf)}, "features.8.bias holds NaN or infinity."),
])
def test_what_does_not_fit_is_named(changes, message, tmp_path, folder):
  path = write(tmp_path / "bad.npz", changed(changes))
  assert message in refusal(path, "alexnet", folder)


def test_another_network_is_told_by_the_first_names_that_differ(alexnet, folder):
  assert refusal(alexnet, "vgg16", folder).endswith(
      "does not fit vgg16: missing: features.2.weight, features.2.bias, features.5.weight and 19 "
      "more; unknown: features.3.weight, features.3.bias, features.6.weight and 3 more.")


def test_heads_of_another_net_do_not_fit(tmp_path, folder):
  path = write(tmp_path / "heads.npz", state_dict(SQUEEZE_HEADS, bias=False))
  assert "unknown: lin5.model.1.weight" in refusal(path, "lpips-alex-v0.0", folder)


def test_negative_heads_are_refused(tmp_path, folder):
  state = state_dict(SQUEEZE_HEADS, bias=False)
  state["lin3.model.1.weight"][0, 5] = -1e-3
  path = write(tmp_path / "heads.npz", state)
  assert "lin3.model.1.weight holds negative values." in refusal(
      path, "lpips-squeeze-v0.1", folder)


def test_a_model_stays_as_it_was_if_a_state_dict_does_not_fit():
  entry = catalogue.get("alexnet")
  model = entry.build()
  before = torch_layout.tensors_hash(model, entry.modules)
  with pytest.raises(errors.UserError):
    torch_layout.assign(model, changed({"features.10.bias": np.zeros(3)}), entry.modules)
  assert torch_layout.tensors_hash(model, entry.modules) == before


def test_an_unknown_name_lists_the_known(alexnet, folder):
  with pytest.raises(errors.UserError, match=r"Unknown weights 'alex'\. Available: alexnet,"):
    weights.convert(alexnet, "alex", folder)
  assert {"alexnet", "vgg16", "squeezenet1_1", "lpips-alex-v0.1", "lpips-vgg-v0.0"} < set(
      weights.names())


def test_other_weights_are_replaced_only_if_asked(alexnet, tmp_path, folder):
  weights.convert(alexnet, "alexnet", folder)
  weights.convert(alexnet, "alexnet", folder)  # the same again does no harm
  before = (folder / "alexnet.json").read_text()
  other = write(tmp_path / "other.npz", state_dict(ALEXNET, seed=1))
  with pytest.raises(errors.UserError, match="holds other weights; pass overwrite"):
    weights.convert(other, "alexnet", folder)
  assert (folder / "alexnet.json").read_text() == before
  weights.convert(other, "alexnet", folder, overwrite=True)
  assert json.loads((folder / "alexnet.json").read_text())["source"]["file"] == "other.npz"


def test_a_write_that_fails_leaves_nothing(alexnet, folder, monkeypatch):
  converted = conversion.read(alexnet, "alexnet")

  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(type(converted.model), "save_weights", full)
  with pytest.raises(errors.UserError, match=r"cannot be written: No space left on device\."):
    converted.write(folder)
  assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(alexnet, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(errors.UserError, match="cannot be written"):
    weights.convert(alexnet, "alexnet", tmp_path / "file" / "weights")


# Loading.


def load_refusal(name, folder):
  with pytest.raises(errors.UserError) as error:
    weights.load(name, folder)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_missing_weights_say_how_to_get_them(tmp_path):
  folder = tmp_path / "my weights"
  assert load_refusal("squeezenet1_1", folder) == (
      f"There are no weights of squeezenet1_1 in {folder}, and nothing is downloaded unless you "
      "ask. They come from squeezenet1_1-b8a52dc0.pth (torchvision's squeezenet1_1, "
      "IMAGENET1K_V1). To download and convert what this machine does not have yet, run: "
      f"perceptual convert --network=squeezenet1_1 --download --weights_dir='{folder}'")


def test_damaged_weights_are_refused(alexnet, folder):
  weights.convert(alexnet, "alexnet", folder)
  file, manifest = store.paths("alexnet", folder)
  whole = file.read_bytes()
  file.write_bytes(whole[:-1000])
  assert "does not match alexnet.json" in load_refusal("alexnet", folder)
  file.write_bytes(whole)
  text = manifest.read_text()
  for damage in ("", "[]", text[:50], '{"name": "alexnet"}'):
    manifest.write_text(damage)
    assert "is not a manifest of weights" in load_refusal("alexnet", folder)
  manifest.write_text(text)
  weights.load("alexnet", folder)


def test_weights_of_another_network_under_this_name_are_refused(alexnet, folder):
  weights.convert(alexnet, "alexnet", folder)
  for path, other in zip(store.paths("alexnet", folder), store.paths("vgg11", folder)):
    path.rename(other)
  assert "is of alexnet, not of vgg11" in load_refusal("vgg11", folder)
  path = store.paths("vgg11", folder)[1]
  path.write_text(path.read_text().replace('"name": "alexnet"', '"name": "vgg11"'))
  assert "does not fit vgg11" in load_refusal("vgg11", folder)


def test_layers_in_another_order_are_noticed(alexnet, folder):
  weights.convert(alexnet, "alexnet", folder)
  path = store.paths("alexnet", folder)[1]
  manifest = json.loads(path.read_text())
  path.write_text(json.dumps({**manifest, "tensors_sha256": "0" * 64}))
  assert "another version" in load_refusal("alexnet", folder)


def test_where_weights_are_looked_for(monkeypatch, tmp_path):
  for variable in (folders.WEIGHTS_VARIABLE, "XDG_CACHE_HOME"):
    monkeypatch.delenv(variable, raising=False)
  monkeypatch.setenv("HOME", str(tmp_path))
  assert weights.weights_dir() == tmp_path / ".cache" / "perceptual" / "weights"
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
  assert weights.weights_dir() == tmp_path / "xdg" / "perceptual" / "weights"
  monkeypatch.setenv(folders.WEIGHTS_VARIABLE, "~/mine")
  assert weights.weights_dir() == tmp_path / "mine"
  assert weights.weights_dir(os.curdir) == pathlib.Path(os.curdir)
