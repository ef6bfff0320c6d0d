"""`perceptual task`: list, train, evaluate, and what is wrong with a command."""

import numpy as np
import pytest
from PIL import Image

from perceptual.commands import cli


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  (folder / "photographs").mkdir()
  rng = np.random.default_rng(0)
  for number in range(4):
    Image.fromarray(rng.integers(0, 256, (44, 60, 3), np.uint8)).save(
        folder / "photographs" / f"{number}.png")
  return folder


TINY = ["super_resolution.side = 40", "super_resolution.channels = 4",
        "super_resolution.held_out = 1", "super_resolution.tests = ['photographs']",
        "super_resolution.metrics = ['mse']", "loss.metric = 'gaussian-resnet2'",
        "loss.taps = ['stem']", "fit.batch_size = 2", "fit.eval_batch_size = 1",
        "fit.train_steps = 2", "fit.eval_interval = 2"]


def _run(capsys, *arguments):
  with pytest.raises(SystemExit) as end:
    cli.main(["task", *arguments])
  return end.value.code, *capsys.readouterr()


def _train(capsys, data_dir, folder, *params):
  return _run(
      capsys, "train", "--gin_file=gin/runs/tasks/super_resolution_short.gin",
      f"--data_dir={data_dir}", f"--model_dir={folder}",
      *(f"--gin_param={param}" for param in (*TINY, *params)))


def test_the_tasks_are_listed(capsys):
  code, out, _ = _run(capsys, "list")
  assert code is None
  assert [line.split()[0] for line in out.splitlines()[2:]] == [
      "super_resolution", "delineation", "autoencoding"]


def test_a_network_is_trained_and_tested(capsys, data_dir, tmp_path):
  code, out, err = _train(capsys, data_dir, tmp_path / "run")
  assert code is None, err
  assert "loss      gaussian-resnet2 stem by l2, of images in [0, 1]" in out
  assert "Best: validation psnr" in out
  assert {"config.gin", "operative_config.gin"} <= {p.name for p in (tmp_path / "run").iterdir()}
  code, out, err = _run(
      capsys, "evaluate", f"--model_dir={tmp_path / 'run'}", f"--data_dir={data_dir}")
  assert code is None, err
  assert "photographs  standard  bicubic  mse" in out
  assert (tmp_path / "run" / "evaluation" / "summary.csv").is_file()
  code, out, err = _train(capsys, data_dir, tmp_path / "run")
  assert code is None and "This run is complete" in out
  code, out, err = _train(capsys, data_dir, tmp_path / "run", "loss.mse = 1.0")
  assert code == 1 and "holds another run" in err


@pytest.mark.parametrize(("params", "message"), [
    (["task.name = 'denoising'"], "Unknown task 'denoising'. Available: super_resolution, "),
    (["super_resolution.size = 3"], "Available: train, validation, held_out, "),
    (["loss.layer = 'relu1'"], "Available: metric, taps, distance, "),
    (["fit.epochs = 0"], "epochs must be a number above 0, not 0"),
    (["delineation.side = 32"], "The bindings of delineation have no effect"),
    (["super_resolution.train = 'nowhere'"], "There is no folder "),
    (["loss.metric = 'ssim'"], "loss.taps: the metric ssim has no option taps"),
])
def test_a_mistake_is_one_line(capsys, data_dir, tmp_path, params, message):
  code, _, err = _train(capsys, data_dir, tmp_path / "run", *params)
  assert code == 1
  (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
  assert message in line
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "task needs one of list, train, evaluate. Received: nothing"),
    (["train"], "task train needs --gin_file"),
    (["evaluate"], "task evaluate needs --model_dir"),
    (["train", "--seed=1"], "task train does not take --seed, which is for evaluate."),
])
def test_a_wrong_command_line_is_told(capsys, arguments, message):
  code, _, err = _run(capsys, *arguments)
  assert code == 2 and message in err


@pytest.mark.parametrize(("binding", "tested"), [
    ("loss.mse = 2.0", "bindings of super_resolution, images, class_subset."),
    ("super_resolution.blur = 2.0", "super_resolution.tests, super_resolution.metrics."),
])
def test_a_binding_without_effect_on_tests_is_refused(capsys, tmp_path, binding, tested):
  (tmp_path / "task.json").write_text('{"name": "super_resolution"}')
  (tmp_path / "config.gin").write_text(
      "task.name = 'super_resolution'\nsuper_resolution.train = 'photographs'\n")
  code, _, err = _run(capsys, "evaluate", f"--model_dir={tmp_path}", f"--gin_param={binding}")
  assert code == 1
  assert f"{binding.split()[0]} has no effect on a trained network: its tests take {tested}" in err


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda folder: (folder / "config.gin").unlink(), "config.gin is missing: it says what the"),
    (lambda folder: (folder / "task.json").write_text('{"name": "delineation"}'),
     "task.json names the task 'delineation', "),
])
def test_a_damaged_folder_is_not_tested(capsys, tmp_path, spoil, message):
  (tmp_path / "task.json").write_text('{"name": "super_resolution"}')
  (tmp_path / "config.gin").write_text(
      "task.name = 'super_resolution'\nsuper_resolution.train = 'photographs'\n")
  spoil(tmp_path)
  code, _, err = _run(capsys, "evaluate", f"--model_dir={tmp_path}")
  assert code == 1 and message in err


@pytest.mark.parametrize("flag", ["--checkpoint=last", "--seed=1", "--gin_param=images.a = 8"])
def test_another_test_of_a_study_s_run_does_not_take_the_place_of_its_own(capsys, tmp_path, flag):
  (tmp_path / "study.json").write_text("{}")
  code, _, err = _run(capsys, "evaluate", f"--model_dir={tmp_path}", flag)
  assert code == 2 and "is a run of a study" in err and "give --output_dir" in err


def test_another_folder_is_no_run_of_a_task(capsys, tmp_path):
  code, _, err = _run(capsys, "evaluate", f"--model_dir={tmp_path}")
  assert code == 1 and "is not the folder of a task: it has no task.json" in err
