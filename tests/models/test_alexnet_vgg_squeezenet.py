"""The trunks of LPIPS: sizes, names, and PyTorch's numbers at every size of image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors, models
from perceptual.models import taps, vgg
from perceptual.models import torch_layers as layers
from perceptual.weights import catalogue, torch_layout

RNG = np.random.default_rng(0)
NETWORKS = ["alexnet", "vgg11", "vgg16", "vgg19", "squeezenet1_1"]

# Published, as torchvision counts them: with the classifier, and without.
PARAMETERS = {
    "alexnet": (61_100_840, 2_469_696),
    "vgg16": (138_357_544, 14_714_688),
    "squeezenet1_1": (1_235_496, 722_496),
}

# The smallest side of an image of which PyTorch makes all taps, and the logits as well.
SMALLEST = {"alexnet": (31, 63), "vgg11": (16, 32), "vgg16": (16, 32), "vgg19": (16, 32),
            "squeezenet1_1": (17, 17)}

# Tap, channels and stride.
TAPS = {
    "alexnet": [("relu1", 64, 4), ("relu2", 192, 8), ("relu3", 384, 16), ("relu4", 256, 16),
                ("relu5", 256, 16)],
    "vgg11": [("relu1_1", 64, 1), ("relu2_1", 128, 2), ("relu3_2", 256, 4), ("relu4_2", 512, 8),
              ("relu5_2", 512, 16)],
    "vgg16": [("relu1_2", 64, 1), ("relu2_2", 128, 2), ("relu3_3", 256, 4), ("relu4_3", 512, 8),
              ("relu5_3", 512, 16)],
    "vgg19": [("relu1_2", 64, 1), ("relu2_2", 128, 2), ("relu3_4", 256, 4), ("relu4_4", 512, 8),
              ("relu5_4", 512, 16)],
    "squeezenet1_1": [("relu1", 64, 2), ("fire2", 128, 4), ("fire3", 128, 4), ("fire4", 256, 8),
                      ("fire5", 256, 8), ("fire6", 384, 16), ("fire7", 384, 16),
                      ("fire8", 512, 16), ("fire9", 512, 16)],
}


def narrow(name, **options):
  keras.utils.set_random_seed(0)
  return models.build(name, width=0.125, **options)


def images(*size):
  return RNG.normal(size=(2, *size, 3)).astype("float32")


def classifier_parameters(name, channels, hidden, classes):
  """The weights past the last tap, by arithmetic: of a grid of cells, or of one convolution."""
  if name == "squeezenet1_1":
    return (channels + 1) * classes
  cells = {"alexnet": 36, "vgg16": 49}[name]
  return (channels * cells + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * classes


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
  whole, trunk = PARAMETERS[name]
  assert models.build(name, num_classes=0).count_params() == trunk
  assert classifier_parameters(name, TAPS[name][-1][1], 4096, 1000) == whole - trunk
  # So many weights take long to draw: that the network has those of the classifier is seen narrow.
  whole, trunk = narrow(name, num_classes=11), narrow(name, num_classes=0)
  assert whole.count_params() - trunk.count_params() == classifier_parameters(
      name, TAPS[name][-1][1] // 8, 512, 11)
  assert taps.select_taps(whole).count_params() == trunk.count_params()


@pytest.mark.parametrize("name", NETWORKS)
def test_taps(name):
  for options in ({"num_classes": 0}, {"num_classes": 3}):
    found = taps.list_taps(narrow(name, **options))
    assert found == tuple(
        taps.TapInfo(tap, channels // 8, stride) for tap, channels, stride in TAPS[name])


def test_without_classes_there_are_the_taps_alone():
  assert list(narrow("alexnet", num_classes=0).output) == [tap for tap, *_ in TAPS["alexnet"]]


@pytest.mark.parametrize("name, sides", [
    ("alexnet", [15, 7, 3, 3, 3]),
    ("vgg16", [64, 32, 16, 8, 4]),
    ("squeezenet1_1", [31, 15, 15, 7, 7, 3, 3, 3, 3]),
])
def test_maps_of_64_pixel_images(name, sides):
  outputs = narrow(name, num_classes=0, image_size=64).output
  assert [output.shape[1:3] for output in outputs.values()] == [(side, side) for side in sides]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("with_logits", [False, True])
def test_smaller_images_than_a_network_can_see_are_refused(name, with_logits):
  side = SMALLEST[name][with_logits]
  model = narrow(name, num_classes=5 * with_logits)
  outputs = model(images(side, side + 1))
  assert all(np.isfinite(output).all() and output.shape[1] > 0 for output in outputs.values())
  for size in ((side - 1, side), (side + 40, 3)):
    with pytest.raises(errors.UserError, match="too small for this network") as error:
      model(images(*size))
    assert "\n" not in str(error.value)
  with pytest.raises(errors.UserError, match=f"at least {side} pixels"):
    model(images(side, side - 1))
  with pytest.raises(errors.UserError, match=f"at least {side} pixels"):
    narrow(name, num_classes=5 * with_logits, image_size=side - 1)


def test_a_graph_that_learns_sizes_as_it_runs_refuses_small_images_too():
  # Without the check TensorFlow's process ends here.
  model = narrow("alexnet", num_classes=0)
  function = tf.function(model, input_signature=[tf.TensorSpec([None, None, None, 3])])
  assert function(images(31, 40))["relu5"].shape == (2, 1, 1, 32)
  with pytest.raises(tf.errors.InvalidArgumentError, match="at least 31 pixels"):
    function(images(15, 40))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "squeezenet1_1"])
@pytest.mark.parametrize("option, value", [
    ("width", 0), ("width", float("inf")), ("num_classes", -1), ("num_classes", 1.0),
    ("dropout", 1), ("dropout", -0.1), ("kernel_initializer", "he_abnormal"), ("image_size", 0)])
def test_illegal_options_are_refused(name, option, value):
  with pytest.raises(errors.UserError, match=f"{option} must be") as error:
    models.build(name, **{option: value})
  assert "\n" not in str(error.value)


def test_an_unknown_depth_of_vgg_names_the_known():
  with pytest.raises(errors.UserError, match=r"Unknown VGG depth 12. Available: 11, 16, 19\."):
    vgg.vgg(12)


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (3, 13), (7, 20), (12, 5)])
def test_adaptive_pooling_is_the_mean_of_each_cell(size):
  maps = images(*size)
  pooled = layers.AdaptiveAveragePooling(6)(maps)
  assert pooled.shape == (2, 6, 6, 3)
  for row in range(6):
    for column in range(6):
      rows, columns = ([int(np.floor(i * n / 6)), int(np.ceil((i + 1) * n / 6))]
                       for i, n in ((row, size[0]), (column, size[1])))
      cell = maps[:, rows[0]:rows[1], columns[0]:columns[1]]
      np.testing.assert_allclose(pooled[:, row, column], cell.mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("side, windows", [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)])
def test_ceil_mode_leaves_no_position_out(side, windows):
  maps = np.abs(images(side, side))
  image = keras.Input((None, None, 3))
  pooled = keras.Model(image, layers.max_pool(image, 3, stride=2, ceil_mode=True, name="p"))(maps)
  assert pooled.shape == (2, windows, windows, 3)
  for row in range(windows):
    for column in range(windows):
      window = maps[:, 2 * row:2 * row + 3, 2 * column:2 * column + 3]
      np.testing.assert_array_equal(pooled[:, row, column], window.max(axis=(1, 2)))


# The same networks written down for PyTorch, apart from the code under test.


def torch_alexnet(torch, state, x):
  f, outputs = torch.nn.functional, {}
  for number, (place, stride, padding) in enumerate(
      [(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)], start=1):
    weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
    x = outputs[f"relu{number}"] = f.relu(f.conv2d(x, weight, bias, stride, padding))
    if number in (1, 2, 5):
      x = f.max_pool2d(x, 3, 2)
  x = torch.flatten(f.adaptive_avg_pool2d(x, (6, 6)), 1)
  for place in (1, 4):
    x = f.relu(f.linear(x, state[f"classifier.{place}.weight"], state[f"classifier.{place}.bias"]))
  return {**outputs, "logits": f.linear(
      x, state["classifier.6.weight"], state["classifier.6.bias"])}


def torch_vgg(plan):
  def forward(torch, state, x):
    f, outputs, place, stage, number = torch.nn.functional, {}, 0, 1, 0
    for step in plan:
      if step == "M":
        outputs[f"relu{stage}_{number}"] = x
        x = f.max_pool2d(x, 2, 2)
        place, stage, number = place + 1, stage + 1, 0
      else:
        weight, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
        x = f.relu(f.conv2d(x, weight, bias, 1, 1))
        place, number = place + 2, number + 1
    x = torch.flatten(f.adaptive_avg_pool2d(x, (7, 7)), 1)
    for i in (0, 3):
      x = f.relu(f.linear(x, state[f"classifier.{i}.weight"], state[f"classifier.{i}.bias"]))
    return {**outputs, "logits": f.linear(
        x, state["classifier.6.weight"], state["classifier.6.bias"])}
  return forward


def torch_squeezenet(torch, state, x):
  f = torch.nn.functional

  def conv(x, name, padding=0, stride=1):
    return f.relu(f.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding))

  outputs = {"relu1": conv(x, "features.0", stride=2)}
  x = outputs["relu1"]
  for fire, place in enumerate((3, 4, 6, 7, 9, 10, 11, 12), start=2):
    if place in (3, 6, 9):
      x = f.max_pool2d(x, 3, 2, ceil_mode=True)
    squeezed = conv(x, f"features.{place}.squeeze")
    x = outputs[f"fire{fire}"] = torch.cat(
        [conv(squeezed, f"features.{place}.expand1x1"),
         conv(squeezed, f"features.{place}.expand3x3", padding=1)], 1)
  scores = f.adaptive_avg_pool2d(conv(x, "classifier.1"), (1, 1))
  return {**outputs, "logits": torch.flatten(scores, 1)}


TORCH = {
    "alexnet": torch_alexnet,
    "vgg11": torch_vgg([1, "M", 2, "M", 3, 3, "M", 4, 4, "M", 5, 5, "M"]),
    "vgg16": torch_vgg([1, 1, "M", 2, 2, "M", 3, 3, 3, "M", 4, 4, 4, "M", 5, 5, 5, "M"]),
    "vgg19": torch_vgg(
        [1, 1, "M", 2, 2, "M", 3, 3, 3, 3, "M", 4, 4, 4, 4, "M", 5, 5, 5, 5, "M"]),
    "squeezenet1_1": torch_squeezenet,
}


def random_state(model, modules):
  """A state dict of a model's shapes, with values that neither vanish nor explode."""
  state = {}
  for layer in model.layers:
    if layer.weights:
      kernel = layer.kernel.shape
      torch_shape = (kernel[3], kernel[2], *kernel[:2]) if len(kernel) == 4 else kernel[::-1]
      scale = np.sqrt(2 / np.prod(torch_shape[1:]))
      state[f"{modules[layer.name]}.weight"] = RNG.normal(0, scale, torch_shape).astype("float32")
      state[f"{modules[layer.name]}.bias"] = RNG.normal(0, 0.1, kernel[-1]).astype("float32")
  return state


@pytest.mark.parametrize("name, sizes", [
    ("alexnet", [(64, 64), (63, 65), (83, 131), (97, 255)]),
    ("vgg11", [(47, 64)]),
    ("vgg16", [(32, 33), (65, 81)]),
    ("vgg19", [(47, 64)]),
    ("squeezenet1_1", [(17, 18), (31, 50), (64, 64), (65, 83), (46, 99)]),
])
def test_every_tap_and_the_logits_are_those_of_pytorch(name, sizes):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: no forward to compare")
  model = narrow(name, num_classes=7)
  modules = catalogue.get(name).modules
  state = random_state(model, modules)
  torch_layout.assign(model, state, modules)
  state = {key: torch.from_numpy(value) for key, value in state.items()}
  for size in sizes:
    image = images(*size)
    with torch.no_grad():
      expected = TORCH[name](torch, state, torch.from_numpy(image.transpose(0, 3, 1, 2)))
    outputs = model(image)
    assert set(outputs) == set(expected)
    for tap, output in outputs.items():
      value = expected[tap].numpy()
      value = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
      assert output.shape == value.shape
      np.testing.assert_allclose(output, value, rtol=1e-4, atol=1e-5 * np.abs(value).max())
