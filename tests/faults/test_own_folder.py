"""A campaign empties the folder that it is given only if an earlier one has made it."""

import pytest

from tools.faults import commands, own_folder


def _names(folder):
  return sorted(path.name for path in folder.iterdir() if path.name != own_folder._MARK)


def test_a_folder_of_a_campaign_is_emptied(tmp_path):
  folder = own_folder.emptied(tmp_path / "a" / "b")
  (folder / "made").mkdir()
  (folder / "made" / "file").touch()
  (folder / "link").symlink_to(tmp_path)
  assert commands.Workplace(folder).folder == folder
  assert _names(folder) == []
  assert _names(tmp_path) == ["a"], "a link is removed, and not what it leads to"


def test_an_empty_folder_is_taken(tmp_path):
  assert own_folder.emptied(tmp_path) == tmp_path


def test_what_others_have_made_stays(tmp_path):
  (tmp_path / "thesis.txt").touch()
  for folder, reason in ((tmp_path, "is not empty, and no campaign has made it"),
                         (tmp_path / "thesis.txt", "is a file")):
    with pytest.raises(SystemExit, match=f"^error: {folder} {reason}"):
      commands.Workplace(folder)
  assert _names(tmp_path) == ["thesis.txt"]
