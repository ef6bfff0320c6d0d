"""`perceptual COMMAND`: the binaries by name, which answer at once where they can."""

import importlib
import subprocess
import sys
import types

import pytest
from absl import flags

from perceptual.commands import cli
from perceptual.version import __version__
from tools.build_files import ROOT

_HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "orbit", "numpy", "gin", "matplotlib")


def _perceptual(*arguments):
  """Returns the exit status, in this process."""
  with pytest.raises(SystemExit) as caught:
    cli.main(arguments)
  return caught.value.code or 0


def _process(*arguments):
  return subprocess.run(
      [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)


def _process_that_tells(*arguments):
  """Runs `perceptual` in a new process whose last line of output names the heavy imports."""
  return _process("-c", f"""
import atexit, sys
atexit.register(lambda: print([name for name in {_HEAVY} if name in sys.modules]))
from perceptual.commands import cli
cli.main({arguments})
""")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help_names_every_command(capsys, arguments):
  assert _perceptual(*arguments) == 0
  out, err = capsys.readouterr()
  assert err == ""
  for name, (_, summary) in cli.COMMANDS.items():
    assert f"  {name:<10}{summary}\n" in out


@pytest.mark.parametrize("ask", ["--version", "-V"])
def test_version(capsys, ask):
  assert _perceptual(ask) == 0
  assert capsys.readouterr().out == f"perceptual {__version__}\n"


@pytest.mark.parametrize(("arguments", "message"), [
    (["trian"], "Unknown command 'trian'. Did you mean train?"),
    (["help", "evaluat"], "Unknown command 'evaluat'. Did you mean evaluate?"),
    (["xyzzy"],
     f"Unknown command 'xyzzy'. Available: {', '.join(cli.COMMANDS)}."),
    (["--model_dir=x", "train"],
     "--model_dir=x must come after the command: perceptual train --model_dir=x."),
    (["--noheatmap"], "--noheatmap must come after a command that has it: compare."),
    (["--verbose"],
     "Unknown flag --verbose. Only --help and --version may come before a command."),
    (["--verbose", "train"],
     "Unknown flag --verbose. Only --help and --version may come before a command."),
])
def test_a_wrong_command_is_one_line_and_status_2(capsys, arguments, message):
  assert _perceptual(*arguments) == 2
  assert capsys.readouterr() == ("", f"error: {message} Try 'perceptual --help'.\n")


def test_a_command_gets_its_arguments(monkeypatch, capsys):
  fake = types.ModuleType("perceptual.fake", "Print arguments.")
  fake.FLAGS = flags.FlagValues()
  fake.main = lambda argv: print(argv)
  monkeypatch.setitem(sys.modules, "perceptual.fake", fake)
  monkeypatch.setitem(cli.COMMANDS, "fake", ("perceptual.fake", "print arguments"))
  monkeypatch.setattr("perceptual.commands.command_line.configure_runtime", lambda: None)
  assert _perceptual("fake", "a", "b") == 0
  assert capsys.readouterr().out == "['perceptual fake', 'a', 'b']\n"
  assert _perceptual("fake", "--x=1") == 2
  assert "Unknown flag --x. Available: --log, --help. Try 'perceptual fake --help'." \
      in capsys.readouterr().err


def test_the_package_runs_as_the_console_script_does():
  process = _process("-m", "perceptual", "--version")
  assert (process.returncode, process.stdout) == (0, f"perceptual {__version__}\n")


def test_general_help_imports_nothing_heavy():
  process = _process_that_tells("--help")
  assert process.returncode == 0 and process.stdout.endswith("\n[]\n")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_a_command_is_the_binarys_own_and_imports_nothing_heavy(command):
  process = _process_that_tells(command, "--help")
  assert process.returncode == 0 and process.stderr == ""
  help_text, _, heavy = process.stdout.removesuffix("\n").rpartition("\n")
  assert heavy == "[]"
  assert f"perceptual {command} " in help_text, "an example"
  module, _ = cli.COMMANDS[command]
  for name in importlib.import_module(module).FLAGS:
    assert f"{name}=" in help_text or f"--[no]{name}\n" in help_text
  alone = _process("-m", module, "--help")
  assert (alone.returncode, alone.stdout) == (0, f"{help_text}\n")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_a_wrong_flag_is_one_line_and_imports_nothing_heavy(command):
  process = _process_that_tells(command, "--no_such_flag=1")
  assert (process.returncode, process.stdout) == (2, "[]\n")
  assert process.stderr.startswith("error: Unknown flag --no_such_flag. ")
  assert process.stderr.endswith(f" Try 'perceptual {command} --help'.\n")
  assert process.stderr.count("\n") == 1


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_flag_is_explained(command):
  values = importlib.import_module(cli.COMMANDS[command][0]).FLAGS
  assert [name for name in values if values[name].help == "(no help available)"] == []
