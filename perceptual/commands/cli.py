"""The console script `perceptual`: `perceptual COMMAND ...`.

Nothing but the command asked for is imported, and TensorFlow only once its flags are found right.
"""

import difflib
import importlib
import sys

from perceptual.commands import command_line
from perceptual.version import __version__

COMMANDS = {
    "prepare": ("perceptual.commands.prepare", "write a data set from archives or folders"),
    "metrics": ("perceptual.commands.metrics", "list the metrics: direction, range, weights"),
    "models": ("perceptual.commands.models", "list the networks: parameters, operations, taps"),
    "train": ("perceptual.commands.train", "train a classifier, scoring its features as it learns"),
    "learn": ("perceptual.commands.learn", "learn a metric from judgements, on top of a network"),
    "task": ("perceptual.commands.task", "train networks with a perceptual loss, and test them"),
    "study": ("perceptual.commands.study", "plan, run and collect a study of many runs"),
    "evaluate": ("perceptual.commands.evaluate", "score metrics against judgements"),
    "analyze": ("perceptual.commands.analyze", "analyse networks, metrics or a study's table"),
    "export": ("perceptual.commands.export", "write a trained network as a metric: one SavedModel"),
    "convert": ("perceptual.commands.convert", "convert PyTorch weights, such as LPIPS's"),
    "compare": ("perceptual.commands.compare", "compare images: pairs, folders, clips, lists"),
    "doctor": ("perceptual.commands.doctor", "say what is installed, and which devices are seen"),
}

_HELP = """\
Perceptual metrics from image classifiers: train one, score it, export it, compare images.

Usage: perceptual COMMAND [--flag=value ...]

Commands:
{commands}

perceptual COMMAND --help   what a command does, with examples and all its flags
perceptual --version        the version"""


def main(argv=None):
  """Runs `perceptual` with the arguments `argv`, this process's by default, and exits.

  Raises:
    SystemExit: with the exit status that `perceptual.commands.command_line` documents.
  """
  argv = sys.argv[1:] if argv is None else list(argv)
  sys.exit(command_line.guard(lambda: _dispatch(argv), "perceptual"))


def _dispatch(argv):
  command, *rest = argv or ["--help"]
  if command == "help":
    command, rest = (rest[0], ["--help"]) if rest else ("--help", [])
  if command in ("--help", "-h"):
    print(_HELP.format(commands="\n".join(
        f"  {name:<10}{summary}" for name, (_, summary) in COMMANDS.items())))
  elif command in ("--version", "-V"):
    print(f"perceptual {__version__}")
  else:
    _run(command, rest)


def _run(command, arguments):
  if command.startswith("-"):
    raise command_line.UsageError(_misplaced(command, arguments))
  if command not in COMMANDS:
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Available: {', '.join(COMMANDS)}."
    raise command_line.UsageError(f"Unknown command {command!r}. {hint}")
  module = importlib.import_module(COMMANDS[command][0])
  command_line.run(
      module.main, module.FLAGS, module.__doc__, [f"perceptual {command}", *arguments])


def _misplaced(flag, arguments):
  """Returns what is wrong with a flag in the place of the command."""
  name = flag.lstrip("-").partition("=")[0]
  having = [command for command, (module, _) in COMMANDS.items()
            if {name, name.removeprefix("no")} & {*importlib.import_module(module).FLAGS}]
  command = next((argument for argument in arguments if argument in COMMANDS), None)
  if command in having:
    return f"{flag} must come after the command: perceptual {command} {flag}."
  if having:
    return f"{flag} must come after a command that has it: {', '.join(having)}."
  return f"Unknown flag {flag}. Only --help and --version may come before a command."
