"""`perceptual study` as it is typed: plan, run, status, collect, submit, and mistakes."""

import csv
import functools

import pytest

STUDY = """
study.name = 'micro'
study.sweeps = [@widths/sweep()]
widths/sweep.bases = ['BASE']
widths/sweep.vary = {'network.width': [0.1, 0.2]}
"""
BASE = """
include 'gin/runs/demo.gin'
network.name = 'resnet2'
images.train_per_photograph = 1
images.validation_per_photograph = 1
judged.limit = 4
train.batch_size = 8
train.train_steps = 1
train.steps_per_loop = 1
train.score_distances = ['local']
train.keep_checkpoints = 'all'
step_decay.warmup_epochs = 0
"""

_SUBCOMMANDS = ("plan, run, status, score, collect, analyze, findings, figures, report, losses, "
                "submit")


@pytest.fixture
def run(run):
  """Runs the command."""
  return functools.partial(run, "study")


@pytest.fixture
def flags(tmp_path):
  (tmp_path / "base.gin").write_text(BASE)
  (tmp_path / "study.gin").write_text(STUDY.replace("BASE", str(tmp_path / "base.gin")))
  return f"--study={tmp_path / 'study.gin'}", f"--study_dir={tmp_path / 'study'}"


def test_from_the_plan_to_the_table(run, flags, tmp_path):
  code, out, _ = run("plan", *flags, "--peak_gflops=252")
  assert code == 0
  assert "resnet2-width0.2-seed0" in out
  assert "2 runs, 2 different networks" in out
  assert "in proportion to 252 GFLOP/s" in out
  assert "Sizes: " not in out  # the photographs are those of any plan
  with (tmp_path / "study" / "plan.csv").open(newline="") as file:
    assert [row["run"] for row in csv.DictReader(file)] == [
        "resnet2-width0.1-seed0", "resnet2-width0.2-seed0"]

  code, out, _ = run("run", *flags, "--index=1", "--nodeterministic")
  assert (code, out) == (0, "micro: 1 finished, of 2 runs.\n")
  code, out, _ = run("status", *flags)
  assert code == 0
  assert "micro: 1 not started, 1 finished, of 2 runs." in out
  assert "Not started: resnet2-width0.1-seed0" in out

  code, out, _ = run("run", *flags, "--shard=0/1", "--nodeterministic")
  assert (code, out) == (0, "micro: 2 finished, of 2 runs.\n")
  for judged_set, said in (
      ("graded/nuisance", "was scored on graded/nuisance as it was trained"),
      ("graded/monotone", "2 checkpoints scored on graded/monotone"),
      ("graded/monotone", "0 checkpoints scored on graded/monotone, 2 had been before")):
    code, out, _ = run("score", *flags, f"--judged_set={judged_set}", "--limit=4", "--index=0")
    assert (code, out) == (0, f"resnet2-width0.1-seed0: {said}\n")
  code, out, _ = run("collect", *flags)
  assert code == 0
  table = tmp_path / "study" / "collected.csv"
  assert str(table) in out
  with table.open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert {row["run"] for row in rows} == {"resnet2-width0.1-seed0", "resnet2-width0.2-seed0"}
  assert {(row["run"], row["step"]) for row in rows if row["judged_set"] == "graded/monotone"} == {
      ("resnet2-width0.1-seed0", "0"), ("resnet2-width0.1-seed0", "1")}
  code, out, _ = run("plan", *flags)
  assert "Checked: 2 finished runs trained at " in out

  code, out, _ = run("analyze", *flags, "--analysis=entropy,sensitivity", "--limit=4")
  assert code == 1  # nothing was said of a judged set
  assert "resnet2-width0.1-seed0: entropy done" in out
  assert "resnet2-width0.2-seed0: sensitivity failed: The analysis sensitivity needs judged" in out
  code, out, _ = run("analyze", *flags, "--analysis=entropy,sensitivity", "--limit=4",
                     "--judged_set=graded/nuisance")
  assert code == 0
  assert "entropy is there" in out and "resnet2-width0.2-seed0: sensitivity done" in out
  code, out, _ = run("figures", *flags)
  assert code == 0
  assert "\nwidth_and_depth: 2 rows drawn; lacks" in out and "\ntraining: not drawn." in out
  with (tmp_path / "study" / "figures" / "entropy.csv").open(newline="") as file:
    assert [row["run"] for row in csv.DictReader(file)] == [
        "resnet2-width0.1-seed0", "resnet2-width0.2-seed0"]


def test_a_plan_says_last_that_sizes_are_the_published_ones(run, flags, tmp_path):
  base = BASE.replace("images.train_per_photograph = 1\nimages.validation_per_photograph = 1\n",
                      "images.source = 'imagenet64'\n")
  (tmp_path / "base.gin").write_text(base)
  for arguments in (flags, flags[:1]):
    code, out, _ = run("plan", *arguments)
    assert code == 0
    assert out.splitlines()[-1].startswith("Sizes: ImageNet's 1,281,167 images of 1,000 classes, ")


def test_a_plan_says_what_the_study_notes(run, flags, tmp_path):
  study = tmp_path / "study.gin"
  study.write_text(f"{study.read_text()}\nstudy.note = 'Others trained 722.'\n")
  code, out, _ = run("plan", *flags)
  assert code == 0 and "Others trained 722." in out.splitlines()


def test_refused_runs_are_one_line(run, flags, tmp_path):
  (tmp_path / "base.gin").write_text(BASE + "train.label_smoothing = 2.0\n")
  code, out, error = run("plan", *flags)
  assert (code, out) == (1, "")
  assert error.startswith("error: Refused: 2 of 2 runs. 2 runs (resnet2-width0.1-seed0, "
                          "resnet2-width0.2-seed0): label_smoothing")


@pytest.mark.parametrize("subcommand", ["figures", "findings"])
def test_figures_come_after_collect(run, flags, tmp_path, subcommand):
  (tmp_path / "study").mkdir()
  (tmp_path / "study" / "study.json").write_text('{"study": "micro"}')
  code, _, error = run(subcommand, *flags)
  assert code == 1 and "has no collected.csv: perceptual study collect comes first." in error


@pytest.mark.parametrize("subcommand", ["status", "collect", "report"])
def test_a_folder_without_a_study_is_refused(run, flags, subcommand):
  code, _, error = run(subcommand, *flags)
  assert code == 1 and "study is not the folder of a study: it has no study.json" in error


def test_a_failed_run_is_told_by_the_exit_status(run, flags, tmp_path):
  (tmp_path / "base.gin").write_text(BASE + "judged.name = 'bapps/2afc'\n")
  code, out, _ = run("run", *flags, "--index=0", "--nodeterministic")
  assert code == 1
  assert "Failed: resnet2-width0.1-seed0: bapps/2afc needs a data_dir" in out


def test_a_job_file_is_written_and_nothing_submitted(run, flags, tmp_path):
  code, out, _ = run("submit", *flags, "--engine=slurm", "--shard=1/2", "--hours=3")
  assert code == 0
  path = tmp_path / "study" / "jobs" / "slurm.sbatch"
  assert out == f"1 run: {path}\nTo submit them: sbatch {path}\n"
  assert "#SBATCH --array=1%16\n" in path.read_text()
  run("submit", *flags, "--engine=slurm", "--gpus=4", "--jit_compile")
  assert " --jit_compile --distribution_strategy=mirrored --index=" in path.read_text()


@pytest.mark.parametrize(("arguments", "code", "message"), [
    ((), 2, f"study needs one of {_SUBCOMMANDS}. Received: nothing."),
    (("draw",), 2, f"study needs one of {_SUBCOMMANDS}. Received: draw."),
    (("submit",), 2, "study submit needs --engine."),
    (("submit", "--engine=kubernetes"), 1, "study submit --engine=kubernetes needs --image, "
     "--volume_claim and --mount."),
    (("plan", "--device=h300"), 1, "Unknown device 'h300'. Available: cpu, h200, h100"),
    (("run", "--index=2"), 1, "--index must be numbers from 0 to 1, as 3 or 10-19, not '2'."),
    (("collect", "--index=0"), 2, "study collect does not take --index, which is for run, score "
     "and submit. Beside flags that all take it takes --unfinished."),
    (("submit", "--engine=tpu", "--gpus=2"), 2, "study submit --engine=tpu does not take --gpus, "
     "which is for slurm and kubernetes."),
    (("run", "--index="), 2, "--index is empty: it must be numbers, as 3 or 10-19."),
])
def test_mistakes_are_one_line(run, flags, arguments, code, message):
  found = run(*arguments, *flags)
  assert found[0] == code
  assert found[2].startswith(f"error: {message}")


@pytest.mark.parametrize("subcommand", [
    "run", "status", "collect", "analyze", "findings", "figures", "report", "submit"])
def test_the_folder_is_asked_for(run, flags, subcommand):
  found = run(subcommand, flags[0])
  assert found[0] == 2
  assert found[2].startswith(f"error: study {subcommand} needs --study_dir.")
