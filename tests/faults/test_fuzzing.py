"""The short form of `tools.faults.fuzzing`: some hundred damaged files for each reader."""

import signal

import pytest

from tools.faults import fuzzing, readers

_SLOW = ("json", "gin")  # readers of a dozen kinds of files, and of files that include others


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged files
@pytest.mark.parametrize("reader", readers.READERS)
def test_damaged_files_are_read_or_refused(reader):
  inputs = 50 if reader in _SLOW else 200
  accepted, faults = fuzzing.run(reader, inputs)
  assert faults == []
  assert accepted < inputs


def test_whole_files_are_read(tmp_path):
  for name, reader in readers.READERS.items():
    for data in readers.whole_files(name):
      reader.read(data, tmp_path)


def test_the_time_of_an_input_is_not_that_of_imports(monkeypatch):
  """Readers import with their first file: whole ones are read before any time is limited."""
  timed = []

  def read(data, folder):
    timed.append((data, signal.getitimer(signal.ITIMER_REAL)[0] > 0))

  monkeypatch.setitem(readers.READERS, "csv", readers.Reader(lambda: (b"whole",), read))
  readers.whole_files.cache_clear()
  try:
    assert fuzzing.run("csv", 3) == (3, [])
  finally:
    readers.whole_files.cache_clear()
  assert timed[0] == (b"whole", False)
  assert [is_timed for _, is_timed in timed[1:]] == [True] * 3
