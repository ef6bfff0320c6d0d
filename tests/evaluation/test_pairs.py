"""Image files compared by an exported metric."""

import csv
import io
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from PIL import Image

from perceptual.data import image_files
from perceptual.errors import UserError
from perceptual.evaluation import pairs
from perceptual.exporting import saved_model
from perceptual.metric import Metric
from perceptual.models import taps


def _model():
  """Taps whose network order is not that of their names."""
  image = keras.Input([None, None, 3], name="image")
  x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="conv")(image)
  x = second = taps.Tap(stride=2, name="tap_b")(x)
  x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="conv_2")(x)
  return keras.Model(image, {"tap_b": second, "tap_a": taps.Tap(stride=2, name="tap_a")(x)})


@pytest.fixture(scope="module")
def metric():
  keras.utils.set_random_seed(2)
  return Metric(_model(), network="tiny")


@pytest.fixture(scope="module")
def exported(metric, tmp_path_factory):
  folder = tmp_path_factory.mktemp("export") / "metric"
  saved_model.export(metric, folder)
  return folder


@pytest.fixture(scope="module")
def images():
  """A reference, and the same with more and more noise."""
  rng = np.random.default_rng(0)
  reference, noise = rng.integers(0, 256, [2, 24, 30, 3])
  shares = {"reference": 0.0, "far": 1.0, "near": 0.1, "same": 0.0, "middle": 0.4}
  return {name: ((1 - share) * reference + share * noise).astype(np.uint8)
          for name, share in shares.items()}


@pytest.fixture
def folder(images, tmp_path):
  for name, pixels in images.items():
    Image.fromarray(pixels).save(tmp_path / f"{name}.png")
  return tmp_path


def _names(folder, *names):
  return [str(folder / f"{name}.png") for name in names]


@pytest.fixture
def comparison(exported, folder):
  return pairs.compare(exported, *_names(folder, "reference"),
                       _names(folder, "far", "near", "same", "middle"))


def test_distances_are_the_metrics_in_the_order_given(comparison, metric, images):
  expected = [metric(images["reference"][None], images[name][None])[0]
              for name in ("far", "near", "same", "middle")]
  np.testing.assert_allclose(comparison.distances, expected, atol=1e-6)
  assert comparison.distances.dtype == np.float32 and comparison.distances[2] == 0
  assert list(comparison.per_tap) == list(metric.taps) == ["tap_b", "tap_a"]
  np.testing.assert_allclose(sum(comparison.per_tap.values()), comparison.distances, rtol=1e-6)
  assert comparison.fingerprint == metric.fingerprint()


def test_the_table_has_the_nearest_first(comparison, folder):
  lines = comparison.table().splitlines()
  reference, *order = _names(folder, "reference", "same", "near", "middle", "far")
  assert lines[0] == f"tiny, local distance to {reference}; lower is closer"
  assert lines[2].split() == ["candidate", "distance", "tap_b", "tap_a"]
  assert [line.split()[0] for line in lines[4:]] == order
  assert lines[4].split()[1:] == ["0.0000"] * 3


def test_results_on_disk_hold_every_number_and_the_fingerprint(comparison, folder):
  comparison.write(folder / "new")
  result = json.loads((folder / "new" / "compare.json").read_text())
  assert result["fingerprint"] == comparison.fingerprint
  assert result["reference"] == comparison.reference
  assert result["candidates"] == comparison.rows()
  lines = list(csv.DictReader(io.StringIO((folder / "new" / "compare.csv").read_text())))
  assert [line["candidate"] for line in lines] == list(comparison.candidates)
  for column in ("distance", "tap_b", "tap_a"):
    assert [float(line[column]) for line in lines] == [r[column] for r in comparison.rows()]
  assert len(list((folder / "new").iterdir())) == 2


def test_greyscale_palette_and_transparent_images_are_read_as_everywhere(exported, folder, images):
  grey = Image.fromarray(images["near"]).convert("L")
  files = {"grey.png": grey, "palette.gif": Image.fromarray(images["near"]).convert("P"),
           "transparent.png": Image.fromarray(images["near"]).convert("RGBA")}
  files["transparent.png"].putalpha(grey)
  for name, image in files.items():
    image.save(folder / name)
    decoded = image_files.decode((folder / name).read_bytes(), name)
    Image.fromarray(decoded).save(folder / f"{name}.rgb.png")
  found = pairs.compare(exported, *_names(folder, "reference"), [
      str(folder / f) for name in files for f in (name, f"{name}.rgb.png")])
  np.testing.assert_array_equal(found.distances[0::2], found.distances[1::2])
  assert len(set(found.distances)) == 3


def test_a_hub_handle_is_left_to_hub(exported, folder, monkeypatch):
  asked, load = [], hub.load
  monkeypatch.setattr(hub, "load", lambda handle: asked.append(handle) or load(str(exported)))
  pairs.compare("https://example.org/metric/1", *_names(folder, "reference"),
                _names(folder, "near"))
  assert asked == ["https://example.org/metric/1"]


def _refused(exported, folder, name):
  """The message for a candidate, of which nothing stays."""
  with pytest.raises(UserError) as caught:
    pairs.compare(exported, *_names(folder, "reference"), [*_names(folder, "near"),
                                                           str(folder / name)])
  message = str(caught.value)
  assert "\n" not in message and str(folder / name) in message
  return message


def test_two_sizes_are_refused(exported, folder, images):
  Image.fromarray(images["near"][:, :20]).save(folder / "narrow.png")
  assert _refused(exported, folder, "narrow.png") == (
      f"{folder}/narrow.png is 20x24 pixels and {folder}/reference.png 30x24; images to compare "
      "must have one size.")


def test_what_is_no_whole_image_is_refused(exported, folder, images):
  whole = (folder / "near.png").read_bytes()
  contents = {"truncated.png": whole[:-40], "empty.png": b"", "text.png": b"no image",
              "broken.png": whole[:60] + b"\0\0\0\0" + whole[64:]}
  for name, content in contents.items():
    (folder / name).write_bytes(content)
    assert _refused(exported, folder, name).startswith(f"{folder / name}: ")
  jpeg = io.BytesIO()
  Image.fromarray(images["near"]).save(jpeg, "JPEG")
  (folder / "cut.jpg").write_bytes(jpeg.getvalue()[:-200])
  assert "truncated" in _refused(exported, folder, "cut.jpg")


def test_files_that_cannot_be_read_are_named(exported, folder):
  (folder / "folder.png").mkdir()
  assert "No such file" in _refused(exported, folder, "missing.png")
  assert "Is a directory" in _refused(exported, folder, "folder.png")
  with pytest.raises(UserError, match=r"missing.png cannot be read"):
    pairs.compare(exported, *_names(folder, "missing"), _names(folder, "near"))


def _not_loaded(metric):
  with pytest.raises(UserError) as caught:
    pairs.load(metric)
  message = str(caught.value)
  assert "\n" not in message and str(metric) in message
  return message


def test_what_is_no_exported_metric_is_refused(exported, tmp_path):
  assert "no such folder" in _not_loaded(tmp_path / "missing")
  (tmp_path / "file").touch()
  assert "no such folder" in _not_loaded(tmp_path / "file")
  (tmp_path / "empty").mkdir()
  assert "is no exported metric" in _not_loaded(tmp_path / "empty")
  tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
  assert "is a SavedModel but no metric" in _not_loaded(tmp_path / "other")


def test_a_damaged_metric_is_refused(exported, tmp_path):
  for name, damage in {
      "no_variables": lambda folder: shutil.rmtree(folder / "variables"),
      "cut_graph": lambda folder: (folder / "saved_model.pb").write_bytes(
          (folder / "saved_model.pb").read_bytes()[:5000]),
      "cut_weights": lambda folder: next((folder / "variables").glob("*.data*")).write_bytes(b"0"),
  }.items():
    shutil.copytree(exported, tmp_path / name)
    damage(tmp_path / name)
    assert "is no exported metric" in _not_loaded(tmp_path / name)


def test_the_home_folder_is_understood(exported, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(exported.parent))
  assert pairs.load("~/metric").fingerprint().numpy()
