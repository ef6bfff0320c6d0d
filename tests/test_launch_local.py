"""`tools/launch_local.sh`, with a stand-in for the workers."""

import json
import os
import subprocess
import sys

import pytest

from tools.build_files import ROOT

_WORKER = """#!/bin/bash
if [ "$1" != -m ]; then exec "{python}" "$@"; fi
trap : TERM
case $TF_CONFIG in
  *'"index": 0'*) eval "$WORKER_0" ;;
  *'"index": 1'*) "{python}" -c ""; eval "$WORKER_1" ;;  # the slowest
  *) eval "$WORKER_2" ;;
esac
echo "$TF_CONFIG"
echo "$@"
"""


@pytest.fixture
def launch(tmp_path):
  """Runs the script; its workers say what they were given."""
  worker = tmp_path / "worker"
  worker.write_text(_WORKER.format(python=sys.executable))
  worker.chmod(0o755)

  def call(*arguments, **environment):
    return subprocess.run(
        ["bash", str(ROOT / "tools" / "launch_local.sh"), *arguments], capture_output=True,
        text=True, cwd=tmp_path, env={**os.environ, "PYTHON": str(worker), **environment})

  return call


def test_each_worker_knows_all_and_itself(launch, tmp_path):
  (tmp_path / "logs").mkdir()
  done = launch("2", "train", "--model_dir=a b", LOGS="logs")
  assert done.returncode == 0, done.stderr
  said = [done.stdout, (tmp_path / "logs" / "worker-1.log").read_text()]
  given = [json.loads(text.splitlines()[0]) for text in said]
  assert given[0]["cluster"] == given[1]["cluster"] and len(given[0]["cluster"]["worker"]) == 2
  assert [config["task"] for config in given] == [
      {"type": "worker", "index": 0}, {"type": "worker", "index": 1}]
  assert {text.splitlines()[1] for text in said} == {
      "-m perceptual train --model_dir=a b --distribution_strategy=multi_worker_mirrored"}


def test_a_worker_that_ends_otherwise_than_the_first_is_named(launch):
  done = launch("3", "train", WORKER_2="exit 3")
  assert done.returncode == 0
  assert done.stderr == "worker-2 ended with status 3: worker-2.log\n"


def test_further_signals_do_not_end_it_before_its_workers(launch, tmp_path):
  """Nor change its status, which stays that of the first."""
  os.mkfifo(tmp_path / "both_run")
  done = launch("2", "train", WORKER_1="echo > both_run; exit 75",
                WORKER_0="read < both_run; kill -TERM $PPID; kill -TERM $PPID; exit 75")
  assert (done.returncode, done.stderr) == (75, "")


@pytest.mark.parametrize("arguments", [[], ["0"], ["two", "train"], ["-1"], ["train", "2"]])
def test_without_a_number_of_workers_it_says_how_it_is_used(launch, arguments):
  done = launch(*arguments)
  assert (done.returncode, done.stdout) == (2, "")
  assert done.stderr.startswith("usage: tools/launch_local.sh WORKERS COMMAND")
  assert done.stderr.count("\n") == 1


def test_logs_that_cannot_be_written_are_told_before_a_worker_starts(launch):
  done = launch("2", "train", LOGS="nowhere")
  assert (done.returncode, done.stdout) == (1, "")
  assert done.stderr == (
      "error: nowhere/worker-1.log cannot be written: LOGS must name a folder.\n")
