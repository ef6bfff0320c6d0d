"""`perceptual compare` as it is typed, with metrics whose values are known."""

import csv
import json

import pytest

from perceptual import loading
from perceptual.commands import cli, command_line
from perceptual.errors import UserError


@pytest.fixture
def run(monkeypatch, capsys, difference, likeness):
  """Runs the command in this process; returns its exit status, output and errors."""
  monkeypatch.setattr(command_line, "configure_runtime", lambda: None)

  def load(source):
    metrics = {"perceptual": difference("box"), "l2": difference("l2"), "psnr": likeness("psnr")}
    if source not in metrics:
      raise UserError(f"Unknown metric {source!r}.")
    return metrics[source]

  monkeypatch.setattr(loading, "load_metric", load)

  def run_command(*arguments):
    with pytest.raises(SystemExit) as caught:
      cli.main(["compare", *map(str, arguments)])
    return (caught.value.code or 0, *capsys.readouterr())

  return run_command


@pytest.fixture
def folder(tmp_path, write_grey, monkeypatch):
  """Folders r and c with differences of 0.2, 0.4 and 0, in r one image more."""
  write_grey(tmp_path / "r", {"a.png": 0, "x/b.png": 0, "x/c.png": 102, "x/alone.png": 0})
  write_grey(tmp_path / "c", {"a.png": 51, "x/b.png": 102, "x/c.png": 102})
  (tmp_path / "pairs.csv").write_text("reference,candidate\nr/a.png,c/a.png\nr/a.png,c/no.png\n")
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_a_reference_and_its_candidates(run, folder):
  status, out, _ = run("r/a.png", "c/x/b.png", "c/a.png")
  assert status == 0
  assert out == """\
box to r/a.png; lower is better

candidate  distance
-------------------
c/a.png      0.2000
c/x/b.png    0.4000
"""


@pytest.mark.parametrize("arguments", [("--reference_dir=r", "--candidate_dir=c"), ("r", "c")])
def test_two_folders(run, folder, arguments):
  status, out, _ = run(*arguments, "--metric=l2", "--metric=psnr", "--output_dir=out")
  assert status == 0
  lines = [line.split() for line in out.splitlines()]
  assert ["l2", "0.2000", "0.1155", "0.2000", "0.0000", "0.4000", "3"] in [
      line[:7] for line in lines]
  assert "psnr: 1 infinite values are not in the mean" in out
  assert "  r/x/alone.png: no candidate of this name" in out
  assert out.endswith("\nWrote to out: results.csv, results.json, skipped.csv\n")
  with open("out/results.csv", newline="") as stream:
    assert [row["psnr"] for row in csv.DictReader(stream)] == ["5.0", "2.5", "inf"]
  assert json.loads((folder / "out/results.json").read_text())["settings"] == {
      "metrics": ["l2", "psnr"], "batch_size": None, "bit_depth": None}


def test_clips(run, folder):
  status, out, _ = run("--reference_dir=r", "--candidate_dir=c", "--frames")
  assert status == 0
  lines = [line.split() for line in out.splitlines()]
  assert [".", "1", "0.2000"] in lines and ["x", "2", "0.2000"] in lines


def test_a_list_of_pairs(run, folder):
  status, out, _ = run("--pairs_csv=pairs.csv")
  assert status == 0
  assert "\nskipped: 1\n  r/a.png, c/no.png: c/no.png: No such file or directory\n" in out


def test_all_pairs_of_a_folder(run, folder):
  status, out, _ = run("--all_pairs=c")
  assert status == 0
  assert out.startswith("all pairs of the 3 images of c\n")


def test_heat_maps_and_the_page(run, folder):
  status, out, _ = run("r", "c", "--metric=psnr", "--metric=l2", "--output_dir=out", "--heatmap",
                       "--report")
  assert status == 0
  assert out.endswith(": results.csv, results.json, skipped.csv, heatmaps/, report.html\n")
  assert sorted(path.name for path in (folder / "out" / "heatmaps" / "l2").iterdir()) == [
      "000001_a.png", "000002_b.png", "000003_c.png"]
  assert "<svg" in (folder / "out" / "report.html").read_text()
  settings = json.loads((folder / "out" / "results.json").read_text())["settings"]
  assert settings["heat_map_scales"] == {"l2": [0.0, pytest.approx(0.4)]}
  with open("out/results.csv", newline="") as stream:
    assert next(csv.DictReader(stream))["l2_heatmap"] == "heatmaps/l2/000001_a.png"


def test_a_second_run_compares_nothing_again(run, folder):
  first = run("r", "c", "--output_dir=out")
  status, out, _ = run("r", "c", "--output_dir=out", "--report")
  assert status == 0 and "3 of 3 pairs come from an earlier run" in out
  assert first[1].splitlines()[:5] == out.splitlines()[:5]


def test_nothing_to_compare(run, folder):
  (folder / "list.csv").write_text("reference,candidate\nr/a.png,no.png\n")
  status, out, _ = run("--pairs_csv=list.csv", "--output_dir=out", "--report", "--heatmap")
  assert status == 1 and out.startswith("nothing could be compared\n\nskipped: 1\n")
  assert sorted(path.name for path in (folder / "out").iterdir()) == [
      "journal.jsonl", "results.csv", "results.json", "skipped.csv"]


def test_a_dry_run_loads_no_metric_and_writes_nothing(run, folder):
  status, out, _ = run("r", "c", "--metric=nothing", "--dry_run", "--output_dir=out")
  assert status == 0 and not (folder / "out").exists()
  assert out == """\
Dry run: would compare, by nothing, c against r, by name: 3 pairs (3 of 8x8)

skipped: 1
  r/x/alone.png: no candidate of this name
"""


@pytest.mark.parametrize(("arguments", "message"), [
    ((), "Name a reference and its candidates, or give --reference_dir and --candidate_dir, "
         "--pairs_csv or --all_pairs."),
    (("r/a.png",), "compare needs a reference image and at least one candidate."),
    (("r/a.png", "c/a.png", "--all_pairs=r"),
     "--all_pairs and a reference and its candidates were given; one of them is needed."),
    (("--pairs_csv=p", "--all_pairs=r"),
     "--pairs_csv and --all_pairs were given; one of them is needed."),
    (("--reference_dir=r",), "--reference_dir and --candidate_dir belong together."),
    (("--reference_dir=r", "--candidate_dir="),
     "--candidate_dir= has no value: give one, or leave the flag out."),
    (("--output_dir=", "a.png", "b.png"),
     "--output_dir= has no value: give one, or leave the flag out."),
    (("--candidate_dir=r", "--all_pairs=c"),
     "--reference_dir and --candidate_dir belong together."),
    (("--frames", "--all_pairs=c"), "--frames needs --reference_dir and --candidate_dir."),
    (("r", "c", "--report"), "--heatmap and --report write files: give --output_dir."),
    (("r", "c", "--batch_size=0"), "Flag --batch_size=0: 0 is not a positive integer."),
])
def test_wrong_command_lines(run, folder, arguments, message):
  status, out, err = run(*arguments)
  assert (status, out) == (2, "")
  assert err == f"error: {message} Try 'perceptual compare --help'.\n"


@pytest.mark.parametrize(("arguments", "message"), [
    (("r/a.png", "no.png"), "no.png: No such file or directory."),
    (("r/a.png", "c"), "c: not a file."),
    (("r", "no"), "r: not a file; no: No such file or directory."),
    (("r/a.png", "pairs.csv"), "pairs.csv: not an image (PNG, JPEG, GIF, BMP, WebP, TIFF, "
     "PPM, AVIF, JPEG 2000, TGA)."),
    (("--all_pairs=no",), "No such folder: no."),
    (("--pairs_csv=no.csv",), "no.csv cannot be read: No such file or directory."),
    (("r/a.png", "c/a.png", "--metric=no"), "Unknown metric 'no'."),
    (("r", "c", "--metric=l2", "--metric=l2"), "The metric l2 is given twice."),
    (("r", "c", "--output_dir=r/a.png"),
     "Results cannot be written to r/a.png: {}/r/a.png is not a directory."),
    (("r", "c", "--output_dir=c/out"),
     "The output folder c/out lies inside c, whose images are compared; name another."),
    (("r", "c", "--metric=psnr", "--output_dir=out", "--heatmap"),
     "--heatmap needs a metric with a map of differences; psnr has none."),
])
def test_mistakes_are_one_line(run, folder, arguments, message):
  status, out, err = run(*arguments)
  assert (status, out) == (1, "")
  assert err.splitlines()[-1] == f"error: {message.format(folder)}"
