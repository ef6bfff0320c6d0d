"""The studies of `gin/studies/`: each reads, is counted, and says so; every recipe parses."""

import pathlib

import pytest

from perceptual.data.labelled import registry
from perceptual.experiments import config
from perceptual.models import loss_networks
from perceptual.studies import definition, planning
from perceptual.tasks import registry as tasks

ROOT = pathlib.Path(__file__).resolve().parents[2]
STUDIES = {path.stem: f"gin/studies/{path.name}" for path in sorted(
    (ROOT / "gin" / "studies").glob("*.gin")) if not path.stem.startswith("scores")}
OF_LOSSES = [name for name in STUDIES if "losses" in name or name.startswith("loss_")]
OF_NETWORKS = [name for name in STUDIES if name not in OF_LOSSES]
# Parts of a whole, without those that are shown here alone.
OF_THE_PAPER = [name for name in OF_NETWORKS if name != "photographs"]
OF_LOSS_NETWORKS = [name for name in OF_LOSSES if name.startswith("loss_networks")]


@pytest.fixture(scope="module")
def studies():
  return {name: definition.read(file) for name, file in STUDIES.items()}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_called_by_its_file_and_says_how_many_runs_it_has(studies, name):
  assert studies[name].name == name
  text = (ROOT / STUDIES[name]).read_text()
  head = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
  assert f" {len(studies[name].runs)} runs" in head


@pytest.mark.parametrize("name", OF_NETWORKS)
def test_every_run_is_one_that_gin_and_its_recipe_take(studies, name):
  """One of each name without its seed; networks are built by `plan`, which a test below tries."""
  tried = set()
  for run in studies[name].runs:
    key = run.name.rpartition("-seed")[0], run.kind
    if key in tried:
      continue
    tried.add(key)
    run.parse("STUDY_DIR")
    config.judged()
    if run.kind == "learn":
      config.learn_settings()
      continue
    config.network()
    config.train_settings()
    config.images(None, load=registry.outline)
    config.check_used(config.TRAINING)


@pytest.mark.parametrize("name", OF_LOSSES)
def test_every_loss_and_recipe_is_legal(studies, name):
  for run in studies[name].runs:
    run.parse("STUDY_DIR")
    config.loss_settings()
    if run.kind == "judge":
      config.judged()
      config.check_used(config.JUDGEMENTS)
      continue
    assert config.task_name() in tasks.TASKS
    config.fit_settings()


def test_the_losses_of_the_study_are_its_networks_at_their_layers(studies):
  found = {}
  for run in studies["loss_networks_autoencoding"].runs:
    if run.network != definition.PIXELS:
      found.setdefault(run.network, []).extend(run.values["loss.taps"])
  assert {network: tuple(taps) for network, taps in found.items()} == loss_networks.LAYERS


def test_each_study_of_the_paper_has_a_small_one():
  names = {name.removesuffix("_small") for name in OF_THE_PAPER}
  assert set(OF_THE_PAPER) == names | {f"{name}_small" for name in names}


def test_the_whole_has_the_runs_of_all_parts(studies):
  for of_whole, whole in ((OF_THE_PAPER, "paper"), (OF_THE_PAPER, "paper_small"),
                          (OF_LOSS_NETWORKS, "loss_networks"),
                          (OF_LOSS_NETWORKS, "loss_networks_small")):
    others = {name for name in of_whole if name.endswith("_small") == whole.endswith("_small")}
    parts = {run.name for name in others - {whole} for run in studies[name].runs}
    assert {run.name for run in studies[whole].runs} == parts
  kinds = [run.kind for run in studies["paper"].runs]
  assert (len(kinds), kinds.count("learn")) == (750, 5), "as gin/studies/paper.gin says"


def test_small_networks_of_every_study_can_be_built(studies):
  """Of the small studies, by `plan`: it builds 26 networks of shapes alone."""
  planned = planning.plan(studies["paper_small"], folder="STUDY_DIR")
  assert len(planned) == len(studies["paper_small"].runs)
