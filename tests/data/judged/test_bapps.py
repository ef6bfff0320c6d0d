import io
import tarfile
import warnings

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from perceptual.data.judged import bapps, bapps_files
from perceptual.errors import UserError

FOLDERS = {"2afc": ("ref", "p0", "p1"), "jnd": ("p0", "p1")}
ANSWER = {"2afc": "judge", "jnd": "same"}
SIZE = (12, 16)

pytestmark = pytest.mark.filterwarnings("ignore:bapps/")


def png(number):
  pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, "PNG")
  return stream.getvalue()


def make_subset(root, kind, subset, count, judges):
  """Writes a subset; the answers are the multiples of 1 / judges in turn."""
  folder = root / kind / subset
  for part in (*FOLDERS[kind], ANSWER[kind]):
    (folder / part).mkdir(parents=True)
  for i in range(count):
    for j, part in enumerate(FOLDERS[kind]):
      (folder / part / f"{i:06d}.png").write_bytes(png(10 * i + j))
    answer = np.array([i % (judges + 1) / judges], np.float32)
    np.save(folder / ANSWER[kind] / f"{i:06d}.npy", answer)
  return folder


@pytest.fixture
def source(tmp_path):
  """BAPPS in small: four subsets, 16 triplets and 8 pairs."""
  root = tmp_path / "dataset"
  make_subset(root, "2afc", "train/mix", 4, judges=2)
  make_subset(root, "2afc", "val/cnn", 8, judges=5)
  make_subset(root, "2afc", "val/superres", 4, judges=5)
  make_subset(root, "jnd", "val/traditional", 8, judges=3)
  return root


def data_sets(data_dir):
  return sorted(str(p.parent.relative_to(data_dir)) for p in data_dir.rglob("dataset_info.json"))


def check_examples(data, source, kind, split, count, judges):
  """Checks every example against the files of its subset."""
  parts = {"2afc": {"ref": "reference", "p0": "candidate_0", "p1": "candidate_1"},
           "jnd": {"p0": "reference", "p1": "candidate"}}[kind]
  seen = set()
  for example in tfds.as_numpy(data):
    phase, subset, name = example["id"].decode().split("/")
    assert f"{phase}_{subset}" == split
    for part, key in parts.items():
      with Image.open(source / kind / phase / subset / part / f"{name}.png") as image:
        np.testing.assert_array_equal(example[key], np.asarray(image))
    assert example[ANSWER[kind]] == np.float32(int(name) % (judges + 1) / judges)
    assert example[ANSWER[kind]].dtype == np.float32
    seen.add(name)
  assert len(seen) == count


def test_prepared_from_a_local_folder(tmp_path, source):
  report = bapps.prepare(source, tmp_path / "data")
  assert report.sizes == {
      "2afc": {"train_mix": 4, "val_cnn": 8, "val_superres": 4}, "jnd": {"val_traditional": 8}}
  triplets = tfds.load("bapps/2afc", data_dir=tmp_path / "data")
  pairs = tfds.load("bapps/jnd", data_dir=tmp_path / "data")
  check_examples(triplets["train_mix"], source, "2afc", "train_mix", 4, judges=2)
  check_examples(triplets["val_cnn"], source, "2afc", "val_cnn", 8, judges=5)
  check_examples(triplets["val_superres"], source, "2afc", "val_superres", 4, judges=5)
  check_examples(pairs["val_traditional"], source, "jnd", "val_traditional", 8, judges=3)
  assert data_sets(tmp_path / "data") == ["bapps/2afc/1.0.0", "bapps/jnd/1.0.0"]
  assert not list((tmp_path / "data/bapps").rglob("*unfinished*"))


def test_the_bytes_of_the_files_are_stored(tmp_path, source):
  bapps.prepare(source, tmp_path / "data", configs=["2afc"])
  data = bapps.open_prepared("2afc", tmp_path / "data").as_dataset(
      split="val_cnn", decoders={"candidate_1": tfds.decode.SkipDecoding()})
  for example in tfds.as_numpy(data):
    name = example["id"].decode().split("/")[-1]
    assert example["candidate_1"] == (source / f"2afc/val/cnn/p1/{name}.png").read_bytes()


def test_the_builder_works_from_the_manual_folder(tmp_path, source):
  builder = tfds.builder("bapps/2afc", data_dir=tmp_path / "data")
  builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=source, try_download_gcs=False))
  assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
      "train_mix": 4, "val_cnn": 8, "val_superres": 4}
  check_examples(builder.as_dataset(split="val_cnn"), source, "2afc", "val_cnn", 8, judges=5)
  assert bapps.open_prepared("2afc", tmp_path / "data").info.full_name == "bapps/2afc/1.0.0"


def test_prepared_data_are_read_without_this_package(tmp_path, source):
  bapps.prepare(source, tmp_path / "data", configs=["jnd"])
  builder = tfds.builder_from_directory(tmp_path / "data/bapps/jnd/1.0.0")
  assert set(builder.info.features) == {"reference", "candidate", "same", "id"}


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_prepared_from_the_archives(tmp_path, source, mode):
  """Laid out as published: `train/` and `val/` in the archives of 2afc, `jnd/` in that of jnd."""
  downloads = tmp_path / "archives"
  downloads.mkdir()
  for name, folder in (("twoafc_train", "2afc/train"), ("twoafc_val", "2afc/val"), ("jnd", "jnd")):
    with tarfile.open(downloads / f"{name}.tar.gz", mode) as archive:
      archive.add(source / folder, arcname=folder.split("/")[-1])
  report = bapps.prepare(downloads, tmp_path / "data")
  assert report.sizes == {
      "2afc": {"train_mix": 4, "val_cnn": 8, "val_superres": 4}, "jnd": {"val_traditional": 8}}
  data = tfds.load("bapps/2afc", data_dir=tmp_path / "data", split="val_cnn")
  check_examples(data, source, "2afc", "val_cnn", 8, judges=5)
  assert not list((tmp_path / "data").rglob("*.png"))


def test_a_mended_archive_of_the_same_name_is_unpacked_anew(tmp_path, source):
  downloads = tmp_path / "archives"
  downloads.mkdir()
  (source / "jnd/val/traditional/p0/000000.png").rename(tmp_path / "lost.png")
  for attempt in range(2):
    with tarfile.open(downloads / "jnd.tar.gz", "w:gz") as archive:
      archive.add(source / "jnd", arcname="jnd")
    if attempt == 0:
      with pytest.raises(UserError, match="000000 lacks p0"):
        bapps.prepare(downloads, tmp_path / "data")
      (tmp_path / "lost.png").rename(source / "jnd/val/traditional/p0/000000.png")
  assert bapps.prepare(downloads, tmp_path / "data").sizes == {"jnd": {"val_traditional": 8}}


def test_damaged_or_strange_archives(tmp_path, source):
  downloads = tmp_path / "archives"
  downloads.mkdir()
  (downloads / "jnd.tar.gz").write_bytes(b"no archive")
  with pytest.raises(UserError, match=r"^The archive .*jnd.tar.gz is damaged or truncated"):
    bapps.prepare(downloads, tmp_path / "data")
  with tarfile.open(downloads / "jnd.tar.gz", "w:gz", compresslevel=0) as archive:
    archive.add(source / "jnd", arcname="jnd")
  data = bytearray((downloads / "jnd.tar.gz").read_bytes())
  data[-6] ^= 1  # of the checksum, which TFDS does not read
  (downloads / "jnd.tar.gz").write_bytes(data)
  with pytest.raises(UserError, match=r"^The archive .*jnd.tar.gz is damaged or truncated: CRC"):
    bapps.prepare(downloads, tmp_path / "data")
  with tarfile.open(downloads / "jnd.tar.gz", "w:gz") as archive:
    archive.add(source / "2afc/val", arcname="val")
  with pytest.raises(UserError, match=r"^jnd.tar.gz does not hold the subsets of jnd"):
    bapps.prepare(downloads, tmp_path / "data")
  assert data_sets(tmp_path / "data") == []


@pytest.mark.parametrize("below", ["", "2afc", ".."])
def test_the_source_may_be_a_folder_above_or_below(tmp_path, source, below):
  report = bapps.prepare(source / below, tmp_path / "data", configs=["2afc"])
  assert list(report.sizes["2afc"]) == ["train_mix", "val_cnn", "val_superres"]


def test_complete_data_sets_are_kept(tmp_path, source):
  first = bapps.prepare(source, tmp_path / "data")
  assert first.found == []
  (source / "2afc/val/cnn/p0/000003.png").unlink()
  again = bapps.prepare(source, tmp_path / "data")
  assert again.found == ["2afc", "jnd"]
  assert again.sizes == first.sizes
  assert str(again).count("Already complete") == 2
  (source / "2afc/val/cnn/judge/000003.npy").unlink()
  with pytest.raises(UserError, match=r"made with subsets train_mix 4, val_cnn 8, .*, not "
                                      r"train_mix 4, val_cnn 7, val_superres 4: to replace it"):
    bapps.prepare(source, tmp_path / "data")
  with pytest.raises(UserError, match="000003 lacks p0 and judge"):
    bapps.prepare(source, tmp_path / "data", overwrite=True)
  assert bapps.open_prepared("2afc", tmp_path / "data").info.splits["val_cnn"].num_examples == 8


def text_file(path):
  path.write_text("no image")


def truncated(path):
  path.write_bytes(path.read_bytes()[:-20])


def other_size(path):
  with Image.open(path) as image:
    image.resize((8, 8)).save(path)


def array(*values, dtype=np.float32):
  return lambda path: np.save(path, np.array(values, dtype))


def huge(path):
  """A head that asks for 800 GB."""
  with path.open("wb") as stream:
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})


def a_zip(path):
  with path.open("wb") as stream:
    np.savez(stream, 0.5)


def bad_header(path):
  """A head that is no Python."""
  array(0.5)(path)
  path.write_bytes(path.read_bytes().replace(b"{'descr'", b"{{descr'"))


@pytest.mark.parametrize("name, damage, message", [
    ("p0/000003.png", lambda path: path.unlink(), r"^1 of 8 examples of .*val/cnn are not whole: "
                                                  r"000003 lacks p0\.$"),
    ("judge/000003.npy", lambda path: path.unlink(), r"000003 lacks judge"),
    ("ref/000099.png", lambda path: path.write_bytes(png(0)),
     r"1 of 9 examples .* 000099 lacks p0 and p1 and judge"),
    ("p1/000003.png", text_file, r"val/cnn/p1/000003.png: not an image \(PNG, "),
    ("ref/000003.png", truncated, r"val/cnn/ref/000003.png: "),
    ("p1/000003.png", other_size, r"^The images of 2afc/val/cnn/000003 differ in size: "
                                  r"reference 16x12, candidate_0 16x12, candidate_1 8x8\.$"),
    ("judge/000003.npy", array(1.2), r"judge/000003.npy should hold a fraction .* holds 1.2"),
    ("judge/000003.npy", array(-0.2), r"judge/000003.npy should hold a fraction"),
    ("judge/000003.npy", array(np.nan), r"judge/000003.npy should hold a fraction .* holds nan"),
    ("judge/000003.npy", array(0.2, 0.4), r"judge/000003.npy should hold one number"),
    ("judge/000003.npy", array(), r"judge/000003.npy should hold one number"),
    ("judge/000003.npy", array("x", dtype=str), r"judge/000003.npy should hold one number"),
    ("judge/000003.npy", huge, r"judge/000003.npy is not a NumPy array"),
    ("judge/000003.npy", a_zip, r"judge/000003.npy is not a NumPy array"),
    ("judge/000003.npy", bad_header, r"judge/000003.npy is not a NumPy array"),
    ("judge/000003.npy", array(None, dtype=object), r"judge/000003.npy is not a NumPy array"),
    ("judge/000003.npy", text_file, r"judge/000003.npy is not a NumPy array"),
])
def test_what_is_not_whole_is_named_and_leaves_nothing(tmp_path, source, name, damage, message):
  damage(source / "2afc/val/cnn" / name)
  with pytest.raises(UserError, match=message) as error:
    bapps.prepare(source, tmp_path / "data", configs=["2afc"])
  assert "\n" not in str(error.value)
  assert data_sets(tmp_path / "data") == []
  assert not list((tmp_path / "data").rglob("*.tfrecord*"))


def test_the_first_of_many_broken_examples_are_listed(source):
  for path in (source / "2afc/val/cnn/p1").iterdir():
    path.unlink()
  with pytest.raises(UserError, match=r"^8 of 8 .*: 000000 lacks p1, .*4 lacks p1, \.\.\.\.$"):
    bapps_files.check("2afc", "val_cnn", source / "2afc/val/cnn")


def test_a_missing_or_empty_folder(source):
  folder = source / "2afc/val/cnn"
  (folder / "p1").rename(source / "p1")
  with pytest.raises(UserError, match="val/cnn lacks the folder p1"):
    bapps_files.check("2afc", "val_cnn", folder)
  for part in ("ref", "p0", "p1", "judge"):
    (source / "empty" / part).mkdir(parents=True)
  with pytest.raises(UserError, match="empty is empty"):
    bapps_files.check("2afc", "val_cnn", source / "empty")


def test_answers_may_be_scalars_or_of_other_types(source):
  folder = source / "jnd/val/traditional"
  np.save(folder / "same/000000.npy", np.float64(2 / 3))
  np.save(folder / "same/000001.npy", np.array([[1]]))
  answers = [e.answer for e in bapps_files.check("jnd", "val_traditional", folder)]
  assert answers[:2] == [2 / 3, 1.0]


@pytest.mark.filterwarnings("default:bapps/")
def test_what_is_not_as_published_gives_a_warning(source):
  folder = source / "2afc/val/cnn"
  with pytest.warns(UserWarning, match="bapps/2afc val_cnn has 8 examples, published are 4720"):
    bapps_files.check("2afc", "val_cnn", folder)
  np.save(folder / "judge/000002.npy", np.float32(0.3))
  with pytest.warns(UserWarning, match="1 answers are not multiples of 1/5, such as 0.3 of val/"):
    bapps_files.check("2afc", "val_cnn", folder)
  with pytest.warns(UserWarning, match="bapps/jnd is built without val_cnn: not found"):
    bapps_files.warn_of_absent("jnd", ["val_traditional"])


@pytest.mark.parametrize("kind, split, count, as_published", [
    ("2afc", "val_frameinterp", 1888, True), ("2afc", "val_frameinterp", 1887, False),
    ("2afc", "train_cnn", 38_101, True), ("2afc", "train_cnn", 38_200, False),
    ("jnd", "val_cnn", 4_800, True), ("jnd", "val_cnn", 4_700, False)])
def test_published_counts(kind, split, count, as_published):
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    bapps_files._warn_of_count(kind, split, count)
  assert bool(caught) is not as_published


def test_subsets_as_published():
  assert bapps_files.subsets("2afc", "val") == (
      "traditional", "cnn", "superres", "deblur", "color", "frameinterp")
  assert bapps_files.subsets("2afc", "train") == ("traditional", "cnn", "mix")
  assert bapps_files.subsets("jnd", "val") == ("traditional", "cnn")
  exact = [int(n) for split, n in bapps_files.PUBLISHED["2afc"].items() if split[:3] == "val"]
  assert sum(exact) == 36_344


def test_wrong_arguments(tmp_path, source):
  with pytest.raises(UserError, match=r"Unknown BAPPS config '2AFC'\. Available: 2afc, jnd"):
    bapps.prepare(source, tmp_path / "data", configs=["2AFC"])
  with pytest.raises(UserError, match="No such folder"):
    bapps.prepare(tmp_path / "nowhere", tmp_path / "data")
  (tmp_path / "empty").mkdir()
  with pytest.raises(UserError, match="empty holds no BAPPS 2afc or jnd: expected 2afc/"):
    bapps.prepare(tmp_path / "empty", tmp_path / "data")
  with pytest.raises(UserError, match="2afc holds no BAPPS jnd"):
    bapps.prepare(source / "2afc", tmp_path / "data", configs=["jnd"])
  assert not (tmp_path / "data").exists()


def test_nothing_prepared(tmp_path):
  with pytest.raises(UserError, match=r"No data set in .*bapps/jnd/1.0.0"):
    bapps.open_prepared("jnd", tmp_path)
  with pytest.raises(UserError, match="Unknown BAPPS config 'both'"):
    bapps.open_prepared("both", tmp_path)


def test_a_failing_download_says_what_to_do(tmp_path, monkeypatch):
  def offline(*_):
    raise ConnectionError("no route to host\nsecond line")

  monkeypatch.setattr(tfds.download.DownloadManager, "download", offline)
  with pytest.raises(UserError, match=r"^bapps/jnd: no route to host. Get jnd.tar.gz from https:"):
    bapps.prepare(None, tmp_path / "data", configs=["jnd"])
  assert data_sets(tmp_path / "data") == []


def test_downloaded_archives_are_found(tmp_path, source, monkeypatch):
  urls = {}

  def downloaded(_, asked):
    urls.update(asked)
    for name in asked:
      with tarfile.open(tmp_path / name, "w:gz") as archive:
        folder = "train" if "train" in name else "val"
        archive.add(source / "2afc" / folder, arcname=folder)
    return {name: tmp_path / name for name in asked}

  monkeypatch.setattr(tfds.download.DownloadManager, "download", downloaded)
  report = bapps.prepare(None, tmp_path / "data", configs=["2afc"])
  assert list(report.sizes["2afc"]) == ["train_mix", "val_cnn", "val_superres"]
  assert sorted(urls.values()) == [
      f"https://perceptual-similarity.s3.us-west-2.amazonaws.com/dataset/twoafc_{phase}.tar.gz"
      for phase in ("train", "val")]
