"""What training leaves to look at: lines of progress, `metrics.csv`, the plot."""

import numpy as np
import pytest
from PIL import Image

from perceptual.errors import UserError
from perceptual.training import records

MEANS = {"loss": 1.23456, "accuracy": 45.678}


@pytest.fixture
def clock(monkeypatch):
  """A clock that is set by hand, in seconds."""
  now = [100.0]
  monkeypatch.setattr(records.time, "monotonic", lambda: now[0])
  return now


def _progress(**options):
  return records.Progress(steps=400, batch_size=64, steps_per_epoch=50, **options)


def test_a_line_tells_step_epoch_loss_accuracy_rate_and_time_left(clock, capsys):
  progress = _progress()
  progress.start(0)
  for step, seconds in ((20, 10.0), (40, 2.0), (60, 2.0)):
    clock[0] += seconds
    rate = progress.report(step, MEANS)
  assert rate == 20 * 64 / 2.0
  assert capsys.readouterr() == ("", """\
step  20/400  epoch  0.40  loss 1.235  accuracy  45.7%    128 images/s  graph building included
step  40/400  epoch  0.80  loss 1.235  accuracy  45.7%    640 images/s  36s left
step  60/400  epoch  1.20  loss 1.235  accuracy  45.7%    640 images/s  34s left
""")


def test_evaluations_count_in_the_time_left_but_not_in_the_rate(clock, capsys):
  progress = _progress()
  progress.start(0)
  clock[0] += 5
  progress.report(20, MEANS)
  clock[0] += 8  # an evaluation
  progress.start(20)
  clock[0] += 2
  assert progress.report(40, MEANS) == 640
  assert capsys.readouterr().err.endswith("3m00s left\n"), "18 times 20 steps in 10 s"


def test_a_long_evaluation_says_how_far_it_is(clock, capsys):
  progress = _progress()
  progress.start_evaluation(1000)
  for count, seconds in ((100, 6), (100, 6), (100, 6), (600, 30), (100, 1)):
    clock[0] += seconds
    progress.evaluated(count)
  assert capsys.readouterr().err == "  evaluating: 20%\n  evaluating: 90%\n"


def test_a_resumed_run_counts_its_own_steps_alone(clock, capsys):
  progress = _progress()
  progress.start(380)
  clock[0] += 2
  assert progress.report(390, MEANS) == 320
  clock[0] += 1
  progress.report(400, MEANS)
  assert capsys.readouterr().err.endswith("0s left\n")


def test_a_silent_worker_prints_nothing(clock, capsys):
  progress = _progress(silent=True)
  progress.start(0)
  clock[0] += 1
  assert progress.report(20, MEANS) == 1280
  progress.say("hello")
  assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0s"), (0.4, "0s"), (0.6, "1s"), (59.4, "59s"), (59.6, "1m00s"), (60, "1m00s"),
    (187, "3m07s"), (3599.4, "59m59s"), (3600, "1h00m"), (3725, "1h02m"), (100 * 3600, "100h00m"),
])
def test_durations(seconds, text):
  assert records.duration(seconds) == text


ROWS = [
    {"step": 0, "epoch": 0.0, "validation_accuracy": 1 / 3, "score/local": 99.5},
    {"step": 10, "epoch": 0.5, "validation_accuracy": 20.0, "score/local": 81.25, "loss": 1e-7},
    {"step": 20, "epoch": 1.0, "validation_accuracy": 30.0, "score/local": 81.25, "loss": 0.1},
]


def _write(path, rows):
  for i in range(len(rows)):
    records.MetricsFile(path, rows[i]["step"]).append(rows[i])


def test_metrics_come_back_exactly_whoever_wrote_them(tmp_path):
  path = tmp_path / "metrics.csv"
  _write(path, ROWS)  # a process a line
  assert records.read_metrics(path) == ROWS
  in_one = records.MetricsFile(tmp_path / "other.csv")
  for row in ROWS:
    in_one.append(row)
  assert (tmp_path / "other.csv").read_bytes() == path.read_bytes()
  assert path.read_text().splitlines()[0] == "step,epoch,validation_accuracy,score/local,loss"
  assert len(list(tmp_path.iterdir())) == 2, "no temporary file stays"


def test_lines_after_the_step_resumed_are_written_anew(tmp_path):
  path = tmp_path / "metrics.csv"
  _write(path, ROWS)
  metrics = records.MetricsFile(path, last_step=10)
  assert metrics.rows == ROWS[:2]
  assert records.read_metrics(path) == ROWS, "reading changes nothing"
  metrics.append(ROWS[2])
  assert records.read_metrics(path) == ROWS


def test_a_run_that_starts_over_does_not_repeat_its_first_line(tmp_path):
  """Killed after the evaluation of step 0, before the first checkpoint."""
  path = tmp_path / "metrics.csv"
  _write(path, ROWS[:1])
  records.MetricsFile(path, last_step=0).append(ROWS[0])
  assert records.read_metrics(path) == ROWS[:1]


def test_a_worker_that_is_not_chief_writes_nothing(tmp_path):
  metrics = records.MetricsFile(tmp_path / "metrics.csv", write=False)
  metrics.append(ROWS[0])
  assert metrics.rows == ROWS[:1]
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["step,loss\n1,two\n", "step,loss\n1.5,2\n", "loss\n1\n",
                                  "step,loss\n1,2,3\n"])
def test_a_damaged_file_is_named(tmp_path, text):
  path = tmp_path / "metrics.csv"
  path.write_text(text)
  with pytest.raises(UserError, match=r"metrics\.csv is damaged: ") as caught:
    records.MetricsFile(path, 100)
  assert "\n" not in str(caught.value)


def test_the_peak_is_the_first_of_equals_and_never_the_untrained_network():
  assert records.peak(ROWS, "score/local") == ROWS[1]
  assert records.peak(ROWS, "validation_accuracy") == ROWS[2]
  assert records.peak(ROWS[:1], "score/local") is None
  assert records.peak(ROWS, "score/style") is None
  assert records.peak([], "score/local") is None


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_the_plot_is_a_picture(tmp_path, rows):
  path = tmp_path / "new" / "training.png"
  records.plot(rows, path, title="a title", best="score/local")
  with Image.open(path) as image:
    pixels = np.asarray(image.convert("RGB"))
  assert min(pixels.shape[:2]) > 300
  assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
  assert list(path.parent.iterdir()) == [path]


def test_the_plot_marks_the_best_step(tmp_path, monkeypatch):
  import matplotlib.figure

  figures = []
  original = matplotlib.figure.Figure.savefig
  monkeypatch.setattr(matplotlib.figure.Figure, "savefig", lambda figure, *args, **kwargs: (
      figures.append(figure), original(figure, *args, **kwargs)))
  records.plot(ROWS, tmp_path / "a.png", title="a title", best="score/local")
  labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
  assert labels == ["validation accuracy", "local", "best score: 81.2 at step 10"]
