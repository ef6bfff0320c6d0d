"""What compared metrics are called."""

import pytest

from perceptual.commands import compared_metrics


@pytest.mark.parametrize(("label", "expected"), [
    ("vgg16", "vgg16:distance=sort"),
    ("vgg16:distance=style", "vgg16:distance=sort"),
    ("vgg16:taps=a,b,distance=style,dtype=float32",
     "vgg16:taps=a,b,distance=sort,dtype=float32"),
    ("runs/12:30", "runs/12:30:distance=sort"),
    ("https://host/metric/1", "https://host/metric/1:distance=sort")])
def test_another_distance_takes_the_place_of_a_metrics_own(label, expected, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "runs" / "12:30").mkdir(parents=True)
  assert compared_metrics._label_with(label, "sort") == expected
