"""What figures are drawn from: the collected table, and the tables of analyses beside it."""


import numpy as np

from perceptual import errors
from perceptual.common import files, packages
from perceptual.studies import collecting
from perceptual.studies.analyses import configurations
from perceptual.studies.analyses import table as tables
from perceptual.studies.figures import style

ANALYSES_FILE = "analyses.csv"

_SUM = configurations.SUM


class MissingData(errors.UserError):
  """A figure cannot be drawn: the message says which runs or analyses it lacks."""


class StudyData:
  """The collected table of a study, seen through one judged set.

  Attributes:
    scores: `tables.Table`, the rows of the judged set alone.
    analyses: `tables.Table` of analyses of its runs; empty without any.
    judged_set: the name of the judged set.
  """

  def __init__(self, scores, analyses=None, *, judged_set=None):
    """Takes the collected table.

    Args:
      scores: `tables.Table`.
      analyses: `tables.Table` as `gather` makes it; None for none.
      judged_set: name of a judged set; None for BAPPS, or else the first of the table.

    Raises:
      UserError: if the table has no row of the judged set.
    """
    self.scores = configurations.View(judged_set=judged_set).rows_of_set(scores)
    self.judged_set = self.scores["judged_set"][0]
    self.analyses = tables.Table({}) if analyses is None else analyses
    self._found = {}

  @property
  def comparable(self):
    """Whether published scores can be compared with these: only on BAPPS are they of one set."""
    return self.judged_set == configurations.BAPPS

  @property
  def score_label(self):
    """What the axis of scores is called: the paper's term, or the set that was judged."""
    return "perceptual score, %" if self.comparable else f"2AFC on {self.judged_set}, %"

  def configurations(self, **view):
    """Returns the configurations at their last step; none if the table has no such score.

    Args:
      **view: subset, distance and tap, as `configurations.View` takes them.
    """
    key = tuple(sorted(view.items()))
    if key not in self._found:
      try:
        self._found[key] = configurations.configurations(
            self.scores, configurations.View(judged_set=self.judged_set, **view))
      except errors.UserError:
        self._found[key] = []
    return self._found[key]

  def out_of_the_box(self, **view):
    """Returns configurations in which nothing is varied, by family and size of the network."""
    found = [c for c in self.configurations(**view) if not c.varied]
    return sorted(found, key=lambda c: style.order(c.network))

  def sweep(self, network, parameter):
    """Returns a network's `[(value, configuration)]` of one parameter, the default's included."""
    return configurations.sweep_with_default(self.configurations(), network, parameter)

  def networks(self, parameter):
    """Returns the networks of which a parameter is swept, by family and size."""
    found = {c.network for c in self.configurations() if set(c.varied) == {parameter}}
    return sorted(found, key=style.order)

  def curves(self, network, *, tap=_SUM, distance="local"):
    """Returns a network's scores over training, out of the box: the mean over its seeds.

    Returns:
      (steps, scores, errors of the scores, accuracies, errors of the accuracies), each `[steps]`,
      of the steps that all seeds have; None if it was scored less than twice.
    """
    start = next((c for c in self.out_of_the_box() if c.network == network), None)
    if start is None:
      return None
    rows = self.scores.where(subset=configurations.MEAN, distance=distance, tap=tap,
                             network=network)
    by_run = []
    for run in start.runs:
      of_run = rows.where(run=run)
      order = np.argsort(of_run["step"])
      by_run.append({step: (of_run["score"][i], of_run["accuracy"][i])
                     for i in order for step in (of_run["step"][i],)})
    steps = sorted(set.intersection(*(set(run) for run in by_run)))
    if len(steps) < 2:
      return None
    values = np.array([[run[step] for step in steps] for run in by_run])
    spread = np.full(values.shape[1:], np.nan) if len(by_run) < 2 else (
        values.std(axis=0, ddof=1) / np.sqrt(len(by_run)))
    means = values.mean(axis=0)
    return np.array(steps), means[:, 0], spread[:, 0], means[:, 1], spread[:, 1]

  def analysis(self, name):
    """Returns the rows of an analysis, `tables.Table`, with the runs' final accuracy and score.

    Those of another judged set, checkpoint than the last, or distance than `local` are left out.

    Raises:
      MissingData: if there are none.
    """
    rows = (self.analyses.where(analysis=name) if "analysis" in self.analyses
            else tables.Table({}))
    if "judged_set" in rows:
      rows = rows.take(np.isin(rows["judged_set"].astype(str), ["", self.judged_set]))
    for column, value in (("checkpoint", "last"), ("distance", "local")):
      if column in rows:
        rows = rows.take(np.isin(rows[column].astype(str), ["", value]))
    final = {run: (c.network, bool(c.varied), c.accuracy[i], c.score[i])
             for c in self.configurations() for i, run in enumerate(c.runs)}
    known = np.array([run in final for run in rows["run"]], bool) if len(rows) else []
    if not np.any(known):
      raise MissingData(f"No run of the table has the analysis {name}: perceptual study analyze "
                        f"--analysis={name}.")
    rows = rows.take(known)
    added = {"network": [final[run][0] for run in rows["run"]],
             "varied": [final[run][1] for run in rows["run"]],
             "accuracy": [final[run][2] for run in rows["run"]],
             "score": [final[run][3] for run in rows["run"]]}
    return tables.Table({**rows.columns, **{
        key: np.array(values, object if key == "network" else None)
        for key, values in added.items()}})


def read(collected, *, judged_set=None):
  """Returns the `StudyData` of a collected table and of `analyses.csv` beside it.

  Args:
    collected: path of the table, CSV or Parquet.
    judged_set: as `StudyData` takes it.
  """
  path = files.place(collected)
  analyses = path.with_name(ANALYSES_FILE)
  # No figure shows single taps of single subsets, which are most of the rows.
  either = {"subset": configurations.MEAN, "tap": configurations.SUM}
  return StudyData(
      tables.read(path, either=either),
      tables.read(analyses, ("analysis", "run")) if analyses.exists() else None,
      judged_set=judged_set)


def of_study(study_dir, judged_set=None):
  """Returns the `StudyData` of a study that was collected, and of its runs' analyses.

  Args:
    study_dir: the study's folder.
    judged_set: the judged set whose scores are shown; None as `StudyData` has it.

  Raises:
    UserError: if it was not collected.
  """
  table = collected(study_dir)
  gather(study_dir)
  return read(table, judged_set=judged_set)


def collected(study_dir):
  """Returns the path of a study's collected table: as Parquet, which is quicker, where it can be.

  On this machine a CSV file that was changed since is taken instead.

  Raises:
    UserError: if it was not collected.
  """
  table = study_dir / "collected.csv"
  if not table.exists():
    if (study_dir / collecting.TASKS_FILE).exists():
      raise errors.UserError(f"{study_dir} has {collecting.TASKS_FILE} alone, whose runs are of "
                             "losses: perceptual study losses tells of them.")
    raise errors.UserError(
        f"{study_dir} has no collected.csv: perceptual study collect comes first.")
  parquet = table.with_suffix(".parquet")
  if not (parquet.exists() and packages.is_installed("pyarrow")):
    return table
  edited = not files.is_remote(table) and table.stat().st_mtime > parquet.stat().st_mtime
  return table if edited else parquet


def gather(study_dir):
  """Writes `analyses.csv` of a study: the rows of `runs/RUN/analyses/*.csv`, run by run.

  Args:
    study_dir: a folder whose folder `runs` holds run directories.

  Returns:
    How many files there were; without any, nothing is written.
  """
  study_dir = files.place(study_dir)
  rows, count = [], 0
  for path in sorted(study_dir.glob("runs/*/analyses/*.csv")):
    table = tables.read(path, ("analysis", "run"))
    count += 1
    rows += [row | {"run": path.parts[-3]} for row in table.rows()]
  if count:
    files.write_text(study_dir / ANALYSES_FILE, tables.as_csv(rows))
  return count
