"""Every network, by its run file: what it says, and a tiny version from training to its metric.

A run file is tested by being there, and a network of `models.names()` with it. The few networks
that no file trains take the place of another's in a run. Networks that have more of the same layers
than another, and its recipe, are built and not trained: `TRAINED_AS`.
"""

import dataclasses
import functools
import gc
import pathlib
import re

import gin
import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import models
from perceptual.experiments import config
from perceptual.export import saved_model
from perceptual.training import loop

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALL_RUNS = {str(path.relative_to(ROOT / "gin" / "runs").with_suffix("")): path
            for path in sorted((ROOT / "gin" / "runs").rglob("*.gin"))}
RUNS = [run for run, path in ALL_RUNS.items() if "perceptual train" in path.read_text()]

# Runs that are not trained here, to those that have all kinds of their layers and their recipe.
TRAINED_AS = {
    **dict.fromkeys(["resnet3", "resnet4", "best/resnet6_width25"], ("resnet6",)),
    **dict.fromkeys(["resnet18", "resnet34"], ("resnet10",)),
    **dict.fromkeys(
        ["resnet101", "resnet152", "resnet200", "best/resnet50_width25"], ("resnet50",)),
    **dict.fromkeys([f"efficientnet_b{number}" for number in range(1, 6)], ("efficientnet_b0",)),
    **dict.fromkeys(["best/vit_b8_depth2", "best/vit_b8_width6"], ("vit_b8",)),
    **dict.fromkeys(["best/vit_l4_depth2", "best/vit_l4_width12"], ("vit_l4",)),
    **dict.fromkeys(["loss_networks/vgg16", "loss_networks/vgg19"], ("loss_networks/vgg11",)),
    "loss_networks/torchvision_resnet50": (
        "loss_networks/torchvision_resnet18", "loss_networks/resnext50_32x4d"),
    "loss_networks/torchvision_efficientnet_b7": ("loss_networks/torchvision_efficientnet_b0",),
}

# One of each family is exported. An export holds some sixty functions, which of deep networks take
# half a minute, and the graph in which the others are called is the same.
EXPORTED = {"resnet6", "efficientnet_b0", "vit_b8", "alexnet"}

# The networks of Kumar et al. 2022.
OF_THE_STUDY = {
    *(f"resnet{depth}" for depth in (2, 3, 4, 6, 10, 18, 34, 50, 101, 152, 200)),
    *(f"efficientnet_b{number}" for number in range(6)), "vit_b8", "vit_b4", "vit_l8", "vit_l4"}

# What decays is told from these names (`training.regularization`).
WEIGHTS = {"kernel", "bias", "gamma", "beta", "class_token", "position_embedding"}

TINY = [
    "images.source = 'demo'",
    "images.train_per_photograph = 2",
    "images.validation_per_photograph = 1",
    "judged.name = 'graded/nuisance'",
    "judged.limit = 8",
    "train.batch_size = 4",
    "train.eval_batch_size = 8",
    "train.score_distances = ('local',)",
    "train.score_by = 'local'",
    "train.score_resamples = 10",
    "train.train_steps = 2",
]
TINY_NETWORKS = {
    "efficientnet": ["network.width = 0.05", "network.depth = 0.1"],
    "vit": [f"network.width = {1 / 64}", f"network.depth = {1 / 12}"],
}


@pytest.fixture(autouse=True)
def _garbage_goes_with_its_test():
  """As `conftest` has it for a file: the graphs of a single network are as many."""
  yield
  gc.collect()
  gc.freeze()


def _parse_tiny(run, *bindings):
  """Parses a run file with a network as small as it may be, on few images."""
  path = str(ALL_RUNS[run])
  config.parse([path], bindings)
  family = re.match("[a-z]+", config.network()[0].removeprefix("torchvision_"))[0]
  tiny = TINY_NETWORKS.get(family, ["network.width = 0.05"])
  config.parse([path], [*TINY, *tiny, *bindings])


@pytest.mark.parametrize("run", ALL_RUNS)
def test_opens_with_its_command_and_what_to_expect(run):
  head = ALL_RUNS[run].read_text().partition("include")[0]
  assert re.search(rf"perceptual (train|learn|task train) --gin_file=gin/runs/{run}.gin ", head)
  assert "Cost:" in head
  assert "measured" in head.lower()


@functools.cache
def _built(run):
  """Returns the settings of a tiny version, and what kinds of layers its network has.

  In passing it is seen that all of the file has effect, and that weights have the known names.
  """
  _parse_tiny(run)
  (name, options), settings = config.network(), config.train_settings()
  images = config.images(None)
  config.all_judged_sets(None)[0]
  config.check_used(config.TRAINING)
  model = models.build(name, **options, num_classes=images.num_classes)
  model(keras.KerasTensor((1, images.image_size, images.image_size, 3)))
  assert {v.path.rsplit("/", 1)[-1] for v in model.trainable_variables} <= WEIGHTS
  optimizer = settings.optimizer.keras(settings.batch_size, 10, settings.steps(images))
  assert float(optimizer.learning_rate) == 0, "at the first step of a warm-up"
  return settings, {_kind(layer) for layer in model.layers}


def _kind(layer):
  """What a layer computes, but for its size."""
  settings = layer.get_config()
  return (type(layer).__name__, *(str(settings.get(name)) for name in (
      "kernel_size", "strides", "pool_size", "padding", "activation", "use_bias")))


@pytest.mark.parametrize("run", RUNS)
def test_all_of_it_has_effect_and_it_builds_a_tiny_version(run):
  settings, kinds = _built(run)
  others = [_built(other) for other in TRAINED_AS.get(run, [run])]
  assert kinds <= set.union(*(of_other for _, of_other in others))
  assert all(of_other == settings for of_other, _ in others)


def _run_of_each_network():
  """Returns `{network: its first run}`."""
  runs = {}
  for run in RUNS:
    config.parse([str(ALL_RUNS[run])])
    runs.setdefault(config.network()[0], run)
  gin.clear_config()  # what is imported after this may register more: parsing had locked it
  return runs


RUN_OF_EACH_NETWORK = _run_of_each_network()


def test_every_network_of_the_study_has_a_run():
  assert set(RUN_OF_EACH_NETWORK) >= OF_THE_STUDY


def _train(path, images, judged_set):
  """Takes the two steps of what was parsed."""
  trained = loop.Run(
      path / "run", network=config.network(), images=images, judged_set=judged_set,
      settings=config.train_settings())
  rows = trained.train()
  assert [row["step"] for row in rows] == [0, 2]
  assert rows[-1]["loss"] > 0
  assert all(0 <= row["score/local"] <= 100 for row in rows)


def _load_and_export(path):
  """Loads what the two steps gave, calls it in a graph of any size, exports it and loads that."""
  metric = perceptual.load_metric(path / "run")
  pair = np.random.default_rng(0).integers(0, 256, [2, 1, 80, 80, 3], np.uint8)
  distances = metric(*pair)
  assert np.all(np.array(distances) > 0)
  if config.network()[0] in EXPORTED:
    saved_model.export(metric, path / "export")
    graph = perceptual.load_metric(path / "export")
  else:
    graph = tf.function(metric, [tf.TensorSpec([None, None, None, 3], tf.uint8)] * 2)
  np.testing.assert_allclose(graph(*pair), distances, rtol=1e-4)


@pytest.mark.parametrize("run", [run for run in RUNS if run not in TRAINED_AS])
def test_trains_two_steps_is_scored_and_loaded_again(run, tmp_path):
  _parse_tiny(run)
  _train(tmp_path, config.images(None), config.all_judged_sets(None)[0])
  if run in RUN_OF_EACH_NETWORK.values():  # runs of one network differ in what comes before
    _load_and_export(tmp_path)


@pytest.mark.parametrize(
    "name", [name for name in models.names() if name not in RUN_OF_EACH_NETWORK])
def test_so_does_a_network_without_a_run(name, tmp_path):
  _parse_tiny("demo", f"network.name = '{name}'")
  _train(tmp_path, *_enlarged(config.images(None), config.all_judged_sets(None)[0]))
  _load_and_export(tmp_path)


def _enlarged(images, judged_set, side=80):
  """Labelled and judged images of a size that Inception, too, can classify."""
  def resized(image):
    image = tf.cast(tf.image.resize(image, [side, side]), tf.uint8)
    return tf.ensure_shape(image, [side, side, 3])

  subsets = tuple(
      dataclasses.replace(subset, images=subset.images.map(
          lambda example: {key: resized(image) for key, image in example.items()}))
      for subset in judged_set.subsets)
  return (dataclasses.replace(images, image_size=side, decode=resized),
          dataclasses.replace(judged_set, subsets=subsets))
