"""Scores of the checkpoints that runs have kept, on a judged set that they were not scored on.

    RUN/further_scores/NAME.csv   a file a judged set, of the columns of the run's scores.csv

Training scores networks on the sets that its gin files name. Any other set, one that people judged
since for instance, is scored afterwards, at the steps of `train.keep_checkpoints`. `collect` takes
these scores into the table, so that findings and figures are drawn of them as of the others.
"""

import dataclasses
import functools
import re

import keras

from perceptual import errors, loading
from perceptual.common import files, progress
from perceptual.comparison import compiled, judged_pairs
from perceptual.data.images.view import WHOLE
from perceptual.evaluation import answers, judged_pass, leaderboard, several_sets
from perceptual.studies import study_dir
from perceptual.studies.analyses import configurations
from perceptual.training import step_scores

FOLDER = "further_scores"
_PREFIX = "judged/"  # of the names of prepared sets


@dataclasses.dataclass(frozen=True)
class Triplets:
  """What scores a metric on one of `judged_sets.DATASETS`, of kind `2afc`.

  Attributes:
    judged: `judged_sets.JudgedSet`.
  """

  judged: object

  @property
  def name(self):
    """What the set is called in tables."""
    return self.judged.name

  def rows(self, step, metric, distances, advance):
    """Returns rows of `step_scores.COLUMNS`.

    Args:
      step: the training step of the metric's weights.
      metric: a `feature_metric.FeatureMetric`.
      distances: names of distances.
      advance: called with the number of examples that were scored.
    """
    one_pass = judged_pass.JudgedPass(metric, distances=distances)
    found = {subset.name: one_pass(subset, "2afc", advance) for subset in self.judged.subsets}
    return step_scores.rows(step, self.judged, found)


@dataclasses.dataclass(frozen=True)
class Prepared:
  """What scores a metric on a set that `perceptual prepare judged` wrote.

  Intervals are by reference. Of opinions, the score is 2AFC over pairs of versions of one picture.

  Attributes:
    judged: `prepared.PreparedJudgements`.
    view: the `view.View` in which its images are compared.
  """

  judged: object
  view: object = WHOLE

  @property
  def name(self):
    """What the set is called in tables."""
    return _PREFIX + self._answers.name

  @functools.cached_property
  def _answers(self):
    return answers.of(self.judged, str(self.view))

  def rows(self, step, metric, distances, advance):
    """Returns rows of `step_scores.COLUMNS`. Arguments: as of `Triplets.rows`."""
    metrics = {name: compiled.Compiled(metric.with_tap_distances(metric.at_taps(name)))
               for name in distances}
    found = judged_pairs.measure(self.judged, metrics, view=self.view, per_tap=True)
    board = leaderboard.score(self._answers, found, ranked=())
    advance(self.judged.size)
    rows = []
    for column, score in board.scores[several_sets.COLUMN[self.judged.kind]].items():
      distance, _, tap = column.partition("/")
      rows.append([str(step), self.name, configurations.MEAN, distance, tap or configurations.SUM,
                   *(f"{value:.4f}" for value in (score.value, score.low, score.high))])
    return rows


def path_of(folder, name):
  """Returns the path of a run's further scores.

  Args:
    folder: `model_dir.ModelDir` of the run.
    name: of the judged set.
  """
  return folder.path / FOLDER / f"{re.sub(r'[^A-Za-z0-9_.]+', '-', name)}.csv"


def paths(folder):
  """Returns the paths of all further scores of a run, by name."""
  parent = folder.path / FOLDER
  return [parent / name for name in sorted(files.names(parent)) if name.endswith(".csv")]


def score_runs(runs, folder, judged, *, unfinished=False, report=print):
  """Scores every kept checkpoint of runs that trained a network, by the distances of its training.

  A step that was scored before is passed over, so that a killed call goes on. Where one run fails,
  the others go on.

  Args:
    runs: `definition.Run`s.
    folder: their `study_dir.StudyDir`.
    judged: `Triplets` or `Prepared`.
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
  path = path_of(folder, judged.name)
  scored = {int(step) for step, _ in step_scores.lines(path)}
  file = step_scores.ScoresFile(path, max(scored, default=0))
  missing = [name for name in kept if _step(name) not in scored]
  with progress.progress(description=f"{folder.path.name} on {judged.name}", unit="example",
                         total=len(missing) * judged.judged.size) as bar:
    for name in missing:
      metric = loading.load_chosen(model_dir=folder.path, checkpoint=name)
      file.append(_step(name), judged.rows(
          _step(name), metric, tuple(sorted(distances)), bar.update))
      keras.backend.clear_session()
  return f"{len(missing)} of {progress.plural(len(kept), 'checkpoint')} scored on {judged.name}"


_JUDGED_SET, _DISTANCE = map(step_scores.COLUMNS.index, ("judged_set", "distance"))


def _step(name):
  return int(name.removeprefix("step-"))
