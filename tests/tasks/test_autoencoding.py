"""Autoencoding: the networks, mirrored borders, the seven probes, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from perceptual.data.labelled import classification
from perceptual.errors import UserError
from perceptual.tasks.autoencoding import make, network, probes


@pytest.mark.parametrize(("side", "positions"), [(64, 2), (96, 4)])
def test_an_image_passes_through_its_code(side, positions):
  model = network.build(side, code=8)
  assert model.get_layer("flat").output.shape[-1] == 256 * positions**2
  assert model(keras.KerasTensor((2, side, side, 3))).shape == (2, side, side, 3)
  assert network.encoder(model).output.shape == (None, 8)


def test_small_images_are_mirrored_at_their_borders(tasks, labelled):
  task = tasks["autoencoding"]
  batch = next(iter(task.validation_batches(batch_size=4, shard=(0, 1), replicas=1)))
  assert batch["input"].shape == (4, 64, 64, 3)
  image = next(iter(task._test_batches("train")))["image"][0].numpy()
  padded = task._as_pair({"image": image[np.newaxis]})["target"][0].numpy()
  np.testing.assert_array_equal(padded[16:48, 16:48], image)
  np.testing.assert_array_equal(padded[15, 16:48], image[1])


def test_a_fifth_is_held_out_and_not_trained_on(tasks):
  task = tasks["autoencoding"]
  assert task.sizes == {"train": 16, "validation": 4}
  epoch = task.train_batches(batch_size=16, seed=0, first_step=0, shard=(0, 1))
  trained = {image.tobytes() for image in next(iter(epoch))["input"].numpy()}
  held_out = next(iter(task.validation_batches(batch_size=4, shard=(0, 1), replicas=1)))
  assert len(trained) == 16
  assert not trained & {image.tobytes() for image in held_out["input"].numpy()}


def test_other_images_may_train_the_autoencoder(tmp_path, labelled):
  for number in range(10):
    image = np.full((32, 32, 3), 20 * number, np.uint8)
    Image.fromarray(image).save(tmp_path / f"{number}.png")
  task = make(tmp_path.parent, images=labelled, unlabelled=tmp_path.name)
  assert task.sizes == {"train": 8, "validation": 2}
  assert task.as_data()["images"] == tmp_path.name
  batch = next(iter(task.train_batches(batch_size=8, seed=0, first_step=0, shard=(0, 1))))
  assert batch["target"].shape == (8, 64, 64, 3)
  Image.fromarray(np.zeros((30, 32, 3), np.uint8)).save(tmp_path / "a.png")
  with pytest.raises(UserError, match=r"a.png has 32x30 pixels; the labelled images have 32x32"):
    make(tmp_path.parent, images=labelled, unlabelled=tmp_path.name)


def test_probes_tell_separable_codes_apart(monkeypatch):
  assert list(probes.PROBES) == ["linear", "32", "64", "32-32", "64-32", "64-64", "128-128"]
  monkeypatch.setattr(probes, "_LEARNING_RATE", 0.03)  # to be quick, as are two of the seven
  monkeypatch.setattr(probes, "PROBES", {"linear": (), "64-32": (64, 32)})
  rng = np.random.default_rng(0)
  labels = {part: rng.integers(0, 3, count) for part, count in (("train", 1280), ("test", 200))}
  noise = {part: rng.normal(0, 0.05, (len(found), 4)) for part, found in labels.items()}
  apart = {part: np.float32(np.eye(3, 4)[found] + noise[part]) for part, found in labels.items()}
  found = probes.correct(apart, labels, 3, epochs=25)
  assert list(found) == ["linear", "64-32"]
  assert min(np.mean(right) for right in found.values()) > 0.9


def test_the_test_has_every_probe_their_best_and_their_mean(tasks, monkeypatch):
  task, rng = tasks["autoencoding"], np.random.default_rng(0)
  given = {}

  def correct(codes, labels, classes, **options):
    given.update(codes=codes, labels=labels, classes=classes, **options)
    return {name: rng.random(8) < 0.5 for name in probes.PROBES}

  monkeypatch.setattr(probes, "correct", correct)
  probed, pictured = task.test(task.build(), seed=0, progress=lambda line: None)
  assert list(probed.measures)[:3] == ["accuracy_best", "accuracy_mean", "accuracy_linear"]
  assert given["codes"]["train"].shape == (20, 4) and given["codes"]["test"].shape == (8, 4)
  assert given["labels"]["test"].tolist() == 4 * [0, 1]
  assert (given["classes"], given["seed"], given["epochs"]) == (2, 0, 2)
  means = {name: values.mean() for name, values in probed.measures.items()}
  of_probes = [means[f"accuracy_{name}"] for name in probes.PROBES]
  assert means["accuracy_best"] == max(of_probes)
  assert means["accuracy_mean"] == pytest.approx(np.mean(of_probes))
  assert len(pictured.measures["psnr"]) == 8 and pictured.pictures


def test_images_of_another_size_are_refused(labelled):
  with pytest.raises(UserError, match=r"tiny has images of 40x40 pixels; autoencoding takes 32, 64 "
                                      r"or 96: set images.image_size"):
    make(images=dataclasses.replace(labelled, image_size=40))


def test_labels_of_one_class_are_refused():
  arrays = {part: (np.zeros((6, 32, 32, 3), np.uint8), np.zeros(6, np.int64))
            for part in ("train", "validation")}
  with pytest.raises(UserError, match="A classifier needs 2 classes or more, not 1"):
    classification.of_arrays(arrays, name="one", note="", class_names=["only"])
  images = classification.of_arrays(arrays, name="one", note="", class_names=["only", "absent"])
  task = make(images=images, code=2)
  with pytest.raises(UserError, match="one: the train images are of one class"):
    task.test(task.build(), seed=0, progress=lambda line: None)


@pytest.mark.parametrize("given", [{"code": 0}, {"probe_epochs": 0}])
def test_wrong_options_are_named(labelled, given):
  with pytest.raises(UserError, match=f"autoencoding.{next(iter(given))} must be a whole number"):
    make(images=labelled, **given)
