"""Every network of the registry, whatever its family: a new one is tested by existing."""

import keras
import numpy as np
import pytest

from perceptual import errors, models
from perceptual.models import layers, taps, torch_layers

RNG = np.random.default_rng(0)
SIDE = 64
SMALL = {"width": 1 / 8, "depth": 1 / 12}


def _narrow(name, **options):
  """Builds a network with as few channels and blocks as its options allow."""
  small = {option: value for option, value in SMALL.items()
           if option in models.network_options(name)}
  return models.build(name, num_classes=7, **small, **options)


def _images(model, batch):
  """Images of 64x64 pixels, or of the least that the network can see."""
  side = max([SIDE, *(layer.image_side for layer in model.layers
                      if isinstance(layer, torch_layers.MinimumSize))])
  return RNG.normal(size=(batch, side, side, 3)).astype("float32")


def _paths(model):
  return [variable.path for variable in model.variables]


def _weight_paths(model):
  """Paths without those of dropout's random state, which a rate of 0 does without."""
  return [path for path in _paths(model) if not path.endswith("/seed_generator_state")]


@pytest.fixture(scope="module", params=models.names())
def network(request):
  keras.utils.set_random_seed(0)
  return _narrow(request.param)


def test_the_papers_resnets_are_there():
  assert {f"resnet{depth}" for depth in (2, 3, 4, 6, 10, 18, 34, 50, 101, 152, 200)} <= set(
      models.names())


def test_outputs_are_float32_logits_and_the_taps(network):
  outputs = network(_images(network, 2))
  listed = taps.list_taps(network)
  assert listed
  assert list(outputs) == ["logits", *(tap.name for tap in listed)]
  assert outputs["logits"].shape == (2, 7)
  assert outputs["logits"].dtype == "float32"
  for tap in listed:
    assert outputs[tap.name].shape[-1] == tap.channels
    assert len(outputs[tap.name].shape) == (4 if tap.stride else 2)
  assert all(np.all(np.isfinite(output)) for output in outputs.values())


def test_a_second_build_with_every_option_written_out_has_the_same_variables(network):
  defaults = models.network_options(network.name)
  assert {"num_classes", "image_size", "dropout"} <= set(defaults)
  assert "name" not in defaults
  options = {option: value for option, value in defaults.items()
             if option not in ("num_classes", *SMALL)}
  keras.layers.Dropout(0.5)  # takes a number of Keras's automatic names
  second = _narrow(network.name, **(options | {"dropout": 0.5}))
  assert second.name == network.name
  assert len(set(_paths(second))) == len(_paths(second))
  assert _weight_paths(second) == _weight_paths(network)
  states = set(_paths(second)) - set(_weight_paths(second))
  layer_names = {layer.name for layer in second.layers}
  assert states and {path.split("/")[0] for path in states} <= layer_names


def test_a_network_outlives_serialisation(network):
  restored = keras.models.model_from_json(network.to_json())
  assert taps.list_taps(restored) == taps.list_taps(network)
  assert _paths(restored) == _paths(network)
  restored.set_weights(network.get_weights())
  images = _images(network, 1)
  expected = network(images)
  outputs = restored(images)
  assert list(outputs) == list(expected)
  for name, output in outputs.items():
    np.testing.assert_array_equal(output, expected[name])


def test_only_training_moves_the_moving_statistics(network):
  moving = [v for v in network.variables if "/moving_" in v.path]
  before = [np.array(v) for v in moving]
  images = _images(network, 4)
  network(images, training=False)
  for variable, value in zip(moving, before):
    np.testing.assert_array_equal(variable, value)
  network(images, training=True)
  # Where a normalised map is projected without an activation, channels keep a mean of exactly 0.
  for variable, value in zip(moving, before):
    assert np.any(np.array(variable) != value), variable.path


def test_every_batch_normalisation_is_ours(network):
  for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      assert isinstance(layer, layers.BatchNormalization), layer.name


def test_an_unknown_network_names_the_known():
  for ask in (models.build, models.network_options):
    with pytest.raises(errors.UserError, match=r"Unknown network 'resnet5'\. Available: resnet2, "):
      ask("resnet5")
  with pytest.raises(errors.UserError, match="Unknown network 50"):
    models.build(50)


@pytest.mark.parametrize("option", ["widht", "depth"])
def test_an_unknown_option_names_the_known(option):
  with pytest.raises(errors.UserError,
                     match=f"Unknown option of resnet6 '{option}'. Available: width, "):
    models.build("resnet6", **{option: 1})
