"""Downloads from a server on 127.0.0.1: resumed, checked, and nothing wrong kept."""

import numpy as np
import pytest

from perceptual import errors
from perceptual.common import progress
from perceptual.weights import download

CONTENT = np.random.default_rng(0).bytes(100_000)


@pytest.fixture
def path(tmp_path):
  return tmp_path / "new folder" / "file.pth"


def _verify(part):
  if part.read_bytes() != CONTENT:
    raise errors.UserError(f"{part} is wrong.")


@pytest.fixture
def fetch(server, path):
  server.files["file.pth"] = CONTENT
  return lambda: download.fetch(f"{server.address}/file.pth", path, verify=_verify)


def _refused(fetch):
  with pytest.raises(errors.UserError) as caught:
    fetch()
  assert "\n" not in str(caught.value)
  return str(caught.value)


def _files(path):
  return sorted(file.name for file in path.parent.iterdir())


def test_a_file_is_downloaded_whole_with_progress(fetch, path, server, capsys, monkeypatch):
  monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
  fetch()
  assert path.read_bytes() == CONTENT and _files(path) == ["file.pth"]
  assert server.ranges == {"file.pth": [None]}
  assert "downloading file.pth: 100%, 100k of 100k bytes" in capsys.readouterr().err


def test_a_transfer_that_breaks_off_goes_on_where_it_was(fetch, path, server):
  server.cuts = [30_000, 20_000]
  fetch()
  assert path.read_bytes() == CONTENT
  assert server.ranges["file.pth"] == [None, "bytes=30000-", "bytes=50000-"]


def test_one_that_keeps_breaking_off_is_taken_up_by_the_next_call(fetch, path, server):
  server.cuts = [10_000] * 5
  assert "broke off after 50,000 bytes, which are kept" in _refused(fetch)
  assert _files(path) == ["file.pth.part"]
  fetch()
  assert path.read_bytes() == CONTENT and _files(path) == ["file.pth"]
  assert server.ranges["file.pth"][5:] == ["bytes=50000-"]


def test_a_server_without_ranges_sends_all_again(fetch, path, server):
  server.takes_ranges, server.cuts = False, [30_000]
  fetch()
  assert path.read_bytes() == CONTENT


def test_a_server_that_does_not_tell_the_length(fetch, path, server):
  server.says_lengths = False
  fetch()
  assert path.read_bytes() == CONTENT


def _leave(path, part):
  path.parent.mkdir()
  path.with_name("file.pth.part").write_bytes(part)


@pytest.mark.parametrize("longer", [b"", b"?"])
def test_what_is_left_and_no_shorter_than_the_file_is_no_part_of_it(fetch, path, longer):
  _leave(path, CONTENT + longer)
  fetch()
  assert path.read_bytes() == CONTENT


def test_a_wrong_file_is_refused_and_nothing_kept(fetch, path, server):
  server.files["file.pth"] = CONTENT[:-1] + b"?"
  assert "is wrong" in _refused(fetch)
  assert _files(path) == []


def test_the_rest_of_another_file_is_refused_and_nothing_kept(fetch, path):
  _leave(path, b"?" * 1000)
  assert "is wrong" in _refused(fetch)
  assert _files(path) == []
  fetch()
  assert path.read_bytes() == CONTENT


def test_a_file_that_is_not_there(fetch, path, server):
  server.files.clear()
  assert _refused(fetch).endswith("/file.pth cannot be downloaded: HTTP 404 Not Found.")
  assert not path.parent.exists()


def test_a_server_that_is_not_there(path, server):
  address = server.address
  server.close()
  assert "cannot be reached: [Errno" in _refused(
      lambda: download.fetch(f"{address}/file.pth", path, verify=_verify))


def test_a_folder_that_cannot_be_written(fetch, path):
  path.parent.write_text("a file")
  assert "cannot be written: " in _refused(fetch)
