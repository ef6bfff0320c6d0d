"""The short form of `tools.faults.fuzzing`: some hundred damaged files for each reader."""

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
