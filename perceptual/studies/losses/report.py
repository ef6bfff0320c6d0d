"""The tables, figures and contact sheets of a study of losses, written into a folder."""

import numpy as np

from perceptual.common.text_table import aligned
from perceptual.data.images import loading
from perceptual.studies import collecting, study_dir
from perceptual.studies.analyses import table as tables
from perceptual.studies.losses import analyses, figures, paired, table
from perceptual.tasks import evaluation, pictures, results

FOLDER = "losses"


def write(study, folder, *, report=print):
  """Writes everything that follows from `collected_tasks.csv` into STUDY_DIR/losses.

      table_TASK.csv      every measure of every loss
      ranks.csv, mean_ranks.csv, explained.csv, predicted.csv
      paired.csv          every loss less that of pixels, image by image
      figure_*.png, .pdf  scores by layer, ranks by network and layer, scores by ImageNet accuracy
      sheet_TEST-....png  what every loss made of one picture

  Args:
    study: `definition.Study`.
    folder: its `study_dir.StudyDir`.
    report: called with text: the tables of ranks and the files.

  Raises:
    UserError: the table is not there, or has no task.
  """
  path, output = folder.path / collecting.TASKS_FILE, folder.path / FOLDER
  scores = table.read(path)
  for task in dict.fromkeys(score.task for score in scores):
    tables.write_csv(output / f"table_{task.replace(' ', '_')}.csv", table.by_loss(scores, task))
  primary = table.primary(scores)
  ranks = analyses.ranks(primary)
  networks = list(dict.fromkeys(row["network"] for row in ranks))
  found = {"ranks": ranks, "mean_ranks": analyses.mean_ranks(ranks),
           "explained": analyses.explained(ranks),
           "predicted": analyses.predicted(ranks, analyses.network_costs(networks))}
  finished = [run for run in study.runs if run.has_loss
              and folder.state(run).state == study_dir.FINISHED]
  found["paired"] = paired.differences(study, folder, finished)
  for name, rows in found.items():
    if not rows:
      (output / f"{name}.csv").unlink(missing_ok=True)  # of fewer runs, before
      continue
    tables.write_csv(output / f"{name}.csv", rows)
    shown = [row for row in rows if name != "paired" or _is_primary(row)]
    report(f"{name.replace('_', ' ')}\n{_text(shown)}\n")
  for task in dict.fromkeys(score.task for score in primary):
    chosen = table.primary_of(task)
    report(f"score: of {task} {chosen.label} ({chosen.protocol}, {chosen.measure})")
  drawn = figures.draw_all(ranks, table.baselines(path), output)
  sheets = _sheets(folder, finished, output)
  report("Written: " + "  ".join(map(str, [output, *(p.name for p in drawn + sheets)])))


def _sheets(folder, runs, output):
  """Writes a sheet for every picture that several runs of one seed have; returns the paths."""
  strips = {}
  for run in runs:
    if run.seed != runs[0].seed:
      continue
    place = folder.model_dir(run).path / evaluation.FOLDER / "pictures"
    for path in sorted(place.glob("*.png")):
      strips.setdefault(path.name, {})[run.name] = path
  for earlier in output.glob("sheet_*.png"):  # of other runs or pictures
    earlier.unlink()
  written = []
  for name, of_runs in strips.items():
    if len(of_runs) > 1:
      written.append(output / f"sheet_{name}")
      pictures.write_sheet(
          [results.Picture(run, {run: loading.load_image(path)})
           for run, path in of_runs.items()], written[-1])
  return written


def _is_primary(row):
  chosen = table.primary_of(row["task"])
  return (row["protocol"], row["measure"]) == (chosen.protocol, chosen.measure)


def _text(rows):
  columns = list(dict.fromkeys(key for row in rows for key in row))
  return aligned([columns, *([_cell(row.get(column)) for column in columns] for row in rows)])


def _cell(value):
  if value is None or (isinstance(value, float) and np.isnan(value)):
    return ""
  return f"{value:.4g}" if isinstance(value, float) else str(value)
