"""Every score comes again from `distances.csv`, and what is no such file is refused."""

import hashlib
import json

import pytest

from perceptual.errors import UserError
from perceptual.evaluation import distance_files, leaderboard
from tests.evaluation import boards


@pytest.mark.parametrize("kind", boards.KINDS)
def test_scores_come_again_without_a_network(kind, tmp_path):
  board = boards.board(kind, votes=5 if kind == "opinions" else None)
  leaderboard.write(board, tmp_path, fingerprints={"right": {"name": "right"}}, settings={"x": 1})
  judged, distances, ranked, kept = distance_files.read(tmp_path)
  again = leaderboard.score(judged, distances, ranked=ranked)
  assert again.scores == board.scores and again.differences == board.differences
  assert again.ranking == board.ranking and "noisy/tap" in again.scores[again.headline]
  assert leaderboard.text(again) == leaderboard.text(board)
  assert kept == {"settings": {"x": 1}, "fingerprints": {"right": {"name": "right"}}}


def _spoil_json(folder):
  path = folder / "scores.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "votes"}))


def _write(folder, data, *, examples=60):
  """Writes other distances, with a record that fits them."""
  (folder / "distances.csv").write_bytes(data)
  about = json.loads((folder / "scores.json").read_text())
  about["distances"] = {"examples": examples, "sha256": hashlib.sha256(data).hexdigest()}
  (folder / "scores.json").write_text(json.dumps(about))


def _edit(old, new, **record):
  def spoil(folder):
    text = (folder / "distances.csv").read_text()
    _write(folder, text.replace(old, new, 1).encode(), **record)
  return spoil


def _without_record(folder):
  about = json.loads((folder / "scores.json").read_text())
  del about["distances"]
  (folder / "scores.json").write_text(json.dumps(about))


def _change(change):
  """Changes distances.csv, and not the record of it."""
  def spoil(folder):
    path = folder / "distances.csv"
    path.write_bytes(change(path.read_bytes()))
  return spoil


@pytest.mark.parametrize("spoil, message", [
    (lambda folder: (folder / "distances.csv").unlink(), "distances.csv cannot be read: No such"),
    (lambda folder: (folder / "scores.json").unlink(), "scores.json cannot be read: No such file"),
    (_spoil_json, "are not as perceptual evaluate writes them for a judged set: 'votes'"),
    (_edit("example,reference", "example,left"), "the head is not that of an evaluation"),
    (_edit("\n3,", "\n4,"), "its examples are not in a row, from 0"),
    (_edit("\n0,r0,a0,0,", "\n0,r0,a0,0,x"), "could not convert string to float"),
    (lambda folder: _write(folder, b"\0"), "not as perceptual evaluate writes them"),
    (_edit("", "", examples=59), "60 examples where scores.json says 59"),
    (_without_record, r'^\S+scores.json has no checksum of distances.csv \("distances"\)'),
    (_change(lambda data: data.replace(b"\n0,r0,a0,0,0.", b"\n0,r0,a0,0,1.")),
     r"^\S+distances.csv has changed since it was written: its SHA-256 is not the one in "
     "scores.json. Score"),
    (_change(lambda data: b"\n".join(data.split(b"\n")[:-3]) + b"\n"),
     r"^\S+distances.csv has changed .* It has 118 lines of 120."),
    (_change(lambda data: data.replace(b"r0", b"\xff0", 1)),
     r"^\S+distances.csv is not UTF-8.*0xff"),
    (lambda folder: (folder / "scores.json").write_bytes(b"\xff"), r"^\S+scores.json is not UTF-8"),
    (lambda folder: (folder / "scores.json").write_text("[]"), "scores.json is not as"),
    (lambda folder: (folder / "scores.json").write_text("[" * 10**5), "scores.json is not as"),
])
def test_other_files_are_refused_in_one_line(spoil, message, tmp_path):
  leaderboard.write(boards.board("2afc"), tmp_path, fingerprints={}, settings={})
  spoil(tmp_path)
  with pytest.raises(UserError, match=message) as caught:
    distance_files.read(tmp_path)
  assert "\n" not in str(caught.value)
