"""Every command with its folders at gs://, in a bucket on this machine."""

import csv
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import perceptual
from perceptual.commands import cli, command_line
from perceptual.common import folders, remote
from perceptual.experiments import config
from perceptual.export import keras_files
from perceptual.metrics import lpips
from perceptual.studies.figures import registry
from perceptual.training import model_dir, outer_loop, records
from tests import leftovers
from tools import local_bucket
from tools.build_files import ROOT

GIN = f"""
include '{ROOT}/gin/runs/demo.gin'
network.name = 'resnet2'
network.width = 0.1
images.train_per_photograph = 2
images.validation_per_photograph = 1
judged.name = 'graded/monotone'
train.batch_size = 8
train.eval_batch_size = 8
train.train_steps = 4
train.steps_per_loop = 1
train.eval_interval = 2
train.checkpoint_interval = 2
train.score_distances = ['local']
step_decay.warmup_epochs = 0
"""
STUDY = """
study.name = 'tiny'
study.sweeps = [@one/sweep()]
one/sweep.bases = ['{}/tiny.gin']
"""
LEARN = f"""
include '{ROOT}/gin/runs/lpips_lin_own_teacher.gin'
learn.batch_size = 4
learn.eval_batch_size = 4
learn.train_steps = 1
learn.eval_interval = 1
learn.score_resamples = 20
"""
TASK = f"""
include '{ROOT}/gin/runs/tasks/super_resolution_short.gin'
super_resolution.train = '{{0}}/images'
super_resolution.tests = ['{{0}}/images']
super_resolution.side = 40
super_resolution.channels = 4
super_resolution.held_out = 1
super_resolution.metrics = ['mse']
loss.metric = 'gaussian-resnet2'
loss.taps = ['stem']
fit.batch_size = 2
fit.eval_batch_size = 1
fit.train_steps = 1
fit.eval_interval = 1
"""
RUN = "study/runs/resnet2-seed0"  # of the study


_TELL_ENVIRONMENT = """
import json, os, sys
print(json.dumps(dict(os.environ)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bucket(tmp_path, monkeypatch):
  """The `local_bucket.Objects` of a bucket that another process serves.

  TensorFlow reads the head of a checkpoint with Python's lock held: a thread could not answer.
  """
  folder = tmp_path / "objects"
  process = subprocess.Popen(
      [sys.executable, "-m", "tools.local_bucket", f"--folder={folder}", sys.executable, "-c",
       _TELL_ENVIRONMENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  for name, value in json.loads(process.stdout.readline()).items():
    if os.environ.get(name) != value:
      monkeypatch.setenv(name, value)
  yield local_bucket.Objects(folder)
  process.communicate()


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
  """Runs a command; returns its output and its last line on stderr; it must end by a status."""
  monkeypatch.setattr(command_line, "configure_runtime", lambda: None)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.chdir(tmp_path)  # where a path that is an address would be found again

  def call(*arguments, status=0):
    with pytest.raises(SystemExit) as caught:
      cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (caught.value.code or 0) == status, err
    return out, err.removesuffix("\n").rpartition("\n")[2]
  yield call
  config.gin.clear_config()
  assert not list(tmp_path.glob("gs:*"))


def _tensors(path):
  reader = tf.train.load_checkpoint(str(path))
  return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()
          if "CHECKPOINTABLE" not in key and not key.startswith("save_counter")}


def _csv(bucket, name):
  return list(csv.DictReader(bucket.get(name).decode().splitlines()))


def test_from_the_data_to_the_exported_metric(run, bucket, tmp_path, monkeypatch):
  """Killed once, and without its newest checkpoint, it ends as a run on this machine does."""
  (tmp_path / "tiny.gin").write_text(GIN)
  (tmp_path / "study.gin").write_text(STUDY.format(tmp_path))
  out, _ = run("prepare", "graded", "--source=demo", "--kinds=monotone", "--limit=6",
               "--data_dir=gs://bucket/data")
  assert "in gs://bucket/data/graded/monotone/1.0.0" in out
  train = ("train", "--gin_file=tiny.gin", "--data_dir=gs://bucket/data")
  run(*train, "--model_dir=here")

  study = ("--study=study.gin", "--study_dir=gs://bucket/study", "--data_dir=gs://bucket/data")
  _killed_after_its_first_save(run, monkeypatch, "study", "run", *study)
  assert bucket.get(f"{RUN}/checkpoints/last/step-2.data-00000-of-00001")
  out, _ = run("study", "status", *study)
  assert "resnet2-seed0  started     2      4" in out
  run("study", "run", *study)
  assert f"{RUN}/.lock" not in bucket.names()
  expected, found = (model_dir.ModelDir(place) for place in ("here", f"gs://bucket/{RUN}"))
  for name in model_dir.CHECKPOINTS:
    tensors = _tensors(found.latest(name))
    for key, value in _tensors(expected.latest(name)).items():
      np.testing.assert_array_equal(tensors[key], value, err_msg=f"{name} {key}")
  assert [row["step"] for row in records.read_metrics(found.metrics)] == [0, 2, 4]
  assert bucket.get(f"{RUN}/training.png").startswith(b"\x89PNG")

  bucket.remove(f"{RUN}/checkpoints/last/step-4.index")
  with pytest.warns(UserWarning, match="step-4 is damaged: step-4.index is missing; the run is re"):
    out, _ = run(*train, f"--model_dir=gs://bucket/{RUN}")
  assert "resuming at step 2" in out
  np.testing.assert_equal(_tensors(found.latest("last")), _tensors(expected.latest("last")))

  run("evaluate", f"--model_dir=gs://bucket/{RUN}", "--dataset=graded/monotone",
      "--data_dir=gs://bucket/data", "--output_dir=gs://bucket/scores",
      "--gin_param=evaluate.resamples = 20", "--gin_param=evaluate.distances = ('local',)")
  assert json.loads(bucket.get("scores/scores.json"))
  _exported(run, monkeypatch)
  _collected_and_drawn(run, bucket, study, monkeypatch)
  _learned(run, bucket, tmp_path, monkeypatch)
  _trained_for_a_task(run, bucket, tmp_path)
  assert not [name for name in bucket.names() if name.endswith(".lock")]
  assert not list((tmp_path / "cache" / "perceptual" / "staging").iterdir())


def _killed_after_its_first_save(run, monkeypatch, *command):
  save = outer_loop.OuterLoop._save_last

  def save_and_end(trained):
    save(trained)
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(outer_loop.OuterLoop, "_save_last", save_and_end)
    _, last = run(*command, status=130)
  assert last == "interrupted; give the same command again to go on"


def _exported(run, monkeypatch):
  """The export of a run gives the run's distances; one whose upload was cut short is begun anew."""
  export = ("export", f"--model_dir=gs://bucket/{RUN}", "--export_dir=gs://bucket/metric")
  upload = remote.upload

  def cut_short(local, path):
    if path.name == "saved_model.pb":
      raise OSError(28, "No space left on device")
    upload(local, path)

  with monkeypatch.context() as patched:
    patched.setattr(remote, "upload", cut_short)
    _, last = run(*export, status=1)
  assert last == "error: gs://bucket/metric cannot be written: No space left on device."
  run(*export)
  _, last = run(*export, status=1)
  assert "holds an export already" in last
  images = np.random.default_rng(0).integers(0, 256, [2, 1, 64, 64, 3], np.uint8)
  values = [float(np.asarray(metric(*images))[0]) for metric in (
      perceptual.load_metric(f"gs://bucket/{RUN}"), perceptual.load_metric("gs://bucket/metric"),
      keras_files.keras_metric("gs://bucket/metric"))]
  assert values == pytest.approx([values[0]] * 3, rel=1e-5)
  assert values[0] > 0


def _collected_and_drawn(run, bucket, study, monkeypatch):
  """All that is made of a study's runs."""
  run("study", "plan", *study)
  assert [row["run"] for row in _csv(bucket, "study/plan.csv")] == ["resnet2-seed0"]
  run("study", "collect", *study)
  assert {row["step"] for row in _csv(bucket, "study/collected.csv")} == {"0", "2", "4"}
  run("study", "analyze", "--analysis=entropy", "--limit=2", *study)
  assert bucket.get(f"{RUN}/analyses/entropy.csv")
  run("study", "findings", *study)
  assert bucket.get("study/findings/peaks.csv")
  entropy = {"entropy": registry.FIGURES["entropy"]}
  monkeypatch.setattr(registry, "FIGURES", entropy)  # each is drawn in a second
  for subcommand in ("figures", "report"):
    run("study", subcommand, *study)
  assert bucket.get("study/figures/entropy.pdf").startswith(b"%PDF")
  assert b"data:image/png" in bucket.get("study/report/report.html")
  run("analyze", "--analysis=optimum", "--table=gs://bucket/study/collected.csv",
      "--output_dir=gs://bucket/analyses")
  assert [row["network"] for row in _csv(bucket, "analyses/optimum.csv")] == ["resnet2"]
  _, last = run("study", "submit", "--engine=slurm", *study, status=1)
  assert last == "error: study submit writes its job file on this machine: --study_dir must be a " \
                 "path, not gs://bucket/study."


def _learned(run, bucket, tmp_path, monkeypatch):
  (tmp_path / "learn.gin").write_text(LEARN)
  mse = perceptual.load_metric("mse")
  monkeypatch.setattr(lpips, "lpips", lambda *_, **__: mse)
  for split in ("val", "train"):
    out, _ = run("prepare", "teacher", "--source=demo", f"--split={split}", "--limit=4",
                 "--data_dir=gs://bucket/data")
    assert "in gs://bucket/data/teacher/cross" in out
  run("learn", "--gin_file=learn.gin", f"--trunk_dir=gs://bucket/{RUN}",
      "--data_dir=gs://bucket/data", "--model_dir=gs://bucket/learned")
  assert [row["step"] for row in _csv(bucket, "learned/metrics.csv")] == ["0", "1"]
  assert perceptual.load_metric("gs://bucket/learned").trained["step"] == 1


def _trained_for_a_task(run, bucket, tmp_path):
  _write_noise(tmp_path / "images", [f"{i}.png" for i in range(3)], (44, 60))
  (tmp_path / "task.gin").write_text(TASK.format(tmp_path))
  task = ("--model_dir=gs://bucket/task", "--data_dir=gs://bucket/data")
  run("task", "train", "--gin_file=task.gin", *task)
  run("task", "evaluate", *task)
  assert {row["method"] for row in _csv(bucket, "task/evaluation/summary.csv")} == {
      "network", "bicubic"}


def test_labelled_images_and_bapps(run, bucket, tmp_path):
  for label in ("cats", "dogs"):
    _write_noise(tmp_path / "classes" / label, [f"{i}.png" for i in range(3)], (16, 16))
  for part in ("ref", "p0", "p1"):
    _write_noise(tmp_path / "2afc" / "val" / "cnn" / part, ["000000.png"], (12, 16))
  (tmp_path / "2afc" / "val" / "cnn" / "judge").mkdir()
  np.save(tmp_path / "2afc" / "val" / "cnn" / "judge" / "000000.npy", np.zeros(1, np.float32))
  prepare = {
      "own_images/mine": ("images", "--source=classes", "--name=mine", "--image_size=16"),
      "bapps/2afc": ("bapps", "--source=."),
      "graded/monotone": ("graded", "--source=own/mine", "--kinds=monotone")}
  for name, arguments in prepare.items():
    with warnings.catch_warnings():
      warnings.filterwarnings("ignore", "bapps/2afc")
      run("prepare", *arguments, "--data_dir=gs://bucket/data")
    assert bucket.get(f"data/{name}/1.0.0/dataset_info.json"), name
  assert not [name for name in bucket.names() if ".unfinished" in name]


def _write_noise(folder, names, size):
  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  for name in names:
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name)


def test_judged_images_and_comparisons(run, bucket, tmp_path):
  rng = np.random.default_rng(0)
  (tmp_path / "images").mkdir()
  for level in range(11):
    pixels = 128 + level * rng.integers(-8, 9, [16, 16, 3])
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / f"{level}.png")
  (tmp_path / "images" / "ratings.csv").write_text(
      "reference,distorted,score\n" + "".join(f"0.png,{i}.png,{20 - i}\n" for i in range(1, 11)))
  prepare = ("prepare", "judged", "--source=images", "--name=mine", "--data_dir=gs://bucket/data",
             "--direction=higher_is_better")
  out, _ = run(*prepare)
  assert "in gs://bucket/data/judged/mine" in out
  again, _ = run(*prepare)
  assert again == f"Already complete, nothing to do: {out}"
  _a_lock_goes_if_its_process_has_ended(run, prepare, bucket)

  evaluate = ("evaluate", "--metric=mse", "--dataset=judged/mine", "--data_dir=gs://bucket/data",
              "--output_dir=gs://bucket/scores", "--noreport")
  run(*evaluate)
  distances = [float(row["mse"]) for row in _csv(bucket, "scores/distances.csv")]
  assert distances == sorted(distances)
  assert len(bucket.get("scores/journal.jsonl").splitlines()) == 11
  journal = bucket.about("scores/journal.jsonl")
  run(*evaluate)  # every value is taken from the journal
  assert bucket.about("scores/journal.jsonl") == journal

  run("compare", "--metric=mse", "--all_pairs=images", "--output_dir=gs://bucket/compared")
  assert len(_csv(bucket, "compared/results.csv")) == 55
  assert "compared/.lock" not in bucket.names()


def _a_lock_goes_if_its_process_has_ended(run, prepare, bucket):
  """It is left by a writer that was killed after it had put everything in its place."""
  lock = "data/judged/mine.unfinished/.lock"
  uploaded = folders.staging_dir(remote.path("gs://bucket/data/judged/mine"))
  for about, stays in (({}, False), ({"place": "another"}, True)):
    uploaded.mkdir()
    bucket.put(lock, json.dumps(leftovers.holder(host="a", **about)).encode())
    out, _ = run(*prepare)
    assert out.startswith("Already complete")
    assert (lock in bucket.names()) == uploaded.exists() == stays
  bucket.remove(lock)


def test_what_needs_this_machine_says_so(run, bucket):
  _, last = run("compare", "--metric=mse", "gs://bucket/a.png", "gs://bucket/b.png", status=1)
  assert last == "error: gs://bucket/a.png is not a path on this machine, which is needed here: " \
                 "copy it."
  _, last = run("export", "--metric=ssim", "--export_dir=ram://metric", status=1)
  assert last.startswith("error: ram://metric: of addresses, only gs:// can be read and written.")


def test_a_folder_that_is_not_there_is_one_line(run, bucket):
  with pytest.raises(perceptual.errors.UserError, match=r"^There is no folder 'gs://other/run'\."):
    perceptual.load_metric("gs://other/run")


@pytest.mark.parametrize(("command", "line"), [
    ([], "give the command to run, such as bash."),
    (["no-such-command"], "no-such-command is no command.")])
def test_a_bucket_is_not_served_to_nothing(monkeypatch, tmp_path, capsys, command, line):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "argv", ["local_bucket", *command])
  with pytest.raises(SystemExit) as caught:
    local_bucket.main()
  assert caught.value.code == 2
  assert capsys.readouterr().err.endswith(f"error: {line}\n")
  assert not list(tmp_path.iterdir())
