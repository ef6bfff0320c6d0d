"""The task: what is trained on which pairs, and how it is validated."""

import functools

import numpy as np
import tensorflow as tf

from perceptual import errors
from perceptual.common.progress import plural
from perceptual.errors import UserError
from perceptual.loading import options_of
from perceptual.metrics import classical
from perceptual.tasks import image_sources, streams, task
from perceptual.tasks.super_resolution import network, pairs, protocols

_SPLIT_SEED = 0  # of the photographs that are held out, whatever the seed of the run


def make(data_dir=None, *, train=None, validation=None, held_out=100, limit=None, scale=4, side=288,
         blur=1.0, enlarge=False, channels=64, tests=("set5", "set14"), metrics=("perceptual",)):
  """Returns the task.

  Args:
    data_dir: the folder of data sets.
    train: photographs to train on, a source as `image_sources.load` takes it.
    validation: others to validate on; None to hold some of `train` out.
    held_out: how many are held out, or taken of `validation`.
    limit: at most so many photographs of `train`; None for all. The study took 10,000.
    scale: 4 or 8.
    side: height and width of a target in pixels.
    blur: radius of the blur of an input. The study's tests blur by 1, the standard ones do not: a
      network for those is trained with 0.
    enlarge: whether photographs whose short side is below `side` are enlarged, as the study did,
      or refused.
    channels: of the network's layers.
    tests: sources of photographs to test on.
    metrics: metrics by which the standard tests are measured besides, as `load_metric` takes them.

  Raises:
    UserError: an illegal option; where photographs are first asked for, there are none, or too
      small ones, or no such metric.
  """
  if scale not in tuple(network.DOUBLINGS):
    raise errors.unknown("scale", scale, network.DOUBLINGS)
  errors.require_integer("super_resolution.side", side, at_least=network.LEAST_SIDE * scale)
  errors.require_integer("super_resolution.held_out", held_out)
  errors.require_integer("super_resolution.channels", channels)
  if limit is not None:
    errors.require_integer("super_resolution.limit", limit)
  errors.require_number("super_resolution.blur", blur, at_least=0)
  errors.require_bool("super_resolution.enlarge", enlarge)
  if side % scale:
    raise UserError(f"super_resolution.side must be a multiple of the scale {scale}, not {side}.")
  if train is None:
    raise UserError("super_resolution.train is not given: name a folder of photographs.")
  if validation == train:
    raise UserError(f"super_resolution.validation is super_resolution.train, {train}: name other "
                    "photographs, or set it to None to hold some out.")
  errors.require_names("super_resolution.tests", tests)
  _require_metrics(metrics)

  def split():
    found = _split(train, validation, data_dir, held_out, limit)
    for images in () if enlarge else found.values():
      _require_side(images, side)
    return found

  return SuperResolution(
      split, {source: (source, data_dir) for source in tests}, scale=scale, side=side, blur=blur,
      channels=channels, metrics=tuple(metrics))


class SuperResolution(task.Task):
  """See `make`."""

  name = "super_resolution"
  measures = ("psnr",)
  best_by = "validation_psnr"
  higher_is_better = True
  tested_by = ("tests", "metrics")

  def __init__(self, load_split, tests, *, scale, side, blur, channels, metrics):
    self._load_split = load_split
    self._tests = tests
    self._metrics = metrics
    self._pair = {"scale": scale, "side": side, "blur": blur}
    self._channels = channels
    self._psnr = classical.build("psnr", channels="luma")
    self.target_size = (side, side)

  @functools.cached_property
  def _split(self):
    return self._load_split()

  @property
  def sizes(self):
    return {name: len(images.names) for name, images in self._split.items()}

  def as_data(self):
    return {**self._pair, **self.architecture, "photographs": self._split["train"].name,
            **self.sizes}

  def description(self):
    small = self._pair["side"] // self._pair["scale"]
    blur = self._pair["blur"]
    return [f"{self._split['train'].name}: {small}x{small} pixels to "
            f"{self._pair['side']}x{self._pair['side']}"
            f"{f', blurred by {blur:g}' if blur else ''}"]

  @property
  def architecture(self):
    return {"scale": self._pair["scale"], "channels": self._channels}

  def build(self):
    return network.build(**self.architecture)

  def train_batches(self, **stream):
    return streams.train_batches(
        lambda number, draw: self._example("train", number), self._signature, self.sizes["train"],
        **stream)

  def validation_batches(self, **stream):
    return streams.validation_batches(
        lambda number: self._example("validation", number), self._signature,
        self.sizes["validation"], **stream)

  def measured(self, target, output):
    return {"psnr": self._psnr.compare_prediction(target, output)}

  def test(self, model, *, seed, progress):
    if not self._tests:
      raise UserError("super_resolution.tests is empty: name folders of photographs to test on.")
    return protocols.test(
        model, {name: image_sources.load(*source) for name, source in self._tests.items()},
        scale=self._pair["scale"], metrics=self._metrics, progress=progress)

  @property
  def _signature(self):
    side, scale = self._pair["side"], self._pair["scale"]
    return {"input": tf.TensorSpec((side // scale, side // scale, 3), tf.uint8),
            "target": tf.TensorSpec((side, side, 3), tf.uint8)}

  def _example(self, part, number):
    small, target = pairs.pair(self._split[part].read(number), **self._pair)
    return {"input": small, "target": target}


def _split(train, validation, data_dir, held_out, limit):
  """Returns the `Images` to train and to validate on."""
  images = image_sources.load(train, data_dir, limit=limit)
  if validation is not None:
    return {"train": images,
            "validation": image_sources.load(validation, data_dir, limit=held_out)}
  if held_out >= len(images.names):
    raise UserError(f"{train} has {plural(len(images.names), 'photograph')}, of which "
                    f"super_resolution.held_out = {held_out} leaves none to train on.")
  order = np.random.default_rng(_SPLIT_SEED).permutation(len(images.names)).tolist()
  return {"train": images.some(sorted(order[held_out:])),
          "validation": images.some(sorted(order[:held_out]))}


def _require_metrics(metrics):
  """Raises `UserError` unless they are metrics, and none takes the place of a measure of luma."""
  errors.require_names("super_resolution.metrics", metrics)
  for metric in metrics:
    if metric in protocols.STANDARD:
      raise UserError(f"super_resolution.metrics: {metric}, of luma, is measured in any case: that "
                      "of colours cannot stand under the same name. Leave it out.")
    options_of(metric)  # for its error, before hours of training


def _require_side(images, side):
  for name, size in zip(images.names, images.sizes):
    if min(size) < side:
      raise UserError(
          f"{images.name}/{name} has {size[1]}x{size[0]} pixels; crops of {side} need that many a "
          "side. Leave it out, set super_resolution.side, or enlarge it as the study did "
          "(super_resolution.enlarge = True).")
