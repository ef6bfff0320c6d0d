"""Judged sets as one thing: BAPPS as prepared, graded as prepared or made on the spot."""

import io
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from perceptual.data.judged import bapps, graded, judged_sets, numpy_examples, prepare_graded
from perceptual.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:bapps/")  # of counts that are not as published

_SIDE = 32
_PARTS = {"2afc": ("ref", "p0", "p1"), "jnd": ("p0", "p1")}
_ANSWER = {"2afc": "judge", "jnd": "same"}


def _pixels(number, part):
  """Smooth noise whose first colour tells the number of the example, as does its answer."""
  rng = np.random.default_rng([number, len(part)])
  coarse = rng.integers(0, 256, [4, 4, 3], np.uint8)
  image = np.array(Image.fromarray(coarse).resize([_SIDE, _SIDE], Image.Resampling.BICUBIC))
  image[..., 0] = 40 * number
  return image


def _write(root, kind, subset, count):
  folder = root / kind / subset
  for part in (*_PARTS[kind], _ANSWER[kind]):
    (folder / part).mkdir(parents=True)
  for i in range(count):
    for part in _PARTS[kind]:
      Image.fromarray(_pixels(i, part)).save(folder / part / f"{i:06d}.png")
    np.save(folder / _ANSWER[kind] / f"{i:06d}.npy", np.float32(i / 5))


@pytest.fixture(scope="module")
def bapps_dir(tmp_path_factory):
  """A prepared BAPPS of three subsets, in another order than the papers', and the JND set."""
  root, data_dir = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("data")
  for subset, count in [("val/superres", 4), ("val/cnn", 6), ("val/traditional", 5)]:
    _write(root, "2afc", subset, count)
  _write(root, "2afc", "train/mix", 2)
  _write(root, "jnd", "val/traditional", 6)
  _write(root, "jnd", "val/cnn", 3)
  bapps.prepare(root, data_dir)
  return data_dir


@pytest.fixture(scope="module")
def graded_dir(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("graded")
  prepare_graded.prepare("demo", data_dir, limit=12, image_size=64)
  return data_dir


def _images(subset):
  examples = list(subset.images)
  return {key: np.stack([np.asarray(example[key]) for example in examples]) for key in examples[0]}


@pytest.fixture
def without_tensorflow(monkeypatch):
  """Reads as on JAX and PyTorch."""
  return lambda: monkeypatch.setattr(judged_sets, "_reader", lambda: numpy_examples)


@pytest.mark.parametrize(("name", "options"), [
    ("bapps/2afc", {"image_size": _SIDE}), ("bapps/2afc", {"image_size": 8, "limit": 5}),
    ("bapps/jnd", {"image_size": 12}), ("bapps/jnd", {"image_size": 40}), ("graded", {}),
    ("graded/nuisance", {"limit": 3})])
def test_without_tensorflow_the_same_is_read(
    bapps_dir, graded_dir, without_tensorflow, name, options):
  data_dir = bapps_dir if name.startswith("bapps") else graded_dir
  expected = judged_sets.load(name, data_dir=data_dir, **options)
  images = [_images(subset) for subset in expected.subsets]
  without_tensorflow()
  found = judged_sets.load(name, data_dir=data_dir, **options)
  assert (found.name, found.note) == (expected.name, expected.note)
  for ours, theirs, pixels in zip(found.subsets, expected.subsets, images, strict=True):
    np.testing.assert_array_equal(ours.answers, theirs.answers)
    assert ours.groups.keys() == theirs.groups.keys()
    for part, names in ours.groups.items():
      np.testing.assert_array_equal(names, theirs.groups[part])
    for key, image in _images(ours).items():
      assert image.dtype == np.uint8
      # What lies between two levels may be rounded either way.
      difference = np.abs(image.astype(int) - pixels[key])
      assert difference.max() <= 1 and difference.mean() < 0.01


def test_without_tensorflow_the_demo_photographs_give_the_same(without_tensorflow):
  expected = _images(judged_sets.load("graded/nuisance", limit=2).subsets[0])
  without_tensorflow()
  found = _images(judged_sets.load("graded/nuisance", limit=2).subsets[0])
  for key, image in found.items():
    np.testing.assert_array_equal(image, expected[key])


def test_bapps_has_the_papers_order_and_no_training_subset(bapps_dir):
  triplets = judged_sets.load("bapps/2afc", data_dir=bapps_dir, image_size=_SIDE)
  assert (triplets.name, triplets.kind, triplets.by_people) == ("bapps/2afc", "2afc", True)
  assert [(s.name, s.size) for s in triplets.subsets] == [
      ("traditional", 5), ("cnn", 6), ("superres", 4)]
  assert triplets.size == 15
  assert triplets.note == ("judged by people (BAPPS validation); without deblur, color, "
                           "frameinterp")
  pairs = judged_sets.load("bapps/jnd", data_dir=str(bapps_dir), image_size=_SIDE)
  assert [(s.name, s.size) for s in pairs.subsets] == [("traditional", 6), ("cnn", 3)]
  assert (pairs.kind, pairs.note) == ("jnd", "judged by people (BAPPS validation)")


def test_bapps_to_learn_from_is_its_training_part(bapps_dir):
  triplets = judged_sets.load("bapps/2afc", data_dir=bapps_dir, image_size=_SIDE, split="train")
  assert [(s.name, s.size) for s in triplets.subsets] == [("mix", 2)]
  assert (triplets.name, triplets.by_people) == ("bapps/2afc (train)", True)
  assert triplets.note == "judged by people (BAPPS training); without traditional, cnn"


@pytest.mark.parametrize(("name", "split", "culprit"), [
    ("bapps/jnd", "train", "Unknown judged set to learn from 'bapps/jnd'. Available: bapps/2afc, "),
    ("graded", "train", "Unknown judged set to learn from 'graded'. Available: bapps/2afc, tea"),
    ("teacher", "train", "No data set in .*/teacher/cross_train/1.0.0: prepare it first"),
    ("teacher", "test", "Unknown split of a judged set 'test'. Available: val, train"),
])
def test_splits_that_there_are_not(tmp_path, name, split, culprit):
  with pytest.raises(UserError, match=culprit):
    judged_sets.load(name, data_dir=tmp_path, split=split)


@pytest.mark.parametrize("kind", ["2afc", "jnd"])
def test_images_and_answers_belong_together_and_are_those_of_the_files(bapps_dir, kind):
  for subset in judged_sets.load(f"bapps/{kind}", data_dir=bapps_dir, image_size=_SIDE).subsets:
    images = _images(subset)
    assert set(images) == set(judged_sets.IMAGE_KEYS[kind])
    numbers = images["reference"][:, 0, 0, 0] // 40
    assert sorted(numbers) == list(range(subset.size))
    np.testing.assert_allclose(subset.answers, numbers / 5, atol=1e-7)
    assert subset.answers.dtype == np.float64 and subset.groups == {}
    for key, part in zip(judged_sets.IMAGE_KEYS[kind], _PARTS[kind]):
      np.testing.assert_array_equal(images[key], [_pixels(n, part) for n in numbers])


def test_bapps_is_resized_as_pillow_does(bapps_dir):
  subset = judged_sets.load("bapps/2afc", data_dir=bapps_dir, image_size=8).subsets[0]
  for key, spec in subset.images.element_spec.items():
    assert (key, spec) == (key, tf.TensorSpec([8, 8, 3], tf.uint8))
  images = _images(subset)
  for key, part in zip(judged_sets.IMAGE_KEYS["2afc"], _PARTS["2afc"]):
    for image in images[key]:
      number = image[0, 0, 0] // 40
      expected = Image.fromarray(_pixels(number, part)).resize([8, 8], Image.Resampling.BILINEAR)
      difference = np.abs(image.astype(int) - np.asarray(expected))
      assert difference.max() <= 1 and difference.mean() < 0.2


@pytest.mark.parametrize("error", [tf.errors.NotFoundError, UserError])
def test_images_are_kept_in_memory_after_the_first_pass(
    bapps_dir, tmp_path, monkeypatch, without_tensorflow, error):
  if error is UserError:
    without_tensorflow()

  def load_and_iterate_twice(data_dir):
    shutil.copytree(bapps_dir, data_dir)
    subset = judged_sets.load("bapps/jnd", data_dir=data_dir, image_size=_SIDE).subsets[0]
    first = _images(subset)
    shutil.rmtree(data_dir)
    return first, _images(subset)

  first, second = load_and_iterate_twice(tmp_path / "kept")
  np.testing.assert_array_equal(first["candidate"], second["candidate"])
  monkeypatch.setattr(judged_sets, "CACHE_BYTES", 6 * 2 * _SIDE * _SIDE * 3 - 1)
  with pytest.raises(error):
    load_and_iterate_twice(tmp_path / "too_large")


def test_a_limit_takes_the_first_of_each_subset_and_says_so(bapps_dir):
  whole = judged_sets.load("bapps/2afc", data_dir=bapps_dir, image_size=_SIDE)
  first = judged_sets.load("bapps/2afc", data_dir=bapps_dir, image_size=_SIDE, limit=5)
  assert [s.size for s in first.subsets] == [5, 5, 4]
  for some, every in zip(first.subsets, whole.subsets):
    np.testing.assert_array_equal(some.answers, every.answers[:5])
    np.testing.assert_array_equal(_images(some)["reference"], _images(every)["reference"][:5])
  assert first.note.endswith("; at most 5 examples a subset")
  assert "at most" not in judged_sets.load("bapps/2afc", data_dir=bapps_dir, limit=7).note


def test_prepared_graded_sets_have_families_and_say_that_no_human_judged(graded_dir):
  both = judged_sets.load("graded", data_dir=graded_dir)
  assert [s.name for s in both.subsets] == ["monotone", "nuisance"]
  assert both.note == graded.LABEL and not both.by_people and both.kind == "2afc"
  monotone, nuisance = both.subsets
  assert set(monotone.groups) == {"family"}
  assert set(nuisance.groups) == {"harmless family", "damage family", "pair of families"}
  for subset in both.subsets:
    assert set(np.unique(subset.answers)) <= {0.0, 1.0}
    assert all(len(names) == subset.size for names in subset.groups.values())
    assert _images(subset)["candidate_1"].shape == (subset.size, 64, 64, 3)
  harmless = {"small_shift", "small_rotation", "brighter", "flatter"}
  assert set(nuisance.groups["harmless family"]) <= harmless
  assert not set(nuisance.groups["damage family"]) & harmless
  for i, pair in enumerate(nuisance.groups["pair of families"]):
    assert pair == (f"{nuisance.groups['harmless family'][i]} vs "
                    f"{nuisance.groups['damage family'][i]}")


def test_one_graded_set_alone(graded_dir):
  one = judged_sets.load("graded/nuisance", data_dir=graded_dir)
  assert (one.name, [s.name for s in one.subsets]) == ("graded/nuisance", ["nuisance"])


def test_the_closer_candidate_of_a_family_pair_is_the_harmless_one():
  columns = {"judge": np.array([1.0, 0.0]), "family_0": np.array([b"jpeg", b"shift"]),
             "family_1": np.array([b"shift", b"jpeg"])}
  groups = judged_sets._family_groups(columns)
  assert list(groups["harmless family"]) == ["shift", "shift"]
  assert list(groups["damage family"]) == ["jpeg", "jpeg"]
  assert list(groups["pair of families"]) == ["shift vs jpeg"] * 2


def test_without_a_data_dir_graded_sets_are_made_from_the_demo_photographs():
  made = judged_sets.load("graded/nuisance", limit=9)
  assert made.note == (f"{graded.LABEL}; made from the embedded demo photographs; "
                       "at most 9 examples a subset")
  again = judged_sets.load("graded/nuisance", limit=9)
  np.testing.assert_array_equal(made.subsets[0].answers, again.subsets[0].answers)
  ours, theirs = _images(made.subsets[0]), _images(again.subsets[0])
  for key in judged_sets.IMAGE_KEYS["2afc"]:
    assert ours[key].shape == (9, 64, 64, 3) and ours[key].dtype == np.uint8
    np.testing.assert_array_equal(ours[key], theirs[key])


def test_an_unknown_set_lists_the_known_ones():
  for name in ("bapps/3afc", "bapps", "monotone", ""):
    with pytest.raises(UserError) as caught:
      judged_sets.load(name)
    assert str(caught.value) == (f"Unknown judged set '{name}'. Available: bapps/2afc, bapps/jnd, "
                                 "graded, graded/monotone, graded/nuisance, teacher.")


@pytest.mark.parametrize(("name", "sought"), [
    ("bapps/2afc", "bapps/2afc"), ("bapps/jnd", "bapps/jnd"),
    ("graded/nuisance", "graded/nuisance"), ("graded", "graded/monotone")])
def test_a_set_that_is_not_there_is_named(tmp_path, name, sought):
  with pytest.raises(UserError, match=f"No data set in {tmp_path}/{sought}/1.0.0: prepare it"):
    judged_sets.load(name, data_dir=tmp_path)


def test_bapps_needs_a_folder():
  with pytest.raises(UserError, match="bapps/2afc needs a data_dir"):
    judged_sets.load("bapps/2afc")


def _shards(folder):
  return sorted(pathlib.Path(folder).rglob("*.tfrecord*"))


@pytest.mark.parametrize("name", ["bapps/jnd", "graded/nuisance"])
def test_half_written_sets_are_refused(bapps_dir, graded_dir, tmp_path, name):
  source = bapps_dir if name.startswith("bapps") else graded_dir
  folder = tmp_path / name
  shutil.copytree(source / name, folder)
  judged_sets.load(name, data_dir=tmp_path, limit=1)
  shard = _shards(folder)[0]
  shard.write_bytes(shard.read_bytes()[:-10])
  with pytest.raises(UserError, match=r"is not whole: .* bytes instead of"):
    judged_sets.load(name, data_dir=tmp_path)
  shard.unlink()
  with pytest.raises(UserError, match=r"is not whole: .* is missing"):
    judged_sets.load(name, data_dir=tmp_path)
  (folder / "1.0.0").rename(folder / "1.0.0.unfinished")
  with pytest.raises(UserError, match="was not finished"):
    judged_sets.load(name, data_dir=tmp_path)


def test_a_set_of_training_subsets_alone_cannot_be_scored(tmp_path):
  _write(tmp_path / "files", "2afc", "train/mix", 2)
  bapps.prepare(tmp_path / "files", tmp_path / "data")
  with pytest.raises(UserError, match=r"has no validation subset: its splits are train_mix. "
                                      "Published are traditional, cnn, superres"):
    judged_sets.load("bapps/2afc", data_dir=tmp_path / "data")


def _png(size):
  stream = io.BytesIO()
  Image.new("RGB", size).save(stream, "PNG")
  return stream.getvalue()


@pytest.mark.parametrize(("example", "message"), [
    ({"reference": [_png((20, 10))]}, r"^image 'reference' of the judged set: more than 0.0001"),
    ({"reference": [b"junk"]}, "^image 'reference' of the judged set: not an image"),
    ({"reference": []}, "holds no image 'reference'"), ({}, "holds no image 'reference'")])
def test_images_of_judged_sets_keep_the_rules_of_images(monkeypatch, example, message):
  monkeypatch.setenv("PERCEPTUAL_MAX_MEGAPIXELS", "0.0001")
  images = numpy_examples.images(
      lambda: [example], ["reference"], size=None, count=1, cache_bytes=0)
  with pytest.raises(UserError, match=message):
    list(images)
