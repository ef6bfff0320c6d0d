"""The journal: what was written is found again, and nothing is believed that should not be."""

import os
import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from perceptual.comparison import headers, journal, pairing
from perceptual.errors import UserError

_ABOUT = {"columns": ("d", "e"), "fingerprints": {"d": {"name": "d"}, "e": {"name": "e"}}}
_VALUES = np.array([[0.1, 1], [np.float32(1 / 3), np.inf], [1e-12, -2.5], [4, 5], [6, 7], [8, 9]])


@pytest.fixture
def found(tmp_path, write_grey):
  """All pairs of four images."""
  return pairing.every_pair(write_grey(tmp_path / "f", {f"{i}.png": i for i in range(4)}))


@pytest.fixture
def inspected(found):
  return headers.read_all(found.files)


def _load(folder, found, about=_ABOUT):
  with journal.Journal(folder, **about) as book:
    return book.load(found, headers.read_all(found.files))


def _record(folder, found, inspected, pairs):
  with journal.Journal(folder, **_ABOUT) as book:
    book.record(found, inspected, pairs, _VALUES[pairs])


def test_a_new_journal_is_empty(tmp_path, found):
  assert _load(tmp_path / "new" / "out", found) == ({}, 0)


def test_what_was_recorded_is_loaded(tmp_path, found, inspected):
  _record(tmp_path, found, inspected, [0, 2])
  _record(tmp_path, found, inspected, [1])
  values, changed = _load(tmp_path, found)
  assert sorted(values) == [0, 1, 2] and changed == 0
  for pair, row in values.items():
    np.testing.assert_array_equal(np.float32(row), np.float32(_VALUES[pair]))


def test_pairs_are_known_by_their_files_and_not_by_their_place(tmp_path, found, inspected):
  _record(tmp_path, found, inspected, [0, 4, 5])
  path = found.files[1]
  path.unlink()
  fewer = pairing.every_pair(path.parent)
  values, changed = _load(tmp_path, fewer)
  assert ({fewer.names(pair): row for pair, row in values.items()}, changed) == (
      {found.names(5): [8, 9]}, 0)
  reverse = pairing.one_with_many(found.files[3], [found.files[2]])
  assert _load(tmp_path, reverse) == ({}, 0)


def test_a_pair_whose_file_has_changed_is_not_believed(tmp_path, found, inspected):
  _record(tmp_path, found, inspected, range(6))
  os.utime(found.files[0], ns=(1, 1))
  values, changed = _load(tmp_path, found)
  assert (sorted(values), changed) == ([3, 4, 5], 3)
  _record(tmp_path, found, headers.read_all(found.files), [0])
  values, changed = _load(tmp_path, found)
  assert (sorted(values), changed) == ([0, 3, 4, 5], 2)


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_torn_line_is_taken_off(tmp_path, found, inspected, cut):
  _record(tmp_path, found, inspected, [0, 1, 2])
  path = tmp_path / journal.FILE
  path.write_bytes(path.read_bytes()[:-cut])
  values, _ = _load(tmp_path, found)
  assert sorted(values) == [0, 1]
  _record(tmp_path, found, inspected, [2])
  assert sorted(_load(tmp_path, found)[0]) == [0, 1, 2]


def test_a_torn_head_is_written_anew(tmp_path, found):
  _load(tmp_path, found)
  path = tmp_path / journal.FILE
  path.write_bytes(path.read_bytes()[:20])
  assert _load(tmp_path, found) == ({}, 0)
  assert path.read_bytes().count(b"\n") == 1


def test_a_damaged_line_is_an_error(tmp_path, found, inspected):
  _record(tmp_path, found, inspected, [0, 1])
  path = tmp_path / journal.FILE
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b"".join([lines[0], b'{"files": []}\n', lines[2]]))
  with pytest.raises(UserError, match=r"journal\.jsonl is damaged at line 2; remove it"):
    _load(tmp_path, found)


@pytest.mark.parametrize(("about", "message"), [
    ({"columns": ("d",), "fingerprints": {"d": {"name": "d"}}},
     "holds values of d, e, not of d;"),
    ({"columns": ("d", "e"), "fingerprints": {"d": {"name": "d"}, "e": {"name": "f"}}},
     "metrics of the same names but other weights, settings or versions, not of d, e;"),
])
def test_values_of_other_metrics_are_not_mixed_with_these(tmp_path, found, about, message):
  _load(tmp_path, found)
  with pytest.raises(UserError, match=message):
    _load(tmp_path, found, about)
  assert _load(tmp_path, found) == ({}, 0), "and stay as they are"


@pytest.mark.parametrize("text", ['["a", "list"]\n', "dear diary", "\n"])
def test_another_file_of_this_name_is_left_alone(tmp_path, found, text):
  (tmp_path / journal.FILE).write_text(text)
  with pytest.raises(UserError, match="holds values of something else, not of d, e"):
    _load(tmp_path, found)
  assert (tmp_path / journal.FILE).read_text() == text


def test_two_runs_do_not_write_to_one_journal(tmp_path, found):
  message = "Another run is writing to"
  with journal.Journal(tmp_path, **_ABOUT), pytest.raises(UserError, match=message):
    journal.Journal(tmp_path, **_ABOUT)
  assert _load(tmp_path, found) == ({}, 0)


def test_names_that_are_no_text_come_back(tmp_path, write_grey):
  folder = write_grey(tmp_path / "f", {os.fsdecode(b"\xff.png"): 1, "line\n.png": 2})
  found = pairing.every_pair(folder)
  _record(tmp_path, found, headers.read_all(found.files), [0])
  assert _load(tmp_path, found) == ({0: [0.1, 1]}, 0)


def test_a_folder_that_cannot_be_written(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(UserError, match=r"cannot be written to .*file/out: Not a directory"):
    journal.Journal(tmp_path / "file" / "out", **_ABOUT)


def test_where_the_disk_is_full_the_journal_is_left_whole(tmp_path, found, inspected):
  """A limit on files' size stands in for a full disk: a write is cut short, the next fails."""
  _record(tmp_path, found, inspected, [0])
  before = (tmp_path / journal.FILE).read_bytes()
  code = f"""
      import numpy as np, pathlib, resource
      from perceptual.comparison import headers, journal, pairing
      found = pairing.every_pair({str(found.files[0].parent)!r})
      book = journal.Journal({str(tmp_path)!r}, **{_ABOUT!r})
      resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 100}, {resource.RLIM_INFINITY}))
      book.record(found, headers.read_all(found.files), [1, 2], np.ones((2, 2)))
      """
  process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True,
                           text=True)
  assert process.stderr.endswith(f"Results cannot be written to {tmp_path}: File too large.\n")
  assert (tmp_path / journal.FILE).read_bytes() == before
  assert sorted(_load(tmp_path, found)[0]) == [0]


@pytest.mark.parametrize("change", [
    lambda line: line.replace(b"0.1", b"0.2"),
    lambda line: line.replace(b'"values": [', b'"values": [7, '),
    lambda line: line.replace(b'"files": [', b'"files": ["x.png", '),
    lambda line: b"[" * 100_000 + b"\n",
    lambda line: b"[]\n", lambda line: b"7\n", lambda line: b"\xff\n"])
def test_a_line_that_was_changed_is_not_believed(tmp_path, found, inspected, change):
  _record(tmp_path, found, inspected, [0, 1])
  path = tmp_path / journal.FILE
  lines = path.read_bytes().splitlines(keepends=True)
  changed = change(lines[1])
  assert changed != lines[1]
  path.write_bytes(b"".join([lines[0], changed, lines[2]]))
  with pytest.raises(UserError, match=r"journal\.jsonl is damaged at line 2; remove it"):
    _load(tmp_path, found)
