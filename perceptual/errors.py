"""The one exception for mistakes caused by user input, and what its messages share."""

import difflib
import math
import re
import reprlib

_QUOTED = reprlib.Repr()
_QUOTED.maxstring = _QUOTED.maxother = 200

_SUGGESTIONS = 5

# What TensorFlow says before what happened: on which device, or in which place of a graph.
_DEVICE = re.compile(r"(?:\{\{\w+ [^}]*\}\}\s*)+")
_GRAPH = "Graph execution error:"
_PLACES = re.compile(
    r'Detected at node |File ".*", line \d|<stack traces unavailable>|\d+ root error')
_NUMBER = re.compile(r"^\(\d+\) [A-Z_]+: ")  # of an error among several

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: try again later


class UserError(ValueError):
  """A wrong input: the message names the culprit and what would be right.

  Libraries raise it; commands print it as one line and exit with status 1.
  """


class Stopped(SystemExit):
  """A run has stopped early and can be resumed: the process exits with status `STOPPED`.

  It is not an `Exception`, so that a loop over many runs does not go on with the next one.
  """

  def __init__(self):
    super().__init__(STOPPED)


def unknown(kind, name, available):
  """Returns a `UserError` for a name that is not one of `available`.

  Args:
    kind: what the name names, for instance `'tap'`.
    name: the name received.
    available: an iterable of the legal names, listed in the order given.
  """
  return UserError(
      f"Unknown {kind} {shown(name)}. Available: {', '.join(map(str, available))}.")


def shown(value):
  """Returns `repr(value)` for a message: one line, the middle of a long one left out."""
  return " ".join(_QUOTED.repr(value).split())


def similar(name, available):
  """Returns the names that may have been meant, most alike first, at most five.

  Case and separators do not matter, and a name that starts with the one received is similar.

  Args:
    name: the name received, a string.
    available: an iterable of the legal names.
  """
  by_plain = {}
  for other in available:
    by_plain.setdefault(_plain(other), other)
  plain = _plain(name)
  begin = [other for other in by_plain if plain and other.startswith(plain)]
  close = difflib.get_close_matches(plain[:100], by_plain, n=_SUGGESTIONS, cutoff=0.7)
  return [by_plain[other] for other in dict.fromkeys([*begin, *close])][:_SUGGESTIONS]


def did_you_mean(name, available):
  """Returns ` Did you mean a, b or c?` for a message, or nothing where no name is similar."""
  found = similar(name, available)
  listed = " or ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))
  return f" Did you mean {listed}?" if found else ""


def require_options(what, given, available):
  """Raises `UserError` for an option that something does not take.

  Args:
    what: whose options they are, for the message.
    given: an iterable of the names received.
    available: an iterable of the legal names.
  """
  available = list(available)
  for option in given:
    if option not in available:
      raise unknown(f"option of {what}", option, available or ["none"])


def first_line(error):
  """Returns the first line of another exception's message, to quote in a `UserError`.

  Keras says first where it was, and then in bold what happened: the latter is taken. So it is of
  what TensorFlow says.
  """
  text = without_device(re.sub(r"\x1b\[\d*m", "", str(error)))
  lines = [line.strip() for line in text.removeprefix(_GRAPH).splitlines() if line.strip()]
  if text.startswith(_GRAPH):
    lines = [without_device(_NUMBER.sub("", line).strip()) for line in lines
             if not _PLACES.match(line)]
  lines = [line for line in lines if not line.startswith("Exception encountered when calling")]
  return next(filter(None, lines), type(error).__name__)


def without_device(text):
  """Returns what TensorFlow says, less the `{{function_node ...}}` that it puts in front."""
  return _DEVICE.sub("", text, count=1) if text.startswith("{{") else text


def reason(error):
  """Returns why the system refused, as an `OSError` says it, without a full stop.

  One of an address may have no more than a text.
  """
  return (error.strerror or first_line(error)).rstrip(".")


def require_number(name, value, *, above=None, at_least=None, below=None):
  """Raises `UserError` unless `value` is a finite number (not a string or a bool) within bounds."""
  ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
  ok = ok and (above is None or value > above) and (at_least is None or value >= at_least)
  ok = ok and (below is None or value < below)
  if not ok:
    bounds = {"above": above, "at least": at_least, "below": below}
    legal = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)
    raise UserError(f"{name} must be a number{legal and ' '}{legal}, not {shown(value)}.")


def require_integer(name, value, at_least=1, *, below=None):
  """Raises `UserError` unless `value` is a whole number (not a bool) within bounds."""
  ok = isinstance(value, int) and not isinstance(value, bool)
  if not ok or value < at_least or (below is not None and value >= below):
    upper = f" and below {below}" if below is not None else ""
    raise UserError(f"{name} must be a whole number of at least {at_least}{upper}, "
                    f"not {shown(value)}.")


def require_kind(name, value, kinds):
  """Raises `UserError` unless a value is of one of some classes, given by their names in gin."""
  if not isinstance(value, tuple(kinds.values())):
    classes = " or ".join(kind.__name__ for kind in kinds.values())
    in_gin = " or ".join(f"@{gin_name}()" for gin_name in kinds)
    raise UserError(f"{name} must be {classes}, in gin {in_gin}, not {value!r}.")


def require_names(name, value, *, what="names"):
  """Raises `UserError` unless an option is a list of text, which may be empty."""
  if not isinstance(value, (tuple, list)) or not all(isinstance(item, str) for item in value):
    raise UserError(f"{name} must be a list of {what}, not {shown(value)}.")


def require_bool(name, value):
  """Raises `UserError` unless `value` is True or False."""
  if not isinstance(value, bool):
    raise UserError(f"{name} must be True or False, not {shown(value)}.")


def _plain(name):
  return re.sub(r"[^a-z0-9]+", "", name.lower())
