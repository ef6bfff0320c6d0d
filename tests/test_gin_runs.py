"""Every run file: it says what it is, parses, and trains two steps of a tiny version of itself."""

import pathlib

import pytest

from perceptual import config
from perceptual.training import loop

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNS = sorted((ROOT / "gin" / "runs").glob("*.gin"))

TINY = [
    "network.width = 0.05",
    "images.source = 'demo'",
    "images.train_per_photograph = 2",
    "images.validation_per_photograph = 1",
    "judged.name = 'graded/nuisance'",
    "judged.limit = 8",
    "train.batch_size = 4",
    "train.eval_batch_size = 8",
    "train.train_steps = 2",
]


def name(run):
  return run.stem


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_opens_with_its_command_and_what_to_expect(run):
  head = run.read_text().partition("include")[0]
  assert f"perceptual train --gin_file=gin/runs/{run.name}" in head
  assert "Cost:" in head
  assert "measured" in head.lower()


@pytest.mark.parametrize("run", RUNS, ids=name)
def test_trains_two_steps_of_a_tiny_version(run, tmp_path):
  config.parse([str(run)], TINY)
  trained = loop.Run(
      tmp_path, network=config.network(), images=config.images(None),
      judged_set=config.judged_set(None), settings=config.train_settings())
  config.check_used(config.TRAINING)
  rows = trained.train()
  assert [row["step"] for row in rows] == [0, 2]
  assert rows[-1]["loss"] > 0
