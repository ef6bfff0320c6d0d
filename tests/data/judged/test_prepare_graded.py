"""Prepared graded sets: TFDS reads what was made, from every kind of source; one-line errors."""

import hashlib
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.data import tfds_files
from perceptual.data.images import image_files
from perceptual.data.judged import graded, prepare_graded
from perceptual.data.labelled import demo
from perceptual.errors import UserError


@pytest.fixture(scope="module")
def crops():
  return demo.crops("validation", per_photograph=1)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, crops):
  """Six images of two classes under `val`, one under `train`, and one that is no image."""
  root = tmp_path_factory.mktemp("images")
  names = ["val/a/1.png", "val/a/2.png", "val/b/1.png", "val/b/2.png", "val/b/3.png", "train/a.png"]
  for name, crop in zip(names, crops[4:]):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_files.encode_png(crop))
  (root / "val/a/broken.png").write_bytes(b"no image")
  return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, folder):
  data_dir = tmp_path_factory.mktemp("data")
  return data_dir, prepare_graded.prepare(folder, data_dir, seed=5, per_image=3, under="val")


def files_hash(directory):
  """Returns a hash of the shards, which hold the triplets and nothing about where they lie."""
  return hashlib.sha256(b"".join(
      path.read_bytes() for path in sorted(directory.glob("*.tfrecord*")))).hexdigest()


@pytest.mark.parametrize("kind", graded.KINDS)
def test_tfds_reads_the_very_triplets(prepared, crops, kind):
  data_dir, _ = prepared
  examples = list(tfds.load(f"graded/{kind}", split="val", data_dir=data_dir).as_numpy_iterator())
  made = {t["id"]: t for t in graded.triplets(crops[4:9], kind, seed=5, per_image=3)}
  assert {example["id"].decode() for example in examples} == set(made)
  for example in examples:
    triplet = made[example["id"].decode()]
    for key in ("reference", "candidate_0", "candidate_1", "judge"):
      assert example[key].dtype == triplet[key].dtype
      np.testing.assert_array_equal(example[key], triplet[key])
    for key in ("family_0", "family_1"):
      assert example[key].decode() == triplet[key]


@pytest.mark.parametrize("kind", graded.KINDS)
def test_metadata_tell_how_the_set_came_to_be(prepared, folder, crops, kind):
  data_dir, report = prepared
  info = prepare_graded.open_prepared(kind, data_dir).info
  assert info.description.startswith(graded.LABEL)
  assert info.metadata["label"] == graded.LABEL
  assert info.metadata["kind"] == kind
  assert (info.metadata["seed"], info.metadata["per_image"]) == (5, 3)
  assert info.metadata["source"] == str(folder)
  assert info.metadata["images_sha256"] == hashlib.sha256(crops[4:9].tobytes()).hexdigest()
  assert info.metadata["counts"] == report.counts[kind]
  assert info.metadata["counts"]["triplets"] == info.splits["val"].num_examples > 0


def test_the_report_counts_and_names(prepared):
  _, report = prepared
  assert report.images == 5
  (name, reason), = report.unreadable.items()
  assert name == "val/a/broken.png" and reason.startswith("not an image")
  for kind, counts in report.counts.items():
    assert counts["triplets"] + counts["skipped"] == 15
    assert report.directories[kind].is_dir()
    assert f"graded/{kind}: {counts['triplets']} triplets" in str(report)
  assert str(report).startswith(graded.LABEL)
  assert "val/a/broken.png" in str(report)


def test_an_archive_gives_the_same_bytes_as_its_folder(prepared, folder, tmp_path):
  _, report = prepared
  archive = tmp_path / "images.tar.xz"
  with tarfile.open(archive, "w:xz") as tar:
    for path in sorted(folder.rglob("*.png"), reverse=True):  # in another order than the folder
      tar.add(path, f"top/{path.relative_to(folder)}")
  from_archive = prepare_graded.prepare(archive, tmp_path, seed=5, per_image=3, under="val")
  for kind, directory in report.directories.items():
    assert files_hash(from_archive.directories[kind]) == files_hash(directory)


def test_other_sizes_are_cropped_to_their_centre_and_box_resized(tmp_path):
  """A 200x128 image whose central square holds 2x2 blocks becomes its blocks' means."""
  blocks = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
  wide = np.zeros((128, 200, 3), np.uint8)
  wide[:, 36:164] = blocks.repeat(2, axis=0).repeat(2, axis=1)
  (tmp_path / "images").mkdir()
  Image.fromarray(wide).save(tmp_path / "images/wide.png")
  Image.fromarray(blocks[:, :, 0]).save(tmp_path / "images/grey.png")
  prepare_graded.prepare(tmp_path / "images", tmp_path, kinds=("monotone",), per_image=1)
  grey, colour = (
      example["reference"] for example in tfds.load(
          "graded/monotone", split="val", data_dir=tmp_path).as_numpy_iterator())
  np.testing.assert_array_equal(colour, blocks)
  np.testing.assert_array_equal(grey, blocks[:, :, :1].repeat(3, axis=2))


def test_a_limit_is_spread_over_the_source(folder, tmp_path, crops):
  prepare_graded.prepare(folder, tmp_path, kinds=["monotone"], under="val/b", limit=2)
  references = [example["reference"] for example in tfds.load(
      "graded/monotone", split="val", data_dir=tmp_path).as_numpy_iterator()]
  np.testing.assert_array_equal(references, crops[[6, 8]])


def test_from_the_prepared_imagenet(tmp_path, crops):
  features = tfds.features.FeaturesDict({
      "image": tfds.features.Image(shape=(64, 64, 3)),
      "label": tfds.features.ClassLabel(num_classes=2)})
  examples = [{"image": crop, "label": 0} for crop in crops[4:9]]
  tfds_files.write_dataset(
      tmp_path, name="imagenet_resized", config="64x64", version="0.1.0", features=features,
      splits={"train": examples[:1], "validation": examples})
  report = prepare_graded.prepare("imagenet64", tmp_path, kinds=["monotone"], limit=3)
  references = [example["reference"] for example in tfds.load(
      "graded/monotone", split="val", data_dir=tmp_path).as_numpy_iterator()]
  assert report.images == 3
  np.testing.assert_array_equal(references, crops[[4, 6, 8]])


def test_from_the_demo_photographs_at_another_size(tmp_path):
  prepare_graded.prepare("demo", tmp_path, kinds=["nuisance"], limit=12, image_size=48)
  builder = prepare_graded.open_prepared("nuisance", tmp_path)
  assert builder.info.features["reference"].shape == (48, 48, 3)
  assert builder.info.splits["val"].num_examples > 3


def test_sets_that_are_there_are_kept_unless_overwritten(prepared, folder):
  data_dir, report = prepared
  before = files_hash(report.directories["monotone"])
  for options, told in (({"seed": 6, "under": "val"}, "seed 5, not 6"),
                        ({"seed": 5}, "under val, not None"),
                        ({"seed": 5, "under": "val", "limit": 4},
                         "images 5 of SHA-256 .*, not 3 of SHA-256")):
    with pytest.raises(UserError, match=f"already holds a data set, made with {told}.*: to replac"):
      prepare_graded.prepare(folder, data_dir, per_image=3, **options)
  assert files_hash(report.directories["monotone"]) == before
  again = prepare_graded.prepare(folder, data_dir, seed=5, per_image=3, under="val", overwrite=True)
  assert files_hash(again.directories["monotone"]) == before


@pytest.mark.parametrize("options, culprit", [
    ({"kinds": ["hard"]}, "'hard'"),
    ({"kinds": []}, "kinds"),
    ({"kinds": "monotone"}, "kinds"),
    ({"kinds": ["monotone", "monotone"]}, "each once"),
    ({"seed": -1}, "-1"),
    ({"per_image": 0}, "per_image"),
    ({"image_size": 16}, "16"),
    ({"limit": 0}, "limit"),
    ({"under": "test"}, "'test'"),
    ({"source": "demo", "under": "val"}, "no folders"),
    ({"source": "imagenet64"}, "imagenet_resized"),
    ({"source": "nowhere"}, "nowhere"),
])
def test_mistakes_are_one_line_and_write_nothing(folder, tmp_path, options, culprit):
  arguments = {"source": folder, **options}
  with pytest.raises(UserError, match=culprit) as error:
    prepare_graded.prepare(arguments.pop("source"), tmp_path, **arguments)
  assert "\n" not in str(error.value)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content, culprit", [
    (b"no image", "could be read"),
    (image_files.encode_png(np.zeros((64, 64, 3), np.uint8)), "'nuisance'"),
])
def test_a_source_without_a_usable_image_leaves_nothing(tmp_path, content, culprit):
  (tmp_path / "images").mkdir()
  (tmp_path / "images/only.png").write_bytes(content)
  with pytest.raises(UserError, match=culprit) as error:
    prepare_graded.prepare(tmp_path / "images", tmp_path / "data", kinds=["nuisance"])
  assert "\n" not in str(error.value)
  assert not list(tmp_path.rglob("*tfrecord*"))


def test_a_missing_or_half_set_is_not_opened(prepared, tmp_path):
  with pytest.raises(UserError, match="No data set"):
    prepare_graded.open_prepared("monotone", tmp_path)
  with pytest.raises(UserError, match="'hard'"):
    prepare_graded.open_prepared("hard", tmp_path)
  data_dir, _ = prepared
  shutil.copytree(data_dir / "graded/monotone", tmp_path / "graded/monotone")
  next(tmp_path.rglob("*tfrecord*")).unlink()
  with pytest.raises(UserError, match="tfrecord"):
    prepare_graded.open_prepared("monotone", tmp_path)


def test_the_features_are_those_that_evaluation_reads(prepared):
  data_dir, _ = prepared
  features = prepare_graded.open_prepared("nuisance", data_dir).info.features
  assert set(features) == {"reference", "candidate_0", "candidate_1", "judge", "family_0",
                           "family_1", "id"}
  assert features["judge"].tf_dtype == tf.float32


def test_killed_between_its_kinds_the_same_command_goes_on(prepared, folder, tmp_path):
  """And ends as if it had not been killed; another command does not."""
  _, whole = prepared
  options = {"seed": 5, "per_image": 3, "under": "val"}
  first = graded.KINDS[0]
  prepare_graded.prepare(folder, tmp_path, kinds=(first,), **options)
  with pytest.raises(UserError, match="already holds a data set"):
    prepare_graded.prepare(folder, tmp_path, **{**options, "seed": 6})
  report = prepare_graded.prepare(folder, tmp_path, **options)
  assert report.counts == whole.counts
  for kind in graded.KINDS:
    assert files_hash(report.directories[kind]) == files_hash(whole.directories[kind])
  assert report.found == (first,)
  again = prepare_graded.prepare(folder, tmp_path, **options)
  assert again.found == graded.KINDS and again.counts == whole.counts
  assert str(again).count("Already complete, nothing to do: graded/") == len(
      str(again).splitlines()) == len(graded.KINDS)
