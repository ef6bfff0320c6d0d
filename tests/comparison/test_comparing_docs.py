"""The commands that docs/comparing.md and --help show are such as can be given."""

import re
import shlex

import pytest

from perceptual.commands import cli, command_line, compare
from tools.build_files import ROOT

_PAGE = (ROOT / "docs" / "comparing.md").read_text("utf-8")
_COMMANDS = sorted(set(re.findall(
    r"perceptual compare [^`\n]*", f"{_PAGE}{compare.__doc__}".replace("\\\n", " "))))


@pytest.fixture
def folder(tmp_path, write_grey, monkeypatch):
  """A folder that holds whatever the examples name."""
  write_grey(tmp_path, dict.fromkeys(["reference.png", "candidate_a.png", "candidate_b.jpg"], 9))
  for name in ("photographs", "restored", "clips", "decoded", "generated"):
    write_grey(tmp_path / name, {"x/1.png": 10, "x/2.png": 20}, size=(16, 16))
  (tmp_path / "pairs.csv").write_text("reference,candidate\nreference.png,candidate_a.png\n")
  monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", _COMMANDS)
def test_commands(folder, command, monkeypatch, capsys):
  monkeypatch.setattr(command_line, "configure_runtime", lambda: None)
  _, *arguments = shlex.split(command)
  with pytest.raises(SystemExit) as caught:
    cli.main([*arguments, "--dry_run"])
  assert not caught.value.code, capsys.readouterr().err
  assert "skipped" not in capsys.readouterr().out


def test_there_are_commands_of_every_form():
  for form in ("candidate_a.png", "--reference_dir", "--frames", "--pairs_csv", "--all_pairs"):
    assert sum(form in command for command in _COMMANDS) >= 2
