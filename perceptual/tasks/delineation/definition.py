"""The task: what is trained on which windows, and how it is validated and tested."""

import functools

import keras
import numpy as np
import tensorflow as tf

from perceptual import errors
from perceptual.common import packages
from perceptual.common.progress import plural
from perceptual.common.progress import progress as progress_bar
from perceptual.errors import UserError
from perceptual.tasks import results, streams, task
from perceptual.tasks.delineation import measures, network, tiles

_SPLIT_SEED = 0  # of the tiles that are held out, whatever the seed of the run
_SHOWN = 6


def make(data_dir=None, *, train=None, validation=None, held_out=1, side=224, crops_per_tile=1,
         flip=True, refinements=1, leak=0.0, tests=(), tolerance=2):
  """Returns the task.

  Args:
    data_dir: the folder of data sets.
    train: a folder of `images` and `masks`, as `tiles.Tiles` takes it.
    validation: another one to validate on; None to hold tiles of `train` out.
    held_out: how many are held out.
    side: height and width of a window in pixels, a multiple of 16.
    crops_per_tile: windows drawn of each tile in an epoch; the study's is 1.
    flip: whether half of the windows are mirrored left to right.
    refinements: how often the network is called with the map it made before; the loss is taken of
      each, weighted by its number. The study trained with 1.
    leak: as `network.build` takes it.
    tests: folders to test on.
    tolerance: of the comparison of skeletons, in pixels.

  Raises:
    UserError: an illegal option; where tiles are first asked for, as `tiles.Tiles`.
  """
  for name, value in (("side", side), ("held_out", held_out), ("crops_per_tile", crops_per_tile),
                      ("refinements", refinements)):
    errors.require_integer(f"delineation.{name}", value)
  errors.require_integer("delineation.tolerance", tolerance, at_least=0)
  errors.require_bool("delineation.flip", flip)
  errors.require_number("delineation.leak", leak, at_least=0, below=1)
  if side % network.DIVISOR:
    raise UserError(f"delineation.side must be a multiple of {network.DIVISOR}, not {side}.")
  if train is None:
    raise UserError("delineation.train is not given: name a folder of images and masks.")
  if validation == train:
    raise UserError(f"delineation.validation is delineation.train, {train}: name another folder, "
                    "or set it to None to hold tiles out.")
  errors.require_names("delineation.tests", tests, what="folders")
  return Delineation(
      lambda: _split(train, validation, data_dir, side, held_out),
      [(source, data_dir) for source in dict.fromkeys(tests)], side=side,
      crops_per_tile=crops_per_tile, flip=flip, refinements=refinements, leak=leak,
      tolerance=tolerance)


class Delineation(task.Task):
  """See `make`."""

  name = "delineation"
  measures = ("bce",)
  best_by = "validation_bce"
  higher_is_better = False
  tested_by = ("side", "refinements", "tests", "tolerance")

  def __init__(self, load_split, tests, *, side, crops_per_tile, flip, refinements, leak,
               tolerance):
    self._load_split = load_split
    self._tests = tests
    self._crops_per_tile = crops_per_tile
    self._flip = flip
    self._refinements = refinements
    self._leak = leak
    self._tolerance = tolerance
    self._side = side
    self.target_size = (side, side)

  @functools.cached_property
  def _split(self):
    return self._load_split()

  @property
  def _tiles(self):
    return {part: source for part, (source, _) in self._split.items()}

  @property
  def _names(self):
    return {part: names for part, (_, names) in self._split.items()}

  @functools.cached_property
  def _windows(self):
    return self._tiles["validation"].grid(self._names["validation"])

  @property
  def sizes(self):
    return {"train": len(self._names["train"]) * self._crops_per_tile,
            "validation": len(self._windows)}

  def as_data(self):
    return {"side": self._side, "crops_per_tile": self._crops_per_tile, "flip": self._flip,
            "refinements": self._refinements, **self.architecture,
            "tiles": self._tiles["train"].name, **self.sizes}

  def description(self):
    tiles_of_training = plural(len(self._names["train"]), "tile")
    lines = [f"{self._tiles['train'].name}: windows of {self._side}x{self._side} pixels, drawn "
             f"from {tiles_of_training} where there is imagery"]
    left_out = sorted({name for source in self._tiles.values() for name in source.left_out})
    if left_out:
      lines.append(f"left out, without a window of imagery: {', '.join(left_out)}")
    return lines

  @property
  def architecture(self):
    return {"leak": self._leak}

  def build(self):
    return network.build(**self.architecture)

  def train_batches(self, **stream):
    return streams.train_batches(
        self._drawn, self._signature, self.sizes["train"], **stream)

  def validation_batches(self, **stream):
    return streams.validation_batches(
        lambda number: _example(*self._tiles["validation"].window(*self._windows[number])),
        self._signature, self.sizes["validation"], **stream)

  def outputs(self, model, inputs, *, training):
    found = tf.zeros_like(inputs[..., :1])
    outputs = []
    total = self._refinements * (self._refinements + 1) / 2
    for number in range(1, self._refinements + 1):
      found = model(tf.concat([inputs, found], axis=-1), training=training)
      outputs.append((number / total, found))
    return outputs

  def measured(self, target, output):
    crossed = keras.losses.binary_crossentropy(target, output)
    return {"bce": tf.reduce_mean(crossed, axis=(1, 2))}

  def test(self, model, *, seed, progress):
    if not self._tests:
      raise UserError("delineation.tests is empty: name folders of images and masks to test on.")
    packages.require("skimage", extra="demo", purpose="The test of delineation")
    found = []
    for source, data_dir in self._tests:
      tested = tiles.Tiles(source, data_dir, self._side)
      windows = tested.grid()
      if not windows:
        raise UserError(f"{source}: no window of {self._side} pixels a side has imagery, of those "
                        "that lie side by side from the upper left: there is nothing to test on.")
      progress(f"testing on {source}: {plural(len(windows), 'window')} of "
               f"{plural(len(tested.names), 'tile')}, and whole tiles")
      found.append(self._result(source, "windows", model, {
          f"{name}@{top},{left}": tested.window(name, (top, left))
          for name, (top, left) in windows}))
      found.append(self._result(source, "study", model, {
          name: self._whole(tested.read(name)) for name in tested.names},
          note="study: whole tiles at a size at which the network was not trained, blank parts "
               f"included, as the study tested{_but(tested.left_out)}"))
    return found

  @property
  def _signature(self):
    side = self._side
    return {"input": tf.TensorSpec((side, side, 3), tf.uint8),
            "target": tf.TensorSpec((side, side, 1), tf.uint8)}

  def _drawn(self, number, draw):
    name = self._names["train"][number % len(self._names["train"])]
    image, mask = self._tiles["train"].drawn(name, draw)
    if self._flip and draw.random() < 0.5:
      image, mask = image[:, ::-1], mask[:, ::-1]
    return _example(image, mask)

  def _whole(self, tile):
    """A tile and its mask resized to the size of a window, bilinearly and not antialiased."""
    def resized(image):
      small = tf.image.resize(image.astype(np.float32), [self._side, self._side])
      return np.floor(small.numpy() + 0.5).astype(np.uint8)

    return resized(tile.image), resized(tile.mask[..., np.newaxis])

  def _result(self, source, protocol, model, examples, note=""):
    """Measures the network on `{name: (image, mask)}`."""
    rows, pictures = [], []
    for name, (image, mask) in progress_bar(
        examples.items(), description=f"testing on {source}, {protocol}"):
      inputs = tf.constant(image[np.newaxis], tf.float32) / 255.0
      output = self.outputs(model, inputs, training=False)[-1][1][0, :, :, 0].numpy()
      truth, found = mask[..., 0] > 127, output > measures.PREDICTED
      rows.append({
          **measures.by_pixels(truth, found),
          **{f"{key}_{self._tolerance}px": value for key, value in
             measures.by_skeletons(truth, found, self._tolerance).items()}})
      if len(pictures) < _SHOWN:
        pictures.append(_picture(name, image, mask, output, rows[-1]))
    measured = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return results.Result(
        source, protocol, "network", tuple(examples), measured, tuple(pictures),
        note="; ".join(filter(None, [note, _undefined(source, protocol, measured)])))


def _undefined(source, protocol, measured):
  """Says of how many images measures are not defined, and so left out of means."""
  counts = {name: int(np.isnan(measured[name]).sum()) for name in measures.NAMES}
  told = [f"{name} of {count}" for name, count in counts.items() if count]
  if not told:
    return ""
  return (f"{source}, {protocol}: not defined, and left out of means (an empty mask, or nothing "
          f"found): {', '.join(told)} of {len(measured['quality'])} images")


def _picture(name, image, mask, output, row):
  return results.Picture(
      name, {"photograph": image,
             "network": np.uint8(255 * np.clip(output, 0, 1) + 0.5)[..., np.newaxis],
             "mask": mask},
      ", ".join(f"{key} {row[key]:.3f}" for key in measures.NAMES))


def _but(left_out):
  """Returns what a note says of tiles that were left out."""
  return f"; not {', '.join(sorted(left_out))}, without a window of imagery" if left_out else ""


def _example(image, mask):
  return {"input": np.ascontiguousarray(image), "target": np.ascontiguousarray(mask)}


def _split(train, validation, data_dir, side, held_out):
  """Returns the tiles to train and to validate on: part -> (`tiles.Tiles`, names)."""
  source = tiles.Tiles(train, data_dir, side)
  if validation is not None:
    other = tiles.Tiles(validation, data_dir, side)
    return {"train": (source, source.names), "validation": (other, other.names)}
  if held_out >= len(source.names):
    raise UserError(f"{train} has {plural(len(source.names), 'tile')} with imagery, of which "
                    f"delineation.held_out = {held_out} leaves none to train on.")
  order = np.random.default_rng(_SPLIT_SEED).permutation(len(source.names)).tolist()
  return {"train": (source, tuple(source.names[n] for n in sorted(order[held_out:]))),
          "validation": (source, tuple(source.names[n] for n in sorted(order[:held_out])))}
