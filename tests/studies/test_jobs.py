"""Job files: what their engines make of them, as far as that can be asked without the engines."""

import dataclasses
import importlib.resources
import json
import re
import subprocess

import pytest

from perceptual.errors import UserError
from perceptual.studies import jobs

JOB = jobs.Job(
    study="gin/studies/width_small.gin", name="width_small", study_dir="/shared/my study",
    data_dir="/shared/data", runs={0: "a-seed0", 1: "a-seed1", 2: "a-seed2", 7: "b+c-seed0"},
    gpus=1, hours=30, parallel=2)
CLUSTER = {"image": "registry/perceptual:1", "volume_claim": "shared", "mount": "/shared"}
TPU = {"accelerator_type": "v5litepod-1", "runtime_version": "v2-alpha-tpuv5-lite",
       "zone": "us-west4-a", "bucket": "gs://mine/study/"}


@pytest.fixture
def bin_dir(tmp_path):
  """A folder of programs that print how they were called."""
  folder = tmp_path / "bin"
  folder.mkdir()
  for name in ("perceptual", "gcloud", "scontrol"):
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {name}\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o755)
  return folder


def _run(bin_dir, *command, status=0, **environment):
  """Returns the lines that a command prints; it must end by a status."""
  done = subprocess.run(
      command, env={"PATH": f"{bin_dir}:/usr/bin:/bin", **environment}, text=True,
      capture_output=True)
  assert done.returncode == status, done.stderr
  return done.stdout.splitlines()


def test_slurm_gets_an_array_of_exactly_these_runs(tmp_path, bin_dir):
  path, command = jobs.write(JOB, tmp_path, "slurm")
  assert command == f"sbatch {path}"
  lines = path.read_text().splitlines()
  directives = dict(re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(.+))?", line).groups()
                    for line in lines if line.startswith("#SBATCH"))
  assert lines[1:1 + len(directives)] == [line for line in lines if line.startswith("#SBATCH")], (
      "sbatch reads no directive after the first command")
  assert directives == {
      "job-name": "width_small", "array": "0-2,7%2", "cpus-per-task": "4", "mem": "16G",
      "gres": "gpu:1", "time": "30:00:00", "requeue": None, "signal": "B:USR1@300",
      "open-mode": "append",
      "output": f'"{tmp_path}/jobs/slurm-%A_%a.log"'}
  called = _run(bin_dir, "bash", str(path), SLURM_ARRAY_TASK_ID="7")
  assert called[:3] == ["perceptual", "study", "run"]
  assert called[3].endswith("gin/studies/width_small.gin")
  assert called[4:] == ["--study_dir=/shared/my study", "--data_dir=/shared/data", "--index=7"]


# Work, as that of a save: where a process ends in the moment in which its shell gets a signal, bash
# 5.2 loses its status.
_SAVES = "for ((i = 0; i < 50000; i++)); do :; done"
_ASKED = f"trap 'echo asked; {_SAVES}; exit 75' TERM; kill -USR1 $PPID; while :; do :; done"


@pytest.mark.parametrize(("run", "status", "printed"), [
    (_ASKED, 75, ["asked", "scontrol", "requeue", "12_7"]),
    (f"trap '' TERM; kill -USR1 $PPID; {_SAVES}; echo done", 0, ["done"]),
    (f"kill -TERM $PPID; {_SAVES}; exit 75", 75, []),
    ("exit 1", 1, []), ("kill -KILL $$", 137, [])],
    ids=["its time is over", "it ends in time", "it is taken", "it fails", "it is killed"])
def test_a_task_of_slurm_is_queued_again_where_its_time_was_too_short(
    tmp_path, bin_dir, run, status, printed):
  (bin_dir / "perceptual").write_text(f"#!/bin/bash\n{run}\n")
  path, _ = jobs.write(JOB, tmp_path, "slurm")
  assert _run(bin_dir, "bash", str(path), status=status, SLURM_ARRAY_TASK_ID="7",
              SLURM_ARRAY_JOB_ID="12") == printed


def test_sbatch_knows_every_directive(tmp_path):
  """Their names alone, by a list that was taken from `sbatch --help`."""
  simple_slurm = pytest.importorskip(
      "simple_slurm", reason="simple-slurm brings the names of sbatch's options")
  known = importlib.resources.files(simple_slurm).joinpath("arguments.txt").read_text().splitlines()
  known = {line.partition(",")[0].replace("_", "-") for line in known}
  path, _ = jobs.write(JOB, tmp_path, "slurm")
  given = re.findall(r"^#SBATCH --([a-z-]+)", path.read_text(), re.MULTILINE)
  assert len(given) == 10 and set(given) <= known
  subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.fixture
def manifest(tmp_path):
  path, command = jobs.write(JOB, tmp_path, "kubernetes", **CLUSTER)
  assert command == f"kubectl create -f {path}"
  return json.loads(path.read_text())


def test_kubernetes_gets_an_indexed_job_of_exactly_these_runs(manifest, bin_dir):
  spec = manifest["spec"]
  assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "Job")
  assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])
  assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 2)
  pod = spec["template"]["spec"]
  assert pod["restartPolicy"] == "Never", "backoffLimitPerIndex and podFailurePolicy ask for it"
  assert pod["terminationGracePeriodSeconds"] == 300
  container = pod["containers"][0]
  taken, stopped = spec["podFailurePolicy"]["rules"]
  assert taken["action"] == stopped["action"] == "Ignore"
  assert taken["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
  assert stopped["onExitCodes"] == {
      "containerName": container["name"], "operator": "In", "values": [75]}
  assert container["resources"]["limits"] == {
      "cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
  assert [mount["name"] for mount in container["volumeMounts"]] == [
      volume["name"] for volume in pod["volumes"]]
  for completion, index in enumerate(JOB.runs):
    called = _run(bin_dir, *container["command"], JOB_COMPLETION_INDEX=str(completion))
    assert called[-1] == f"--index={index}"


def test_kubernetes_schema_takes_the_job(manifest):
  kubernetes_validate = pytest.importorskip(
      "kubernetes_validate", reason="the schemas of Kubernetes come with kubernetes-validate")
  kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_tpu_gets_a_queued_resource_for_each_run(tmp_path, bin_dir):
  path, command = jobs.write(JOB, tmp_path, "tpu", **TPU)
  startup = path.with_name("tpu_startup.sh")
  assert command == f"bash {path}"
  for script in (path, startup):
    subprocess.run(["bash", "-n", str(script)], check=True)
  called = "\n".join(_run(bin_dir, "bash", str(path))).split("gcloud\n")[1:]
  assert len(called) == 4
  for index, call in zip(JOB.runs, called):
    assert call.splitlines() == [
        "compute", "tpus", "queued-resources", "create", f"study-width-small-{index}",
        f"--node-id=study-width-small-{index}", f"--metadata=study-index={index}",
        "--zone=us-west4-a", "--accelerator-type=v5litepod-1",
        "--runtime-version=v2-alpha-tpuv5-lite",
        f"--metadata-from-file=startup-script={startup}"]
  text = startup.read_text()
  assert "--study=study/width_small.gin --study_dir=study_dir --data_dir=data" in text
  assert '--distribution_strategy=tpu --index="$index"' in text


@pytest.fixture
def tpu_host(tmp_path, bin_dir):
  """What starts a TPU's host, with stand-ins: (run it, its folder, its bucket, a folder too)."""
  host, bucket = tmp_path / "host", tmp_path / "bucket"
  for folder in ("wheel", "study", "data", "study_dir/runs/a-seed0"):
    (bucket / folder).mkdir(parents=True)
  programs = {
      "curl": "echo 7",
      "gcloud": 'shift 2; [ "$1" = --recursive ] && shift\n'
                f'bucket="{bucket}"; here=gs://mine/study\n'
                'from="${1/#"$here"/"$bucket"}"; to="${2/#"$here"/"$bucket"}"\n'
                '[ -e "$from" ] || exit 1\n'
                'if [ -d "$from" ]; then mkdir -p "$to" && cp -r "$from/." "$to"; '
                'else cp "$from" "$to"; fi',
      "python3": "mkdir -p venv/bin && touch venv/bin/activate",
      "pip": "true", "sleep": "false",
      "perceptual": 'mkdir -p study_dir/runs/b+c-seed0 && echo "$@" > study_dir/study.json\n'
                    "echo step >> study_dir/runs/b+c-seed0/metrics.csv"}
  for name, text in programs.items():
    (bin_dir / name).write_text(f"#!/bin/bash\n{text}\n")
    (bin_dir / name).chmod(0o755)
  path, _ = jobs.write(JOB, tmp_path, "tpu", **TPU)
  startup = path.with_name("tpu_startup.sh")
  startup.write_text(startup.read_text().replace("/srv/perceptual", str(host)))
  return lambda: _run(bin_dir, "bash", str(startup)), host, bucket


def test_a_tpu_host_saves_its_own_run_and_no_other(tpu_host):
  start, host, bucket = tpu_host
  others = bucket / "study_dir" / "runs" / "a-seed0" / "metrics.csv"
  others.write_text("old")
  start()
  own = bucket / "study_dir" / "runs" / "b+c-seed0" / "metrics.csv"
  assert own.read_text() == "step\n" and (host / "study_dir/runs/a-seed0/metrics.csv").exists()
  others.write_text("new")
  (host / "study_dir/runs/b+c-seed0/metrics.csv").write_text("later\n")
  start()
  assert others.read_text() == "new", "what another host has written since stays"
  assert own.read_text() == "later\nstep\n", "after a restart the host's own copy is the newer one"
  assert "--distribution_strategy=tpu" in (bucket / "study_dir" / "study.json").read_text()


def test_flags_of_devices_reach_the_runs(tmp_path):
  path, _ = jobs.write(dataclasses.replace(JOB, flags=("--jit_compile",)), tmp_path, "slurm")
  assert " --jit_compile --index=" in path.read_text()


@pytest.mark.parametrize(("engine", "options", "flag"), [
    ("kubernetes", {**CLUSTER, "image": None}, "image"), ("tpu", {**TPU, "zone": None}, "zone"),
    ("tpu", {**TPU, "bucket": ""}, "bucket")])
def test_what_an_engine_needs_is_asked_for(tmp_path, engine, options, flag):
  with pytest.raises(UserError, match=f"--engine={engine} needs --{flag}."):
    jobs.write(JOB, tmp_path, engine, **options)
  assert not (tmp_path / "jobs").exists()


def test_a_bucket_is_an_address(tmp_path):
  with pytest.raises(UserError, match="--bucket must be an address, gs://BUCKET/FOLDER, not 'b'"):
    jobs.write(JOB, tmp_path, "tpu", **{**TPU, "bucket": "b"})


def test_what_pods_need_must_lie_on_their_volume(tmp_path):
  with pytest.raises(UserError, match=r"--study_dir must lie below --mount=/data, .*/shared/"):
    jobs.write(JOB, tmp_path, "kubernetes", **{**CLUSTER, "mount": "/data"})
