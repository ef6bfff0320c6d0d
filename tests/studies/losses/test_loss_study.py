"""A study of losses: planned, run, tested, collected and told."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from perceptual.errors import UserError
from perceptual.experiments import config, sweeps
from perceptual.studies import (
  collecting,
  definition,
  devices,
  execution,
  plan_text,
  planning,
  study_dir,
)
from perceptual.studies.figures import data
from perceptual.studies.losses import paired, report, table

BASE = """
include 'gin/tasks/super_resolution.gin'
super_resolution.train = 'photographs'
super_resolution.validation = None
super_resolution.held_out = 1
super_resolution.limit = None
super_resolution.side = 40
super_resolution.channels = 2
super_resolution.tests = ['photographs']
super_resolution.metrics = ['mse']
fit.batch_size = 2
fit.eval_batch_size = 1
fit.train_steps = 2
fit.eval_interval = 2
"""

STUDY = """
study.name = 'micro'
study.sweeps = [@losses/sweep()]
losses/sweep.bases = ['BASE']
losses/sweep.seeds = [0, 1]
losses/sweep.points = {
    'pixels': {'loss.mse': 1.0, 'loss.metric': None, 'loss.taps': None, 'loss.distance': None},
    'resnet2_stem': {'loss.metric': 'gaussian-resnet2', 'loss.taps': ['stem']},
}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  folder = tmp_path_factory.mktemp("losses")
  (folder / "data" / "photographs").mkdir(parents=True)
  rng = np.random.default_rng(0)
  for number in range(3):
    Image.fromarray(rng.integers(0, 256, (44, 52, 3), np.uint8)).save(
        folder / "data" / "photographs" / f"{number}.png")
  (folder / "base.gin").write_text(BASE)
  (folder / "study.gin").write_text(STUDY.replace("BASE", str(folder / "base.gin")))
  yield folder
  config.gin.clear_config()


@pytest.fixture(scope="module")
def collected(place):
  """The study after it has run: (study, folder)."""
  study = definition.read(str(place / "study.gin"))
  folder = study_dir.StudyDir(place / "study", study)
  folder.open()
  states = execution.execute(folder, study.runs, data_dir=place / "data")
  assert [state.state for state in states.values()] == 4 * ["finished"], states
  paths, _ = collecting.collect(study, folder)
  assert [path.name for path in paths] == ["collected_tasks.csv"]
  return study, folder


def test_runs_are_called_by_task_and_loss(place):
  study = definition.read(str(place / "study.gin"))
  assert [(run.name, run.kind, run.network) for run in study.runs] == [
      ("super_resolution-pixels-seed0", "task", "pixels"),
      ("super_resolution-pixels-seed1", "task", "pixels"),
      ("super_resolution-resnet2_stem-seed0", "task", "gaussian-resnet2"),
      ("super_resolution-resnet2_stem-seed1", "task", "gaussian-resnet2")]


def test_a_study_of_tasks_is_planned(place):
  study = definition.read(str(place / "study.gin"))
  pixels, _, random, _ = planning.plan(study, folder="STUDY_DIR", data_dir=place / "data")
  assert (pixels.steps, pixels.batch_size, pixels.evaluations) == (2, 2, 2)
  assert pixels.flops > 0 and pixels.checkpoints > 0
  assert random.flops > pixels.flops, "the loss network counts, also with random weights"


def test_the_plan_says_of_which_losses_the_cost_is_not_counted(place):
  study = definition.read(str(place / "study.gin"))
  planned = planning.plan(study, folder="STUDY_DIR", data_dir=place / "data")
  device = devices.DEVICES["cpu"]
  assert "not counted" not in plan_text.totals(planned, "cpu", device)
  of_ssim = dataclasses.replace(
      planned[2], run=dataclasses.replace(planned[2].run, network="ssim"))
  assert "not counted of: ssim." in plan_text.totals([*planned, of_ssim], "cpu", device)


def test_the_table_has_every_measure_of_every_run(collected):
  with (collected[1].path / "collected_tasks.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert {row["run"] for row in rows} == {run.name for run in collected[0].runs}
  measures = {(row["protocol"], row["measure"]) for row in rows}
  assert ("standard", "psnr") in measures and ("study", "ssim_d") in measures
  assert {row["method"] for row in rows} == {"network", "bicubic"}
  assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows)
  assert {row["task"] for row in rows} == {"super_resolution"}


def test_tables_figures_and_sheets_are_written(collected):
  said = []
  report.write(*collected, report=said.append)
  output = collected[1].path / "losses"
  names = {path.name for path in output.iterdir()}
  assert {"table_super_resolution.csv", "ranks.csv", "mean_ranks.csv", "figure_layers.png",
          "paired.csv", "figure_ranks.png", "figure_layers.pdf"} <= names
  assert "sheet_photographs-standard-0.png" in names
  assert "mean ranks" in "".join(said)
  assert "score: of super_resolution PSNR of luma, dB (standard, psnr)" in said
  scores = table.primary(table.read(collected[1].path / "collected_tasks.csv"))
  assert [(score.loss, len(score.values)) for score in scores] == [
      ("pixels", 2), ("gaussian-resnet2 stem", 2)]


def test_losses_are_compared_with_pixels_image_by_image(collected):
  study, folder = collected
  rows = paired.differences(study, folder, study.runs)
  assert {row["loss"] for row in rows} == {"gaussian-resnet2 stem"}
  row = next(row for row in rows if (row["protocol"], row["measure"]) == ("standard", "psnr"))
  scores = {score.loss: score.mean for score in table.primary(
      table.read(folder.path / "collected_tasks.csv"))}
  assert row["images"] == 3
  assert row["difference"] == pytest.approx(
      scores["gaussian-resnet2 stem"] - scores["pixels"], abs=1e-5)
  assert row["low"] <= row["difference"] <= row["high"]


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(), lambda path: path.write_text(""),
    lambda path: path.write_bytes(b"\xff"), lambda path: path.write_text(path.read_text()[:-12])])
@pytest.mark.parametrize("name", ["summary.csv", "measures.csv"])
def test_damaged_results_are_named(collected, name, damage):
  study, folder = collected
  path = folder.path / "runs" / study.runs[0].name / "evaluation" / name
  whole = path.read_bytes()
  damage(path)
  try:
    with pytest.raises(UserError, match=f"{name} .*perceptual task evaluate"):
      if name == "summary.csv":
        collecting.collect(study, folder)
      else:
        paired.differences(study, folder, study.runs)
  finally:
    path.write_bytes(whole)


def test_findings_of_losses_are_elsewhere(collected):
  with pytest.raises(UserError, match=r"collected_tasks.csv alone, .* perceptual study losses"):
    data.collected(collected[1].path)


def test_a_table_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match=r"collected_tasks.csv cannot be read: .* `perceptual study"):
    table.read(tmp_path / "collected_tasks.csv")


def test_a_loss_is_scored_without_training(place):
  (place / "judged.gin").write_text("judged.name = 'graded/nuisance'\njudged.limit = 4\n")
  (place / "judging.gin").write_text(
      STUDY.replace("BASE", str(place / "judged.gin")) + "losses/sweep.judge = True\n")
  study = definition.read(str(place / "judging.gin"))
  assert [(run.name, run.kind, run.network) for run in study.runs[1:3]] == [
      ("judgements-pixels-seed1", "judge", "pixels"),
      ("judgements-resnet2_stem-seed0", "judge", "gaussian-resnet2")]
  planned = planning.plan(study, folder="STUDY_DIR")
  assert {(one.steps, one.checkpoints) for one in planned} == {(0, 0)}
  folder = study_dir.StudyDir(place / "judging", study)
  folder.open()
  states = execution.execute(folder, study.runs)
  assert [(state.state, state.steps) for state in states.values()] == 4 * [("finished", 0)], states
  collecting.collect(study, folder)
  scores = table.primary(table.read(folder.path / "collected_tasks.csv"))
  assert [(score.task, score.loss, len(score.values)) for score in scores] == [
      ("judgements", "pixels", 2), ("judgements", "gaussian-resnet2 stem", 2)]
  report.write(study, folder, report=lambda text: None)
  assert (folder.path / "losses" / "table_judgements.csv").is_file()


def test_a_sweep_judges_or_learns():
  with pytest.raises(UserError, match=r"sweep\.judge trains nothing"):
    sweeps.Sweep(bases=("base.gin",), judge=True, learn="learn.gin")
