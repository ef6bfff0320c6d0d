"""The curves of a run of a task: what validation measures, and the losses, over steps."""

import math

from perceptual.common import files


def plot(rows, path, *, title, measure, best_step):
  """Draws the training and validation loss, and beside them the measure that keeps weights.

  Args:
    rows: lines of `metrics.csv`.
    path: the PNG to write.
    title: of the figure.
    measure: the column of the measure.
    best_step: the step whose weights are kept as the best; None if there is none yet.
  """
  import matplotlib.figure

  figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
  axes = figure.add_subplot()
  axes.set(xlabel="training step", ylabel="loss", title=title)
  for column, colour in (("loss", "black"), ("validation_loss", "gray")):
    _line(axes, rows, column, colour)
  lines = axes.get_lines()
  if measure != "validation_loss":
    beside = axes.twinx()
    beside.set_ylabel(_called(measure))
    _line(beside, rows, measure, "C0")
    lines = [*lines, *beside.get_lines()]
  if best_step is not None:
    lines = [*lines, axes.axvline(best_step, color="C1", linestyle=":",
                                  label=f"best at step {best_step}")]
  figure.legend(lines, [line.get_label() for line in lines], loc="outside lower center", ncols=4)
  with files.beside(path) as temporary:
    figure.savefig(temporary, dpi=120)


def _line(axes, rows, column, colour):
  axes.plot([row["step"] for row in rows], [row.get(column, math.nan) for row in rows],
            color=colour, marker=".", label=_called(column))


def _called(column):
  return column.replace("_", " ")
