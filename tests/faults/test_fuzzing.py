"""The short form of `tools.faults.fuzzing`: some hundred damaged files for each reader."""

import pytest

from tools.faults import fuzzing, readers


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged files
@pytest.mark.parametrize("reader", readers.READERS)
def test_damaged_files_are_read_or_refused(reader):
  accepted, faults = fuzzing.run(reader, 200)
  assert faults == []
  assert accepted < 200


def test_whole_files_are_read(tmp_path):
  for name, reader in readers.READERS.items():
    for data in readers.whole_files(name):
      reader.read(data, tmp_path)
