"""Folders at an address, of TensorFlow's own gs:// with a bucket on this machine."""

import json
import os
import pathlib
import socket

import pytest

from perceptual.common import files, locks, remote
from perceptual.errors import UserError
from perceptual.metrics import sources
from tests import leftovers


@pytest.fixture
def run(bucket):
  return files.place("gs://bucket/run")


def test_an_address_is_one_however_it_is_written(run):
  for same in ("gs://bucket/run/", run, pathlib.Path("gs://bucket/run")):
    assert files.place(same) == files.absolute(same) == files.resolved(same) == run
  assert str(run / "a") == os.fspath(run / "a") == "gs://bucket/run/a"
  assert files.is_remote(run)
  assert not files.is_remote(files.place("run"))


def test_an_address_with_one_slash_is_refused_as_it_was_given(monkeypatch, tmp_path):
  message = "^gs:/x: an address has two slashes, gs://x, and a folder of this machine with that "
  for read in (files.place, sources.exists):
    with pytest.raises(UserError, match=message):
      read("gs:/x")
  monkeypatch.chdir(tmp_path)
  (tmp_path / "gs:").mkdir()
  assert files.place("gs:/x") == pathlib.Path("gs:/x")


@pytest.mark.parametrize("address", ["ram://x", "https://example.com/a", "s3://bucket/run",
                                     "file:///tmp/x"])
def test_what_tensorflow_cannot_reach_is_refused_by_name(address):
  with pytest.raises(UserError, match=f"^{address}: of addresses, only gs:// can be read and"):
    files.place(address)


def test_a_pattern_of_tensorflow_is_refused(bucket):
  with pytest.raises(UserError, match="cannot hold what TensorFlow writes"):
    files.folder_for_tensorflow("gs://bucket/lr=[0.1]")


def test_missing_credentials_are_one_line(bucket, monkeypatch):
  remote._require_reachable.cache_clear()
  bucket.refuses = lambda method, name: True
  with pytest.raises(UserError, match=r"^gs://bucket cannot be reached: .*403") as caught:
    files.place("gs://bucket/run")
  assert "\n" not in str(caught.value)


def test_files_are_written_whole_and_nothing_beside_them(run, bucket):
  files.write_csv(run / "deep" / "a.csv", ["x", "y"], [[1, "a\nb"]])
  assert bucket.names() == ["run/deep/a.csv"]
  assert list(files.csv_lines(run / "deep" / "a.csv")) == ["x,y\n", '1,"a\n', 'b"\n']
  assert files.names(run) == ["deep"]
  assert files.names(run / "none") == []
  assert files.size(run / "deep" / "a.csv") == 12
  assert files.size(run / "deep") is files.size(run / "none") is None
  with files.local_copy(run / "deep" / "a.csv") as local:
    assert local.name == "a.csv"
    assert local.read_bytes() == b'x,y\n1,"a\nb"\n'
  assert not local.exists()
  files.remove(run / "deep" / "a.csv")
  files.remove(run / "deep" / "a.csv")
  assert bucket.names() == []


def test_what_cannot_be_written_leaves_what_was_there(run, bucket):
  files.write_text(run / "a.txt", "before")
  bucket.refuses = lambda method, name: method == "POST"
  with pytest.raises(OSError, match="403") as caught:
    files.write_text(run / "a.txt", "after")
  assert caught.value.filename == "gs://bucket/run/a.txt"
  assert bucket.get("run/a.txt") == b"before"
  with pytest.raises(FileNotFoundError), files.local_copy(run / "none"):
    pass


def test_a_folder_counts_again_when_its_last_file_is_there(run, bucket, tmp_path):
  for name in ("info.json", "inner/b", "a", "first"):
    path = tmp_path / "new" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
  for name in ("info.json", "old", "inner/old"):
    bucket.put(f"run/{name}", b"old")
  seen = []
  bucket.refuses = lambda method, name: bool(seen.append((method, name)))  # refuses none
  remote.upload_folder(tmp_path / "new", run, first="first", last="info.json")
  assert bucket.names() == ["run/a", "run/first", "run/info.json", "run/inner/b"]
  changes = [found for found in seen if found[0] != "GET"]
  assert changes[0] == ("DELETE", "run/info.json")
  puts = [name for method, name in changes if method == "POST"]
  assert (puts[0], puts[-1]) == ("run/first", "run/info.json")

  bucket.refuses = lambda method, name: method == "POST" and name == "run/inner/b"
  with pytest.raises(OSError, match="403"):
    remote.upload_folder(tmp_path / "new", run, last="info.json")
  assert bucket.get("run/info.json") is None


def test_a_file_is_appended_to_here_and_uploaded_when_it_is_closed(run, bucket, monkeypatch):
  def lines():
    return bucket.get("run/journal")

  with remote.AppendedFile(run / "journal") as file:
    file.write(b"one\n")
    assert lines() is None
    monkeypatch.setattr(remote, "_UPLOAD_SECONDS", 0.0)
    file.write(b"two\n")
    assert lines() == b"one\ntwo\n"
  with remote.AppendedFile(run / "journal") as file:
    file.seek(0)
    assert file.readline() == b"one\n"
    file.truncate(4)
  assert lines() == b"one\n"
  bucket.refuses = lambda method, name: method != "GET"
  with remote.AppendedFile(run / "journal") as file:  # nothing has changed
    pass
  with remote.AppendedFile(run / "journal") as file:
    file.truncate(0)
    file.discard()
  assert lines() == b"one\n"


def test_a_second_holder_of_a_lock_is_refused_and_told_of_the_first(run, bucket):
  with locks.held(run):
    about = json.loads(bucket.get("run/.lock"))
    assert (about["process"], about["host"]) == (os.getpid(), socket.gethostname())
    with pytest.raises(UserError, match=(
        f"^gs://bucket/run is being written by process {os.getpid()} on .*; if it has ended, "
        r"remove gs://bucket/run/\.lock\.$")), locks.held(run):
      pass
  assert bucket.names() == []


@pytest.mark.parametrize(("about", "is_free"), [
    ({}, True), ({"place": "another"}, False)], ids=["ended", "elsewhere"])
def test_the_lock_of_a_killed_process_is_taken_over_on_its_host(run, bucket, about, is_free):
  bucket.put("run/.lock", json.dumps(leftovers.holder(host="a", **about)).encode())
  if is_free:
    with locks.held(run):
      assert json.loads(bucket.get("run/.lock"))["process"] == os.getpid()
    return
  with pytest.raises(UserError, match="since 2020-01-01: wait for it"), locks.held(run):
    pass


def test_the_lock_of_another_is_left_to_it(run, bucket):
  """Who thinks a process dead, and removes its lock as the message says, may take its place."""
  with locks.held(run) as is_held:
    assert is_held()
    bucket.put("run/.lock", b"another's")
    assert not is_held()
  assert bucket.get("run/.lock") == b"another's"


def test_of_two_that_lock_at_once_the_last_to_write_holds_it(run, bucket):
  theirs = json.dumps({"process": 1, "host": "another", "since": "now"}).encode()

  def written_meanwhile(method, name):
    if method == "POST":  # they have not found our file, and write theirs after it
      bucket.refuses = lambda method, name: False
      real = bucket.put
      bucket.put = lambda name, content: (real(name, content), real(name, theirs))
    return False

  bucket.refuses = written_meanwhile
  with pytest.raises(UserError, match="by process 1 on another"), locks.held(run):
    pass
  assert bucket.get("run/.lock") == theirs
