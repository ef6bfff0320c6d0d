"""The console script `perceptual`: `perceptual COMMAND ...` is `python -m perceptual.COMMAND ...`.

Nothing but the command asked for is imported, and TensorFlow only once its flags are found right.
"""

import difflib
import importlib
import sys

from perceptual import binary
from perceptual.version import __version__

COMMANDS = {
    "prepare": ("perceptual.prepare", "write a data set from archives or folders of images"),
    "models": ("perceptual.list_models", "list the networks: parameters, operations, taps"),
    "train": ("perceptual.train", "train a classifier, scoring its features on the way"),
    "learn": ("perceptual.learn", "learn a metric from judgements, on top of a network"),
    "evaluate": ("perceptual.evaluate", "score a trained network's features against judgements"),
    "export": ("perceptual.export", "write a trained network as a metric: one SavedModel"),
    "convert": ("perceptual.convert", "convert published PyTorch weights, as those of LPIPS"),
    "compare": ("perceptual.compare", "compare images: pairs, folders, clips, lists"),
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
    SystemExit: with the exit status that `perceptual.binary` documents.
  """
  argv = sys.argv[1:] if argv is None else list(argv)
  sys.exit(binary.guard(lambda: _dispatch(argv), "perceptual"))


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
    raise binary.UsageError(f"Flag {command} stands before the command, not after it.")
  if command not in COMMANDS:
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Available: {', '.join(COMMANDS)}."
    raise binary.UsageError(f"Unknown command {command!r}. {hint}")
  module = importlib.import_module(COMMANDS[command][0])
  binary.run(
      module.main, module.FLAGS, module.__doc__, [f"perceptual {command}", *arguments])
