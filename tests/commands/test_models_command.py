"""`perceptual models`: every network on screen and on disk, none of them allocated."""

import csv
import json

import pytest

from perceptual import models
from perceptual.commands import cli
from perceptual.models import costs, listing, taps


def _run(capsys, *arguments):
  """Returns the exit status, and what was printed."""
  with pytest.raises(SystemExit) as caught:
    cli.main(["models", *arguments])
  return caught.value.code or 0, *capsys.readouterr()


def test_every_network_has_its_line_and_its_taps_on_disk(capsys, tmp_path):
  status, out, _ = _run(capsys, f"--output_dir={tmp_path}")
  assert status == 0
  lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
  assert set(models.names()) <= set(lines)
  assert "2,287,656" in lines["resnet6"] and "4 8 16 32" in lines["resnet6"]
  with open(tmp_path / "models.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert list(dict.fromkeys(row["network"] for row in rows)) == list(models.names())
  written = json.loads((tmp_path / "models.json").read_text())
  assert written["image_size"] == 64
  for network in written["networks"]:
    assert network["options"] == json.loads(json.dumps(models.network_options(network["name"])))
    assert network["tap_parameters"] <= network["parameters"]
    assert [tap["name"] for tap in network["taps"]] == [
        row["tap"] for row in rows if row["network"] == network["name"]]


def test_one_network_in_full(capsys):
  status, out, _ = _run(capsys, "--network=resnet6", "--num_classes=10", "--image_size=32")
  assert status == 0
  parameters = costs.parameters(models.build("resnet6", num_classes=10))
  for expected in ("resnet6 at 32x32", f"{parameters:,}", "reduction_4       512      32",
                   "width                    1.0"):
    assert expected in out


def test_what_is_looked_at_is_what_is_built():
  row = listing.inspect("resnet10", num_classes=5, width=0.25)
  built = models.build("resnet10", num_classes=5, width=0.25)
  assert row.parameters == costs.parameters(built)
  assert row.tap_parameters == costs.parameters(taps.select_taps(built))
  assert row.taps == taps.list_taps(built)


def test_too_small_images_are_a_note_and_no_number(capsys):
  status, out, _ = _run(capsys, "--network=alexnet", "--image_size=32")
  assert status == 0
  assert "unknown MFLOPs" in out and "at least 63 pixels" in out
  row = listing.inspect("alexnet", image_size=20)
  assert row.flops is None and row.tap_flops is None and "at least 31 pixels" in row.note
  assert listing.table([row], 20).splitlines()[-1].startswith("alexnet: The images are too small")


def test_mistakes_are_one_line(capsys, tmp_path):
  (tmp_path / "file").write_text("")
  for arguments, message in [
      (["--network=resnet5"], "Unknown network 'resnet5'. Available: resnet2, "),
      ([f"--output_dir={tmp_path}/file"], "is not a directory"),
      (["--image_size=0"], "image_size"), (["resnet6"], "resnet6")]:
    status, out, err = _run(capsys, *arguments)
    assert status and not out and message in err and err.count("\n") <= 2
