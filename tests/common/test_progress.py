"""Progress: whole lines in a log, one line over and over on a terminal, nouns that fit numbers."""

import io
import sys

import pytest

from perceptual.common import progress


class _Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def log(monkeypatch, capsys):
  """Returns what has been logged; bars log every step."""
  monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
  monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
  return lambda: capsys.readouterr().err


def _counts(log):
  assert "\r" not in log and log.endswith("\n")
  return [line.partition(", 00:00 so far")[0] for line in log.splitlines()]


def test_a_log_gets_whole_lines_each_once(log):
  assert list(progress.progress(range(3), description="reading", unit="triplet")) == [0, 1, 2]
  assert _counts(log()) == [f"reading: {share}%, {count} of 3 triplets"
                          for share, count in ((33, 1), (67, 2), (100, 3))]


def test_a_log_gets_a_line_at_the_end_of_a_short_pass(log, monkeypatch):
  monkeypatch.setattr(progress, "LOG_SECONDS", 10.0)
  list(progress.progress(iter(range(1)), description="reading", unit="batch"))
  list(progress.progress(iter(range(2000)), description="listing", unit="batch"))
  assert _counts(log()) == ["reading: 1 batch", "listing: 2,000 batches"]


def test_a_pass_within_another_adds_its_lines_and_nothing_else(log):
  for _ in progress.progress(range(2), description="sets", unit="set"):
    list(progress.progress(range(1), description="reading"))
  assert _counts(log()) == ["reading: 100%, 1 of 1 image", "sets: 50%, 1 of 2 sets",
                            "reading: 100%, 1 of 1 image", "sets: 100%, 2 of 2 sets"]


def test_a_log_gets_nothing_of_what_is_over_at_once(capsys):
  list(progress.progress(range(3), description="reading"))
  with progress.progress(description="listing", unit="file") as bar:
    bar.update(3)
  assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_of_a_pass_of_some_seconds(capsys):
  with progress.progress(description="listing", unit="file") as bar:
    bar.start_t -= progress.QUIET_SECONDS
    bar.update(3)
  assert capsys.readouterr().err.startswith("listing: 3 files, 00:03 so far")


def test_what_has_not_begun_leaves_no_line(log):
  list(progress.progress([], description="reading", unit="triplet"))
  progress.progress(description="reading", total=5, initial=5).close()
  assert log() == ""


def test_an_interrupted_pass_ends_its_line(log):
  with pytest.raises(KeyboardInterrupt), progress.progress(
      description="reading", total=3, initial=1) as bar:
    bar.update()
    raise KeyboardInterrupt
  assert _counts(log()) == ["reading: 67%, 2 of 3 images"]


def test_bytes_are_counted_in_powers_of_ten(log):
  with progress.progress(description="downloading", total=233_100_000, unit="byte") as bar:
    bar.update(46_620_000)
  assert _counts(log()) == ["downloading: 20%, 46.6M of 233M bytes"]


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch):
  monkeypatch.setattr(sys, "stderr", _Terminal())
  monkeypatch.setenv("COLUMNS", "90")
  list(progress.progress(range(3), description="reading", unit="triplet"))
  assert sys.stderr.getvalue().count("\n") == 1
  states = sys.stderr.getvalue().split("\r")
  assert "reading:   0%" in states[1] and "0 of 3 triplets [00:00<?, ?]" in states[1]
  assert "reading: 100%" in states[-1] and "3 of 3 triplets [00:00<00:00, " in states[-1]


@pytest.mark.parametrize(("count", "noun", "expected"), [
    (0, "triplet", "0 triplets"), (1, "triplet", "1 triplet"), (12000, "image", "12,000 images"),
    (2, "batch", "2 batches"), (2, "class", "2 classes"), (2, "box", "2 boxes")])
def test_nouns_fit_their_numbers(count, noun, expected):
  assert progress.plural(count, noun) == expected
