"""Plan, run and collect a study: many training runs, defined by one gin file.

  perceptual study plan --study=gin/studies/width_small.gin --data_dir=data
      every run with its parameters, operations, memory, checkpoints and hours on --device; of more
      than 200 runs, subtotals by study and what varies. Every value is checked, so that a network
      that cannot be built is reported now. With --study_dir the plan, every run of it, is written
      there as plan.csv. Without --data_dir, studies of ImageNet are planned with the sizes that it
      was published with.

  perceptual study run --study=gin/studies/width_small.gin --study_dir=studies/width --data_dir=data
      trains all runs, one after another; or those of --index=3 (10-19, 3,7), or one of several
      equal parts, --shard=0/4. Runs that have finished are skipped, killed ones resumed; if one
      fails the others go on, and the same command tries it again.

  perceptual study status --study=gin/studies/width_small.gin --study_dir=studies/width
      the state of every run, and folders of runs that the study no longer has.

  perceptual study score --study=gin/studies/width_small.gin --study_dir=studies/width \\
      --data_dir=data --judged_set=judged/NAME:image_size=64
      scores every checkpoint that finished runs have kept (train.keep_checkpoints) on a judged set
      that their training did not know, one of your own (perceptual prepare judged) for instance.
      What is scored already stays; collect takes the scores into its table.

  perceptual study collect --study=gin/studies/width_small.gin --study_dir=studies/width
      writes every score of every finished run as one table, collected.csv (and collected.parquet
      where pyarrow is installed), into the study's folder. With --unfinished, also the scores that
      runs in training have so far.

  perceptual study analyze --study=gin/studies/width_small.gin --study_dir=studies/width \\
      --data_dir=data --analysis=entropy,low_pass
      analyses the last checkpoint of every finished run of a network (peak_to_last: the best one
      and the last), as perceptual analyze does, into its folder analyses/; analyses that are there
      already stay.

  perceptual study findings --study=gin/studies/width_small.gin --study_dir=studies/width
      what the collected table says of the paper's claims: the best score of each configuration over
      training, the accuracy there, what is lost of it by the end, by distance and by tap, and at
      each fall of the learning rate, with intervals; and which runs are missing. The tables go to
      STUDY_DIR/findings as CSV.

  perceptual study figures --study=gin/studies/width_small.gin --study_dir=studies/width
      draws every figure of the paper that the collected table and the analyses have runs for, into
      STUDY_DIR/figures: PDF, SVG, PNG and a CSV of what is drawn. The others say what they lack.

  perceptual study report --study=gin/studies/width_small.gin --study_dir=studies/width
      the same figures, with tables and what is missing, as one page: STUDY_DIR/report/report.html.

  perceptual study losses --study=gin/studies/loss_networks_small.gin --study_dir=studies/losses
      of a study of tasks (see perceptual task), once it is collected: a table of every task, ranks
      of networks and layers, what explains and predicts them, figures, and for every test picture a
      sheet of what each loss made of it, in STUDY_DIR/losses.

  perceptual study submit --engine=slurm --study=gin/studies/width_small.gin \\
      --study_dir=studies/width --data_dir=data
      writes the job file of an engine that runs the chosen runs, one a task: slurm (array job),
      kubernetes (Indexed Job), tpu (queued resources). It submits nothing.
"""

from absl import flags

from perceptual.commands import command_line, distribution

# Flags of submit that not every engine takes -> those that do.
_CLUSTERS = ("slurm", "kubernetes")
_TAKEN_BY_ENGINES = {
    "image": ("kubernetes",),
    "volume_claim": ("kubernetes",),
    "mount": ("kubernetes",),
    "accelerator_type": ("tpu",),
    "runtime_version": ("tpu",),
    "zone": ("tpu",),
    "bucket": ("tpu",),
    "cpus": _CLUSTERS,
    "memory_gb": _CLUSTERS,
    "gpus": _CLUSTERS,
    "hours": _CLUSTERS,
    "parallel": _CLUSTERS,
}
# Flags that not every subcommand takes -> those that do.
_CHOOSING = ("run", "score", "submit")
_TAKEN_BY = {
    "index": _CHOOSING,
    "shard": _CHOOSING,
    "unfinished": ("score", "collect"),
    "device": ("plan",),
    "peak_gflops": ("plan",),
    "analysis": ("analyze",),
    "judged_set": ("score", "analyze", "findings", "figures", "report"),
    "limit": ("score", "analyze"),
    **dict.fromkeys((*distribution.FLAG_NAMES, "deterministic"), ("run", "submit")),
    **dict.fromkeys(("engine", *_TAKEN_BY_ENGINES), ("submit",)),
}

FLAGS = flags.FlagValues()
flags.DEFINE_string("study", None, "The gin file of the study.", flag_values=FLAGS)
flags.DEFINE_string(
    "study_dir", None, "The folder of the study: its runs, tables and job files. A path, or (not "
    "for submit) an address, gs://bucket/study.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "data_dir", None, "The folder of prepared data sets (see perceptual prepare). Without it, "
    "plan takes the published sizes of ImageNet, and of a study of tasks its working directory.",
    flag_values=FLAGS)
flags.DEFINE_list(
    "index", [], "run, score, submit: these runs alone, as 3,10-19; by default all.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "shard", None, "run, score, submit: one of n equal parts, k/n, with k from 0 to n - 1.",
    flag_values=FLAGS)
flags.DEFINE_bool(
    "unfinished", False, "score, collect: include runs in training, with the scores so far.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "device", "cpu", "plan: the device whose hours are estimated; an unknown one lists them all.",
    flag_values=FLAGS)
flags.DEFINE_float(
    "peak_gflops", None, "plan, for the device cpu: how fast it multiplies matrices, as "
    "python -m tools.benchmarks.networks reports; by default 504, of the CPU that was measured.",
    lower_bound=1, flag_values=FLAGS)
flags.DEFINE_enum(
    "engine", None, ["slurm", "kubernetes", "tpu"], "submit: for which engine.", flag_values=FLAGS)
flags.DEFINE_string(
    "image", None, "submit, kubernetes: the container image with perceptual installed.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "volume_claim", None, "submit, kubernetes: the persistent volume claim mounted at --mount.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "mount", None, "submit, kubernetes: where the volume is mounted; --study_dir and --data_dir "
    "lie below it.", flag_values=FLAGS)
flags.DEFINE_string(
    "accelerator_type", "v5litepod-1", "submit, tpu: the type of TPU of each run.",
    flag_values=FLAGS)
flags.DEFINE_string(
    "runtime_version", "v2-alpha-tpuv5-lite", "submit, tpu: the software of the TPU's host.",
    flag_values=FLAGS)
flags.DEFINE_string("zone", None, "submit, tpu: the zone.", flag_values=FLAGS)
flags.DEFINE_string("bucket", None, "submit, tpu: the gs:// folder that results are copied to and "
                    "data are copied from.", flag_values=FLAGS)
flags.DEFINE_integer(
    "cpus", 4, "submit, slurm and kubernetes: CPUs of each run.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "memory_gb", 16, "submit, slurm and kubernetes: memory of each run.", lower_bound=1,
    flag_values=FLAGS)
flags.DEFINE_integer(
    "gpus", 0, "submit, slurm and kubernetes: GPUs of each run; several train by "
    "--distribution_strategy=mirrored unless you say otherwise.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_integer(
    "hours", 24, "submit, slurm and kubernetes: time limit of each try of a run; one that needs "
    "longer saves itself and goes on in the next.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "parallel", 16, "submit, slurm and kubernetes: runs at a time.", lower_bound=1,
    flag_values=FLAGS)
flags.DEFINE_list(
    "analysis", [], "analyze: which analyses; of those of perceptual analyze, the ones that take "
    "one run.", flag_values=FLAGS)
flags.DEFINE_string(
    "judged_set", None, "score: the judged set that is scored on, also judged/NAME or "
    "judged/NAME:image_size=64,crop=48; analyze: that of analyses that need one; findings, "
    "figures, report: the set whose scores are shown, as the table names it, in a folder that is "
    "called after it; by default bapps/2afc or else the first that was collected.",
    flag_values=FLAGS)
flags.DEFINE_integer(
    "limit", None, "analyze, score: at most this many images, and triplets of each subset (not of "
    "judged/NAME); by default all.", lower_bound=1, flag_values=FLAGS)
flags.mark_flag_as_required("study", flag_values=FLAGS)
distribution.define_training_flags(FLAGS)


def main(argv):
  """Runs the command."""
  if len(argv) != 2 or argv[1] not in _SUBCOMMANDS:
    received = " ".join(argv[1:]) or "nothing"
    raise command_line.UsageError(
        f"study needs one of {', '.join(_SUBCOMMANDS)}. Received: {received}.")
  if FLAGS.study_dir is None and argv[1] != "plan":
    raise command_line.UsageError(f"study {argv[1]} needs --study_dir.")
  command_line.refuse_flags_of_others(FLAGS, argv[1], _TAKEN_BY, command=f"study {argv[1]}")
  command_line.use_tensorflow("A study", extra="train")
  return _SUBCOMMANDS[argv[1]]()


def _plan():
  from perceptual import errors
  from perceptual.common import files
  from perceptual.studies import definition, devices, plan_text, planning

  if FLAGS.device not in devices.DEVICES:
    raise errors.unknown("device", FLAGS.device, devices.DEVICES)
  study = definition.read(FLAGS.study)
  folder = _folder(study) if FLAGS.study_dir else None
  planned = planning.plan(study, folder=FLAGS.study_dir or "STUDY_DIR", data_dir=FLAGS.data_dir)
  peak = None if FLAGS.peak_gflops is None else 1e9 * FLAGS.peak_gflops
  device = devices.device(FLAGS.device, peak)
  print(plan_text.table(planned, FLAGS.device, device))
  if study.note:
    print(study.note)
  if folder is None:
    print("With --study_dir, every number of every run is written there, as plan.csv.")
  else:
    print(plan_text.check(planned, folder, FLAGS.device, device))
    path = folder.path / "plan.csv"
    files.write_csv(path, *plan_text.as_csv_rows(planned))
    print(f"Every number, and the hours on every device: {path}")
  for text in filter(None, (plan_text.sizes(planned), plan_text.missing_weights(planned))):
    print(text)


def _run():
  from perceptual.studies import execution, status

  study, runs = _chosen()
  folder = _folder(study)
  folder.open()
  strategy = distribution.training_strategy(FLAGS)
  with command_line.resumable():
    states = execution.execute(
        folder, runs, data_dir=FLAGS.data_dir, strategy=strategy,
        jit_compile=distribution.jit_compile(FLAGS))
  print(status.summary(study, folder, states))
  return 0 if status.all_finished(states) else 1


def _status():
  from perceptual.studies import definition, status

  study = definition.read(FLAGS.study)
  folder = _existing(study)
  print(status.table(study, folder))


def _collect():
  from perceptual.studies import collecting, definition, status

  study = definition.read(FLAGS.study)
  folder = _existing(study)
  paths, states = collecting.collect(study, folder, unfinished=FLAGS.unfinished)
  print(status.summary(study, folder, states))
  print(f"Collected: {'  '.join(map(str, paths))}")


def _score():
  if FLAGS.judged_set is None:
    raise command_line.UsageError("study score needs --judged_set.")
  from perceptual.studies import further_scores

  study, runs = _chosen()
  failed = further_scores.score_runs(
      runs, _existing(study), _judged(), unfinished=FLAGS.unfinished)
  return 1 if failed else 0


def _judged():
  """Returns the judged set of the flags, of triplets or one of the user's own."""
  from perceptual.studies.analyses import loading

  judged = loading.judged_set(FLAGS.judged_set, data_dir=FLAGS.data_dir, limit=FLAGS.limit)
  if judged.kind == "jnd":
    raise command_line.UsageError(f"--judged_set={judged.name} is of kind {judged.kind}: study "
                                  "score takes triplets, and judged/NAME.")
  return judged


def _analyze():
  if not FLAGS.analysis:
    raise command_line.UsageError("study analyze needs --analysis.")
  from perceptual.studies import analysing, definition

  study = definition.read(FLAGS.study)
  failed = analysing.analyse_runs(
      study, _existing(study), FLAGS.analysis, dataset=FLAGS.judged_set, data_dir=FLAGS.data_dir,
      limit=FLAGS.limit)
  return 1 if failed else 0


def _findings():
  from perceptual.studies import definition, findings, status

  study = definition.read(FLAGS.study)
  folder = _existing(study)
  found = findings.read(folder.path, judged_set=FLAGS.judged_set)
  print(findings.as_text(found))
  print(status.summary(study, folder, {run.name: folder.state(run) for run in study.runs}))
  output = folder.results("findings", FLAGS.judged_set)
  findings.write(found, output)
  print(f"Every distance and tap: {output}")


def _figures():
  from perceptual.studies import definition
  from perceptual.studies.figures import data, registry

  folder = _existing(definition.read(FLAGS.study))
  output = folder.results("figures", FLAGS.judged_set)
  registry.draw_all(data.of_study(folder.path, FLAGS.judged_set), output, report=print)
  print(f"Drawn: {output}")


def _report():
  from perceptual.studies import definition, report
  from perceptual.studies.figures import data

  folder = _existing(definition.read(FLAGS.study))
  print(report.write(data.of_study(folder.path, FLAGS.judged_set),
                     folder.results("report", FLAGS.judged_set),
                     title=f"Study {folder.path.name}", report=print))


def _losses():
  from perceptual.studies import definition
  from perceptual.studies.losses import report

  study = definition.read(FLAGS.study)
  report.write(study, _existing(study))


def _submit():
  from perceptual.common import progress
  from perceptual.studies import jobs

  if FLAGS.engine is None:
    raise command_line.UsageError("study submit needs --engine.")
  command_line.refuse_flags_of_others(
      FLAGS, FLAGS.engine, _TAKEN_BY_ENGINES, command=f"study submit --engine={FLAGS.engine}")
  study, runs = _chosen()
  job = jobs.Job(
      study=FLAGS.study, name=study.name, study_dir=FLAGS.study_dir, data_dir=FLAGS.data_dir,
      runs={run.index: run.name for run in runs}, cpus=FLAGS.cpus, memory_gb=FLAGS.memory_gb,
      gpus=FLAGS.gpus, hours=FLAGS.hours, parallel=FLAGS.parallel,
      flags=_flags_of_runs())
  options = {"slurm": {}, "kubernetes": {"image": FLAGS.image, "volume_claim": FLAGS.volume_claim,
                                         "mount": FLAGS.mount},
             "tpu": {"accelerator_type": FLAGS.accelerator_type, "zone": FLAGS.zone,
                     "runtime_version": FLAGS.runtime_version, "bucket": FLAGS.bucket}}
  path, command = jobs.write(job, _folder(study).path, FLAGS.engine, **options[FLAGS.engine])
  print(f"{progress.plural(len(runs), 'run')}: {path}\nTo submit them: {command}")
  if later := [run for run in runs if run.builds_on_others]:
    print(f"{progress.plural(len(later), 'run')} of them ({later[0].name}, ...) may need what "
          "other runs leave, and fail before those have finished. Submit again then: what has "
          "finished is skipped.")


def _flags_of_runs():
  """Returns the flags of devices that were given, for the runs that are submitted."""
  given = distribution.given(FLAGS)
  several = FLAGS.gpus > 1 and not FLAGS["distribution_strategy"].present
  return (*given, "--distribution_strategy=mirrored") if several else given


def _chosen():
  """Returns the study, and the runs of it that --index or --shard chooses."""
  from perceptual.studies import definition, selection

  if FLAGS["index"].present and not FLAGS.index:
    raise command_line.UsageError("--index is empty: it must be numbers, as 3 or 10-19.")
  study = definition.read(FLAGS.study)
  return study, selection.select(study.runs, index=FLAGS.index, shard=FLAGS.shard)


def _folder(study):
  from perceptual.studies import study_dir

  return study_dir.StudyDir(FLAGS.study_dir, study)


def _existing(study):
  folder = _folder(study)
  folder.require()
  return folder


_SUBCOMMANDS = {"plan": _plan, "run": _run, "status": _status, "score": _score,
                "collect": _collect, "analyze": _analyze, "findings": _findings,
                "figures": _figures, "report": _report, "losses": _losses, "submit": _submit}


if __name__ == "__main__":
  command_line.run(main, FLAGS, __doc__)
