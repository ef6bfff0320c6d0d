"""The folder of a study: `study.json`, and a run directory for every run.

    STUDY_DIR/study.json               the study's name and its runs, as last used
    STUDY_DIR/runs/NAME/               the run directory of `perceptual train` or `perceptual learn`
    STUDY_DIR/runs/NAME/study.json     which run of which study it is, and how it ended
    STUDY_DIR/collected.csv, .parquet  what `collect` has collected
    STUDY_DIR/plan.csv                 what `plan` has worked out
    STUDY_DIR/jobs/                    what `submit` has written
    STUDY_DIR/findings/, figures/, report/          of the default judged set
    STUDY_DIR/findings-SET/, figures-SET/, ...      of one that was asked for

Nothing is ever deleted. A folder whose run the study no longer has, or has otherwise, is listed.
"""

import dataclasses
import re

from perceptual import errors
from perceptual.common import files
from perceptual.training import model_dir, records

# The states of a run.
FINISHED = "finished"
STARTED = "started"  # running now, or killed: `run` takes it up again
FAILED = "failed"
MISSING = "not started"
CHANGED = "changed"  # the folder holds a run of that name with other bindings

_PARTS = ("kind", "base", "trunk", "trunk_checkpoint")  # of a run's identity, besides its bindings


@dataclasses.dataclass(frozen=True)
class State:
  """The state of a run.

  Attributes:
    state: one of the constants above.
    step: the last step that was evaluated; None if there is none.
    steps: the number of steps of the whole run; None if that is not known yet.
    note: of a failed or changed run, what happened; empty otherwise.
  """

  state: str
  step: int | None = None
  steps: int | None = None
  note: str = ""


class StudyDir:
  """The folder of a study.

  Attributes:
    path: the folder.
  """

  def __init__(self, path, study):
    """Takes the folder, which need not be there, for a `definition.Study`; writes nothing.

    Raises:
      UserError: if the folder is another study's, or what it says of itself is damaged.
    """
    self.path = files.absolute(path)
    self._study = study
    self._about = self.path / "study.json"
    about = _read(self._about)
    if about is not None and about.get("study") != study.name:
      raise errors.UserError(f"{self.path} holds the study {about.get('study')!r}, not "
                             f"{study.name!r}: choose another --study_dir.")

  def require(self):
    """Raises `UserError` unless the folder is that of a study in which runs were started."""
    if not self._about.is_file():
      raise errors.UserError(f"{self.path} is not the folder of a study: it has no "
                             f"{self._about.name}, which `perceptual study run` writes.")

  def open(self):
    """Makes the folder and writes what the study is now, unless that is there already."""
    model_dir.ModelDir(self.path).make()
    about = {"study": self._study.name,
             "runs": [{"index": run.index, "name": run.name, **run.identity}
                      for run in self._study.runs]}
    if _read(self._about) != about:  # which tasks that start together would all write
      model_dir.write_json(self._about, about)

  def model_dir(self, run):
    """Returns the `model_dir.ModelDir` of a run."""
    return model_dir.ModelDir(self.path / "runs" / run.name)

  def require_trunk(self, run):
    """Raises `UserError` unless the run on whose network a run learns has finished."""
    if self.state(self._study.run(run.trunk)).state != FINISHED:
      raise errors.UserError(f"{run.name} learns on {run.trunk}, which has not finished: run that "
                             "one first.")

  def state(self, run):
    """Returns the `State` of a run.

    Raises:
      UserError: if its folder holds a run of another study, or of none, or what it says of itself
        is damaged.
    """
    folder = self.model_dir(run)
    about = _read(folder.path / "study.json")
    if about is None:
      if folder.run.exists():
        raise errors.UserError(f"{folder.path} holds a run that is not of a study: move it away.")
      return State(MISSING)
    if about.get("study") != self._study.name:
      raise errors.UserError(f"{folder.path} holds a run of the study {about.get('study')!r}, not "
                             f"of {self._study.name!r}: move it away.")
    rows = records.read_metrics(folder.metrics)
    step = rows[-1]["step"] if rows else None
    if about.get("run") != run.identity:
      difference = _difference(about.get("run"), run.identity)
      return State(CHANGED, step, about.get("steps"), f"{difference}; see {folder.path}/study.json")
    if about.get("state") not in (FINISHED, STARTED, FAILED):
      raise errors.UserError(f"{folder.path / 'study.json'} is damaged: a run cannot be "
                             f"{errors.shown(about.get('state'))}.")
    return State(about["state"], step, about.get("steps"), about.get("note", ""))

  def write_state(self, run, state, *, steps=None, note=""):
    """Writes the state of a run to its folder, which is created."""
    folder = self.model_dir(run)
    folder.make()
    model_dir.write_json(folder.path / "study.json", {
        "study": self._study.name, "name": run.name, "run": run.identity, "state": state,
        "steps": steps, "note": note})

  def results(self, name, judged_set=None):
    """Returns the folder of findings, figures or the report, by its name.

    Args:
      name: `findings`, `figures` or `report`.
      judged_set: the judged set that was asked for, which has a folder of its own; None for the
        default one.
    """
    return self.path / (name if judged_set is None else f"{name}-{file_name(judged_set)}")

  def left_over(self):
    """Returns the names of the folders of runs that the study does not have, sorted."""
    names = {run.name for run in self._study.runs}
    return sorted(name for name in files.names(self.path / "runs") if name not in names)


def file_name(judged_set):
  """Returns the name of a judged set, in a view too, as a part of a file's name."""
  return re.sub(r"[^A-Za-z0-9_.]+", "-", judged_set)


def _read(path):
  """Returns what a study.json says, None if there is none."""
  about = model_dir.read_json(path)
  if about is not None and not isinstance(about, dict):
    raise errors.UserError(f"{path} is damaged: it must say which study this is.")
  return about


def _difference(before, now):
  """What has changed in a run, on one line."""
  if not isinstance(before, dict):
    return "its study.json is damaged"
  old, new = ([*run.get("bindings", ()), *(f"{key} {run.get(key)}" for key in _PARTS)]
              for run in (before, now))
  gone = "; ".join(line for line in old if line not in new)
  come = "; ".join(line for line in new if line not in old)
  return f"{gone or 'nothing'} before, {come or 'nothing'} now"
