"""The runs whose steps are compiled: every network by its own recipe, on images of zeros.

A run is made as `perceptual train` and `perceptual learn` make it, of the gin files in `gin/`; only
the images are replaced, so that no data set is needed, and the batch, which is that of one core.
"""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from perceptual import models
from perceptual.data.judged import judged_sets
from perceptual.data.labelled import registry
from perceptual.errors import UserError
from perceptual.experiments import config
from perceptual.training import learning, loop, trunks

_GIN = pathlib.Path(__file__).parents[2] / "gin"
CORE_BATCH = 128  # images on one core: 1024 on 8 cores, 2048 on 16, 4096 on 32
# Too large for 64x64 images, at which all others are trained.
_IMAGE_SIZES = {"inception_v3": 96}
_IMAGE_SIZE = 64
_TRIPLETS = 1024  # more than any batch


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How the runs of a network are made.

  Attributes:
    network: its name.
    files: gin files of its training.
    params: gin bindings beside them.
    image_size: the side of the images, in pixels.
  """

  network: str
  files: tuple[str, ...]
  params: tuple[str, ...]
  image_size: int

  @property
  def text(self):
    """The gin files and bindings, for people."""
    return " ".join([*(str(pathlib.Path(file).relative_to(_GIN.parent)) for file in self.files),
                     *self.params])


def of(network):
  """Returns the `Recipe` of a network: its own run file, or that of loss networks."""
  size = _IMAGE_SIZES.get(network, _IMAGE_SIZE)
  resized = () if size == _IMAGE_SIZE else (
      f"images.image_size = {size}", f"judged.image_size = {size}")
  for folder in (_GIN / "runs", _GIN / "runs" / "loss_networks"):
    file = folder / f"{network}.gin"
    if file.exists():
      return Recipe(network, (str(file),), resized, size)
  files = (_GIN / "data" / "imagenet64.gin", _GIN / "recipes" / "loss_network.gin")
  return Recipe(network, tuple(map(str, files)), (f"network.name = '{network}'", *resized), size)


def training(recipe, folder, core_batch=CORE_BATCH):
  """Returns the `loop.Run` that trains a network on one core, and the number of cores.

  Args:
    recipe: a `Recipe`.
    folder: an empty folder, in which nothing is written.
    core_batch: images of a step on one core; that of evaluation becomes smaller in proportion.

  Raises:
    UserError: the recipe's batch does not divide so.
  """
  config.parse(recipe.files, recipe.params)
  settings = config.train_settings()
  if settings.batch_size % core_batch:
    raise UserError(f"The batch of {settings.batch_size} images does not divide into batches of "
                    f"{core_batch}.")
  cores = settings.batch_size // core_batch
  run = loop.Run(
      folder, network=config.network(), images=_zeros(config.images(None, load=registry.outline)),
      judged_set=_judged_zeros(recipe.image_size),
      settings=dataclasses.replace(
          settings, batch_size=core_batch, precision="bfloat16",
          eval_batch_size=max(1, settings.eval_batch_size // cores)),
      jit_compile=True)
  return run, cores


def learned(recipe, folder):
  """Returns the `learning.Run` that learns a distance and its trunk, as LPIPS "tune" does.

  Its weights are random, which changes nothing of the step. The whole batch is on one core.
  """
  config.parse([_GIN / "recipes" / "lpips.gin"], ["learn.mode = 'tune'"])
  zeros = _judged_zeros(recipe.image_size)
  return learning.Run(
      folder, trunk=lambda taps: trunks.at_random(recipe.network, {}, taps), train_set=zeros,
      judged_set=zeros, settings=config.learn_settings(), jit_compile=True)


def _zeros(images):
  """Returns `LabelledImages` like an outline's, black, of the first class."""
  size = images.image_size
  example = {"image": tf.zeros([size, size, 3], tf.uint8), "label": tf.zeros([], tf.int64)}

  def examples(split):
    return tf.data.Dataset.from_tensors(example).repeat(images.sizes[split])

  return dataclasses.replace(images, examples=examples, decode=lambda image: image)


def _judged_zeros(size):
  """Returns a `JudgedSet` of black triplets."""
  keys = judged_sets.IMAGE_KEYS["2afc"]
  images = tf.data.Dataset.from_tensors({key: tf.zeros([size, size, 3], tf.uint8) for key in keys})
  subset = judged_sets.Subset("zeros", images.repeat(_TRIPLETS), np.zeros(_TRIPLETS))
  return judged_sets.JudgedSet(
      name="zeros", kind="2afc", note="", subsets=(subset,), by_people=False)


def names():
  """Returns the networks, those first from which most is learned soonest."""
  first = ("resnet6", "resnet18", "vit_b8", "efficientnet_b0", "alexnet", "squeezenet1_1", "vgg16",
           "densenet121", "googlenet", "resnet50", "torchvision_resnet18", "vit_l4")
  return (*first, *(name for name in models.names() if name not in first))
