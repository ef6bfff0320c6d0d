import fcntl
import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from perceptual.data import tfds_files
from perceptual.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)


def features():
  return tfds.features.FeaturesDict({
      "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
      "judge": np.float32,
      "id": tfds.features.Text(),
  })


def examples():
  for i, image in enumerate(IMAGES):
    yield {"image": image, "judge": i / 7, "id": f"number {i}"}


def write(data_dir, **changes):
  options = {
      "name": "graded", "config": "nuisance", "version": "1.2.3", "features": features(),
      "splits": {"validation": examples()}}
  return tfds_files.write_dataset(data_dir, **{**options, **changes})


def files(folder):
  return {str(path.relative_to(folder)): path.read_bytes()
          for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read_by_tfds(tmp_path):
  directory = write(tmp_path, splits={"train": list(examples())[:2], "validation": examples()},
                    description="Made up.", metadata={"seed": 3, "label": "no human"})
  assert directory == tmp_path / "graded/nuisance/1.2.3"
  data, info = tfds.load("graded/nuisance", data_dir=tmp_path, with_info=True)
  assert info.full_name == "graded/nuisance/1.2.3"
  assert info.description == "Made up."
  assert info.metadata == {"seed": 3, "label": "no human"}
  assert {name: split.num_examples for name, split in info.splits.items()} == {
      "train": 2, "validation": 7}
  for i, example in enumerate(tfds.as_numpy(data["validation"])):
    np.testing.assert_array_equal(example["image"], IMAGES[i])
    assert example["judge"] == np.float32(i / 7)
    assert example["id"].decode() == f"number {i}"
  assert i == 6
  assert tfds.builder_from_directory(directory).info.metadata["seed"] == 3


def test_examples_go_round_the_shards(tmp_path):
  directory = write(tmp_path, shards=3)
  info = tfds.builder_from_directory(directory).info
  assert info.splits["validation"].shard_lengths == [3, 2, 2]
  data = tfds.builder_from_directory(directory).as_dataset(split="validation[:3]")
  ids = [example["id"].decode() for example in tfds.as_numpy(data)]
  assert ids == ["number 0", "number 3", "number 6"]


def test_the_same_examples_give_the_same_bytes(tmp_path):
  assert files(write(tmp_path / "a", shards=2)) == files(write(tmp_path / "b", shards=2))


def test_more_shards_than_examples(tmp_path):
  with pytest.raises(UserError, match="split 'validation' has 7 examples, fewer than 8 shards"):
    write(tmp_path, shards=8)
  assert files(tmp_path) == {}


@pytest.mark.parametrize("error", [ValueError, UserError])
def test_an_exception_half_way_leaves_nothing(tmp_path, error):
  def broken():
    yield from list(examples())[:3]
    raise error("half-way")

  with pytest.raises(error, match="half-way"):
    write(tmp_path, splits={"train": examples(), "validation": broken()})
  assert files(tmp_path) == {}
  with pytest.raises(UserError, match="No data set in"):
    tfds_files.require_complete(tmp_path / "graded/nuisance/1.2.3", prepared_by="graded")


def test_a_killed_run_leaves_nothing_that_reads_as_complete_and_is_replaced(tmp_path):
  def killed():
    yield from list(examples())[:3]
    raise KeyboardInterrupt  # like a signal, no Exception

  with pytest.raises(KeyboardInterrupt):
    write(tmp_path, splits={"validation": killed()})
  (tmp_path / "graded/nuisance/1.2.3.unfinished/leftover").write_text("of a killed run")
  directory = tmp_path / "graded/nuisance/1.2.3"
  assert not tfds_files.is_complete(directory)
  with pytest.raises(UserError, match="was not finished: prepare it again"):
    tfds_files.require_complete(directory, prepared_by="graded")
  with pytest.raises(tfds.core.DatasetNotFoundError):
    tfds.builder("graded/nuisance", data_dir=tmp_path)
  write(tmp_path)
  tfds_files.require_complete(directory, prepared_by="graded")
  assert os.listdir(directory.parent) == ["1.2.3"]
  assert "leftover" not in os.listdir(directory)


def test_a_complete_data_set_is_replaced_only_when_told_to(tmp_path):
  directory = write(tmp_path)
  before = files(directory)
  with pytest.raises(UserError, match="already holds a data set: choose another --data_dir, or"):
    write(tmp_path, metadata={"second": True})
  assert files(directory) == before
  write(tmp_path, metadata={"second": True}, overwrite=True)
  assert tfds.builder_from_directory(directory).info.metadata == {"second": True}
  assert os.listdir(directory.parent) == ["1.2.3"]


def test_a_failing_replacement_leaves_what_was_there(tmp_path):
  before = files(write(tmp_path))
  with pytest.raises(UserError):
    write(tmp_path, overwrite=True, shards=8)
  assert files(tmp_path / "graded/nuisance/1.2.3") == before


def test_two_processes_cannot_write_one_data_set(tmp_path):
  building = tmp_path / "graded/nuisance/1.2.3.unfinished"
  building.mkdir(parents=True)
  (building / "half").write_text("of the other process")
  other = os.open(building, os.O_RDONLY)
  fcntl.flock(other, fcntl.LOCK_EX)
  with pytest.raises(UserError, match="Another process is writing"):
    write(tmp_path)
  assert files(building) == {"half": b"of the other process"}
  os.close(other)
  write(tmp_path)


def test_a_data_dir_that_cannot_be_made(tmp_path):
  (tmp_path / "file").write_text("no folder")
  with pytest.raises(UserError, match=r"Cannot write to .*file/graded"):
    write(tmp_path / "file")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json",
                                  "graded-validation.tfrecord-00001-of-00002"])
def test_a_missing_file_is_found_out(tmp_path, name):
  directory = write(tmp_path, shards=2)
  (directory / name).unlink()
  assert not tfds_files.is_complete(directory)
  with pytest.raises(UserError, match=f"is not whole: {name} is missing"):
    tfds_files.require_complete(directory, prepared_by="graded")
  write(tmp_path)
  tfds_files.require_complete(directory, prepared_by="graded")


def test_a_truncated_shard_is_found_out(tmp_path):
  directory = write(tmp_path)
  shard = directory / "graded-validation.tfrecord-00000-of-00001"
  shard.write_bytes(shard.read_bytes()[:-1])
  with pytest.raises(UserError, match=r"the files of split 'validation' hold .* bytes instead of"):
    tfds_files.require_complete(directory, prepared_by="graded")


def test_damaged_metadata_are_found_out(tmp_path):
  directory = write(tmp_path)
  (directory / "dataset_info.json").write_text('{"name": ')
  with pytest.raises(UserError, match=r"dataset_info.json is missing or damaged"):
    tfds_files.require_complete(directory, prepared_by="graded")


@pytest.mark.parametrize("text", [
    "{}", "[]", "7", '{"splits": [{}]}', '{"splits": 3}', "{", "[" * 99999])
def test_metadata_that_are_damaged_are_one_line(tmp_path, text):
  directory = write(tmp_path)
  (directory / "dataset_info.json").write_text(text)
  assert not tfds_files.is_complete(directory)
  with pytest.raises(UserError, match=r"is not whole: dataset_info\.json .*perceptual prepare x"):
    tfds_files.require_complete(directory, prepared_by="x")
    tfds_files.open_builder(directory)


@pytest.mark.parametrize("text", ["{}", "[", '{"pythonClassName": "os.system"}'])
def test_features_that_are_damaged_are_one_line(tmp_path, text):
  directory = write(tmp_path)
  (directory / "features.json").write_text(text)
  with pytest.raises(UserError, match=r"is damaged .* Prepare it again, with: perceptual prepare"):
    tfds_files.require_complete(directory, prepared_by="x")
    tfds_files.open_builder(directory)


def test_the_file_of_a_damaged_record_is_named(tmp_path, monkeypatch):
  monkeypatch.setattr(tfds_files, "_opened", {})
  directory = write(tmp_path, shards=3)
  tfds_files.require_complete(directory, prepared_by="graded")
  tfds_files.open_builder(directory)
  assert tfds_files.damaged_record() is None
  path = sorted(directory.glob("*.tfrecord*"))[1]
  data = bytearray(path.read_bytes())
  data[40] ^= 1
  path.write_bytes(data)
  assert str(tfds_files.damaged_record()).startswith(f"{path} is damaged (")


@pytest.mark.parametrize("exchanges", [True, False])
def test_an_older_data_set_gives_way_in_one_step_or_is_found_again(
    tmp_path, monkeypatch, exchanges):
  directory = write(tmp_path)
  if not exchanges:
    monkeypatch.setattr(tfds_files.files, "exchanged", lambda one, other: False)
  write(tmp_path, splits={"validation": list(examples())[:3]}, overwrite=True)
  assert tfds.builder_from_directory(directory).info.splits["validation"].num_examples == 3
  assert [path.name for path in directory.parent.iterdir()] == [directory.name]
  directory.rename(directory.with_name(directory.name + ".replaced"))  # killed between two renames
  with pytest.raises(UserError, match="already holds a data set"):
    write(tmp_path)
  assert tfds_files.is_complete(directory)


@pytest.mark.parametrize("name", [
    "mnist", "mnist:3.0.1", "coco/2014", "div2k/bicubic_x4:2.0.*", "wikipedia/20230601.en"])
def test_names_that_tfds_looks_for_on_this_machine(name):
  tfds_files.require_local_name(name)


@pytest.mark.parametrize("name", [
    "huggingface:mnist", "huggingface:mnist/plain:1.0.0", "kubric:movi_a", "mnist/data_dir=gs://x",
    "mnist/a/try_gcs=True", "../mnist", "", ["mnist"]])
def test_names_that_lead_elsewhere_are_refused(name):
  with pytest.raises(UserError, match="is not the name of a data set that TFDS has prepared"):
    tfds_files.require_local_name(name)
