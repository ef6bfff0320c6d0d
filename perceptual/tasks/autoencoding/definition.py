"""The task: on which images the autoencoder is trained, and how its codes are tested."""

import dataclasses

import numpy as np
import tensorflow as tf

from perceptual import errors
from perceptual.common.progress import plural
from perceptual.data.labelled import augment, classification
from perceptual.errors import UserError
from perceptual.tasks import image_sources, results, streams, task
from perceptual.tasks.autoencoding import network, probes

_VALIDATED = 0.2  # share of the training images held out to keep the best autoencoder
_AS_THEY_ARE = augment.Augmentation(crop="none", flip=False)
_SHOWN = 8
_SIDES = (*network.PADDED, *network.SIDES)


def make(data_dir=None, *, images, unlabelled=None, limit=None, code=64, probe_epochs=500):
  """Returns the task.

  Args:
    data_dir: the folder of data sets.
    images: `classification.LabelledImages` of 32, 64 or 96 pixels a side: what the probes learn
      and are tested on, their part `validation` being the test.
    unlabelled: other images to train the autoencoder on, a source as `image_sources.load` takes
      it; None for the training part of `images`. The study took SVHN's `extra` and STL-10's
      `unlabelled`.
    limit: at most so many of `unlabelled`.
    code: how many numbers an image passes through.
    probe_epochs: at most so many passes of a probe over the codes.

  Raises:
    UserError: an illegal option, or images of another size.
  """
  errors.require_integer("autoencoding.code", code)
  errors.require_integer("autoencoding.probe_epochs", probe_epochs)
  if limit is not None:
    errors.require_integer("autoencoding.limit", limit)
  if images.image_size not in _SIDES:
    raise UserError(f"{images.name} has images of {images.image_size}x{images.image_size} pixels; "
                    f"autoencoding takes {', '.join(map(str, _SIDES[:-1]))} or {_SIDES[-1]}: "
                    "set images.image_size.")
  source = _Labelled(images) if unlabelled is None else _Unlabelled(
      image_sources.load(unlabelled, data_dir, limit=limit), images.image_size)
  return Autoencoding(source, images, code=code, probe_epochs=probe_epochs)


class Autoencoding(task.Task):
  """See `make`."""

  name = "autoencoding"
  measures = ("psnr",)
  best_by = "validation_loss"
  higher_is_better = False
  tested_by = ("probe_epochs",)

  def __init__(self, source, images, *, code, probe_epochs):
    self._source = source
    self._images = images
    self._code = code
    self._probe_epochs = probe_epochs
    self._side = network.PADDED.get(images.image_size, images.image_size)
    self.sizes = source.sizes
    self.target_size = (self._side, self._side)

  def as_data(self):
    return {"images": self._source.name, "image_size": self._images.image_size,
            **self.architecture, **self.sizes}

  def description(self):
    padded = ", mirrored at the borders to 64x64" if self._images.image_size in (
        network.PADDED) else ""
    size = self._images.image_size
    return [f"{self._source.name}: {size}x{size} pixels{padded}, through {self._code} numbers",
            *([self._images.note] if self._images.note else []),
            f"probes: {self._images.name}, {plural(self._images.num_classes, 'class')}, "
            f"{self._images.sizes['train']:,} images to train and "
            f"{self._images.sizes['validation']:,} to test"]

  @property
  def architecture(self):
    return {"side": self._side, "code": self._code}

  def build(self):
    return network.build(**self.architecture)

  def train_batches(self, **stream):
    return self._source.train_batches(**stream).map(self._as_pair)

  def validation_batches(self, **stream):
    return self._source.validation_batches(**stream).map(self._as_pair)

  def measured(self, target, output):
    squared = tf.reduce_mean(tf.square(target - output), axis=(1, 2, 3))
    return {"psnr": -10.0 * tf.math.log(tf.maximum(squared, 1e-10)) / np.log(10.0)}

  def test(self, model, *, seed, progress):
    encoder, codes, labels = network.encoder(model), {}, {}
    for part, name in (("train", "train"), ("validation", "test")):
      progress(f"encoding {self._images.name}: {self._images.sizes[part]:,} images to {name}")
      codes[name], labels[name] = self._encoded(encoder, part)
    for part, found in labels.items():
      if len(np.unique(found)) < 2:
        raise UserError(f"{self._images.name}: the {part} images are of one class, which tells "
                        "nothing of the codes.")
    correct = probes.correct(codes, labels, self._images.num_classes, seed=seed,
                             epochs=self._probe_epochs, progress=progress)
    return [self._of_probes(correct), self._of_pictures(model)]

  def _of_probes(self, correct):
    """The accuracy of each probe, of the best and of their mean, over the test images."""
    measured = {f"accuracy_{name}": 100.0 * right for name, right in correct.items()}
    best = max(measured.values(), key=np.mean)
    measured = {"accuracy_best": best, "accuracy_mean": np.mean(list(measured.values()), axis=0),
                **measured}
    return results.Result(
        self._images.name, "probes", "network", tuple(f"{n:06d}" for n in range(len(best))),
        measured, note="accuracies in percent; the best of the seven is chosen on the test images")

  def _of_pictures(self, model):
    """The reconstructions of the test images."""
    names, psnr, pictures = [], [], []
    for batch in self._test_batches("validation"):
      pair = self._as_pair(batch)
      target = task.unit(pair["target"])
      output = model(target, training=False)
      psnr += self.measured(target, output)["psnr"].numpy().tolist()
      if not pictures:
        pictures = [results.Picture(
            f"{number:03d}", {"image": pair["target"][number].numpy(),
                              "network": np.uint8(255 * output[number].numpy() + 0.5)},
            f"PSNR {psnr[number]:.2f}") for number in range(min(_SHOWN, len(psnr)))]
      names += [f"{number:06d}" for number in range(len(names), len(psnr))]
    return results.Result(self._images.name, "reconstruction", "network", tuple(names),
                          {"psnr": np.array(psnr)}, tuple(pictures))

  def _test_batches(self, part):
    """The labelled images of a part once, in their order."""
    images = self._images
    return images.examples(part).map(lambda example: {
        "image": images.decode(example["image"]), "label": example["label"]}).batch(256)

  def _encoded(self, encoder, part):
    codes, labels = [], []
    for batch in self._test_batches(part):
      codes.append(encoder(task.unit(self._as_pair(batch)["input"]), training=False).numpy())
      labels.append(batch["label"].numpy())
    return np.concatenate(codes), np.concatenate(labels)

  def _as_pair(self, batch):
    border = (self._side - self._images.image_size) // 2
    image = batch["image"]
    if border:
      image = tf.pad(image, ((0, 0), (border, border), (border, border), (0, 0)), "REFLECT")
    pair = {"input": image, "target": image}
    return {**pair, "index": batch["index"]} if "index" in batch else pair


class _Labelled:
  """The training part of labelled images, a fifth of it held out. (Prepared data are shuffled.)"""

  def __init__(self, images):
    self.name = images.name
    count = images.sizes["train"]
    held_out = max(1, int(_VALIDATED * count))
    self.sizes = {"train": count - held_out, "validation": held_out}
    parts = {"train": lambda: images.examples("train").skip(held_out),
             "validation": lambda: images.examples("train").take(held_out)}
    self._images = dataclasses.replace(
        images, sizes=self.sizes, examples=lambda part: parts[part]())

  def train_batches(self, **stream):
    return classification.train_batches(
        self._images, augmentation=_AS_THEY_ARE, shuffle_buffer=self.sizes["train"], **stream)

  def validation_batches(self, **stream):
    return classification.validation_batches(self._images, augmentation=_AS_THEY_ARE, **stream)


class _Unlabelled:
  """Images without labels, a fifth of them held out."""

  def __init__(self, images, side):
    for name, size in zip(images.names, images.sizes):
      if size != (side, side):
        raise UserError(f"{images.name}/{name} has {size[1]}x{size[0]} pixels; the labelled images "
                        f"have {side}x{side}, and the autoencoder is of one size.")
    self.name = images.name
    self._side = side
    order = np.random.default_rng(0).permutation(len(images.names)).tolist()
    held_out = max(1, int(_VALIDATED * len(order)))
    self._parts = {"train": images.some(order[held_out:]),
                   "validation": images.some(order[:held_out])}
    self.sizes = {part: len(some.names) for part, some in self._parts.items()}

  def train_batches(self, **stream):
    return streams.train_batches(
        lambda number, draw: {"image": self._parts["train"].read(number)}, self._signature,
        self.sizes["train"], **stream)

  def validation_batches(self, **stream):
    return streams.validation_batches(
        lambda number: {"image": self._parts["validation"].read(number)}, self._signature,
        self.sizes["validation"], **stream)

  @property
  def _signature(self):
    return {"image": tf.TensorSpec((self._side, self._side, 3), tf.uint8)}
