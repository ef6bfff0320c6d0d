"""What every command shares: flags and help before TensorFlow is imported, one line per mistake.

A command is a module with a docstring that teaches, its own flags, and a `main`:

    FLAGS = flags.FlagValues()
    _MODEL_DIR = flags.DEFINE_string("model_dir", None, "Where to write.", flag_values=FLAGS)
    flags.mark_flag_as_required("model_dir", flag_values=FLAGS)

    def main(argv):
      from perceptual.training import ...   # here, so that --help answers at once
      ...

    if __name__ == "__main__":
      command_line.run(main, FLAGS, __doc__)

Flags live in a `FlagValues` of the module's own, so several commands fit in one process; each has
--log besides, the format of lines on stderr. Exit statuses: 0 done, 1 a `UserError` or a fault of
the machine, 2 a wrong command line, 75 stopped before the end, to be resumed by the same command,
130 interrupted, 141 the reader of the output has gone; any other exception is a bug and keeps its
traceback.
"""

import contextlib
import difflib
import logging
import os
import re
import shutil
import signal
import sys
import textwrap
import warnings

from absl import flags
from absl import logging as absl_logging

from perceptual import errors
from perceptual.commands import log_lines
from perceptual.common import backends, machine_faults, packages, private_api, processes

_HELP = ("--help", "-h", "-help")
_WIDTH = 100
_REQUIRED = "must have a value other than None"  # absl's only mark of a required flag

# Read by TensorFlow's C++ code while it is imported. Level 3 because on a machine without a GPU
# the failed search for one is reported as an error; real errors reach Python as exceptions.
_DEFAULT_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "GRPC_VERBOSITY": "ERROR",
}

# Extra of setup.py -> what commands that need it import in any case.
_LIBRARIES = {
    "tensorflow": ("tensorflow",),
    "train": ("tensorflow", "tensorflow_datasets", "orbit", "gin"),
}


class UsageError(errors.UserError):
  """A wrong command line: `main` raises it, the process exits with status 2."""


def run(main, flag_values, doc, argv=None):
  """Parses the command line, calls `main(argv)` and exits; never returns.

  Args:
    main: called with the program's name followed by the arguments that are not flags, as
      `absl.app.run` does. It returns None, or an exit status.
    flag_values: the command's own `flags.FlagValues`.
    doc: the command's docstring, shown by `--help`.
    argv: the program's name and its arguments; by default this process's.

  Raises:
    SystemExit: always, unless `main` fails with something else than a `UserError`.
  """
  argv = [_program(), *sys.argv[1:]] if argv is None else list(argv)
  if os.getpid() == 1:  # of a container, where SIGTERM would end nothing
    signal.signal(signal.SIGTERM, processes.action_that_ends(signal.SIGTERM))
  sys.exit(guard(lambda: _run(main, flag_values, doc, argv), argv[0]))


def guard(call, program):
  """Returns `call()`'s exit status, or that of what it raised after one line about it on stderr.

  Args:
    call: takes nothing and returns None or an exit status.
    program: the command as typed, to which `--help` can be added.
  """
  with log_lines.put_back():
    try:
      return _guarded(call, program)
    except BrokenPipeError:  # of stdout, or of stderr while something is said there
      if sys.stdout is not None:
        # Python flushes stdout again at exit: let it go to the null device.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
      return 141


def _guarded(call, program):
  try:
    status = call()
    if sys.stdout is not None:  # None without a console
      sys.stdout.flush()
    return status
  except UsageError as error:
    return _fail(f"{error} Try '{program} --help'.", 2)
  except KeyboardInterrupt as error:
    print("; ".join(["interrupted", *map(str, error.args)]), file=sys.stderr)
    return 130
  except BrokenPipeError:
    raise
  except Exception as error:
    user_error = _user_error(error)
    if user_error is None:
      raise
    return _fail(user_error, 1)


@contextlib.contextmanager
def resumable():
  """A context of what the same command takes up again, as is said where it is interrupted."""
  try:
    yield
  except KeyboardInterrupt:
    raise KeyboardInterrupt("give the same command again to go on") from None


def configure_runtime():
  """Prepares for TensorFlow, before it is imported: environment, a lighter import, less noise.

  Variables that the user has set stay. Warnings, by which the libraries speak to the user, become
  lines as errors are.
  """
  for name, value in _DEFAULT_ENVIRONMENT.items():
    os.environ.setdefault(name, value)
  private_api.lighten_import_of_tensorflow()
  absl_logging.set_verbosity(absl_logging.ERROR)
  logging.getLogger("tensorflow").setLevel(logging.ERROR)
  logging.getLogger().addFilter(_is_no_gin_search)
  # tensorflow_hub imports pkg_resources, whose deprecation does not concern the user.
  warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
  warnings.showwarning = _show_warning


def use_tensorflow(purpose, *, extra):
  """Has Keras run on TensorFlow, for a command that runs on nothing else.

  Args:
    purpose: what the command does, the subject of a sentence: `'Training'`.
    extra: the extra of setup.py that the command needs: `'tensorflow'` or `'train'`.

  Raises:
    UserError: a package of the extra is not installed, or KERAS_BACKEND names another backend.
  """
  packages.require(*_LIBRARIES[extra], extra=extra, purpose=purpose)
  backends.choose("tensorflow", purpose=purpose)


def refuse_arguments(argv):
  """Raises `UsageError` if anything but flags was given: for commands that take flags alone."""
  if len(argv) > 1:
    raise UsageError(f"Unexpected argument {argv[1]!r}: flags are written --name=value.")


def refuse_flags_of_others(flag_values, part, taken_by, *, command):
  """Raises `UsageError` for a flag that was given and would have no effect.

  Args:
    flag_values: `flags.FlagValues`, parsed.
    part: what is asked of the command, as a subcommand.
    taken_by: flag -> the parts that take it; flags that every part takes are not in it.
    command: what was typed, for the message.
  """
  for flag, parts in taken_by.items():
    if flag_values[flag].present and part not in parts:
      own = [f"--{name}" for name, takers in taken_by.items() if part in takers]
      raise UsageError(f"{command} does not take --{flag}, which is for "
                       f"{packages.listed(parts, 'and')}. Beside flags that all take it "
                       f"takes {', '.join(own) or 'none'}.")


def require_one(flag_values, *names):
  """Raises `UsageError` unless exactly one of some flags was given."""
  given = [f"--{name}" for name in names if flag_values[name].value is not None]
  if len(given) != 1:
    wanted = " or ".join(f"--{name}" for name in names)
    raise UsageError(f"{' and '.join(given)} were given; one of them is needed." if given else
                     f"Required but not given: {wanted}.")


def _run(main, flag_values, doc, argv):
  if "log" not in flag_values:
    flags.DEFINE_enum(
        "log", None, log_lines.FORMATS, "How lines on stderr are written: as they are, with their "
        "time and level, or as JSON; by default what PERCEPTUAL_LOG says, or else plain on a "
        "terminal and time in a log.", flag_values=flag_values)
  given = argv[1:argv.index("--")] if "--" in argv else argv[1:]
  if any(argument in _HELP for argument in given):
    print(_help(doc, flag_values))
    return 0
  arguments = _parse(flag_values, argv)
  log_lines.choose(flag_values["log"].value)
  configure_runtime()
  return main(arguments)


def _parse(flag_values, argv):
  """Returns `argv` without its flags, now in `flag_values`; flags and arguments may alternate."""
  flag_values.unparse_flags()
  flag_values.set_gnu_getopt()
  try:
    arguments = flag_values(argv)
  except flags.UnrecognizedFlagError as error:
    raise UsageError(_unknown_flag(error.flagname, flag_values)) from error
  except (flags.Error, ValueError) as error:
    message = _in_plain_words(str(error))
    missing = [f"--{flag.name}" for flag in _defined(flag_values)
               if _is_required(flag) and f"--{flag.name} {_REQUIRED}" in message]
    if missing:
      message = f"required but not given: {', '.join(missing)}"
    raise UsageError(f"{message[0].upper()}{message[1:].rstrip('.')}.") from error
  _refuse_empty(flag_values)
  return arguments


def _in_plain_words(message):
  """Returns absl's message about a flag's value, with plain words for a wrong number or boolean."""
  message = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"\1 is not an integer",
                   message)
  message = re.sub(r"\('Non-boolean argument to boolean flag', (.*)\)", r"\1 is not true or false",
                   message)
  return re.sub(r"could not convert string to float: (.*)", r"\1 is not a number", message)


def _refuse_empty(flag_values):
  """Raises `UsageError` for a flag that was given without a value, as `--output_dir=$UNSET`."""
  for flag in _defined(flag_values):
    if not flag.present or flag.flag_type() not in ("string", "multi string"):
      continue
    values = flag.value if isinstance(flag.value, list) else [flag.value]
    if flag.default != "" and not all(value.strip() for value in values):
      raise UsageError(f"--{flag.name}= has no value: give one, or leave the flag out.")


def _unknown_flag(name, flag_values):
  legal = [*(flag.name for flag in _defined(flag_values)), "help"]
  close = difflib.get_close_matches(name, legal, n=1)
  hint = (f"Did you mean --{close[0]}?" if close
          else f"Available: {', '.join('--' + flag for flag in legal)}.")
  return f"Unknown flag --{name}. {hint}"


def _defined(flag_values):
  """The flags in the order of their definition."""
  return [flag for group in flag_values.flags_by_module_dict().values() for flag in group]


def _is_required(flag):
  return any(_REQUIRED in validator.message for validator in flag.validators)


def _help(doc, flag_values):
  width = min(_WIDTH, shutil.get_terminal_size().columns)
  entries = [_flag_help(flag, width) for flag in _defined(flag_values)]
  return "\n".join([doc.strip(), "", "Flags:", *entries])


def _flag_help(flag, width):
  choices = "|".join(getattr(flag.parser, "enum_values", ()))
  value = choices or flag.flag_type().split()[-1].upper()
  head = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={value}"
  # absl writes the choices before the help and "repeat this option" after it.
  text = flag.help.removeprefix(f"<{choices}>: ").partition(";\n    repeat")[0]
  indent = " " * 6
  return "\n".join([f"  {head}", *textwrap.wrap(
      " ".join([text, *_notes(flag)]), width, initial_indent=indent,
      subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)])


def _notes(flag):
  if _is_required(flag):
    yield "(required)"
  elif flag.default not in (None, "", []):
    yield f"(default: {flag.default_as_str[1:-1]})"
  if flag.flag_type().startswith("multi"):
    yield "(may be repeated)"


def _program():
  """This process's command as typed: `python -m perceptual.commands.train`, or a script's name."""
  spec = sys.modules["__main__"].__spec__
  return f"python -m {spec.name}" if spec else os.path.basename(sys.argv[0])


def _user_error(error):
  """The `UserError` that `error` is, that AutoGraph wrapped while it traced, or that says which
  package is missing; or None."""
  while type(error).__name__ == "StagingError":
    error = error.__context__
  if isinstance(error, ModuleNotFoundError):
    return packages.explained(error)
  if isinstance(error, errors.UserError):
    return error
  return _damaged_record(error) or machine_faults.explained(error)


def _damaged_record(error):
  """The `UserError` that names the file of a record that TensorFlow found damaged; or None."""
  readers = sys.modules.get("perceptual.data.tfds_files")
  if type(error).__name__ != "DataLossError" or readers is None:
    return None
  return readers.damaged_record()


def _fail(message, status):
  """Prints what went wrong as one line, and returns `status`."""
  print(f"error: {_one_line(message)}", file=sys.stderr)
  return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
  print(f"warning: {_one_line(message)}", file=sys.stderr)


def _is_no_gin_search(record):
  # Gin reports an error for every folder of its search path where a file is not.
  return record.module != "resource_reader"


def _one_line(message):
  """Returns a message on one line, with control characters, as of a file's name, escaped."""
  line = " ".join(str(message).splitlines())
  return "".join(character if character.isprintable()
                 else character.encode("unicode_escape").decode() for character in line)
