"""What training leaves to look at: progress on screen, a CSV of evaluations, and a plot."""

import csv
import io
import math
import sys
import time

from perceptual import files

SCORE_PREFIX = "score/"


class Progress:
  """Prints one line after each inner loop of training: step, rate, time left, loss, accuracy."""

  def __init__(self, *, steps, batch_size, steps_per_epoch, silent=False):
    self._steps = steps
    self._batch_size = batch_size
    self._steps_per_epoch = steps_per_epoch
    self._silent = silent
    self._last = None

  def start(self, step):
    """Starts the clock at a step; time spent between loops (evaluation) does not count."""
    self._last = (step, time.monotonic())

  def report(self, step, means):
    """Prints the line and returns examples per second since `start` or the last report."""
    last_step, last_time = self._last
    now = time.monotonic()
    rate = (step - last_step) * self._batch_size / max(now - last_time, 1e-9)
    self._last = (step, now)
    left = (self._steps - step) * self._batch_size / rate
    self.say(f"step {step:>{len(str(self._steps))}}/{self._steps}  "
             f"epoch {step / self._steps_per_epoch:5.2f}  loss {means['loss']:.3f}  "
             f"accuracy {means['accuracy']:5.1f}%  {rate:5.0f} images/s  "
             f"{duration(left)} left")
    return rate

  def say(self, line):
    if not self._silent:
      print(line, file=sys.stderr, flush=True)


def duration(seconds):
  """Returns seconds as '1h02m', '3m07s' or '12s'."""
  seconds = int(seconds + 0.5)
  if seconds >= 3600:
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
  return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"


class MetricsFile:
  """`metrics.csv`: one line an evaluation, rewritten whole so that it is never half-written."""

  def __init__(self, path, first_step=0, write=True):
    """Opens the file; lines after `first_step`, which resuming will write again, are dropped.

    Args:
      path: the file.
      first_step: the step from which a run goes on, 0 for a new one.
      write: whether this process writes; of several workers, one does.
    """
    self._path = path
    self._write = write
    self.rows = [row for row in read_metrics(path) if row["step"] <= first_step]

  def append(self, row):
    """Adds a line.

    Args:
      row: dictionary of numbers, `step` among them.
    """
    self.rows.append(row)
    if not self._write:
      return
    columns = list(dict.fromkeys(key for r in self.rows for key in r))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(self.rows)
    files.write_text(self._path, text.getvalue())


def read_metrics(path):
  """Returns the lines of a `metrics.csv` as dictionaries of numbers; none if there is no file."""
  if not path.exists():
    return []
  with path.open(newline="") as file:
    return [{key: int(value) if key == "step" else float(value)
             for key, value in row.items() if value} for row in csv.DictReader(file)]


def plot(rows, path, *, title, best):
  """Draws accuracy and perceptual scores over steps.

  Args:
    rows: lines of `metrics.csv`.
    path: the PNG to write.
    title: stands above.
    best: the column by which the best checkpoint is chosen; its peak is marked.
  """
  import matplotlib.figure

  figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
  axes = figure.add_subplot()
  steps = [row["step"] for row in rows]
  axes.plot(steps, [row["validation_accuracy"] for row in rows], color="black", marker=".",
            label="validation accuracy")
  axes.set(xlabel="training step", ylabel="validation accuracy, %", title=title)
  scores = axes.twinx()
  scores.set_ylabel("perceptual score, 2AFC %")
  for number, column in enumerate(c for c in rows[-1] if c.startswith(SCORE_PREFIX)):
    values = [row.get(column, math.nan) for row in rows]
    scores.plot(steps, values, color=f"C{number}", marker=".",
                label=column.removeprefix(SCORE_PREFIX))
    if column == best:
      peak = max(range(len(rows)), key=lambda i: values[i])
      scores.plot(steps[peak], values[peak], color=f"C{number}", marker="*", markersize=16,
                  linestyle="none", label=f"best score: {values[peak]:.1f} at step {steps[peak]}")
  lines = axes.get_lines() + scores.get_lines()
  figure.legend(lines, [line.get_label() for line in lines], loc="outside lower center", ncols=3)
  with files.beside(path) as temporary:
    figure.savefig(temporary, dpi=120)
