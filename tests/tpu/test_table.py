"""From results of the compiler to the table, and from the table to plans; no compiler runs."""

import csv
import json
import types

import pytest

from perceptual.studies import tpu_costs
from tools.tpu import campaign, table

ABOUT = {"network": "resnet6", "batch": 128, "cores": 8, "image_size": 64, "precision": "bfloat16",
         "parameters": 10, "activations": 20}
FITS = {"compiles": True, "argument_bytes": 10**9, "temporary_bytes": 2 * 10**9, "flops": 3e9,
        "bytes_accessed": 4.5e9}
TOO_LARGE = {"compiles": False, "error": "RESOURCE_EXHAUSTED: Ran out of memory in memory space"}


@pytest.fixture
def folder(tmp_path):
  """A campaign: one step that is too large at 128 images and fits at 64, one that is refused."""
  for batch, result in ((128, TOO_LARGE), (64, FITS)):
    place = tmp_path / f"batch{batch}"
    place.mkdir()
    (place / "resnet6.train.json").write_text(json.dumps({**ABOUT, "batch": batch}))
    (place / "resnet6.train.v5e.json").write_text(json.dumps({"chip": "v5e", **result}))
  (tmp_path / "batch128" / "resnet6.judge.json").write_text(json.dumps(ABOUT))
  (tmp_path / "batch128" / "resnet6.judge.v5e.json").write_text(
      json.dumps({"chip": "v5e", "compiles": False, "error": "INVALID_ARGUMENT: no such thing"}))
  return tmp_path


@pytest.fixture
def rows(folder):
  return [table.row(result) for result in campaign.results(folder)]


def test_results_become_rows(rows):
  found = {(row["step"], row["batch"]): row for row in rows}
  assert found["train", 128]["compiles"] == "no: memory"
  assert found["judge", 128]["compiles"] == "no"
  assert found["train", 64]["memory"] == 3 * 10**9, "what it is given and what it keeps"
  assert (found["train", 64]["flops"], found["train", 128]["flops"]) == ("3000000000", "")


def test_a_line_has_the_largest_batch_that_fits(rows):
  text = table.tables(rows)
  assert text.startswith("### TPU v5e, 16 GB")
  assert text.splitlines()[-1] == (
      "| resnet6 | 64 | 3.00 | 3 | 4.5 | not compiled | no | not compiled |")


def test_a_plan_reads_the_table(rows, tmp_path, monkeypatch):
  path = tmp_path / "costs.csv"
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, tpu_costs.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
  monkeypatch.setattr(tpu_costs, "FILE", path)
  tpu_costs._training.cache_clear()
  run = types.SimpleNamespace(network="resnet6", kind="train")
  planned = [types.SimpleNamespace(run=run, parameters=n, activations=20) for n in (10, 11)]
  columns = tpu_costs.columns("tpu-v5e", planned)
  step, wide = (tpu_costs.training("tpu-v5e", one) for one in planned)
  tpu_costs._training.cache_clear()
  assert (step.batch, step.memory, step.flops) == (64, 3 * 10**9, 3 * 10**9)
  assert wide is None
  assert columns[1:] == [["64", "3.00", "3"], ["", "not compiled", ""]]


def test_the_table_is_of_tpus_alone():
  assert tpu_costs.has("tpu-v5e") and tpu_costs.has("tpu-v4")
  assert not tpu_costs.has("h100") and not tpu_costs.has("v5e")


def test_what_the_table_has_of_other_steps_stays(rows, tmp_path, monkeypatch):
  path = tmp_path / "costs.csv"
  monkeypatch.setattr(tpu_costs, "FILE", path)
  judge = next(row for row in rows if row["step"] == "judge")
  with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, tpu_costs.COLUMNS)
    writer.writeheader()
    writer.writerows([judge, {**judge, "compiles": "yes", "chip": "v6e"}])
  kept, *others = table.with_kept(rows)
  assert (kept["chip"], kept["compiles"]) == ("v6e", "yes"), "what the campaign did not compile"
  assert others == rows
