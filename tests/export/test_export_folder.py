"""Writing an export: beside its place and then renamed, and never over something else."""

import json
import os
import pathlib
from unittest import mock

import keras
import pytest
import tensorflow as tf

from perceptual.common import files
from perceptual.errors import UserError
from perceptual.export import saved_model
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import taps
from tests import leftovers


def _snapshot(folder):
  return {path.relative_to(folder): path.read_bytes()
          for path in sorted(folder.rglob("*")) if path.is_file()}


def _metric(step):
  image = keras.Input([None, None, 3], name="image")
  model = keras.Model(image, {"pixels": taps.Tap(stride=1, name="pixels")(image)})
  return FeatureMetric(model, name="pixels", trained={"checkpoint": "last", "step": step})


@pytest.fixture
def quick(monkeypatch):
  """A metric, and an export that writes two files instead of a SavedModel."""
  def save(module, path, signatures):
    pathlib.Path(path).mkdir(exist_ok=True)
    (pathlib.Path(path) / "saved_model.pb").write_text("graph")

  monkeypatch.setattr(saved_model, "ServedMetric", lambda *args: mock.Mock())
  monkeypatch.setattr(tf.saved_model, "save", save)
  return _metric(step=1)


def test_an_export_is_written_into_new_folders_and_returns_its_fingerprint(quick, tmp_path):
  target = tmp_path / "a" / "b"
  fingerprint = saved_model.export(quick, target)
  assert fingerprint == {
      **quick.fingerprint, "smallest_side": 1, "checkpoint": "last", "step": 1}
  assert sorted(p.name for p in target.iterdir()) == [
      "checksums.json", "fingerprint.json", "metric.weights.h5", "saved_model.pb", "trunk.json"]
  assert [p.name for p in target.parent.iterdir()] == ["b"]


def test_an_empty_folder_is_as_good_as_none(quick, tmp_path):
  (tmp_path / "m").mkdir()
  saved_model.export(quick, tmp_path / "m")
  assert (tmp_path / "m" / "saved_model.pb").exists()


def test_the_home_folder_and_relative_paths_are_understood(quick, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  saved_model.export(quick, "~/one")
  saved_model.export(quick, "two")
  assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_an_old_export_is_replaced_only_if_asked(quick, tmp_path):
  saved_model.export(quick, tmp_path / "m")
  before = _snapshot(tmp_path)
  with pytest.raises(UserError, match="holds an export already; name another folder or pass "
                                      "--overwrite"):
    saved_model.export(_metric(step=2), tmp_path / "m")
  assert _snapshot(tmp_path) == before
  (tmp_path / "m" / "leftover").touch()
  saved_model.export(_metric(step=2), tmp_path / "m", overwrite=True)
  assert json.loads((tmp_path / "m" / "fingerprint.json").read_text())["step"] == 2
  assert set(_snapshot(tmp_path)) == set(before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_something_else_is_never_replaced(quick, tmp_path, overwrite):
  (tmp_path / "photos").mkdir()
  (tmp_path / "photos" / "a.png").write_bytes(b"photo")
  (tmp_path / "file").write_bytes(b"file")
  before = _snapshot(tmp_path)
  for name in ("photos", "file"):
    with pytest.raises(UserError, match=f"{name} exists and is not an exported metric"):
      saved_model.export(quick, tmp_path / name, overwrite=overwrite)
  with pytest.raises(UserError, match=r"file/below cannot be written: .*/file is not a directory"):
    saved_model.export(quick, tmp_path / "file" / "below", overwrite=overwrite)
  assert _snapshot(tmp_path) == before


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="/proc, of Linux")
def test_a_folder_that_cannot_be_made_is_named(quick):
  with pytest.raises(UserError, match=r"^/proc/metric cannot be written: "):
    saved_model.export(quick, "/proc/metric")


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(),
                                   OSError(28, "No space left on device")])
@pytest.mark.parametrize("where", ["save", "save_weights", "write_text", "rename"])
def test_a_failure_midway_leaves_what_was_there(quick, tmp_path, monkeypatch, error, where):
  saved_model.export(quick, tmp_path / "there")
  before = _snapshot(tmp_path)

  def fail(self, *args, **kwargs):
    raise error

  def fail_to_place(self, target):
    if target.name in ("there", "new") and not self.name.endswith(".old"):
      raise error
    os.rename(self, target)

  monkeypatch.setattr(files, "exchanged", lambda one, other: False)
  owner = {"save": tf.saved_model, "save_weights": keras.Model}.get(where, pathlib.Path)
  monkeypatch.setattr(owner, where, fail_to_place if where == "rename" else fail)
  expected = UserError if isinstance(error, OSError) else type(error)
  for name in ("there", "new"):
    with pytest.raises(expected) as caught:
      saved_model.export(quick, tmp_path / name, overwrite=True)
    if expected is UserError:
      assert str(caught.value) == f"{tmp_path / name} cannot be written: No space left on device."
  assert _snapshot(tmp_path) == before
  assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_where_folders_can_be_exchanged_the_name_is_never_gone(quick, tmp_path, monkeypatch):
  saved_model.export(quick, tmp_path / "m")
  monkeypatch.setattr(pathlib.Path, "rename", None)  # would take two steps
  saved_model.export(_metric(step=2), tmp_path / "m", overwrite=True)
  assert json.loads((tmp_path / "m" / "fingerprint.json").read_text())["step"] == 2
  assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_an_export_that_a_killed_process_had_put_aside_is_found_again(quick, tmp_path):
  place = tmp_path / "m"
  saved_model.export(quick, place)
  place.rename(leftovers.temporary(place, "old"))
  leftovers.temporary(place).mkdir()
  kept = [files.temporary(place), leftovers.temporary(tmp_path / "other"), tmp_path / ".m.7"]
  for path in kept:
    path.mkdir()
  saved_model._recover(place)
  assert (place / "fingerprint.json").is_file()
  assert sorted(tmp_path.iterdir()) == sorted([place, *kept])


@pytest.mark.parametrize("name", ["e[1]", "e*", "e?", "e\\1"])
def test_a_folder_from_which_tensorflow_could_not_load_is_refused(quick, tmp_path, name):
  with pytest.raises(UserError, match="cannot hold what TensorFlow writes"):
    saved_model.export(quick, tmp_path / name)
  assert list(tmp_path.iterdir()) == []
