"""Analyses of all runs of a study."""

import keras

from perceptual import errors
from perceptual.evaluation import own_sets
from perceptual.studies import study_dir
from perceptual.studies.analyses import loading, registry
from perceptual.studies.analyses import table as tables


def analyse_runs(study, folder, analyses, *, dataset=None, data_dir=None, limit=None,
                 report=print):
  """Analyses every finished run that trained a network: its last checkpoint, or that and the best.

  Its rows go to the folder `analyses` of the run, a file an analysis; what is there already, of the
  same judged set, stays. Where one fails, the others go on.

  Args:
    study: `definition.Study`.
    folder: its `study_dir.StudyDir`.
    analyses: names of analyses, as `registry.ANALYSES` has them.
    dataset: the judged set, as `loading.judged_set` takes it; None for none.
    data_dir: the folder of prepared data sets.
    limit: at most this many images, and triplets of each subset; None for all.
    report: called with a line about each analysis of each run.

  Returns:
    How many failed.

  Raises:
    UserError: if no run has finished, or an analysis is unknown, or not one of a single run.
  """
  for analysis in analyses:
    _require_of_one_run(analysis)
  runs = [run for run in study.runs
          if run.kind == "train" and folder.state(run).state == study_dir.FINISHED]
  if not runs:
    raise errors.UserError(f"No run of the study {study.name} in {folder.path} that trains a "
                           "classifier has finished.")
  failed = 0
  for run in runs:
    path = folder.model_dir(run).path
    for analysis in analyses:
      sources = loading.Sources(
          model_dirs=(str(path),), checkpoint=registry.get(analysis).checkpoint, dataset=dataset,
          data_dir=data_dir, limit=limit)
      target = path / loading.FOLDER / f"{analysis}.csv"
      try:
        there, others = loading.rows_there(
            target, analysis, sources, _judged_set(analysis, dataset))
        if not there:
          tables.write_csv(target, [*others, *loading.analyse(analysis, sources)])
        report(f"{run.name}: {analysis} {'is there' if there else 'done'}")
      except errors.UserError as error:
        failed += 1
        report(f"{run.name}: {analysis} failed: {error}")
    keras.backend.clear_session()
  return failed


def _require_of_one_run(analysis):
  """Raises `UserError` if an analysis is not of a single run."""
  if "table" in registry.get(analysis).needs:
    raise errors.UserError(f"The analysis {analysis} is of the whole table: perceptual analyze "
                           f"--analysis={analysis} --table=STUDY_DIR/collected.csv.")
  if registry.get(analysis).compares:
    raise errors.UserError(f"The analysis {analysis} is of several metrics: perceptual analyze "
                           f"--analysis={analysis} --model_dir=RUN --model_dir=RUN.")


def _judged_set(analysis, dataset):
  """Returns the name with which rows are marked; None if the analysis has none."""
  if dataset is None or "judged_set" not in registry.get(analysis).needs:
    return None
  return own_sets.title(dataset) if own_sets.is_own(dataset) else dataset
