"""Every file for `perceptual train`: it says what it is, parses, and builds a tiny version.

Two steps are trained, with an evaluation before and after, of one file for each recipe: the others
differ from it in numbers and in the network alone. That every network trains is tested by name.
"""

import pathlib
import re

import keras
import pytest

from perceptual import config, models
from perceptual.training import loop

ROOT = pathlib.Path(__file__).resolve().parents[1]
ALL_RUNS = {str(path.relative_to(ROOT / "gin" / "runs").with_suffix("")): path
            for path in sorted((ROOT / "gin" / "runs").rglob("*.gin"))}
RUNS = [run for run, path in ALL_RUNS.items() if "perceptual train" in path.read_text()]
TRAINED = ("demo", "efficientnet_b0", "vit_b8", "vit_l4", "loss_networks/vgg16",
           "loss_networks/vgg16_bn")

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
    "train.train_steps = 2",
]
TINY_NETWORKS = {
    "efficientnet": ["network.width = 0.05", "network.depth = 0.1"],
    "vit": [f"network.width = {1 / 64}", f"network.depth = {1 / 12}"],
}


def _parse_tiny(run):
  """Parses a run file with a network as small as it may be, on few images."""
  path = str(ALL_RUNS[run])
  config.parse([path])
  family = re.match("[a-z]+", config.network()[0].removeprefix("torchvision_"))[0]
  config.parse([path], [*TINY, *TINY_NETWORKS.get(family, ["network.width = 0.05"])])


@pytest.mark.parametrize("run", ALL_RUNS)
def test_opens_with_its_command_and_what_to_expect(run):
  head = ALL_RUNS[run].read_text().partition("include")[0]
  assert re.search(rf"perceptual (train|learn) --gin_file=gin/runs/{run}.gin ", head)
  assert "Cost:" in head
  assert "measured" in head.lower()


@pytest.mark.parametrize("run", RUNS)
def test_all_of_it_has_effect_and_it_builds_a_tiny_version(run):
  _parse_tiny(run)
  (name, options), settings = config.network(), config.train_settings()
  images = config.images(None)
  config.judged_set(None)
  config.check_used(config.TRAINING)
  model = models.build(name, **options, num_classes=images.num_classes)
  model(keras.KerasTensor((1, images.image_size, images.image_size, 3)))
  assert {v.path.rsplit("/", 1)[-1] for v in model.trainable_variables} <= WEIGHTS
  optimizer = settings.optimizer.keras(settings.batch_size, 10, settings.steps(images))
  assert float(optimizer.learning_rate) == 0, "at the first step of a warm-up"


def test_every_network_of_the_study_has_a_run():
  networks = set()
  for run in RUNS:
    config.parse([str(ALL_RUNS[run])])
    networks.add(config.network()[0])
  assert networks >= OF_THE_STUDY


def _recipes(path):
  """The recipes that a gin file includes, in the files that it includes too."""
  found = set()
  for included in re.findall("^include '(.*)'$", path.read_text(), re.MULTILINE):
    if included.startswith("gin/recipes/"):
      found.add(pathlib.Path(included).stem)
    found |= _recipes(ROOT / included)
  return found


def test_of_every_recipe_a_run_is_trained():
  used, trained = (set().union(*(_recipes(ALL_RUNS[run]) for run in runs))
                   for runs in (RUNS, TRAINED))
  assert trained == used


@pytest.mark.parametrize("run", TRAINED)
def test_trains_two_steps_of_a_tiny_version(run, tmp_path):
  _parse_tiny(run)
  trained = loop.Run(
      tmp_path, network=config.network(), images=config.images(None),
      judged_set=config.judged_set(None), settings=config.train_settings())
  rows = trained.train()
  assert [row["step"] for row in rows] == [0, 2]
  assert rows[-1]["loss"] > 0
