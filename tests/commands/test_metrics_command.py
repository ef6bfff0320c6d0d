"""`perceptual metrics`: every metric on screen and on disk, with the command for its weights."""

import csv
import json
import subprocess
import sys

import pytest

import perceptual
from perceptual.commands import cli
from perceptual.common import folders
from perceptual.weights import store
from tools.build_files import ROOT


@pytest.fixture
def weights(tmp_path, monkeypatch):
  """A folder of converted weights that holds what lpips-alex needs, and nothing else."""
  monkeypatch.setenv(folders.WEIGHTS_VARIABLE, str(tmp_path / "weights"))
  (tmp_path / "weights").mkdir()
  for name in ("alexnet", "lpips-alex-v0.1"):
    for path in store.paths(name):
      path.touch()


def _run(capsys, *arguments):
  """Returns the exit status, and what was printed."""
  with pytest.raises(SystemExit) as caught:
    cli.main(["metrics", *arguments])
  return caught.value.code or 0, *capsys.readouterr()


def test_every_metric_has_its_line_and_its_row_on_disk(weights, capsys, tmp_path):
  status, out, _ = _run(capsys, f"--output_dir={tmp_path / 'lists'}")
  assert status == 0
  assert max(map(len, out.partition("Written: ")[0].splitlines())) <= 100
  lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
  specs = perceptual.list_metrics()
  assert {spec.name for spec in specs} <= set(lines)
  assert "  here  " in lines["lpips-alex"] and "  missing  " in lines["lpips-vgg"]
  assert lines["psnr"].split()[1:6] == ["higher", "0", "to", "100", "dB"]
  assert "for instance `perceptual convert --network=lpips-vgg --download`" in out
  assert "for instance `perceptual metrics --metric=gaussian-resnet6`" in out
  exact = {spec.name for spec in specs if "exact" in spec.summary}
  assert exact == {"lpips-alex", "lpips-squeeze"}
  with open(tmp_path / "lists" / "metrics.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["metric"] for row in rows] == [spec.name for spec in specs]
  get = {row["metric"]: row["how_to_get"] for row in rows}
  assert get["lpips-vgg"] == "perceptual convert --network=lpips-vgg --download"
  assert get["vgg19"] == "perceptual convert --network=vgg19 --download"
  assert get["ssim"] == ""
  written = json.loads((tmp_path / "lists" / "metrics.json").read_text())
  assert [row["metric"] for row in written] == [spec.name for spec in specs]
  assert next(row for row in written if row["metric"] == "psnr")["options"] == {
      "channels": "rgb", "crop": "0"}


def test_the_list_imports_nothing_heavy():
  code = ("import sys\nfrom perceptual.commands import metrics\nmetrics.FLAGS(['metrics'])\n"
          "metrics.main(['metrics'])\n"
          "print(sorted({'keras', 'tensorflow', 'torch', 'jax'} & sys.modules.keys()))")
  process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, text=True,
                           capture_output=True)
  assert process.stdout.endswith("\n[]\n")


@pytest.mark.parametrize(("metric", "lines"), [
    ("l2", ["mse: mean squared error of pixels in [0, 1]", "also called    l2"]),
    ("lpips-alex", ["options        version (default: 0.1), lpips (default: true), weights (",
                    "weights        on this machine"]),
    ("psnr:crop=4", ["psnr:crop=4: peak", "smallest side  9\n",
                     "options        channels (default: rgb), crop=4 (default: 0)\n"]),
    ("vgg19:dtype=mixed_float16", ["smallest side  16 with default options", "to get: perceptual"]),
    ("vgg16", ["weights        to get: perceptual convert --network=vgg16 --download"]),
    ("gaussian-resnet6", ["smallest side  that of the network"]),
])
def test_one_metric_in_full(weights, capsys, metric, lines):
  status, out, _ = _run(capsys, f"--metric={metric}")
  assert status == 0
  assert all(line in out for line in lines)


@pytest.mark.parametrize(("arguments", "status", "message"), [
    (["--metric=lpips"], 1, "Unknown metric 'lpips'. Did you mean lpips-alex, lpips-vgg or"),
    (["--metric=gaussian-foo"], 1, "Unknown metric 'gaussian-foo': there is no network 'foo'. `pe"),
    (["--metric=psnr:chanels=luma"], 1, "Unknown option of psnr 'chanels'. Available: float_range"),
    (["--metric=psnr:channels=lum"], 1, "Unknown channels 'lum'. Available: rgb, "),
    (["psnr"], 2, "Unexpected argument 'psnr': a metric is named by --metric=psnr."),
    (["--output_dir=" + __file__], 1, "Results cannot be written to"),
])
def test_mistakes_are_one_line(capsys, arguments, status, message):
  found, out, err = _run(capsys, *arguments)
  assert (found, out, err.count("\n")) == (status, "", 1)
  assert message in err
