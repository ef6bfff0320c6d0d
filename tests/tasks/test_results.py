"""Results: means with intervals, what is written, and pictures."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from perceptual.data.images import loading
from perceptual.tasks import pictures, results


@pytest.fixture(scope="module")
def result():
  image = np.zeros((20, 30, 3), np.uint8)
  picture = results.Picture("a/b", {"network": image, "target": image[..., :1]}, "psnr 3")
  return results.Result(
      "set5", "standard", "network", ("a", "b", "c"),
      {"psnr": np.array([20.0, 30.0, np.nan]), "ssim": np.array([0.5, 0.5, 0.5])}, (picture,),
      note="one is left out")


def test_undefined_values_are_left_out_of_means():
  mean, low, high = results.mean_and_interval([20.0, 30.0, np.nan])
  assert (mean, low, high) == (25.0, 20.0, 30.0)
  assert results.mean_and_interval([4.0])[0] == 4.0
  assert np.isnan(results.mean_and_interval([4.0])[1:]).all()
  assert np.isnan(results.mean_and_interval([np.nan])).all()


def test_intervals_cover_the_mean_and_shrink_with_the_number_of_items():
  rng = np.random.default_rng(0)
  widths = []
  for count in (20, 2000):
    mean, low, high = results.mean_and_interval(rng.normal(size=count))
    assert low < mean < high
    widths.append(high - low)
  assert widths[1] == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.1)
  assert widths[0] > 5 * widths[1]


def test_tables_and_pictures_are_written(result, tmp_path):
  paths = results.write([result], tmp_path)
  summary, items = (list(csv.DictReader(path.open())) for path in paths)
  assert summary[0] == {
      "test": "set5", "protocol": "standard", "method": "network", "measure": "psnr",
      "items": "2", "mean": "25.000000", "low": "20.000000", "high": "30.000000"}
  assert [row["value"] for row in items] == [
      "20.000000", "30.000000", "", "0.500000", "0.500000", "0.500000"]
  with Image.open(tmp_path / "pictures" / "set5-standard-a_b.png") as image:
    assert image.size == (2 * 150 + 6, 100 + 32)


def test_pictures_of_one_name_are_all_written(result, tmp_path):
  given = [dataclasses.replace(result.pictures[0], name=name) for name in ("a", "a", "a_2")]
  results.write([dataclasses.replace(result, pictures=tuple(given))], tmp_path)
  assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
      "set5-standard-a.png", "set5-standard-a_2.png", "set5-standard-a_2_2.png"}


def test_the_table_has_means_intervals_and_notes(result):
  text = results.table([result])
  assert "20 to 30" in text and text.endswith("Note: one is left out")


def test_a_sheet_has_all_strips_in_columns(result, tmp_path):
  pictures.write_sheet(6 * result.pictures, tmp_path / "sheet.png")
  sheet = loading.load_image(tmp_path / "sheet.png")
  height, width = 132 + 6, 306 + 24
  assert sheet.shape == (4 * height, 2 * width, 3)
  expected = pictures.strip(result.pictures[0])
  for top, left in ((0, 0), (3, 0), (0, 1), (1, 1)):
    cell = sheet[top * height:(top + 1) * height, left * width:(left + 1) * width]
    np.testing.assert_array_equal(cell[:-6, :-24], expected)
  assert (sheet[2 * height:, width:] == 255).all()
