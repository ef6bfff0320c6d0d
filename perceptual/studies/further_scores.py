"""Scores of the checkpoints that runs have kept, on a judged set that they were not scored on.

    RUN/further_scores/NAME.csv   a file a judged set, of the columns of the run's scores.csv
    RUN/further_scores/NAME.json  of which set they are, by its size and checksum

Training scores networks on the sets that its gin files name. Any other set, one that people judged
since for instance, is scored afterwards, at the steps of `train.keep_checkpoints`. `collect` takes
these scores into the table, so that findings and figures are drawn of them as of the others.
"""

import keras

from perceptual import errors
from perceptual.common import files, progress
from perceptual.evaluation import judged_pass
from perceptual.metrics import feature_metric, networks
from perceptual.studies import study_dir
from perceptual.studies.analyses import by_reference, configurations
from perceptual.training import model_dir, step_scores

FOLDER = "further_scores"


def scorer(judged, metric, distances, advance):
  """Returns a function that scores a network: from a training step to rows of its scores.

  The function scores the weights that the network has when it is called, and is compiled once.

  Args:
    judged: `judged_sets.JudgedSet` of triplets, or a `by_reference.OwnSet`.
    metric: a `feature_metric.FeatureMetric`.
    distances: names of distances.
    advance: called with the number of examples that were scored.

  Returns:
    A function of a step, which returns rows of `step_scores.COLUMNS`.
  """
  if isinstance(judged, by_reference.OwnSet):
    metrics = by_reference.by_distance(metric, distances)
    return lambda step: _own_rows(judged, step, metrics, advance)
  one_pass = judged_pass.JudgedPass(metric, distances=distances)
  return lambda step: step_scores.rows(step, judged, {
      subset.name: one_pass(subset, judged.kind, advance) for subset in judged.subsets})


def _own_rows(judged, step, metrics, advance):
  found = judged.scores(metrics)
  advance(judged.size)
  return [[str(step), judged.name, configurations.MEAN, distance, tap,
           *(f"{value:.4f}" for value in (score.value, score.low, score.high))]
          for (distance, tap), score in found.items()]


def path_of(folder, name):
  """Returns the path of a run's further scores.

  Args:
    folder: `model_dir.ModelDir` of the run.
    name: of the judged set.
  """
  return folder.path / FOLDER / f"{study_dir.file_name(name)}.csv"


def paths(folder):
  """Returns the paths of all further scores of a run, by name."""
  parent = folder.path / FOLDER
  return [parent / name for name in sorted(files.names(parent)) if name.endswith(".csv")]


def score_runs(runs, folder, judged, *, unfinished=False, report=print):
  """Scores every kept checkpoint of runs that trained a network, by the distances of its training.

  A step that was scored before is passed over, so that a killed call goes on: it has lost the
  checkpoint that it was at. Where one run fails, the others go on.

  Args:
    runs: `definition.Run`s.
    folder: their `study_dir.StudyDir`.
    judged: as `scorer` takes it; images are read once for all runs.
    unfinished: whether runs in training are scored too.
    report: called with a line about each run.

  Returns:
    How many runs failed.

  Raises:
    UserError: if none of them has finished, or started with `unfinished`.
  """
  states = {study_dir.FINISHED, *([study_dir.STARTED] if unfinished else [])}
  chosen = [run for run in runs if run.kind == "train" and folder.state(run).state in states]
  if not chosen:
    raise errors.UserError(f"None of the runs of networks that were chosen in {folder.path} has "
                           f"{'started' if unfinished else 'finished'}.")
  failed = 0
  for run in chosen:
    try:
      report(f"{run.name}: {_score(folder.model_dir(run), judged)}")
    except errors.UserError as error:
      failed += 1
      report(f"{run.name}: failed: {error}")
  return failed


def _score(folder, judged):
  """Scores a run; returns what was done, for people."""
  kept = folder.kept()
  if not kept:
    raise errors.UserError(f"{folder.path} kept no checkpoint: train.keep_checkpoints says at "
                           "which steps.")
  known, distances = ({row[place] for row in step_scores.read(folder.scores)}
                      for place in (_JUDGED_SET, _DISTANCE))
  if judged.name in known:
    return f"was scored on {judged.name} as it was trained"
  if not distances:
    raise errors.UserError(f"{folder.scores} is missing or empty: it tells by which distances the "
                           "run is scored.")
  path = path_of(folder, judged.name)
  _require_same_set(path, judged)
  found = step_scores.read(path)
  scored = {int(row[0]) for row in found}
  missing = [name for name in kept if _step(name) not in scored]
  with progress.progress(description=f"{folder.path.name} on {judged.name}", unit="example",
                         total=len(missing) * judged.size) as bar:
    for rows in _rows(folder, judged, missing, tuple(sorted(distances)), bar.update):
      found += rows
      files.write_csv(path, step_scores.COLUMNS, sorted(found, key=lambda row: int(row[0])))
  keras.backend.clear_session()
  before = len(kept) - len(missing)
  return (f"{progress.plural(len(missing), 'checkpoint')} scored on {judged.name}"
          f"{f', {before} had been before' if before else ''}")


def _rows(folder, judged, names, distances, advance):
  """Yields the rows of each checkpoint, of weights that one network has in turn."""
  if not names:
    return
  with networks.made_in("float32"):
    model, network, options, _ = model_dir.load_network(folder.path, names[0])
  score = scorer(judged, feature_metric.FeatureMetric(model, name=network, options=options),
                 distances, advance)
  for name in names:
    model_dir.assign_weights(model, folder.require_latest(name))
    yield score(_step(name))


def _require_same_set(path, judged):
  """Notes of which set a file of scores is; `UserError` if it is of another one of that name."""
  about = {"judged_set": judged.name, "examples": judged.size,
           "sha256": getattr(judged, "sha256", None)}
  noted = path.with_suffix(".json")
  if not path.exists():
    model_dir.write_json(noted, about)
  elif model_dir.read_json(noted) not in (None, about):
    raise errors.UserError(f"{path} has scores on another {judged.name}: with other judgements, or "
                           "another --limit. Move it away to score on this one.")


_JUDGED_SET, _DISTANCE = map(step_scores.COLUMNS.index, ("judged_set", "distance"))


def _step(name):
  return int(name.removeprefix("step-"))
