"""Checksums of an export: what is damaged is named, what was added and earlier exports pass."""

import pytest

from perceptual.errors import UserError
from perceptual.export import checksums


@pytest.fixture
def folder(tmp_path):
  (tmp_path / "variables").mkdir()
  (tmp_path / "saved_model.pb").write_bytes(bytes(100))
  (tmp_path / "variables" / "variables.index").write_bytes(b"index")
  checksums.write(tmp_path)
  checksums.verify(tmp_path)
  return tmp_path


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize(("damage", "message"), [
    (lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]), "is damaged"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
    (lambda path: path.unlink(), "is missing")])
def test_a_file_that_is_not_as_it_was_is_named(folder, name, damage, message):
  damage(folder / name)
  with pytest.raises(UserError, match=f"{name} {message}.*Export the metric again"):
    checksums.verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"saved_model.pb": 3}', "[" * 100_000])
def test_damaged_checksums_are_named_themselves(folder, text):
  (folder / checksums.FILE).write_text(text)
  with pytest.raises(UserError, match=f"{checksums.FILE} is damaged"):
    checksums.verify(folder)


def test_what_was_added_and_exports_of_earlier_versions_pass(folder):
  (folder / "metric.onnx").write_bytes(b"added")
  checksums.verify(folder)
  (folder / checksums.FILE).unlink()
  (folder / "saved_model.pb").write_bytes(b"")
  checksums.verify(folder)
