"""One long table of a study: every score of every evaluation of every finished run.

    study                 the studies that ask for the run, joined by `+`
    run, index            its name and number
    binding.NAME          the value of every binding that varies in the study; empty without one
    varied                the bindings in which the run differs from its base file, joined by `+`:
                          none for a network out of the box
    network, seed
    state                 of the run: `finished`, or with `--unfinished` also `started` and `failed`
    step, epoch
    learning_rate         at the step; empty before training
    accuracy              of validation, percent; empty for a learned metric
    judged_set, subset, distance
    tap                   `sum` for all together
    score, low, high      percent, with the 95% bootstrap interval over examples

What `perceptual study score` has scored since training is in it too. The table is written run by
run, so memory stays flat.

What networks that were trained for a task were measured to be is in a table of its own,
`collected_tasks.csv`: the same columns up to the seed, and those of `tasks.results`.
"""

import csv
import io
import warnings

from perceptual import errors
from perceptual.common import files, progress
from perceptual.studies import further_scores, study_dir
from perceptual.tasks import evaluation, results
from perceptual.training import records, step_scores

TASKS_FILE = "collected_tasks.csv"
BINDING = "binding."  # begins the name of a binding's column
NUMBERS = {"index": "int64", "seed": "int64", "step": "int64", "epoch": "float64",
           "learning_rate": "float64", "accuracy": "float64", "score": "float64",
           "low": "float64", "high": "float64"}


def collect(study, folder, *, unfinished=False):
  """Writes `collected.csv` (and `collected.parquet` where pyarrow is installed), and of tasks
  `collected_tasks.csv`.

  Args:
    study: `definition.Study`.
    folder: its `study_dir.StudyDir`.
    unfinished: whether the scores that runs in training have so far are in the table too. Its
      last step is then not that of a whole training.

  Returns:
    (paths, states): the files written, and a dict from each run's name to its `State`. Runs that
    have not finished are in the table only as `unfinished` says, and those of tasks never.

  Raises:
    UserError: if there is none, or a file of one is damaged.
  """
  states = {run.name: folder.state(run) for run in study.runs}
  of_tasks = [run for run in study.runs if run.has_loss
              and states[run.name].state == study_dir.FINISHED]
  scored = [run for run in study.runs if not run.has_loss
            and _has_scores(states[run.name], unfinished)]
  if not (of_tasks or scored):
    hint = "" if unfinished or all(run.has_loss for run in study.runs) else (
        " --unfinished collects what runs in training have so far.")
    raise errors.UserError(
        f"No run of the study {study.name} in {folder.path} has finished.{hint}")
  paths = [*(_collect_scores(study, folder, scored) if scored else ()),
           *(_collect_measures(study, folder, of_tasks) if of_tasks else ())]
  return paths, states


def _has_scores(state, unfinished):
  return state.state == study_dir.FINISHED or (
      unfinished and state.state in (study_dir.STARTED, study_dir.FAILED) and bool(state.step))


def _collect_scores(study, folder, chosen):
  """Writes `collected.csv` and `.parquet` of networks and learned metrics; returns the paths."""
  table = folder.path / "collected.csv"
  with files.beside(table) as temporary, temporary.open(
      "w", newline="", encoding="utf-8") as file:
    file.write(_line([*_own_columns(study), "state", "step", "epoch", "learning_rate", "accuracy",
                      *step_scores.COLUMNS[1:]]) + "\n")
    with progress.progress(chosen, description="collecting", unit="run") as runs:
      for run in runs:
        file.writelines(_lines(study, run, folder.model_dir(run), folder.state(run).state))
  if short := [run.name for run in chosen if _ends_early(folder.model_dir(run))]:
    warnings.warn(
        f"Further scores of {progress.plural(len(short), 'run')} ({', '.join(short[:3])}"
        f"{', ...' if len(short) > 3 else ''}) end before their training does; the last that there "
        "are count as the end. The last step was not kept, or perceptual study score has more to "
        "do.", stacklevel=2)
  return [table, *_parquet(table)]


def _ends_early(folder):
  """Whether a file of a run's further scores lacks the last step that was evaluated."""
  paths = further_scores.paths(folder)
  if not paths:
    return False
  last = max((row["step"] for row in records.read_metrics(folder.metrics)), default=0)
  return any(max((int(step) for step, _ in step_scores.lines(path)), default=0) < last
             for path in paths)


def _collect_measures(study, folder, finished):
  """Writes `collected_tasks.csv` of networks trained for a task; returns the path in a list."""
  lines = [_line([*_own_columns(study), "task", *results.SUMMARY_COLUMNS])]
  for run in finished:
    model_dir = folder.model_dir(run)
    own = _line([*_own_values(study, run), model_dir.read_task()["name"]])
    lines += [f"{own},{_line(row)}" for row in _summary(run, model_dir)]
  path = folder.path / TASKS_FILE
  files.write_text(path, "\n".join(lines) + "\n")
  return [path]


def _summary(run, model_dir):
  """Returns the lines of `results.SUMMARY_COLUMNS` that a run's test has left, as lists of text."""
  path = model_dir.path / evaluation.FOLDER / results.SUMMARY_FILE
  if run.kind == "task":
    again = (f"perceptual task evaluate --model_dir={model_dir.path} --seed={run.seed} "
             f"--output_dir={path.parent} writes it anew.")
  else:
    again = f"Move {model_dir.path} away, and run the study again."
  return [row.values() for row in results.read(path, results.SUMMARY_COLUMNS, again=again)]


def _own_columns(study):
  return ["study", "run", "index", *(BINDING + binding for binding in study.columns), "varied",
          "network", "seed"]


def _own_values(study, run):
  values = (run.values[binding] for binding in study.columns)
  return ["+".join(run.studies), run.name, run.index, *values, "+".join(run.varied),
          run.network, run.seed]


def _lines(study, run, folder, state):
  """Yields the lines of one run: millions in all, so those of its scores are taken as they are."""
  own = _line([*_own_values(study, run), state])
  known = {}
  for row in records.read_metrics(folder.metrics):
    known[str(row["step"])] = ",".join([
        f"{row['epoch']:g}", _number(row.get("learning_rate"), ".6g"),
        _number(row.get("validation_accuracy"), ".4f")])
  if not step_scores.lines(folder.scores):
    warnings.warn(f"{folder.scores} is missing or empty: the scores of {run.name} are not in the "
                  "table.", stacklevel=2)
  for path in (folder.scores, *further_scores.paths(folder)):
    for step, scored in step_scores.lines(path):
      if step not in known and state != study_dir.FINISHED:  # it is writing them just now
        continue
      if step not in known:
        raise errors.UserError(f"{path} has scores of step {step}, but {folder.metrics} has no "
                               "such line.")
      yield f"{own},{step},{known[step]},{scored}\n"


def _number(value, form):
  return "" if value is None else f"{value:{form}}"


def _line(cells):
  text = io.StringIO()
  csv.writer(text, lineterminator="").writerow(cells)
  return text.getvalue()


def _parquet(table):
  """Writes a CSV as Parquet too, block by block; nothing where pyarrow is missing."""
  try:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet
  except ImportError:
    return []
  path = table.with_suffix(".parquet")
  with files.local_copy(table) as local, files.beside(path) as temporary:
    with local.open(encoding="utf-8") as file:
      columns = next(csv.reader(file))
    types = {column: getattr(pa, NUMBERS.get(column, "string"))() for column in columns}
    options = arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    with arrow_csv.open_csv(local, convert_options=options) as reader, parquet.ParquetWriter(
        temporary, reader.schema) as writer:
      for batch in reader:
        writer.write_batch(batch)
  return [path]
