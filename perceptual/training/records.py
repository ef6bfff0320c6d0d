"""What training reports: progress on screen, a CSV of evaluations, and a plot."""

import csv
import io
import math
import sys
import time
import warnings

from perceptual import errors
from perceptual.common import files

SCORE_PREFIX = "score/"


EVALUATION_SECONDS = 10.0  # between two lines of progress of one evaluation


class Progress:
  """Prints one line after each inner loop of training: step, rate, time left, loss, accuracy.

  Attributes:
    seconds_left: the time left as last reported; None before there is a pace.
  """

  def __init__(self, *, steps, batch_size, steps_per_epoch, examples="images", silent=False):
    self._steps = steps
    self._batch_size = batch_size
    self._examples = examples
    self._steps_per_epoch = steps_per_epoch
    self._silent = silent
    self._last = None
    self._first_report = None
    self.seconds_left = None

  def start(self, step):
    """Starts the clock at a step; time between loops, spent on evaluation, is not in the rate."""
    self._last = (step, time.monotonic())

  def report(self, step, means):
    """Prints the line and returns examples per second since `start` or the last report."""
    last_step, last_time = self._last
    now = time.monotonic()
    self._last = (step, now)
    rate = (step - last_step) * self._batch_size / max(now - last_time, 1e-9)
    accuracy = f"accuracy {means['accuracy']:5.1f}%  " if "accuracy" in means else ""
    self.say(f"step {step:>{len(str(self._steps))}}/{self._steps}  "
             f"epoch {step / self._steps_per_epoch:5.2f}  loss {means['loss']:.3f}  "
             f"{accuracy}{rate:5.0f} {self._examples}/s  {self._left(step, now)}")
    return rate

  def _left(self, step, now):
    """The time left, in words: by the pace, evaluations included, since the first report.

    The first loop is left out, since the graph is built in it.
    """
    if self._first_report is None:
      self._first_report = (step, now)
      return "graph building included"
    first_step, first_time = self._first_report
    self.seconds_left = round((self._steps - step) * (now - first_time) / (step - first_step), 1)
    return f"{duration(self.seconds_left)} left"

  def start_evaluation(self, total):
    """Starts an evaluation of `total` images and triplets."""
    self._evaluated, self._to_evaluate = 0, total
    self._last_line = time.monotonic()

  def evaluated(self, count):
    """Counts what has been evaluated, padding too; prints a line where that takes long."""
    self._evaluated += count
    now = time.monotonic()
    if now - self._last_line >= EVALUATION_SECONDS:
      self._last_line = now
      self.say(f"  evaluating: {min(100, 100 * self._evaluated // self._to_evaluate)}%")

  def say(self, line):
    """Prints a line, unless this process is silent."""
    if not self._silent:
      print(line, file=sys.stderr, flush=True)


def duration(seconds):
  """Returns seconds as '1h02m', '3m07s' or '12s'."""
  seconds = int(seconds + 0.5)
  if seconds >= 3600:
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
  return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"


class MetricsFile:
  """`metrics.csv`: one line an evaluation, rewritten whole so that it is never half-written.

  Attributes:
    rows: the lines as dictionaries of numbers, by rising `step`.
    was_rebuilt: whether they are not those of the file, which had lost some.
  """

  def __init__(self, path, last_step=0, write=True, *, noted=None):
    """Reads the file; lines after `last_step`, which a resumed run writes again, are skipped.

    Args:
      path: the file; it need not be there.
      last_step: the step from which a run goes on, 0 for a new one.
      write: whether this process writes; of several workers, one does.
      noted: the lines as they were noted with the checkpoint of `last_step`, if they were; where
        the file has others, it is rebuilt of these, and that is warned of.

    Raises:
      UserError: if the file is damaged, and nothing is noted.
    """
    self._path = path
    self._write = write
    self.was_rebuilt = False
    try:
      self.rows = [row for row in read_metrics(path) if row["step"] <= last_step]
    except errors.UserError:
      if noted is None:
        raise
      self.rows = []
    if noted is not None and self.rows != noted:
      differing = [row["step"] for row in noted if row not in self.rows]
      warnings.warn(f"{path} is not as it was written: step {', '.join(map(str, differing))} "
                    "missing or changed. It is put right from the checkpoint.", stacklevel=2)
      self.rows, self.was_rebuilt = noted, True

  def append(self, row):
    """Adds a line, in the place of those of its step or later.

    Args:
      row: dictionary of numbers, `step` among them.
    """
    self.rows = [*(r for r in self.rows if r["step"] < row["step"]), row]
    self.write()

  def write(self):
    """Writes the file."""
    if not self._write:
      return
    columns = list(dict.fromkeys(key for r in self.rows for key in r))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(self.rows)
    files.write_text(self._path, text.getvalue())


def read_metrics(path):
  """Returns the lines of a `metrics.csv` as dictionaries of numbers; none if there is no file.

  Raises:
    UserError: if the file is damaged.
  """
  if not path.exists():
    return []
  try:
    rows = [{key: int(value) if key == "step" else float(value)
             for key, value in row.items() if value}
            for row in csv.DictReader(files.csv_lines(path))]
    if not all("step" in row for row in rows):
      raise ValueError("a line has no step")
    return rows
  except (ValueError, TypeError, csv.Error) as error:
    raise errors.UserError(f"{path} is damaged: {errors.first_line(error)}") from None


def peak(rows, column):
  """Returns the trained line with the highest value of a column, the first of equals; or None.

  The line of step 0, of the untrained network, is for comparison alone.
  """
  trained = [row for row in rows if row["step"] and column in row]
  return max(trained, key=lambda row: row[column], default=None)


def plot(rows, path, *, title, best, curve=("validation_accuracy", "validation accuracy, %")):
  """Draws perceptual scores over steps, and beside them other curves of the training.

  Args:
    rows: lines of `metrics.csv`.
    path: the PNG to write.
    title: of the figure.
    best: the column by which the best checkpoint is chosen; its `peak` is marked.
    curve: the column drawn beside the scores, and what it is called.
  """
  import matplotlib.figure

  figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
  axes = figure.add_subplot()
  steps = [row["step"] for row in rows]
  column, called = curve
  axes.plot(steps, [row.get(column, math.nan) for row in rows], color="black", marker=".",
            label=called.partition(",")[0])
  axes.set(xlabel="training step", ylabel=called, title=title)
  scores = axes.twinx()
  scores.set_ylabel("perceptual score, 2AFC %")
  for number, column in enumerate(c for c in rows[-1] if c.startswith(SCORE_PREFIX)):
    values = [row.get(column, math.nan) for row in rows]
    scores.plot(steps, values, color=f"C{number}", marker=".",
                label=column.removeprefix(SCORE_PREFIX))
    top = peak(rows, column) if column == best else None
    if top is not None:
      scores.plot(top["step"], top[column], color=f"C{number}", marker="*", markersize=16,
                  linestyle="none", label=f"best score: {top[column]:.1f} at step {top['step']}")
  lines = axes.get_lines() + scores.get_lines()
  figure.legend(lines, [line.get_label() for line in lines], loc="outside lower center", ncols=3)
  with files.beside(path) as temporary:
    figure.savefig(temporary, dpi=120)
