"""Heat maps: one scale for a run, the right place, and files of safe names."""

import numpy as np
import pytest

from perceptual.comparison import heatmaps, pairing
from perceptual.data.images import image_files
from perceptual.errors import UserError


@pytest.fixture
def folders(tmp_path):
  """Candidates that differ in the right half alone: by 0.4 in one pair, by 0.8 in the other."""
  for name, value in (("a.png", 102), ("b.png", 204)):
    for side in ("r", "c"):
      pixels = np.zeros((8, 12, 3), np.uint8)
      pixels[:, 6:] = value if side == "c" else 0
      (tmp_path / side).mkdir(exist_ok=True)
      (tmp_path / side / name).write_bytes(image_files.encode_png(pixels))
  return pairing.folders(tmp_path / "r", tmp_path / "c")


def _draw(found, compare, folder, *metrics):
  result = compare(found, *metrics)
  maps = heatmaps.Maps(result, {metric.name: metric for metric in metrics})
  return maps, heatmaps.draw(result, maps, folder)


def _read(path):
  return image_files.decode(path.read_bytes(), path.name)


def test_all_pictures_have_the_scale_of_the_farthest_pair(folders, difference, compare, tmp_path):
  maps, drawn = _draw(folders, compare, tmp_path, difference("d"))
  assert maps.tops == {"d": pytest.approx(0.8)}
  assert drawn == {"d": {0: "heatmaps/d/000001_a.png", 1: "heatmaps/d/000002_b.png"}}
  for pair, (place, grey) in enumerate([(0.5, 102), (1.0, 204)]):
    picture = _read(tmp_path / drawn["d"][pair])
    assert picture.shape == (8, 12, 3)
    for columns, value, below in (slice(0, 6), 0.0, 0), (slice(6, 12), place, grey):
      colour = 0.7 * 255 * np.array(heatmaps.COLOURS(value)[:3]) + 0.3 * below
      np.testing.assert_allclose(picture[:, columns].reshape(-1, 3), [colour] * 48, atol=1.5)


def test_of_a_similarity_what_is_missing_is_shown(
    folders, difference, compare, tmp_path, monkeypatch):
  class Alike(difference):
    def spatial_map(self, reference, candidate):
      return 1 - super().spatial_map(reference, candidate)

  maps, drawn = _draw(folders, compare, tmp_path / "s", Alike("s", lower_is_better=False))
  assert maps.tops == {"s": pytest.approx(0.8)}
  _, expected = _draw(folders, compare, tmp_path / "d", difference("s"))
  for pair in drawn["s"]:
    np.testing.assert_allclose(_read(tmp_path / "s" / drawn["s"][pair]).astype(int),
                               _read(tmp_path / "d" / expected["s"][pair]), atol=1)
  monkeypatch.setattr(heatmaps, "_SCALE_PAIRS", 1)
  maps, _ = _draw(folders, compare, tmp_path / "s", Alike("s", lower_is_better=False))
  assert maps.tops == {"s": pytest.approx(0.4)}, "the farthest pair is that of the lowest value"


def test_identical_images_have_a_scale_too(tmp_path, write_grey, difference, compare):
  write_grey(tmp_path / "f", {"a.png": 5, "b.png": 5})
  maps, drawn = _draw(pairing.every_pair(tmp_path / "f"), compare, tmp_path, difference("d"))
  assert maps.tops == {"d": 1.0} and list(drawn["d"]) == [0]


def test_metrics_without_a_map(folders, difference, likeness, compare, tmp_path):
  maps, drawn = _draw(folders, compare, tmp_path, difference("d"), likeness("l"))
  assert list(drawn) == ["d"] and maps.without == {"l": "l has no map of differences"}
  with pytest.raises(UserError, match=r"No heat maps: l has no map of differences\."):
    _draw(folders, compare, tmp_path, likeness("l"))


def test_a_metric_whose_network_has_no_places(folders, difference, compare, tmp_path):
  class Tokens(difference):
    def spatial_map(self, reference, candidate):
      raise UserError("a spatial map needs maps of features")

  with pytest.raises(UserError, match="No heat maps: a spatial map needs maps of features"):
    _draw(folders, compare, tmp_path, Tokens("t"))


def test_pictures_stay_in_their_folder(tmp_path, write_grey, difference, compare):
  names = ["../../up.png", ".hidden.png", "a b<c>\n.png", "x" * 200 + ".png", "ü.png"]
  write_grey(tmp_path / "in" / "in", {name: 10 * i for i, name in enumerate(names)})
  files = [tmp_path / "in" / "in" / name for name in names]
  found = pairing.one_with_many(files[0], files[1:])
  _, drawn = _draw(found, compare, tmp_path / "out", difference("../d"))
  written = {path.relative_to(tmp_path / "out").as_posix()
             for path in (tmp_path / "out").rglob("*.png")}
  assert written == set(drawn["../d"].values())
  assert all(path.startswith("heatmaps/_d/00000") for path in written)
  assert len(written) == 4


def test_pictures_that_cannot_be_written(folders, difference, compare, tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match="Results cannot be written to"):
    _draw(folders, compare, tmp_path / "file", difference())
