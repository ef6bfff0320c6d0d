import collections
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.common import budgets
from perceptual.data.labelled import imagenet64, labelled_sources, preparation, shuffled_writer
from perceptual.errors import UserError

WNIDS = ("n01443537", "n01629819", "n02119789")  # goldfish, salamander, kit fox
FOX_LABEL = 0  # the first of TFDS's list, though the last of these in the alphabet
REPOSITORY = pathlib.Path(__file__).parents[3]


def pixels(number, size=(64, 64)):
  return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path, image, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(image).save(path, **options)


def make_folder(root, classes=WNIDS, train=6, validation=2):
  """Writes random images by class as PNG; returns `{split: {label name: [image]}}`."""
  images = {"train": {}, "validation": {}}
  number = 0
  for split, count in (("train", train), ("validation", validation)):
    for name in classes:
      images[split][name] = [pixels(number + i) for i in range(count)]
      number += count
      for i, image in enumerate(images[split][name]):
        save(root / {"validation": "val"}.get(split, split) / name / f"{name}_{i}.png", image)
  return images


@pytest.fixture
def folder(tmp_path):
  root = tmp_path / "photos"
  make_folder(root)
  return root


def read(data_dir, name="imagenet_resized/64x64"):
  """Returns what TFDS reads: `{split: [(image, label)]}`."""
  data = tfds.load(name, data_dir=data_dir, as_supervised=True)
  return {split: list(tfds.as_numpy(examples)) for split, examples in data.items()}


def as_set(examples):
  return collections.Counter((image.tobytes(), int(label)) for image, label in examples)


def files(folder):
  return {str(path.relative_to(folder)): path.read_bytes()
          for path in sorted(folder.rglob("*")) if path.is_file()}


def directory(data_dir):
  return data_dir / "imagenet_resized/64x64/0.1.0"


@pytest.mark.parametrize("archive", [None, "x.tar", "x.tar.gz", "x.tar.xz"])
def test_tfds_load_gives_the_pixels_and_labels_of_the_source(tmp_path, archive):
  images = make_folder(tmp_path / "photos")
  source = tmp_path / "photos"
  if archive:
    source = tmp_path / archive
    with tarfile.open(source, f"w:{archive.split('.')[2] if archive != 'x.tar' else ''}") as tar:
      tar.add(tmp_path / "photos", arcname="photos")
  report = imagenet64.prepare(source, tmp_path / "data")
  labels = imagenet64.imagenet_labels()
  loaded = read(tmp_path / "data")
  for split in ("train", "validation"):
    expected = [(image, labels.index(name))
                for name, of_class in images[split].items() for image in of_class]
    assert as_set(loaded[split]) == as_set(expected)
  assert report.sizes == {"train": 18, "validation": 6}
  assert report.resized == 0
  assert report.unreadable == []
  assert report.source == source.name


def test_labels_and_features_are_those_of_tfds(tmp_path, folder):
  imagenet64.prepare(folder, tmp_path / "data")
  own = tfds.builder_cls("imagenet_resized")(config="64x64", data_dir=tmp_path / "empty").info
  for name in ("imagenet_resized/64x64", "imagenet_resized/64x64:0.1.0"):
    info = tfds.builder(name, data_dir=tmp_path / "data").info
    assert info.full_name == own.full_name == "imagenet_resized/64x64/0.1.0"
    assert info.features["label"].names == own.features["label"].names
    assert info.features["image"].shape == own.features["image"].shape
    assert info.supervised_keys == own.supervised_keys
  assert imagenet64.imagenet_labels()[FOX_LABEL] == "n02119789"


def test_counts_and_classes_that_are_present(tmp_path, folder):
  (folder / "train/n02119789/n02119789_0.png").unlink()
  imagenet64.prepare(folder, tmp_path / "data")
  labels = imagenet64.imagenet_labels()
  goldfish, salamander = labels.index("n01443537"), labels.index("n01629819")
  assert imagenet64.class_counts(tmp_path / "data") == {
      "train": {FOX_LABEL: 5, goldfish: 6, salamander: 6},
      "validation": {FOX_LABEL: 2, goldfish: 2, salamander: 2}}
  assert imagenet64.builder(tmp_path / "data").info.splits["train"].num_examples == 17


def test_counts_of_a_data_set_prepared_by_another_tool(tmp_path, folder):
  imagenet64.prepare(folder, tmp_path / "data")
  counts = imagenet64.class_counts(tmp_path / "data")
  (directory(tmp_path / "data") / "metadata.json").unlink()
  assert imagenet64.class_counts(tmp_path / "data") == counts
  with pytest.raises(UserError, match=r"made by another tool: .* overwrite"):
    imagenet64.prepare(folder, tmp_path / "data")


def test_other_sizes_are_box_resized_whole(tmp_path):
  big = np.repeat(np.repeat(pixels(0), 2, axis=0), 3, axis=1)  # 128 x 192, in boxes of 2 x 3
  mixed = pixels(1, (100, 150))
  save(tmp_path / "p/train/n01443537/big.png", big)
  save(tmp_path / "p/train/n01629819/mixed.png", mixed)
  save(tmp_path / "p/val/n01443537/small.png", pixels(2))
  report = imagenet64.prepare(tmp_path / "p", tmp_path / "data")
  labels = imagenet64.imagenet_labels()
  by_label = {int(label): image for image, label in read(tmp_path / "data")["train"]}
  np.testing.assert_array_equal(by_label[labels.index("n01443537")], pixels(0))
  np.testing.assert_array_equal(
      by_label[labels.index("n01629819")],
      np.asarray(Image.fromarray(mixed).resize((64, 64), Image.Resampling.BOX)))
  assert report.resized == 2


def test_box_resizing_averages():
  blocks = pixels(0, (64 * 4, 64 * 5)).astype(np.float64)
  means = blocks.reshape(64, 4, 64, 5, 3).mean(axis=(1, 3))
  resized = preparation.box_resized(blocks.astype(np.uint8), 64)
  assert np.abs(resized - means).max() <= 1


def test_class_names_for_people(tmp_path, folder):
  (folder / "classes.tsv").write_text("n01443537\tgoldfish, Carassius auratus\nn99999999\tx\n")
  report = imagenet64.prepare(folder, tmp_path / "data")
  assert report.class_names == {"n01443537": "goldfish, Carassius auratus"}
  assert report.ignored == []


def test_class_folders_of_other_names_are_labels_of_their_own(tmp_path):
  images = make_folder(tmp_path / "pets", classes=("n01443537", "cat", "dog"))
  report = imagenet64.prepare(tmp_path / "pets", tmp_path / "data")
  assert "2 of 3 class folders, such as 'cat', are not ImageNet labels" in report.summary()
  loaded = read(tmp_path / "data", "imagenet_resized/64x64:0.1.0")
  expected = [(image, i) for i, name in enumerate(("cat", "dog", "n01443537"))
              for image in images["train"][name]]
  assert as_set(loaded["train"]) == as_set(expected)
  info = imagenet64.builder(tmp_path / "data").info
  assert info.features["label"].names == ["cat", "dog", "n01443537"]
  assert sorted(imagenet64.class_counts(tmp_path / "data")["train"]) == [0, 1, 2]
  # Without the version TFDS takes its own builder: the same numbers, under ImageNet's names.
  assert as_set(read(tmp_path / "data")["train"]) == as_set(expected)


def test_without_split_folders_a_tenth_is_held_out(tmp_path):
  for name in WNIDS:
    for i in range(10):
      save(tmp_path / "photos" / name / f"{i}.png", pixels(i))
  report = imagenet64.prepare(tmp_path / "photos", tmp_path / "data", seed=3)
  assert report.sizes == {"train": 27, "validation": 3}
  assert set(report.class_counts["validation"].values()) == {1}


def break_image(path, kind="truncated"):
  data = path.read_bytes()
  path.write_bytes({"truncated": data[:len(data) // 2], "empty": b"", "text": b"hello"}[kind])


def test_what_cannot_be_read_is_named_and_left_out(tmp_path, folder):
  bad = {}
  for kind, name in (("truncated", "n01443537_1"), ("empty", "n01443537_2"),
                     ("text", "n01443537_3")):
    break_image(folder / f"train/n01443537/{name}.png", kind)
    bad[f"train/n01443537/{name}.png"] = kind
  (folder / "train/n01443537/n01443537_boxes.txt").write_text("0 0 63 63")
  report = imagenet64.prepare(folder, tmp_path / "data")
  assert [name for name, _ in report.unreadable] == sorted(bad)
  assert dict(report.unreadable)["train/n01443537/n01443537_2.png"] == "empty file"
  assert dict(report.unreadable)["train/n01443537/n01443537_3.png"].startswith("not an image")
  assert report.ignored == ["train/n01443537/n01443537_boxes.txt"]
  assert report.sizes == {"train": 15, "validation": 6}
  assert len(read(tmp_path / "data")["train"]) == 15
  listed = (directory(tmp_path / "data") / "unreadable.txt").read_text().splitlines()
  assert [line.split("\t")[0] for line in listed] == sorted(bad)
  assert "3 images could not be read, such as train/n01443537/n01443537_1.png" in report.summary()


def test_too_many_unreadable_images_are_refused_until_allowed(tmp_path, folder):
  for i in range(3):
    break_image(folder / f"train/n01443537/n01443537_{i}.png")
  with pytest.raises(UserError, match=r"^3 of 24 images could not be read, more than the 2 "
                                      r"allowed, such as train/n01443537/n01443537_0.png") as error:
    imagenet64.prepare(folder, tmp_path / "data", max_unreadable=2)
  listed = pathlib.Path(str(error.value).split(" listed in ")[1].rstrip("."))
  assert len(listed.read_text().splitlines()) == 3
  with pytest.raises(UserError, match="was not finished"):
    imagenet64.builder(tmp_path / "data")
  report = imagenet64.prepare(folder, tmp_path / "data", max_unreadable=3)
  assert report.sizes == {"train": 15, "validation": 6}


def test_by_default_one_in_a_hundred_may_be_unreadable_but_ten_always(tmp_path):
  make_folder(tmp_path / "photos", train=5)
  for name in WNIDS:
    for i in range(4):
      break_image(tmp_path / f"photos/train/{name}/{name}_{i}.png")
  with pytest.raises(UserError, match=r"^11 of 21 images could not be read, more than the 10"):
    imagenet64.prepare(tmp_path / "photos", tmp_path / "data")


def test_a_split_without_a_readable_image(tmp_path, folder):
  for path in (folder / "val").rglob("*.png"):
    break_image(path)
  with pytest.raises(UserError, match="No image of the split 'validation' could be read"):
    imagenet64.prepare(folder, tmp_path / "data")
  assert not directory(tmp_path / "data").exists()


@pytest.fixture
def small_steps(monkeypatch):
  """Commits and shards so small that a few images go through all stages."""
  monkeypatch.setattr(preparation, "COMMIT_EVERY", 4)
  monkeypatch.setattr(shuffled_writer, "EXAMPLES_PER_SHARD", 7)


def test_seed_and_source_alone_make_the_bytes(tmp_path, folder, small_steps):
  for name, seed in (("a", 0), ("b", 0), ("c", 1)):
    imagenet64.prepare(folder, tmp_path / name, seed=seed)
  assert files(tmp_path / "a") == files(tmp_path / "b")
  order = [[image.tobytes() for image, _ in read(tmp_path / name)["train"]] for name in "ac"]
  assert order[0] != order[1]
  assert sorted(order[0]) == sorted(order[1])


def test_every_prefix_of_the_examples_is_a_fair_sample(tmp_path):
  make_folder(tmp_path / "photos", train=60, validation=1)
  imagenet64.prepare(tmp_path / "photos", tmp_path / "data")
  labels = [int(label) for _, label in read(tmp_path / "data")["train"]]
  first = collections.Counter(labels[:60])
  assert len(first) == 3
  assert max(first.values()) < 35  # in the order of the files it would be 60


def test_killed_and_run_again_gives_the_bytes_of_an_uninterrupted_run(
    tmp_path, folder, small_steps):
  break_image(folder / "train/n01443537/n01443537_1.png")
  source = tmp_path / "x.tar.xz"
  with tarfile.open(source, "w:xz") as tar:
    tar.add(folder, arcname=".")
  imagenet64.prepare(source, tmp_path / "whole")
  child = f"""
import os, signal
from perceptual.data.labelled import imagenet64, preparation, shuffled_writer
preparation.COMMIT_EVERY = 4
shuffled_writer.EXAMPLES_PER_SHARD = 7
add = shuffled_writer.ShuffledWriter.add
def killed_at_14(self, index, *record):
  add(self, index, *record)
  if index == 14:
    os.kill(os.getpid(), signal.SIGKILL)
shuffled_writer.ShuffledWriter.add = killed_at_14
imagenet64.prepare({str(source)!r}, {str(tmp_path / "data")!r})
"""
  killed = subprocess.run([sys.executable, "-c", child], cwd=REPOSITORY, check=False)
  assert killed.returncode == -signal.SIGKILL
  unfinished = directory(tmp_path / "data").with_name("0.1.0.unfinished")
  assert json.loads((unfinished / "work/state.json").read_text())["taken"] == 12
  assert not directory(tmp_path / "data").exists()
  with pytest.raises(UserError, match="was not finished: prepare it again"):
    imagenet64.builder(tmp_path / "data")
  imagenet64.prepare(source, tmp_path / "data")
  assert files(tmp_path / "data") == files(tmp_path / "whole")


def interrupt(*_):
  raise KeyboardInterrupt


def test_only_what_is_missing_is_done_again(tmp_path, folder, small_steps, monkeypatch):
  imagenet64.prepare(folder, tmp_path / "whole")
  add = shuffled_writer.ShuffledWriter.add
  added = []

  def noted(self, index, *record):
    added.append(index)
    add(self, index, *record)
    if len(added) == 15:
      interrupt()

  monkeypatch.setattr(shuffled_writer.ShuffledWriter, "add", noted)
  with pytest.raises(KeyboardInterrupt):
    imagenet64.prepare(folder, tmp_path / "data")
  assert added == list(range(15))
  imagenet64.prepare(folder, tmp_path / "data")
  assert added[15:] == list(range(12, 24))
  assert files(tmp_path / "data") == files(tmp_path / "whole")


def test_a_changed_source_is_begun_anew(tmp_path, folder, small_steps, monkeypatch):
  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(shuffled_writer.ShuffledWriter, "finish", interrupt)
    imagenet64.prepare(folder, tmp_path / "data")
  save(folder / "train/n01443537/one_more.png", pixels(99))
  report = imagenet64.prepare(folder, tmp_path / "data")
  assert report.sizes["train"] == 19
  assert len(read(tmp_path / "data")["train"]) == 19


def test_a_complete_data_set_is_left_alone(tmp_path, folder, monkeypatch):
  first = imagenet64.prepare(folder, tmp_path / "data")
  before = files(tmp_path / "data")
  monkeypatch.setattr(labelled_sources, "open_source", None)  # at once: no look at the source
  again = imagenet64.prepare(folder, tmp_path / "data")
  assert again.found
  assert again.summary() == f"Already complete, nothing to do: {first.summary()}"
  assert again.class_counts == first.class_counts
  with pytest.raises(UserError, match="made with source photos, not others: to replace it, over"):
    imagenet64.prepare(tmp_path / "others", tmp_path / "data")
  assert files(tmp_path / "data") == before


def test_overwriting(tmp_path, folder):
  imagenet64.prepare(folder, tmp_path / "data")
  make_folder(tmp_path / "others", train=1)
  report = imagenet64.prepare(tmp_path / "others", tmp_path / "data", overwrite=True)
  assert report.sizes == {"train": 3, "validation": 6}
  assert len(read(tmp_path / "data")["train"]) == 3
  assert os.listdir(directory(tmp_path / "data").parent) == ["0.1.0"]


@pytest.mark.parametrize("make, message", [
    (lambda root: None, "No such folder or archive"),
    (lambda root: root.mkdir(), "No images found"),
    (lambda root: save(root / "a.png", pixels(0)), "lie in no class folder"),
    (lambda root: save(root / "train/a.png", pixels(0)), "lie in no class folder"),
    (lambda root: save(root / "val/cat/a.png", pixels(0)), "no folder 'train'"),
])
def test_folders_that_are_no_source(tmp_path, make, message):
  make(tmp_path / "photos")
  with pytest.raises(UserError, match=message) as error:
    imagenet64.prepare(tmp_path / "photos", tmp_path / "data")
  assert str(tmp_path / "photos") in str(error.value)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "data").exists()


def test_nothing_prepared(tmp_path):
  for function in (imagenet64.builder, imagenet64.class_counts, imagenet64.labelled_images):
    with pytest.raises(UserError) as caught:
      function(tmp_path / "my data")
    assert str(caught.value) == (
        f"No data set in {tmp_path}/my data/imagenet_resized/64x64/0.1.0: prepare it first, with: "
        f"perceptual prepare imagenet64 --source=DIR_OR_TAR --data_dir='{tmp_path}/my data'")


def npz(images, labels):
  stream = io.BytesIO()
  data = np.stack(images).transpose(0, 3, 1, 2).reshape(len(images), -1)
  np.savez(stream, data=data, labels=np.asarray(labels), mean=data.mean(axis=0))
  return stream.getvalue()


def write_zip(path, members):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in members.items():
      archive.writestr(name, content)


@pytest.fixture
def npz_folder(tmp_path):
  """The official zips in small: two train parts, of two npz and of one, and validation."""
  root = tmp_path / "zips"
  root.mkdir()
  images = [pixels(i) for i in range(14)]
  labels = [1, 1000, 3, 3, 2, 1, 7, 8, 9, 1000, 1, 1, 2, 3]
  batches = [npz(images[a:b], labels[a:b]) for a, b in ((0, 4), (4, 7), (7, 11), (11, 14))]
  write_zip(root / "Imagenet64_train_part1_npz.zip",
            {"train_data_batch_1.npz": batches[0], "train_data_batch_2.npz": batches[1]})
  write_zip(root / "Imagenet64_train_part2_npz.zip", {"train_data_batch_3.npz": batches[2]})
  write_zip(root / "Imagenet64_val_npz.zip", {"val_data.npz": batches[3]})
  return root, images, labels


def test_npz_zips(tmp_path, npz_folder):
  root, images, labels = npz_folder
  report = imagenet64.prepare(root, tmp_path / "data")
  loaded = read(tmp_path / "data")
  pairs = [(image, label - 1) for image, label in zip(images, labels)]
  assert as_set(loaded["train"]) == as_set(pairs[:11])
  assert as_set(loaded["validation"]) == as_set(pairs[11:])
  assert report.sizes == {"train": 11, "validation": 3}
  assert sorted(imagenet64.class_counts(tmp_path / "data")["train"]) == [0, 1, 2, 6, 7, 8, 999]


def test_npz_zips_are_read_as_tfds_reads_them(npz_folder):
  root, _, _ = npz_folder
  source = labelled_sources.open_source(
      root, imagenet_labels=imagenet64.imagenet_labels())
  builder = tfds.builder_cls("imagenet_resized")(config="64x64", data_dir=root / "empty")
  by_tfds = []
  for name in labelled_sources.NPZ_ZIPS:
    with zipfile.ZipFile(root / name) as archive:
      members = [(member, archive.open(member)) for member in archive.namelist()]
      by_tfds += [record for _, record in builder._generate_examples(members)]
  ours = list(source.examples())
  assert len(ours) == len(by_tfds) == 14
  for example, record in zip(ours, by_tfds):
    np.testing.assert_array_equal(example.read()[0], record["image"])
    assert example.label == record["label"]


@pytest.mark.parametrize("start", [0, 1, 4, 6, 7, 10, 13, 14])
def test_npz_examples_from_any_place(npz_folder, start):
  source = labelled_sources.open_source(
      npz_folder[0], imagenet_labels=imagenet64.imagenet_labels())
  every = [(example.name, example.label) for example in source.examples()]
  assert [(example.name, example.label) for example in source.examples(start)] == every[start:]


def test_npz_run_that_was_interrupted(tmp_path, npz_folder, small_steps, monkeypatch):
  root, _, _ = npz_folder
  imagenet64.prepare(root, tmp_path / "whole")
  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(shuffled_writer.ShuffledWriter, "finish", interrupt)
    imagenet64.prepare(root, tmp_path / "data")
  imagenet64.prepare(root, tmp_path / "data")
  assert files(tmp_path / "data") == files(tmp_path / "whole")


def replace(name, content):
  return lambda root: write_zip(root / "Imagenet64_val_npz.zip", {name: content})


def saved(**arrays):
  stream = io.BytesIO()
  np.savez(stream, **arrays)
  return stream.getvalue()


ROW = np.zeros((2, 12288), np.uint8)


def of_huge(key):
  """An npz one of whose arrays asks for 800 GB in its head."""
  stream = io.BytesIO()
  np.lib.format.write_array_header_1_0(
      stream, {"descr": "<i8", "fortran_order": False, "shape": (10**11,)})
  arrays = {"data": ROW, "labels": np.array([1, 2])}
  del arrays[key]
  archive = io.BytesIO(saved(**arrays))
  with zipfile.ZipFile(archive, "a") as opened:
    opened.writestr(f"{key}.npy", stream.getvalue())
  return archive.getvalue()


@pytest.mark.parametrize("damage, message", [
    (lambda root: (root / "Imagenet64_train_part2_npz.zip").unlink(),
     "^.*zips lacks Imagenet64_train_part2_npz.zip; needed are Imagenet64_train_part1_npz.zip, "),
    (lambda root: (root / "Imagenet64_val_npz.zip").write_bytes(b"PK"),
     "Imagenet64_val_npz.zip is damaged or truncated"),
    (replace("read.me", b"x"), "Imagenet64_val_npz.zip holds no npz file"),
    (replace("val_data.npz", b"x"), "val_data.npz is damaged"),
    (replace("val_data.npz", saved(labels=[1, 2])),
     "^[^:]*/val_data.npz holds no array 'data'; its arrays: labels"),
    (replace("val_data.npz", saved(data=ROW)), "val_data.npz holds no array 'labels'"),
    (replace("val_data.npz", saved(data=ROW[:, 1:], labels=[1, 2])), "'data' should be uint8"),
    (replace("val_data.npz", saved(data=ROW / 1.0, labels=[1, 2])), "'data' should be uint8"),
    (replace("val_data.npz", saved(data=ROW, labels=[1, 2, 3])), "'data' should be uint8"),
    (replace("val_data.npz", saved(data=ROW, labels=[0, 1])), "'labels' should be from 1 to 1000"),
    (replace("val_data.npz", saved(data=ROW, labels=[1, 1001])), "'labels' should be from 1"),
    (replace("val_data.npz", saved(data=ROW, labels=[1.9, 2.5])),
     r"'labels' should be a row of whole numbers, is float64 \(2,\)"),
    (replace("val_data.npz", of_huge("labels")),
     r"'labels' is int64 \(100000000000,\) by its header, 800,000,000,000 bytes; it has 0"),
    (replace("val_data.npz", of_huge("data")), "'data' is int64 .* 800,000,000,000 bytes"),
])
def test_npz_zips_that_are_not_whole(tmp_path, npz_folder, damage, message):
  damage(npz_folder[0])
  with pytest.raises(UserError, match=message) as error:
    imagenet64.prepare(npz_folder[0], tmp_path / "data")
  assert "\n" not in str(error.value)
  assert not (tmp_path / "data").exists()


def test_an_npz_that_grows_out_of_proportion_is_refused(tmp_path, npz_folder, monkeypatch):
  monkeypatch.setattr(budgets, "ALWAYS_ALLOWED", 2**16)
  zeros = np.zeros((100, 12288), np.uint8)
  replace("val_data.npz", saved(data=zeros, labels=np.ones(100, int)))(npz_folder[0])
  with pytest.raises(UserError, match=r"_val_npz\.zip unpacks to more than 200 times its"):
    imagenet64.prepare(npz_folder[0], tmp_path / "data")



def test_tiny_imagenet_photographs(testdata, tmp_path):
  """Two classes of real photographs, which are 64x64: stored as Pillow decodes them."""
  expected, members = [], []
  with tarfile.open(testdata / "data/tiny-imagenet-100.tar.xz") as tar, \
       tarfile.open(tmp_path / "few.tar", "w") as few:
    for member in tar:
      if member.name.startswith(("train/n01443537/", "train/n01629819/")):
        data = tar.extractfile(member).read()
        few.addfile(member, io.BytesIO(data))
        expected.append((data, member.name.split("/")[1]))
        members.append(member.name)
      if len(members) == 700:
        break
  report = imagenet64.prepare(tmp_path / "few.tar", tmp_path / "data")
  assert report.sizes == {"train": 630, "validation": 70}
  labels = imagenet64.imagenet_labels()
  loaded = read(tmp_path / "data")
  assert as_set(loaded["train"] + loaded["validation"]) == as_set(
      (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), labels.index(name))
      for data, name in expected)
