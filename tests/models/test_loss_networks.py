"""The loss networks of Pihlgren et al., those beyond LPIPS's trunks: taps, sizes and options."""

import keras
import numpy as np
import pytest

from perceptual import errors, models
from perceptual.models import costs, loss_networks, taps, torch_layers, torchvision_resnet
from perceptual.weights import catalogue
from tools import build_files

RNG = np.random.default_rng(0)

# Taps, channels and stride.
_VGG16 = [("relu1_2", 64, 1), ("relu2_2", 128, 2), ("relu3_3", 256, 4), ("relu4_3", 512, 8),
          ("relu5_3", 512, 16)]
_BOTTLENECKS = [("relu", 64, 2), ("layer1", 256, 4), ("layer2", 512, 8), ("layer3", 1024, 16),
                ("layer4", 2048, 32)]
TAPS = {
    "vgg16_bn": _VGG16,
    "densenet121": [("relu0", 64, 2), ("denseblock1", 256, 4), ("denseblock2", 512, 8),
                    ("denseblock3", 1024, 16), ("denseblock4", 1024, 32)],
    "torchvision_resnet18": [("relu", 64, 2), ("layer1", 64, 4), ("layer2", 128, 8),
                             ("layer3", 256, 16), ("layer4", 512, 32)],
    "torchvision_resnet50": _BOTTLENECKS,
    "resnext50_32x4d": _BOTTLENECKS,
    "googlenet": [("conv1", 64, 2), ("conv3", 192, 4), ("inception3a", 256, 8),
                  ("inception3b", 480, 8), ("inception4a", 512, 16), ("inception4b", 512, 16),
                  ("inception4c", 512, 16), ("inception4d", 528, 16), ("inception4e", 832, 16),
                  ("inception5a", 832, 32), ("inception5b", 1024, 32)],
    "inception_v3": [("Conv2d_2b_3x3", 64, 2), ("Conv2d_4a_3x3", 192, 4), ("Mixed_5b", 256, 8),
                     ("Mixed_5c", 288, 8), ("Mixed_5d", 288, 8), ("Mixed_6a", 768, 16),
                     ("Mixed_6b", 768, 16), ("Mixed_6c", 768, 16), ("Mixed_6d", 768, 16),
                     ("Mixed_6e", 768, 16)],
}

# The sides of the taps' maps of 64x64 images.
SIDES = {
    "densenet121": [32, 16, 8, 4, 2],
    "torchvision_resnet18": [32, 16, 8, 4, 2],
    "googlenet": [32, 16, 8, 8, 4, 4, 4, 4, 4, 2, 2],
    "inception_v3": [29, 12, 5, 5, 5, 2, 2, 2, 2, 2],
}

# The smallest side of an image of which PyTorch makes all taps, and the logits as well.
SMALLEST = {"vgg16_bn": (16, 32), "densenet121": (29, 29), "torchvision_resnet18": (1, 1),
            "googlenet": (15, 15), "inception_v3": (43, 75)}


def narrow(name, **options):
  keras.utils.set_random_seed(0)
  return models.build(name, width=0.0625, **options)


def images(*size):
  return RNG.normal(size=(2, *size, 3)).astype("float32")


def test_the_study_s_networks_have_the_study_s_layers():
  assert len(loss_networks.LAYERS) == 14
  for name, layers in loss_networks.LAYERS.items():
    with costs.unallocated():
      available = [tap.name for tap in taps.list_taps(models.build(name, num_classes=0))]
    assert len(layers) == 4
    assert [tap for tap in available if tap in layers] == list(layers)


def test_the_page_has_every_network_s_file_and_layers():
  page = (build_files.ROOT / "docs" / "loss-networks.md").read_text("utf-8")
  for name, layers in loss_networks.LAYERS.items():
    shown = ", ".join(f"`{layer}`" for layer in layers)
    assert f"| `{name}` | `{catalogue.get(name).file}` | {shown} | " in page


@pytest.mark.parametrize("name", TAPS)
def test_taps(name):
  with costs.unallocated():
    model = models.build(name)
  assert taps.list_taps(model) == tuple(taps.TapInfo(*tap) for tap in TAPS[name])


def test_the_trunk_has_what_its_taps_need_alone():
  with costs.unallocated():
    for name in TAPS:
      trunk = models.build(name, num_classes=0)
      assert list(trunk.output) == [tap for tap, *_ in TAPS[name]]
      assert taps.select_taps(trunk).count_params() == trunk.count_params()


@pytest.mark.parametrize("name", SIDES)
def test_maps_of_64_pixel_images(name):
  with costs.unallocated():
    outputs = models.build(name, num_classes=0, image_size=64).output
  assert [output.shape[1:3] for output in outputs.values()] == [(s, s) for s in SIDES[name]]


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("with_logits", [False, True])
def test_smaller_images_than_a_network_can_see_are_refused(name, with_logits):
  side = SMALLEST[name][with_logits]
  model = narrow(name, num_classes=3 * with_logits)
  outputs = model(images(side, side + 1))
  assert all(np.isfinite(output).all() for output in outputs.values())
  if side > 1:
    with pytest.raises(errors.UserError, match=f"at least {side} pixels") as error:
      model(images(side, side - 1))
    assert "\n" not in str(error.value)
    with pytest.raises(errors.UserError, match=f"at least {side} pixels"):
      models.build(name, num_classes=3 * with_logits, image_size=side - 1)


@pytest.mark.parametrize("name, side, with_logits", [
    (name, *sides) for name, sides in SMALLEST.items() if sides[0] < sides[1]])
def test_the_size_that_logits_need_is_told_at_once(name, side, with_logits):
  with pytest.raises(errors.UserError, match=f"at least {side} pixels, or {with_logits} for its"):
    models.build(name, image_size=side - 1)


@pytest.mark.parametrize("name", ["vgg16_bn", "densenet121", "resnext50_32x4d", "googlenet",
                                  "inception_v3"])
@pytest.mark.parametrize("option, value", [
    ("width", 0), ("num_classes", -1), ("dropout", 1), ("kernel_initializer", "he_abnormal"),
    ("image_size", 0), ("batch_norm_momentum", 1), ("batch_norm_epsilon", 0),
    ("synchronized_batch_norm", 1)])
def test_illegal_options_are_refused(name, option, value):
  with pytest.raises(errors.UserError, match=f"{option} must be") as error:
    models.build(name, **{option: value})
  assert "\n" not in str(error.value)


def test_transform_input_is_yes_or_no():
  with pytest.raises(errors.UserError, match="transform_input must be True or False"):
    models.build("googlenet", transform_input="yes")


def test_an_unknown_resnet_names_the_known():
  with pytest.raises(errors.UserError, match="Unknown ResNet of torchvision 'resnet6'"):
    torchvision_resnet.torchvision_resnet("resnet6")


def test_transform_input_normalises_to_plus_and_minus_one():
  black, white = (0 - np.array([0.485, 0.456, 0.406])), (1 - np.array([0.485, 0.456, 0.406]))
  normalised = np.float32([[[black, white]]]) / np.float32([0.229, 0.224, 0.225])
  np.testing.assert_allclose(
      torch_layers.TransformInput()(normalised), [[[[-1] * 3, [1] * 3]]], atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (5, 6), (4, 9)])
def test_means_count_the_zeros_of_the_padding(size):
  maps = images(*size)
  image = keras.Input((None, None, 3))
  model = keras.Model(image, torch_layers.average_pool(image, 3, stride=1, padding=1, name="p"))
  padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
  expected = sum(padded[:, i:i + size[0], j:j + size[1]] for i in range(3) for j in range(3)) / 9
  np.testing.assert_allclose(model(maps), expected, atol=1e-6)


def test_a_convolution_in_groups_is_one_of_each_group_and_trains():
  layer = torch_layers.GroupedConv2D(6, 3, groups=3, padding="same", data_format="channels_last")
  maps = RNG.normal(size=(2, 5, 7, 12)).astype("float32")
  outputs = layer(maps)
  for group in range(3):
    alone = keras.ops.conv(maps[..., 4 * group:4 * group + 4],
                           layer.kernel[..., 2 * group:2 * group + 2], 1, "same")
    np.testing.assert_allclose(outputs[..., 2 * group:2 * group + 2], alone, atol=1e-6)
  copy = keras.layers.deserialize(keras.layers.serialize(layer))
  assert isinstance(copy, torch_layers.GroupedConv2D) and copy.groups == 3

