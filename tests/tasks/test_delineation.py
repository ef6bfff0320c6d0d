"""Delineation: the published network, windows with imagery, measures, and what is refused."""

import math
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from perceptual.errors import UserError
from perceptual.tasks.delineation import make, measures, network, tiles


def test_the_network_has_the_published_number_of_weights():
  model = network.build()
  assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 64_546
  assert model(keras.KerasTensor((2, 32, 48, 4))).shape == (2, 32, 48, 1)
  assert network.build(leak=0.2).count_params() == model.count_params()


# Windows.


def test_windows_are_where_there_is_imagery():
  image = np.full((20, 30, 3), 255, np.uint8)
  image[:, :16] = 100
  image[:, 10] = (255, 255, 100)  # saturated, but not white
  allowed = tiles.windows_with_imagery(image, 10)
  assert allowed.shape == (11, 21)
  np.testing.assert_array_equal(allowed, np.broadcast_to(np.arange(21) <= 6, (11, 21)))


def test_one_blank_pixel_in_a_hundred_is_too_many():
  image = np.zeros((20, 20, 3), np.uint8)
  image[:2, :2] = 255  # 4 of 400 are 1%
  assert not tiles.windows_with_imagery(image, 20).any()
  image[0, 0] = 0
  assert tiles.windows_with_imagery(image, 20).all()


def test_a_blank_tile_is_left_out_and_drawn_windows_never_are_blank(data_dir, tasks):
  source = tiles.Tiles("roads", data_dir, 48)
  assert source.names == ("1", "2", "3") and source.left_out == ("0",)
  assert "left out, without a window of imagery: 0" in tasks["delineation"].description()
  draw = np.random.default_rng(0)
  for _ in range(20):
    image, mask = source.drawn("1", draw)
    assert image.shape == (48, 48, 3) and mask.shape == (48, 48, 1)
    assert (image.min(axis=-1) < 250).mean() > 0.99
  assert source.grid() == [(name, (0, left)) for name in source.names for left in (0, 48)]


def test_a_window_and_its_mask_are_mirrored_together(data_dir):
  task = make(data_dir, train="roads", held_out=1, side=48, flip=True)
  for seed in range(8):
    draw = np.random.default_rng(seed)
    example = task._drawn(0, draw)
    road = example["target"][:, :, 0].all(axis=0)  # the vertical road, three pixels wide
    assert road.sum() in (0, 1, 2, 3)
    tile = task._tiles["train"].read(task._names["train"][0])
    found = [example["input"].tobytes() == image[top:top + 48, left:left + 48].tobytes()
             and example["target"].tobytes() == mask[top:top + 48, left:left + 48].tobytes()
             for image, mask in ((tile.image, tile.mask),
                                 (tile.image[:, ::-1], tile.mask[:, ::-1]))
             for top in range(33) for left in range(65)]
    assert any(found)


def test_refinement_gives_the_network_its_own_map(data_dir):
  task = make(data_dir, train="roads", held_out=1, side=48, refinements=3)
  given = []

  def model(inputs, training):
    given.append(np.asarray(inputs[..., 3:]))
    return inputs[..., :1] * 0 + len(given)

  outputs = task.outputs(model, np.zeros((1, 48, 48, 3), np.float32), training=True)
  assert [weight for weight, _ in outputs] == [1 / 6, 2 / 6, 3 / 6]
  assert [maps.max() for maps in given] == [0, 1, 2]


# Measures.


def test_measures_by_pixels_are_those_of_their_closed_forms():
  mask, found = np.zeros((2, 4, 4), bool)
  mask[0], found[0, :2], found[1, :1] = True, True, True  # 2 found, 2 missed, 1 false
  assert measures.by_pixels(mask, found) == {
      "completeness": 0.5, "correctness": pytest.approx(2 / 3), "quality": 0.4}


def test_skeletons_may_be_apart_by_the_tolerance():
  mask, near, far = np.zeros((3, 40, 40), bool)
  mask[20, 5:35], near[22, 5:35], far[23, 5:35] = True, True, True
  assert measures.by_skeletons(mask, near, tolerance=2) == dict.fromkeys(measures.NAMES, 1)
  assert measures.by_skeletons(mask, far, tolerance=2) == dict.fromkeys(measures.NAMES, 0)
  assert measures.by_pixels(mask, near)["quality"] == 0, "where pixels see no road at all"


def test_quality_of_skeletons_is_that_of_its_formula():
  mask, found = np.zeros((2, 40, 60), bool)
  mask[20, 10:50] = True
  found[20, 10:30] = True
  found[5, 10:30] = True
  measured = measures.by_skeletons(mask, found, tolerance=0)
  assert measured["completeness"] == 0.5 and measured["correctness"] == 0.5
  assert measured["quality"] == pytest.approx(0.25 / 0.75)


@pytest.mark.parametrize("measure", [measures.by_pixels, measures.by_skeletons])
def test_what_is_empty_is_not_defined(measure):
  empty, road = np.zeros((2, 20, 20), bool)
  road[10] = True
  assert all(np.isnan(value) for value in measure(empty, empty).values())
  nothing_there, nothing_found = measure(empty, road), measure(road, empty)
  assert np.isnan(nothing_there["completeness"]) and nothing_there["correctness"] == 0
  assert np.isnan(nothing_found["correctness"]) and nothing_found["completeness"] == 0
  assert nothing_there["quality"] == nothing_found["quality"] == 0


def test_how_many_images_are_left_out_of_a_mean_is_said(tasks):
  task = tasks["delineation"]
  found = task.test(lambda inputs, training: inputs[..., :1] * 0, seed=0,
                    progress=lambda line: None)
  windows = next(result for result in found if result.protocol == "windows")
  assert len(windows.items) == 6
  assert windows.note == (
      "roads, windows: not defined, and left out of means (an empty mask, or nothing found): "
      "correctness of 6 of 6 images")
  assert np.isnan(windows.measures["correctness"]).all()
  np.testing.assert_array_equal(windows.measures["completeness"], 0)


# What is refused.


@pytest.fixture
def roads(data_dir, tmp_path):
  """A copy of the tiles, to be spoilt."""
  return shutil.copytree(data_dir / "roads", tmp_path / "roads")


def _image(path, array):
  Image.fromarray(array).save(path)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda roads: (roads / "masks" / "2.png").unlink(),
     "images has 2, .*masks does not: every photograph needs a mask of its name"),
    (lambda roads: (roads / "images" / "1.png").unlink(), "masks has 1, .*images does not"),
    (lambda roads: shutil.copy(roads / "images" / "1.png", roads / "images" / "1.bmp"),
     "images has both 1.bmp and 1.png"),
    (lambda roads: shutil.rmtree(roads / "masks"), "There is no folder .*masks"),
    (lambda roads: _image(roads / "masks" / "1.png", np.zeros((80, 90), np.uint8)),
     "1.png has 90x80 pixels, its photograph 112x80: they must be of one size"),
    (lambda roads: _image(roads / "masks" / "1.png", np.full((80, 112), 7, np.uint8)),
     "1.png is not a mask: its values must be 0 and 255"),
    (lambda roads: _image(roads / "masks" / "1.png", np.zeros((80, 112, 4), np.uint8)),
     "1.png is not a mask: some of it is transparent"),
    (lambda roads: [_image(roads / part / "1.png", np.zeros((40, 60), np.uint8))
                    for part in ("images", "masks")],
     "1.png has 60x40 pixels; windows of 48 need that many a side"),
    (lambda roads: [_image(path, np.full((80, 112, 3), 255, np.uint8))
                    for path in (roads / "images").iterdir()],
     "No tile of .*roads has a window of 48 pixels a side with imagery"),
])
def test_what_is_wrong_with_a_folder_is_named(roads, spoil, message):
  spoil(roads)
  with pytest.raises(UserError, match=message):
    make(roads.parent, train="roads", side=48).sizes  # noqa: B018


def test_a_folder_without_a_window_to_test_on_is_named(roads):
  for path in (roads / "images").iterdir():
    image = np.full((80, 112, 3), 9, np.uint8)
    image[0] = 255  # windows side by side begin in this row
    _image(path, image)
  task = make(roads.parent, train="not needed", side=48, tests=["roads"])
  with pytest.raises(UserError, match="roads: no window of 48 pixels a side has imagery"):
    task.test(None, seed=0, progress=lambda line: None)


def test_an_opaque_mask_may_have_an_alpha_channel(roads):
  mask = np.asarray(Image.open(roads / "masks" / "1.png").convert("RGBA"))
  before = make(roads.parent, train="roads", side=48).as_data()
  _image(roads / "masks" / "1.png", mask)
  assert make(roads.parent, train="roads", side=48).as_data() == before


def test_a_folder_that_is_named_twice_is_tested_on_once(tasks, data_dir):
  task = make(data_dir, train="roads", side=48, tests=["roads", "roads"])
  found = task.test(task.build(), seed=0, progress=lambda line: None)
  assert [result.protocol for result in found] == ["windows", "study"]


@pytest.mark.parametrize(("given", "message"), [
    ({"side": 50}, "delineation.side must be a multiple of 16, not 50"),
    ({"refinements": 0}, "delineation.refinements must be a whole number of at least 1"),
    ({"tolerance": -1}, "delineation.tolerance must be a whole number of at least 0"),
    ({"leak": 1.0}, "delineation.leak must be a number at least 0 and below 1"),
    ({"held_out": 3}, "roads has 3 tiles with imagery, of which delineation.held_out = 3"),
    ({"validation": "roads"}, "delineation.validation is delineation.train, roads: name another"),
    ({"train": None}, "delineation.train is not given"),
    ({"tests": "roads"}, "delineation.tests must be a list of folders"),
    ({"tests": [5]}, r"delineation.tests must be a list of folders, not \[5\]"),
    ({"train": 5}, "A folder of images is named by its path, not by 5"),
])
def test_wrong_options_are_named(data_dir, given, message):
  with pytest.raises(UserError, match=message):
    make(data_dir, **{"train": "roads", "side": 48, **given}).sizes  # noqa: B018
