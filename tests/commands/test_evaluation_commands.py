"""`perceptual evaluate`, `export` and `compare` as a user runs them, mistakes included."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import perceptual
from perceptual import models
from perceptual.commands import cli, command_line, evaluate, export
from perceptual.common import backends
from perceptual.data.judged import bapps, graded, judged_sets, prepare_graded, prepare_teacher
from perceptual.evaluation import scores
from perceptual.export import keras_files
from perceptual.metrics import classical
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.training import model_dir
from tools.build_files import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:bapps/")  # of counts that are not as published

_NETWORK, _OPTIONS = "resnet4", {"width": 0.0625, "num_classes": 3}
_SIDE = 16
_SUBSETS = {"2afc": ("traditional", "cnn", "superres", "deblur", "color", "frameinterp"),
            "jnd": ("traditional", "cnn")}
_PARTS = {"2afc": ("ref", "p0", "p1", "judge"), "jnd": ("p0", "p1", "same")}
_EACH = 3  # examples a subset
_QUICK = ("--gin_param=evaluate.distances = ('local',)", "--gin_param=evaluate.batch_size = 4",
          "--gin_param=evaluate.resamples = 20", f"--gin_param=evaluate.image_size = {_SIDE}")


def _save_network(path, *, seed=0, bad=None):
  """Writes a run directory with two of the three checkpoints, and the weights of a step."""
  folder = model_dir.ModelDir(path)
  folder.write_network(_NETWORK, _OPTIONS)
  keras.utils.set_random_seed(seed)
  for name, step in (("best_score", 30), ("last", 60)):
    model = models.build(_NETWORK, **_OPTIONS)
    if bad is not None:
      model.weights[0].assign(np.full(model.weights[0].shape, bad))
    checkpoint = tf.train.Checkpoint(weights=model_dir.keyed_by_path(model.weights),
                                     step=tf.Variable(step, dtype=tf.int64))
    tf.train.CheckpointManager(checkpoint, str(folder.checkpoint(name)), max_to_keep=1,
                               checkpoint_name="step").save(step)
  kept = tf.train.Checkpoint(weights=model_dir.keyed_by_path(model.weights),
                             step=tf.Variable(45, dtype=tf.int64))
  kept.write(str(folder.checkpoint("step-45")))
  return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  return _save_network(tmp_path_factory.mktemp("runs") / "tiny")


def _bapps_files(root):
  """BAPPS in small: noise, whose candidates differ from the reference by two amounts."""
  rng = np.random.default_rng(0)
  for kind, names in _SUBSETS.items():
    for name in names:
      folder = root / kind / "val" / name
      for part in _PARTS[kind]:
        (folder / part).mkdir(parents=True)
      *images, answer = _PARTS[kind]
      for i in range(_EACH):
        reference, noise = rng.integers(0, 256, [2, _SIDE, _SIDE, 3])
        for part, share in zip(images, (0, *rng.choice([0.1, 0.3, 0.6], 2, replace=False))):
          pixels = ((1 - share) * reference + share * noise).astype(np.uint8)
          Image.fromarray(pixels).save(folder / part / f"{i:06d}.png")
        np.save(folder / answer / f"{i:06d}.npy", np.float32(rng.integers(1, 6) / 5))
  return root


@pytest.fixture(scope="module")
def bapps_files(tmp_path_factory):
  return _bapps_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def data_dir(bapps_files, tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  bapps.prepare(bapps_files, folder)
  prepare_graded.prepare("demo", folder, limit=20, image_size=32)
  prepare_teacher.prepare("demo", folder, classical.build("mse"), limit=8, image_size=32)
  return folder


def _read(bapps_files, kind, name, part):
  paths = sorted((bapps_files / kind / "val" / name / part).iterdir())
  if paths[0].suffix == ".npy":
    return np.array([np.load(path) for path in paths])
  return np.array([np.asarray(Image.open(path)) for path in paths]) / 255


def _l2(bapps_files, kind, name, part):
  reference = _read(bapps_files, kind, name, _PARTS[kind][0])
  return np.mean((reference - _read(bapps_files, kind, name, part))**2, axis=(1, 2, 3))


def _results(folder):
  """The JSON's content, after comparing it with the CSV's."""
  result = json.loads((folder / "scores.json").read_text())
  with (folder / "scores.csv").open(newline="") as file:
    lines = list(csv.DictReader(file))
  assert [float(line["score"]) for line in lines] == [row["score"] for row in result["scores"]]
  assert {(line["dataset"], line["note"]) for line in lines} == {(result["dataset"],
                                                                 result["note"])}
  assert result["note"] in (folder / "scores.txt").read_text("utf-8")
  return result


def _score(result, **where):
  [row] = [row for row in result["scores"]
           if all(row[key] == value for key, value in where.items())]
  return row["score"]


def test_bapps_2afc_from_files_to_table(run, trained, data_dir, bapps_files, tmp_path):
  status, out, err = run("evaluate", f"--model_dir={trained}", "--dataset=bapps/2afc",
                         f"--data_dir={data_dir}", f"--output_dir={tmp_path / 'out'}", *_QUICK)
  assert status == 0, err
  assert "Scoring resnet4 (best_score, step 30)" in out
  assert "judged by people (BAPPS validation)\n" in out
  for word in ("trad", "frame", "dist", "real", "mean", "pooled", "resnet4, random init", "mse",
               "human ceiling", "oracle"):
    assert word in out
  assert max(map(len, out.split("\n\n")[1].splitlines())) <= 110
  result = _results(tmp_path / "out")
  mse = []
  for name in _SUBSETS["2afc"]:
    judge = _read(bapps_files, "2afc", name, "judge")
    expected = scores.two_afc_score(_l2(bapps_files, "2afc", name, "p0"),
                              _l2(bapps_files, "2afc", name, "p1"), judge)
    assert _score(result, metric="mse", tap="sum", subset=name) == pytest.approx(expected)
    assert _score(result, metric="human ceiling", subset=name) == pytest.approx(
        scores.human_ceiling(judge))
    mse.append(expected)
  assert _score(result, metric="mse", tap="sum", subset="mean") == pytest.approx(np.mean(mse))
  assert _score(result, metric="mse", tap="sum", subset="real algorithms") == pytest.approx(
      np.mean(mse[2:]))
  assert {r["tap"] for r in result["scores"] if r["metric"] == "resnet4"} == {
      "reduction_1", "reduction_2", "sum"}
  assert result["settings"]["step"] == 30 and result["settings"]["resamples"] == 20
  assert result["examples"] == 6 * _EACH
  assert result["fingerprints"]["resnet4"]["options"] == _OPTIONS


def test_bapps_jnd_from_files_to_table(run, trained, data_dir, bapps_files, tmp_path):
  status, out, err = run(
      "evaluate", f"--model_dir={trained}", "--checkpoint=last", "--dataset=bapps/jnd",
      f"--data_dir={data_dir}", f"--output_dir={tmp_path}", *_QUICK)
  assert status == 0, err
  assert "JND mean average precision, %; 6 pairs" in out and "(last, step 60)" in out
  result = _results(tmp_path)
  for name in _SUBSETS["jnd"]:
    expected = scores.jnd_map(_l2(bapps_files, "jnd", name, "p1"),
                              _read(bapps_files, "jnd", name, "same"))
    assert _score(result, metric="mse", tap="sum", subset=name) == pytest.approx(expected)
  assert "human ceiling" not in out


def test_graded_sets_are_labelled_wherever_a_score_is_shown(run, trained, data_dir, tmp_path):
  status, out, err = run("evaluate", f"--model_dir={trained}", "--dataset=graded",
                         f"--data_dir={data_dir}", f"--output_dir={tmp_path}", *_QUICK)
  assert status == 0, err
  assert graded.LABEL in out and "mean" not in out.split("metric ")[1] and "ceiling" not in out
  result = _results(tmp_path)
  assert result["note"] == graded.LABEL
  assert {row["division"] for row in result["scores"]} == {
      "", "family", "harmless family", "damage family", "pair of families"}
  text = (tmp_path / "scores.txt").read_text("utf-8")
  assert text.count(graded.LABEL) == 6 and "nuisance by pair of families" in text


def test_a_metric_without_a_network_is_scored_by_its_name(run, data_dir, bapps_files, tmp_path):
  status, out, err = run("evaluate", "--metric=ssim", "--dataset=bapps/jnd",
                         f"--data_dir={data_dir}", f"--output_dir={tmp_path}", *_QUICK)
  assert status == 0, err
  assert "Scoring ssim on bapps/jnd:\n6 examples, the metric as it is, baselines mse." in out
  result = _results(tmp_path)
  ssim = perceptual.load_metric("ssim")
  for name in _SUBSETS["jnd"]:
    pair = [_read(bapps_files, "jnd", name, part).astype(np.float32) for part in ("p0", "p1")]
    expected = scores.jnd_map(-np.asarray(ssim(*pair)), _read(bapps_files, "jnd", name, "same"))
    assert _score(result, metric="ssim", subset=name) == pytest.approx(expected)
  assert result["settings"]["metric"] == ssim.source
  assert set(result["fingerprints"]) == {"ssim", "mse"}


def test_fixed_features_are_scored_by_their_name(run, data_dir, tmp_path):
  status, out, err = run("evaluate", "--metric=gaussian-resnet3", "--dataset=bapps/2afc",
                         f"--data_dir={data_dir}", f"--output_dir={tmp_path}", *_QUICK)
  assert status == 0, err
  assert "Scoring gaussian-resnet3 on bapps/2afc:" in out
  assert f"{6 * _EACH} examples, distances local, taps reduction_1, baselines mse." in out
  names = {(row["metric"], row["distance"]) for row in _results(tmp_path)["scores"]}
  assert names == {("gaussian-resnet3", "local"), ("mse", ""), ("human ceiling", ""),
                   ("oracle", "")}


_WITHOUT_TENSORFLOW = """
import sys
from perceptual.commands import cli
data_dir, output_dir, *flags = sys.argv[1:]
before = sys.modules.pop("tensorflow", None)
sys.modules["tensorflow"] = None
for dataset in ("bapps/2afc", "bapps/jnd", "graded", "teacher"):
  try:
    cli.main(["evaluate", "--metric=gaussian-resnet3", f"--dataset={dataset}",
              f"--data_dir={data_dir}", f"--output_dir={output_dir}/{dataset}", *flags])
  except SystemExit as end:
    assert not end.code
del sys.modules["tensorflow"]
if before:
  sys.modules["tensorflow"] = before
"""


def test_every_set_has_the_same_scores_without_tensorflow(
    on_another_backend, run, data_dir, tmp_path):
  on_another_backend(_WITHOUT_TENSORFLOW, data_dir, tmp_path / "other", *_QUICK)
  for dataset in ("bapps/2afc", "bapps/jnd", "graded", "teacher"):
    status, _, err = run("evaluate", "--metric=gaussian-resnet3", f"--dataset={dataset}",
                         f"--data_dir={data_dir}", f"--output_dir={tmp_path / dataset}", *_QUICK)
    assert status == 0, err
    expected, found = _results(tmp_path / dataset), _results(tmp_path / "other" / dataset)
    assert found["note"] == expected["note"] and found["settings"] == expected["settings"]
    for ours, theirs in zip(found["scores"], expected["scores"], strict=True):
      assert ours == {**theirs, **{key: pytest.approx(theirs[key], abs=1e-6) for key in (
          "score", "low", "high") if theirs[key] is not None}}


@pytest.mark.parametrize("flag", ["--distribution_strategy=mirrored", "--jit_compile"])
def test_devices_are_shared_on_tensorflow_alone(run, monkeypatch, tmp_path, flag):
  monkeypatch.setattr(backends, "choose", lambda: "jax")
  status, out, err = run("evaluate", "--metric=ssim", "--dataset=graded", flag,
                         f"--output_dir={tmp_path / 'out'}")
  assert (status, out) == (2, "")
  assert err.startswith(f"error: {flag.partition('=')[0]} is for TensorFlow, and Keras runs on JAX")


def test_an_export_is_scored_where_it_lies(run, exported, data_dir, tmp_path):
  status, out, err = run("evaluate", f"--metric={exported}", "--dataset=graded/nuisance",
                         f"--data_dir={data_dir}", f"--output_dir={tmp_path}", *_QUICK)
  assert status == 0, err
  assert f"Scoring resnet4 of {exported} on graded/nuisance:" in out
  result = _results(tmp_path)
  assert {row["distance"] for row in result["scores"] if row["metric"] == "resnet4"} == {
      "mean_pool"}
  assert result["fingerprints"]["resnet4"]["step"] == 60


def test_a_training_folder_may_be_given_as_a_metric(run, trained, data_dir, tmp_path):
  status, out, err = run("evaluate", f"--metric={trained}", "--checkpoint=last", "--dry_run",
                         "--dataset=graded", f"--data_dir={data_dir}",
                         f"--output_dir={tmp_path / 'out'}", *_QUICK)
  assert status == 0, err
  assert f"Scoring resnet4 (last, step 60) of {trained} on graded:" in out


def test_a_dry_run_says_what_would_run_and_writes_nothing(run, trained, data_dir, tmp_path):
  status, out, _ = run("evaluate", f"--model_dir={trained}", "--dataset=bapps/2afc", "--dry_run",
                       f"--data_dir={data_dir}", f"--output_dir={tmp_path / 'out'}", *_QUICK)
  assert status == 0
  assert f"{6 * _EACH} examples, distances local, taps reduction_1, reduction_2, baselines" in out
  assert out.endswith(f"Dry run: nothing was scored; results would be in {tmp_path / 'out'}.\n")
  status, out, _ = run("export", f"--model_dir={trained}", f"--export_dir={tmp_path / 'metric'}",
                       "--dry_run")
  assert status == 0 and out.startswith("Dry run: would export resnet4 (best_score, step 30)")
  assert list(tmp_path.iterdir()) == []


def test_the_flags_know_what_the_libraries_know():
  assert evaluate.DATASETS == judged_sets.DATASETS
  for module in (evaluate, export):
    assert all(name in module.FLAGS["checkpoint"].help for name in model_dir.CHECKPOINTS)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
  """The folder that `perceptual export` writes, with a distance, a tap and a range of its own."""
  folder = tmp_path_factory.mktemp("exports") / "metric"
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(command_line, "configure_runtime", lambda: None)
    with pytest.raises(SystemExit) as caught:
      cli.main(["export", f"--model_dir={trained}", "--checkpoint=last", "--distance=mean_pool",
                "--taps=reduction_1", "--float_range=-1,1", f"--export_dir={folder}"])
  assert not caught.value.code
  return folder


def test_export_writes_the_metric_asked_for(exported, trained):
  model, _, _, step = model_dir.load_network(trained, "last")
  metric = FeatureMetric(model, name=_NETWORK, options=_OPTIONS, taps=["reduction_1"],
                  distance="mean_pool")
  loaded = tf.saved_model.load(str(exported))
  pair = np.random.default_rng(0).integers(0, 256, [2, 2, 20, 20, 3], np.uint8)
  np.testing.assert_allclose(loaded(*pair), metric(*pair), rtol=1e-5)
  np.testing.assert_allclose(loaded(*(pair / 127.5 - 1)), metric(*pair), rtol=1e-4)
  fingerprint = json.loads(loaded.fingerprint().numpy())
  assert fingerprint["weights_sha256"] == metric.fingerprint["weights_sha256"]
  assert (fingerprint["checkpoint"], fingerprint["step"], step) == ("last", 60, 60)
  assert (fingerprint["taps"], fingerprint["distance"]) == (["reduction_1"], "mean_pool")


def test_a_metric_is_exported_by_its_name(run, tmp_path):
  status, out, err = run("export", "--metric=gaussian-resnet3", "--distance=style",
                         f"--export_dir={tmp_path / 'metric'}")
  assert status == 0, err
  assert out.startswith("Exported gaussian-resnet3: distance style summed over reduction_1, ")
  pair = np.random.default_rng(0).integers(0, 256, [2, 2, 20, 20, 3], np.uint8)
  eager = perceptual.load_metric("gaussian-resnet3", distance="style")
  np.testing.assert_allclose(
      perceptual.load_metric(tmp_path / "metric")(*pair), eager(*pair), rtol=1e-4)


def test_a_metric_without_a_network_is_exported_too(run, tmp_path):
  status, out, err = run("export", "--metric=mse", f"--export_dir={tmp_path / 'mse'}")
  assert status == 0, err
  assert out.startswith("Exported mse.\nLoad it: ")
  pair = np.random.default_rng(0).integers(0, 256, [2, 2, 20, 20, 3], np.uint8)
  np.testing.assert_allclose(tf.saved_model.load(str(tmp_path / "mse"))(*pair),
                             perceptual.load_metric("mse")(*pair), rtol=1e-5)


def test_an_export_is_replaced_only_with_overwrite(run, exported, trained, tmp_path):
  folder = tmp_path / "metric"
  shutil.copytree(exported, folder)
  arguments = ("export", f"--model_dir={trained}", f"--export_dir={folder}")
  status, _, err = run(*arguments)
  assert status == 1 and err == (f"error: {folder} holds an export already; name another folder "
                                 "or pass --overwrite.")
  status, out, _ = run(*arguments, "--overwrite")
  assert status == 0
  fingerprint = json.loads((folder / keras_files.FINGERPRINT).read_text())
  assert fingerprint["step"] == 30 and fingerprint["weights_sha256"] in out
  assert f"hub.load({str(folder)!r})" in out


@pytest.fixture
def photographs(tmp_path):
  rng = np.random.default_rng(1)
  reference, noise = rng.integers(0, 256, [2, 24, 24, 3])
  for name, share in (("reference", 0.0), ("near", 0.2), ("far", 0.9)):
    Image.fromarray(((1 - share) * reference + share * noise).astype(np.uint8)).save(
        tmp_path / f"{name}.png")
  return [str(tmp_path / f"{name}.png") for name in ("reference", "far", "near")]


def test_compare_as_a_user_runs_it(exported, photographs, tmp_path):
  process = subprocess.run(
      [sys.executable, "-m", "perceptual", "compare", f"--metric={exported}", *photographs,
       f"--output_dir={tmp_path / 'out'}"], cwd=ROOT, capture_output=True, text=True,
      env={name: value for name, value in os.environ.items() if not name.startswith("TF_")})
  assert process.returncode == 0, process.stderr
  lines = process.stdout.splitlines()
  assert lines[0] == (f"resnet4, mean_pool distance to {photographs[0]}; lower is better")
  assert [line.split()[0] for line in lines[4:6]] == [photographs[2], photographs[1]]
  assert process.stderr == ""
  result = json.loads((tmp_path / "out" / "results.json").read_text())
  assert [tmp_path / "out" / row["candidate"] for row in result["pairs"]]
  assert (tmp_path / "out" / "results.csv").exists()


def test_compare_needs_two_images(run, exported, photographs):
  status, out, err = run("compare", f"--metric={exported}", photographs[0])
  assert (status, out) == (2, "")
  assert err == ("error: compare needs a reference image and at least one candidate. "
                 "Try 'perceptual compare --help'.")
  status, out, _ = run("compare", "--metric=nowhere", "--dry_run", *photographs)
  assert status == 0
  assert out == ("Dry run: would compare, by nowhere, candidates against "
                 f"{photographs[0]}: 2 pairs (2 of 24x24)\n")


# -- Mistakes


def _refused(run, *arguments):
  """The one line about a mistake, after which there is nothing else to see."""
  status, out, err = run(*arguments)
  assert status == 1 and err.startswith("error: "), (status, out, err)
  assert "Traceback" not in err
  return err.removeprefix("error: ")


@pytest.mark.parametrize(("param", "message"), [
    ("evaluate.taps = ('reduction_1', 'stage9')",
     "Unknown tap 'stage9'. Available: reduction_1, reduction_2."),
    ("evaluate.distances = ('local', 'l3')", "Unknown distance 'l3'. Available: local, c"),
    ("evaluate.distances = 'local'", "distances must be a list of names, not 'local'."),
    ("evaluate.baselines = ('l1',)", "Unknown baseline 'l1'. Available: random_init, mse."),
    ("evaluate.batch_size = '7'", "batch_size must be a whole number of at least 1, not '7'."),
    ("evaluate.distance = 'local'", "distances, taps, baselines"),
])
def test_wrong_settings(run, trained, data_dir, tmp_path, param, message):
  line = _refused(run, "evaluate", f"--model_dir={trained}", "--dataset=graded",
                  f"--data_dir={data_dir}", f"--output_dir={tmp_path / 'out'}",
                  f"--gin_param={param}")
  assert message in line and not (tmp_path / "out").exists()


def _evaluate(run, tmp_path, **flags):
  given = {"dataset": "graded", "output_dir": tmp_path / "out", **flags}
  line = _refused(run, "evaluate", *(f"--{name}={value}" for name, value in given.items()), *_QUICK)
  assert not (tmp_path / "out").exists()
  return line


def test_data_sets_that_are_not_there(run, trained, tmp_path):
  assert _evaluate(run, tmp_path, model_dir=trained, dataset="bapps/2afc") == (
      "bapps/2afc needs a data_dir, the folder in which it was prepared with: perceptual prepare "
      "bapps --data_dir=DATA_DIR")
  for name, arguments in (
      ("bapps/2afc", "bapps"), ("bapps/jnd", "bapps"),
      ("graded/nuisance", "graded --kinds=nuisance --source=DIR_OR_TAR")):
    assert (f"No data set in {tmp_path}/{name}/1.0.0: prepare it first, with: perceptual prepare "
            f"{arguments} --data_dir={tmp_path}") == _evaluate(
                run, tmp_path, model_dir=trained, dataset=name, data_dir=tmp_path)


def test_a_half_written_data_set(run, trained, data_dir, tmp_path):
  shutil.copytree(data_dir / "bapps", tmp_path / "data" / "bapps")
  next((tmp_path / "data").rglob("*val_color.tfrecord*")).unlink()
  line = _evaluate(run, tmp_path, model_dir=trained, dataset="bapps/2afc",
                   data_dir=tmp_path / "data")
  assert "is not whole" in line and "val_color" in line and "Prepare it again, with: " in line


def test_model_dirs_that_are_none(run, trained, tmp_path):
  file = tmp_path / "file"
  file.touch()
  for command in (_evaluate, _export):
    assert "is not a run directory" in command(run, tmp_path, model_dir=tmp_path / "nowhere")
    assert str(file) in command(run, tmp_path, model_dir=file)
    for checkpoint in ("best_accuracy", "first", "step-31"):
      assert (f"{trained} has no checkpoint '{checkpoint}'. Available: best_score, last, step-45."
              == command(run, tmp_path, model_dir=trained, checkpoint=checkpoint))


def test_the_weights_of_a_step_that_was_kept(run, trained, tmp_path):
  status, out, err = run("evaluate", f"--model_dir={trained}", "--checkpoint=step-45", "--dry_run",
                         "--dataset=graded", f"--output_dir={tmp_path / 'out'}", *_QUICK,
                         "--gin_param=evaluate.limit = 2")
  assert status == 0, err
  assert "(step-45, step 45)" in out
  status, out, err = run("export", f"--model_dir={trained}", "--checkpoint=step-45", "--dry_run",
                         f"--export_dir={tmp_path / 'out'}")
  assert status == 0, err
  assert "(step-45, step 45)" in out


def test_a_checkpoint_of_another_network(run, trained, tmp_path):
  folder = tmp_path / "other"
  shutil.copytree(trained, folder)
  model_dir.ModelDir(folder).write_network(_NETWORK, {**_OPTIONS, "width": 0.125})
  for command in (_evaluate, _export):
    line = command(run, tmp_path, model_dir=folder)
    assert "step-30 does not fit resnet4: weight stem_conv/kernel has shape (7, 7, 3, 4) in the " \
           "checkpoint and (7, 7, 3, 8) in the network." in line
  model_dir.ModelDir(folder).write_network("resnet5", _OPTIONS)
  assert "Unknown network 'resnet5'. Available: " in _export(run, tmp_path, model_dir=folder)


def test_a_damaged_checkpoint(run, trained, tmp_path):
  folder = tmp_path / "damaged"
  shutil.copytree(trained, folder)
  [data] = (folder / "checkpoints" / "best_score").glob("*.data*")
  data.write_bytes(data.read_bytes()[:100])
  for command in (_evaluate, _export):
    assert "best_score/step-30" in command(run, tmp_path, model_dir=folder)


def test_weights_that_are_not_finite(run, tmp_path, data_dir):
  folder = _save_network(tmp_path / "diverged", bad=np.nan)
  line = _evaluate(run, tmp_path, model_dir=folder, dataset="bapps/jnd", data_dir=data_dir)
  assert line.startswith("Weight stem_conv/kernel of resnet4 is not finite")


def _export(run, tmp_path, **flags):
  given = {"export_dir": tmp_path / "metric", **flags}
  before = sorted(tmp_path.rglob("*"))
  line = _refused(run, "export", *(f"--{name}={value}" for name, value in given.items()))
  assert sorted(tmp_path.rglob("*")) == before
  return line


def test_wrong_exports(run, trained, tmp_path):
  for flags, message in [
      ({"taps": "reduction_1,stage9"},
       "Unknown tap 'stage9'. Available: reduction_1, reduction_2."),
      ({"taps": ""}, "No tap is selected. Available: reduction_1, reduction_2."),
      ({"distance": "l3"}, "Unknown distance 'l3'. Available: local, "),
      ({"float_range": "0,2"}, "Unknown float range '0,2'. Available: 0,1  0,255  -1,1."),
  ]:
    assert message in _export(run, tmp_path, model_dir=trained, **flags)


def test_metrics_that_cannot_be_scored_or_exported(run, trained, exported, tmp_path):
  for command in (_evaluate, _export):
    assert command(run, tmp_path, metric="lpips").startswith(
        "Unknown metric 'lpips'. Did you mean lpips-alex, ")
    assert command(run, tmp_path, metric="ssim", checkpoint="last") == (
        "Unknown option of ssim 'checkpoint'. Available: channels, crop.")
    assert "is not a run directory" in command(run, tmp_path, model_dir=exported)
  assert _export(run, tmp_path, metric=exported) == f"{exported} is an export already: copy its " \
      "folder."


@pytest.mark.parametrize("command", ["evaluate --dataset=graded --output_dir=out",
                                     "export --export_dir=out"])
def test_what_is_scored_or_exported_is_one_of_two(run, command):
  status, out, err = run(*command.split())
  assert (status, out) == (2, "")
  assert err.startswith("error: Required but not given: --metric or --model_dir. Try 'perceptual ")
  status, out, err = run(*command.split(), "--metric=ssim", "--model_dir=runs/x")
  assert (status, out) == (2, "")
  assert err.startswith("error: --metric and --model_dir were given; one of them is needed. Try ")


def test_places_that_are_taken(run, trained, exported, data_dir, photographs, tmp_path):
  file = tmp_path / "file"
  file.touch()
  assert _export(run, tmp_path, model_dir=trained, export_dir=file) == (
      f"{file} exists and is not an exported metric; name another folder.")
  assert "is not an exported metric" in _export(run, tmp_path, model_dir=trained,
                                               export_dir=tmp_path, overwrite=True)
  for place in (file, file / "below"):
    line = f"Results cannot be written to {place}: {file} is not a directory."
    assert _refused(run, "compare", f"--metric={exported}", *photographs,
                    f"--output_dir={place}") == line
    assert _evaluate(run, tmp_path, model_dir=trained, data_dir=data_dir, output_dir=place) == line
  assert file.read_bytes() == b""


def test_images_and_metrics_that_cannot_be_compared(run, exported, photographs, tmp_path):
  small, text = tmp_path / "small.png", tmp_path / "text.png"
  Image.new("RGB", (8, 9)).save(small)
  text.write_text("no image")
  for arguments, message in [
      ((exported, photographs[0], photographs[1], small),
       f"{small} is 8x9 pixels and {photographs[0]} 24x24; images to compare must have one size."),
      ((exported, photographs[0], text), f"{text}: not an image"),
      ((exported, photographs[0], "nowhere.png"),
       "nowhere.png: No such file or directory."),
      ((tmp_path / "nowhere", *photographs), f"There is no folder '{tmp_path / 'nowhere'}', "),
      ((tmp_path, *photographs), f"{tmp_path} is neither an export "),
  ]:
    line = _refused(run, "compare", f"--metric={arguments[0]}", *arguments[1:],
                    f"--output_dir={tmp_path / 'out'}")
    assert line.startswith(message)
  assert not pathlib.Path(tmp_path / "out").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    (("evaluate", "--dataset=bapps/3afc", "--metric=ssim", "--output_dir=out"),
     "unknown --dataset=bapps/3afc. available: bapps/2afc, bapps/jnd, graded"),
    (("evaluate",), "required but not given: --output_dir"),
    (("evaluate", "--metric=ssim", "--output_dir=out"), "required but not given: --dataset"),
    (("export",), "required but not given: --export_dir"),
    (("compare",), "name a reference and its candidates"),
])
def test_wrong_command_lines(run, arguments, message):
  status, out, err = run(*arguments)
  assert (status, out) == (2, "") and message.lower() in err.lower()
