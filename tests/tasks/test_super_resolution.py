"""Super-resolution: the published network, the pairs, both tests and what is refused."""

import math

import keras
import numpy as np
import pytest
from PIL import Image, ImageFilter

from perceptual.data.images import loading
from perceptual.errors import UserError
from perceptual.metrics import classical
from perceptual.tasks import image_sources, streams
from perceptual.tasks.super_resolution import bicubic, make, network, pairs, protocols


@pytest.mark.parametrize(("scale", "parameters"), [(4, 401_865), (8, 438_921)])
def test_the_network_has_the_published_number_of_weights(scale, parameters):
  model = network.build(scale)
  assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == parameters
  output = model(keras.KerasTensor((2, 9, 7, 3)))
  assert output.shape == (2, 9 * scale, 7 * scale, 3)


def test_the_border_is_mirrored_without_repeating_it():
  row = np.arange(4.0, dtype=np.float32).reshape(1, 1, 4, 1).repeat(4, axis=1)
  padded = np.asarray(network.ReflectedBorder(2)(row))[0, 2, :, 0]
  np.testing.assert_array_equal(padded, [2, 1, 0, 1, 2, 3, 2, 1])


def test_variables_are_named_by_their_place():
  first, second = (network.build(4, channels=2) for _ in range(2))
  assert [v.path for v in first.weights] == [v.path for v in second.weights]
  assert "block4_conv2/kernel" in {v.path for v in first.weights}


# Pairs.


def test_a_pair_is_what_torchvision_makes_of_a_photograph():
  rng = np.random.default_rng(0)
  image = np.asarray(Image.fromarray(rng.integers(0, 256, (12, 20, 3), np.uint8)).resize((100, 60)))
  small, target = pairs.pair(image, scale=4, side=48)
  whole = Image.fromarray(image).resize((80, 48), Image.Resampling.BILINEAR)
  np.testing.assert_array_equal(target, np.asarray(whole)[:, 16:64])
  blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(1))
  np.testing.assert_array_equal(
      small, np.asarray(blurred.resize((20, 12), Image.Resampling.BICUBIC))[:, 4:16])
  sharp, _ = pairs.pair(image, scale=4, side=48, blur=0)
  assert np.abs(np.diff(sharp.astype(int), axis=1)).mean() > np.abs(
      np.diff(small.astype(int), axis=1)).mean()


# MATLAB's bicubic.


def test_the_kernel_is_that_of_keys():
  np.testing.assert_allclose(
      bicubic._cubic(np.array([0, 0.5, 1, 1.5, 2, 3])), [1, 0.5625, 0, -0.0625, 0, 0])


def test_shrinking_is_antialiased_and_keeps_constants():
  flat = np.full((12, 16, 3), 77, np.uint8)
  np.testing.assert_array_equal(bicubic.resize(flat, 1 / 4), np.full((3, 4, 3), 77, np.uint8))
  board = np.indices((16, 16)).sum(axis=0) % 2 * 255.0
  inner = bicubic.resize(board, 1 / 4)[1:-1, 1:-1]
  np.testing.assert_allclose(inner, 127.5, atol=1.0)


def test_an_enlarged_slope_stays_one_and_sizes_are_rounded_up():
  slope = np.arange(12.0)[np.newaxis].repeat(8, axis=0)
  enlarged = bicubic.resize(slope, 4)
  assert enlarged.shape == (32, 48)
  np.testing.assert_allclose(np.diff(enlarged[16, 8:-8]), 0.25)
  assert bicubic.resize(slope, 1 / 8).shape == (1, 2)


# Tests.


@pytest.mark.parametrize(("name", "scale", "psnr", "ssim"), [
    ("set5", 4, 28.418, 0.8103), ("set5", 8, 24.389, 0.6570),
    ("set14", 4, 25.999, 0.7018), ("set14", 8, 23.091, 0.5626)])
def test_bicubic_scores_what_the_literature_has(photographs, name, scale, psnr, ssim):
  """28.42 and 26.00 dB are the published ones at four times the size."""
  measured = []
  for image, grey in photographs(name):
    height, width = (length // scale * scale for length in image.shape[:2])
    plane = protocols.luma(image[:height, :width], grey=grey)
    measured.append(protocols.standard_measures(plane, protocols.bicubic_luma(plane, scale), scale))
  assert np.mean([each["psnr"] for each in measured]) == pytest.approx(psnr, abs=1e-3)
  assert np.mean([each["ssim"] for each in measured]) == pytest.approx(ssim, abs=1e-4)


@pytest.mark.parametrize(("name", "scale", "psnr_a", "psnr", "ssim_b"), [
    ("set5", 4, 27.97, 29.07, 0.817), ("set14", 4, 24.19, 25.42, 0.664),
    ("set5", 8, 23.95, 25.04, 0.668), ("set14", 8, 21.10, 22.33, 0.495)])
def test_bicubic_under_the_test_of_the_study(photographs, name, scale, psnr_a, psnr, ssim_b):
  measured = []
  for image, _ in photographs(name):
    small, target = pairs.pair(image, scale=scale)
    measured.append(protocols.study_measures(target, pairs.upsampled(small, scale)))
  means = {key: np.mean([each[key] for each in measured]) for key in measured[0]}
  assert means["psnr_a"] == pytest.approx(psnr_a, abs=0.01)
  assert means["psnr"] == pytest.approx(psnr, abs=0.01)
  assert means["ssim_b"] == pytest.approx(ssim_b, abs=0.001)
  assert means["psnr_c"] == pytest.approx(psnr, abs=0.13), "the two lumas are nearly one"


@pytest.fixture(scope="module")
def photographs(testdata, tmp_path_factory):
  """Name of a test set -> its (image, greyscale) pairs."""
  import tarfile

  def load(name):
    folder = tmp_path_factory.getbasetemp() / "tasks"
    if not (folder / name).is_dir():
      with tarfile.open(testdata / "data" / "tasks" / f"{name}.tar") as archive:
        archive.extractall(folder, filter="data")
    images = image_sources.load(name, folder)
    return [(images.read(n), images.greyscale[n]) for n in range(len(images.names))]
  return load


def test_luma_is_that_of_matlab():
  colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]]], np.uint8)
  np.testing.assert_array_equal(protocols.luma(colours), [[16, 235, 81, 41]])
  np.testing.assert_array_equal(protocols.luma(colours, grey=True), [[0, 255, 85, 85]])


def test_a_perfect_output_scores_the_best():
  target = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
  found = protocols.study_measures(target, target / 255)
  assert found["ssim_b"] == found["ssim_d"] == 1
  assert min(found["psnr"], found["psnr_a"], found["psnr_c"]) > 100


def test_both_tests_are_run_of_the_network_and_of_bicubic(tasks, data_dir):
  task = tasks["super_resolution"]
  found = task.test(task.build(), seed=0, progress=lambda line: None)
  assert {(result.protocol, result.method) for result in found} == {
      (protocol, method) for protocol in ("study", "standard")
      for method in ("network", "bicubic")}
  for result in found:
    assert len(result.items) == 6
    assert all(len(values) == 6 for values in result.measures.values())
  studied = next(result for result in found if result.protocol == "study")
  assert list(studied.measures) == ["psnr", "psnr_a", "ssim_b", "psnr_c", "ssim_d"]
  assert {"network", "bicubic", "target"} == set(studied.pictures[0].images)
  assert [picture.name for picture in studied.pictures][:2] == ["0", "1"]


def test_other_metrics_are_of_the_whole_colour_images(data_dir):
  image = loading.load_image(data_dir / "photographs" / "0.png")
  height, width = (length // 4 * 4 for length in image.shape[:2])
  metric = classical.build("mse")
  _, methods = protocols._standard(
      lambda batch, training: np.repeat(np.repeat(batch, 4, axis=1), 4, axis=2), image, 4,
      grey=False, metrics={"mse": metric})
  measures, output = methods["bicubic"]
  difference = (image[:height, :width] / 255.0 - output / 255.0)**2
  assert measures["mse"] == pytest.approx(difference.mean(), rel=1e-5)


def test_a_photograph_that_is_too_small_is_named():
  images = image_sources.Images(
      name="set", names=("tiny.png",), sizes=((19, 30),), greyscale=(False,),
      read=lambda number: np.zeros((19, 30, 3), np.uint8))
  with pytest.raises(UserError, match=r"^set/tiny\.png: 30x19 pixels are too few: the standard "
                                      "test needs 20 a side"):
    protocols.test(lambda batch, training: np.repeat(np.repeat(batch, 4, axis=1), 4, axis=2),
                   {"set": images}, scale=4, metrics=(), progress=lambda line: None)


# Data.


def test_what_is_held_out_is_not_trained_on_and_the_stream_resumes(data_dir):
  task = make(data_dir, train="photographs", held_out=2, side=40)
  parts = {part: set(images.names) for part, images in task._split.items()}
  assert not parts["train"] & parts["validation"]
  assert {part: len(names) for part, names in parts.items()} == task.sizes == {
      "train": 4, "validation": 2}
  stream = {"batch_size": 2, "seed": 1, "shard": (0, 1)}
  whole = list(task.train_batches(first_step=0, **stream).take(4).as_numpy_iterator())
  later = list(task.train_batches(first_step=2, **stream).take(2).as_numpy_iterator())
  for expected, found in zip(whole[2:], later):
    np.testing.assert_array_equal(found["target"], expected["target"])
  assert whole[0]["input"].shape == (2, 10, 10, 3) and whole[0]["target"].dtype == np.uint8


def test_a_photograph_that_cannot_be_read_in_training_is_named(tmp_path):
  for name in ("a", "b"):
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(tmp_path / f"{name}.png")
  task = make(tmp_path, train=str(tmp_path), held_out=1, side=40)
  assert task.sizes == {"train": 1, "validation": 1}
  for path in tmp_path.iterdir():
    path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(UserError, match=r".\.png: .*Replace it"), streams.unreadable_named():
    next(iter(task.train_batches(batch_size=1, seed=0, first_step=0, shard=(0, 1))))


def test_small_photographs_are_enlarged_only_if_that_is_asked_for(data_dir):
  with pytest.raises(UserError, match=r"photographs/0.png has 60x48 pixels; crops of 52 need that "
                                      r"many a side.*super_resolution.enlarge = True"):
    make(data_dir, train="photographs", held_out=1, side=52).sizes  # noqa: B018
  assert make(data_dir, train="photographs", held_out=1, side=52, enlarge=True).sizes["train"] == 5


@pytest.mark.parametrize(("given", "message"), [
    ({"train": None}, "super_resolution.train is not given"),
    ({"train": "nowhere"}, "There is no folder .*nowhere: give a folder of images; its path"),
    ({"train": "roads/nothing"}, "There is no folder"),
    ({"validation": "photographs"}, "super_resolution.validation is super_resolution.train, pho"),
    ({"held_out": 6}, "photographs has 6 photographs, of which super_resolution.held_out = 6"),
    ({"scale": 3}, "Unknown scale 3. Available: 4, 8"),
    ({"side": 50}, "super_resolution.side must be a multiple of the scale 4, not 50"),
    ({"side": 8}, "super_resolution.side must be a whole number of at least 20"),
    ({"limit": -1}, "super_resolution.limit must be a whole number of at least 1, not -1"),
    ({"blur": -1}, "super_resolution.blur must be a number at least 0"),
    ({"tests": "set5"}, "super_resolution.tests must be a list of names, not 'set5'"),
    ({"tests": [["set5"]]}, "super_resolution.tests must be a list of names, not "),
    ({"metrics": ["ssim"]}, "super_resolution.metrics: ssim, of luma, is measured in any case"),
    ({"metrics": ["nothing"]}, "Unknown metric 'nothing'"),
    ({"train": "tfds:coco"}, "tfds:coco: give the split as well"),
])
def test_wrong_options_are_named(data_dir, given, message):
  with pytest.raises(UserError, match=message):
    make(data_dir, **{"train": "photographs", "held_out": 1, "side": 40, **given}).sizes  # noqa: B018


def test_a_folder_without_images_is_named(tmp_path):
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match=r"There are no images in .*empty"):
    make(tmp_path, train="empty").sizes  # noqa: B018


def test_tests_are_needed_to_test(data_dir):
  task = make(data_dir, train="photographs", held_out=1, side=40, tests=[])
  with pytest.raises(UserError, match=r"super_resolution.tests is empty"):
    task.test(None, seed=0, progress=print)
