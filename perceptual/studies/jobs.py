"""Job files by which existing engines run the runs of a study, each a task of its own.

    slurm       jobs/slurm.sbatch: an array job, one task a run
    kubernetes  jobs/kubernetes.json: an Indexed Job, one pod a run
    tpu         jobs/tpu.sh and jobs/tpu_startup.sh: one queued resource of Cloud TPU a run

Every task gives `perceptual study run --index=N`, which takes up what an earlier try has left. On
slurm and kubernetes one that has been asked to stop and has saved itself (`errors.STOPPED`) is
started again. Nothing is submitted here.
"""

import dataclasses
import json
import pathlib
import re
import shlex

from perceptual import errors
from perceptual.common import files, packages
from perceptual.studies import selection

ENGINES = ("slurm", "kubernetes", "tpu")
_GS = "gs://"
_SECONDS_TO_SAVE = 300  # that a run is given between being asked to stop and being killed


@dataclasses.dataclass(frozen=True)
class Job:
  """What is run, and what each run needs.

  Attributes:
    study: the study's gin file.
    name: the study's name.
    study_dir: the study's folder.
    data_dir: the folder of prepared data sets; None if none is needed.
    runs: the runs, `{index: name}`, by rising index.
    cpus: CPUs of a run.
    memory_gb: memory of a run.
    gpus: GPUs of a run.
    hours: time limit of each try of a run.
    parallel: how many run at a time.
    flags: further flags of `perceptual study run`, as they are typed.
  """

  study: str
  name: str
  study_dir: str
  data_dir: str | None
  runs: dict
  cpus: int = 4
  memory_gb: int = 16
  gpus: int = 0
  hours: int = 24
  parallel: int = 16
  flags: tuple[str, ...] = ()

  def command(self, index):
    """Returns the shell command of a run.

    Args:
      index: shell text that gives the index, as `"$SLURM_ARRAY_TASK_ID"`.
    """
    given = {"study": self.study, "study_dir": self.study_dir, "data_dir": self.data_dir}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return f"perceptual study run {shlex.join([*words, *self.flags])} --index={index}"


def write(job, folder, engine, **options):
  """Writes the job file of an engine.

  Args:
    job: `Job`.
    folder: the study's folder; the file goes into its `jobs/`.
    engine: one of `ENGINES`.
    **options: what the engine needs besides: of kubernetes `image`, `volume_claim` and `mount`; of
      tpu `accelerator_type`, `runtime_version`, `zone` and `bucket`.

  Returns:
    (path, command): the file, and the command that submits it.

  Raises:
    UserError: if an option that the engine needs is missing or wrong, the folder lies at an
      address, or of kubernetes what pods need does not lie on their volume.
  """
  if missing := [f"--{name}" for name, value in options.items() if not value]:
    raise errors.UserError(
        f"study submit --engine={engine} needs {packages.listed(missing, 'and')}.")
  if not options.get("bucket", _GS).startswith(_GS):
    raise errors.UserError(f"--bucket must be an address, {_GS}BUCKET/FOLDER, not "
                           f"{options['bucket']!r}.")
  folder = files.place(folder)
  if files.is_remote(folder):
    raise errors.UserError("study submit writes its job file on this machine: --study_dir must be "
                           f"a path, not {folder}.")
  folder /= "jobs"
  texts = _WRITERS[engine](_local(job) if engine == "slurm" else job, folder, **options)
  for name, text in texts.items():
    files.write_text(folder / name, text)
  path = folder / next(iter(texts))
  return path, {"slurm": "sbatch", "kubernetes": "kubectl create -f", "tpu": "bash"}[
      engine] + f" {shlex.quote(str(path))}"


def _local(job):
  """A job with absolute paths, since its tasks may start anywhere on machines that share a disk."""
  def absolute(path):
    return None if path is None else str(files.absolute(path))

  study = absolute(job.study) if files.expanded(job.study).exists() else job.study
  return dataclasses.replace(job, study=study, study_dir=absolute(job.study_dir),
                             data_dir=absolute(job.data_dir))


def _slurm(job, folder):
  gpus = [f"#SBATCH --gres=gpu:{job.gpus}"] if job.gpus else []
  return {"slurm.sbatch": "\n".join([
      "#!/bin/bash",
      f"#SBATCH --job-name={job.name}",
      f"#SBATCH --array={selection.spans(tuple(job.runs))}%{job.parallel}",
      f"#SBATCH --cpus-per-task={job.cpus}",
      f"#SBATCH --mem={job.memory_gb}G",
      *gpus,
      f"#SBATCH --time={job.hours}:00:00",
      "#SBATCH --requeue",
      f"#SBATCH --signal=B:USR1@{_SECONDS_TO_SAVE}",
      "#SBATCH --open-mode=append",
      f'#SBATCH --output="{str(folder.absolute()).replace("%", "%%")}/slurm-%A_%a.log"',
      "set -euo pipefail",
      "# Shortly before its time is over, of which Slurm tells this shell alone, the run is asked",
      "# to save itself, and queued again. SIGTERM, where the task is taken, goes to the run too.",
      "is_over=0",
      "trap 'is_over=1; kill -TERM $! 2>/dev/null || true' USR1",  # it may have ended by itself
      "trap : TERM",
      f'{job.command(chr(34) + "$SLURM_ARRAY_TASK_ID" + chr(34))} &',
      "run=$!",
      'while kill -0 "$run" 2>/dev/null; do wait "$run" || true; done  # a signal ends a wait',
      "status=0",
      'wait "$run" || status=$?',
      f"if ((is_over && status == {errors.STOPPED})); then",
      '  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" || true  # it says why',
      "fi",
      'exit "$status"',
      ""])}


def _kubernetes(job, folder, *, image, volume_claim, mount):
  del folder
  for name in ("study_dir", "data_dir"):
    path = getattr(job, name)
    if path is not None and not pathlib.PurePosixPath(path).is_relative_to(mount):
      raise errors.UserError(f"--{name} must lie below --mount={mount}, where pods have the "
                             f"volume, not at {path}.")
  indices = " ".join(map(str, job.runs))
  # The pod of completion index i takes the i-th of the study's indices.
  script = (f'set -eu\nset -- {indices}\nshift "$JOB_COMPLETION_INDEX"\n'
            f'exec {job.command(chr(34) + "$1" + chr(34))}')
  resources = {"cpu": str(job.cpus), "memory": f"{job.memory_gb}Gi",
               **({"nvidia.com/gpu": str(job.gpus)} if job.gpus else {})}
  container = {
      "name": "perceptual", "image": image, "command": ["sh", "-c", script],
      "resources": {"requests": resources, "limits": resources},
      "volumeMounts": [{"name": "study", "mountPath": mount}]}
  manifest = {
      "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": _dns_name(job.name)},
      "spec": {
          "completionMode": "Indexed", "completions": len(job.runs),
          "parallelism": min(job.parallel, len(job.runs)), "backoffLimitPerIndex": 3,
          # A pod that is taken, or that has saved itself as it was asked to, is no failure.
          "podFailurePolicy": {"rules": [
              {"action": "Ignore",
               "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
              {"action": "Ignore",
               "onExitCodes": {"containerName": container["name"], "operator": "In",
                               "values": [errors.STOPPED]}}]},
          "template": {"spec": {
              "restartPolicy": "Never", "activeDeadlineSeconds": 3600 * job.hours,
              "terminationGracePeriodSeconds": _SECONDS_TO_SAVE,
              # The command is not process 1 then, so that a second SIGTERM ends it at once.
              "shareProcessNamespace": True,
              "containers": [container],
              "volumes": [{"name": "study",
                           "persistentVolumeClaim": {"claimName": volume_claim}}]}}}}
  return {"kubernetes.json": json.dumps(manifest, indent=2) + "\n"}


def _tpu(job, folder, *, accelerator_type, runtime_version, zone, bucket):
  startup = folder.absolute() / "tpu_startup.sh"
  name = _dns_name(job.name)
  options = shlex.join([
      f"--zone={zone}", f"--accelerator-type={accelerator_type}",
      f"--runtime-version={runtime_version}",
      f"--metadata-from-file=startup-script={startup}"])
  create = "\n".join([
      "#!/bin/bash", "# One queued resource a run. Not run on a TPU by this project.",
      "set -euo pipefail", f"for index in {' '.join(map(str, job.runs))}; do",
      f'  gcloud compute tpus queued-resources create "{name}-$index" '
      f'--node-id="{name}-$index" --metadata="study-index=$index" {options}', "done", ""])
  return {"tpu.sh": create, "tpu_startup.sh": _tpu_startup(job, bucket)}


def _tpu_startup(job, bucket):
  """What a TPU's host does when it starts: folders are local there, a bucket has the copies."""
  study = pathlib.PurePosixPath(job.study)
  there = dataclasses.replace(
      job, study=f"study/{study.name}", study_dir="study_dir", data_dir="data",
      flags=(*job.flags, "--distribution_strategy=tpu"))
  names = " ".join(f"[{index}]={name}" for index, name in job.runs.items())
  metadata = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/study-index"
  return "\n".join([
      "#!/bin/bash",
      "# The bucket holds wheel/ (perceptual), study/ (gin files) and data/ (prepared data sets);",
      "# this run's results are copied to study_dir/ of it, every ten minutes and at the end.",
      "set -euo pipefail",
      f"bucket={shlex.quote(bucket.rstrip('/'))}",
      f'index=$(curl --fail --silent --header "Metadata-Flavor: Google" {metadata})',
      f"declare -A names=({names})",
      'run="study_dir/runs/${names[$index]}"',
      "mkdir -p /srv/perceptual && cd /srv/perceptual",
      "# After a restart of this host its own run is newer here than in the bucket.",
      'if [ -e "$run" ] && [ ! -e kept ]; then mv "$run" kept; fi',
      "for folder in wheel study data study_dir; do",
      '  mkdir -p "$folder"',
      '  gcloud storage rsync --recursive "$bucket/$folder" "$folder" || [ "$folder" = study_dir ]',
      "done",
      'if [ -e kept ]; then rm -rf "$run" && mkdir -p study_dir/runs && mv kept "$run"; fi',
      "python3 -m venv venv && . venv/bin/activate",
      'pip install "$(echo wheel/perceptual-*.whl)[train]"',
      "# TensorFlow for TPUs, of the same version, takes the place of the one that this brings.",
      "version=$(pip show tensorflow | sed -n 's/^Version: //p')",
      'pip uninstall --yes tensorflow && pip install "tensorflow-tpu==$version"',
      "save() {",
      '  gcloud storage rsync --recursive "$run" "$bucket/$run"',
      '  gcloud storage cp study_dir/study.json "$bucket/study_dir/study.json"',
      "}",
      "while sleep 600; do save || true; done &",
      "trap 'kill %1 || true; save' EXIT",
      there.command('"$index"'), ""])


def _dns_name(name):
  """A name as Kubernetes and Google Cloud take it: lower case letters, digits and hyphens."""
  return re.sub(r"[^a-z0-9]+", "-", f"study-{name}".lower()).strip("-")[:50].rstrip("-")


_WRITERS = {"slurm": _slurm, "kubernetes": _kubernetes, "tpu": _tpu}
