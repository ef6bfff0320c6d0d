"""Metrics by ONNX Runtime: the values of the metrics that they were written from, without Keras."""

import subprocess
import sys

import numpy as np
import pytest

import perceptual
from perceptual.commands import compared_metrics
from perceptual.common import backends, packages
from perceptual.comparison import onnx_runtime
from perceptual.data.judged import prepare_judged
from perceptual.errors import UserError
from tests.data.judged import studies
from tools.build_files import ROOT

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: tools/test.sh --all")

NAMES = ("perceptual", "mse", "psnr", "ssim", "ms-ssim")


def _pair(dtype, shape):
  rng = np.random.default_rng(0)
  reference = rng.integers(0, 256, shape, dtype=np.uint8)
  candidate = np.clip(reference + rng.normal(0, 25, shape), 0, 255).astype(np.uint8)
  if dtype == "uint8":
    return reference, candidate
  return np.float32(reference) / np.float32(255), np.float32(candidate) / np.float32(255)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_metric(name, dtype):
  metric, in_onnx = perceptual.load_metric(name), onnx_runtime.find(name)
  for shape in ((2, 176, 161, 3), (1, 200, 300, 3)):
    pair = _pair(dtype, shape)
    np.testing.assert_allclose(in_onnx(*pair), np.asarray(metric(*pair)), rtol=2e-6, atol=1e-7)
    for tap, values in in_onnx.per_tap(*pair).items() if metric.has_taps else ():
      np.testing.assert_allclose(
          values, np.asarray(metric.per_tap(*pair)[tap]), rtol=2e-6, atol=1e-7)
  assert in_onnx.lower_is_better == metric.lower_is_better
  expected = {**metric.fingerprint, "versions": None}
  assert {**in_onnx.fingerprint, "versions": None} == expected
  assert in_onnx.taps == (metric.taps if metric.has_taps else ())


def test_an_image_with_itself_and_extremes():
  black = np.zeros((1, 176, 176, 3), np.uint8)
  for name, itself, opposite in (("perceptual", 0, None), ("mse", 0, 1), ("ssim", 1, None)):
    metric = onnx_runtime.find(name)
    assert metric(black, black) == pytest.approx(itself, abs=1e-6)
    if opposite is not None:
      assert metric(black, black + np.uint8(255)) == pytest.approx(opposite, abs=1e-6)


def test_images_that_are_too_small_are_refused_as_the_metric_refuses_them():
  small = np.zeros((1, 8, 40, 3), np.uint8)
  for metric in (onnx_runtime.find("ssim"), perceptual.load_metric("ssim")):
    with pytest.raises(UserError, match="reference has 40x8 pixels; ssim needs at least 11 a side"):
      metric(small, small)


@pytest.mark.parametrize("source", ["fsim", "psnr:crop=4", "lpips-alex", "no-such", "./ssim"])
def test_without_a_file_there_is_none(source, tmp_path, monkeypatch):
  monkeypatch.setenv("PERCEPTUAL_WEIGHTS", str(tmp_path))
  assert onnx_runtime.find(source) is None


@pytest.mark.parametrize("source, message", [
    ("simm", "Unknown metric 'simm'. Did you mean ssim"), ("lpips", "Did you mean lpips-alex"),
    ("./no-such", "There is no folder './no-such'"), ("x" * 5000, "^.{,500}$"),
    ("psnr:chanels=luma", "^Unknown option of psnr 'chanels'. Available: float_range, channels, "),
    ("psnr:crop=x", "^crop must be a whole number, not 'x'")])
def test_a_mistake_in_a_metric_is_said_before_a_backend_is_asked_for(source, message, monkeypatch):
  monkeypatch.setattr(backends, "choose", lambda **_: pytest.fail("asked for a backend"))
  with pytest.raises(UserError, match=message):
    compared_metrics.load([source], by_onnx=True)


def test_without_onnx_runtime_there_is_none(monkeypatch):
  monkeypatch.setattr(packages, "is_installed", lambda name: name != "onnxruntime")
  assert onnx_runtime.find("ssim") is None


def test_a_file_of_something_else_is_refused(tmp_path):
  (tmp_path / "x.onnx").write_bytes(b"nothing")
  with pytest.raises(UserError, match=r"x\.onnx is not a metric in ONNX"):
    onnx_runtime.OnnxMetric(tmp_path / "x.onnx")


def test_two_files_are_compared_and_metrics_listed_without_keras(tmp_path, write_grey):
  write_grey(tmp_path, {"a.png": 0, "b.png": 51}, size=(40, 40))
  code = """if True:
      import atexit, sys
      def heavy():
        import perceptual
        assert all(row.needs_weights or row.weights_available for row in perceptual.list_metrics())
        print(sorted({"keras", "tensorflow", "torch", "jax"} & set(sys.modules)))
      atexit.register(heavy)
      from perceptual.commands import cli
      cli.main(["compare", "--metric=mse", "--metric=ssim", *sys.argv[1:]])
      """
  environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
  process = subprocess.run(
      [sys.executable, "-c", code, "a.png", "b.png"], cwd=tmp_path, env=environment,
      capture_output=True, text=True, check=True)
  *_, row, heavy = process.stdout.splitlines()
  assert row.split()[:2] == ["b.png", "0.0400"] and heavy == "[]"


def test_a_judged_set_is_scored_where_no_backend_is_installed(tmp_path):
  for index in range(3):
    studies.save(tmp_path / f"study/{index}.png", studies.reference(index))
    for level in range(5):
      studies.save(tmp_path / f"study/{index}_{level}.png",
                   studies.noisy(studies.reference(index), 4 + 8 * level, level))
  studies.write_csv(
      tmp_path / "study/votes.csv",
      [(f"{index}.png", f"{index}_{level}.png", f"{index}_{level + 1}.png", 0)
       for index in range(3) for level in range(4)], ("reference", "a", "b", "p"))
  prepare_judged.prepare(tmp_path / "study", tmp_path / "data", name="study")
  code = """if True:
      import sys
      from perceptual.common import packages
      there = packages.is_installed
      backends = ("tensorflow", "torch", "jax")
      packages.is_installed = lambda name: name not in backends and there(name)
      from perceptual.commands import cli
      cli.main(["evaluate", "--metric=mse", "--metric=ssim", "--dataset=judged/study", "--noreport",
                "--data_dir=data", "--output_dir=out"])
      """
  process = subprocess.run(
      [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""},
      capture_output=True, text=True, check=False)
  assert process.returncode == 0, process.stderr
  assert (tmp_path / "out/scores.csv").is_file() and "100.0" in process.stdout
