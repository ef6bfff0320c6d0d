"""The one exception for mistakes that the person at the keyboard can mend."""

import math
import re


class UserError(ValueError):
  """A wrong input: the message names the culprit and what would be right.

  Libraries raise it; the binaries print it as one line and exit with status 1.
  """


def unknown(kind, name, available):
  """Returns a `UserError` for a name that is not one of `available`.

  Args:
    kind: what the name names, for instance `'tap'`.
    name: the name received.
    available: an iterable of the legal names, listed in the order given.
  """
  return UserError(f"Unknown {kind} {name!r}. Available: {', '.join(map(str, available))}.")


def first_line(error):
  """Returns the first line of another exception's message, to quote in a `UserError`.

  Keras says first where it was, and then in bold what happened: the latter is taken.
  """
  lines = [line for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
           if line.strip() and not line.startswith("Exception encountered when calling")]
  return lines[0].strip() if lines else type(error).__name__


def require_number(name, value, *, above=None, at_least=None, below=None):
  """Raises `UserError` unless `value` is a finite number (not a string or a bool) within bounds."""
  ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
  ok = ok and (above is None or value > above) and (at_least is None or value >= at_least)
  ok = ok and (below is None or value < below)
  if not ok:
    bounds = {"above": above, "at least": at_least, "below": below}
    legal = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)
    raise UserError(f"{name} must be a number{legal and ' '}{legal}, not {value!r}.")


def require_integer(name, value, at_least=1, *, below=None):
  """Raises `UserError` unless `value` is a whole number (not a bool) within bounds."""
  ok = isinstance(value, int) and not isinstance(value, bool)
  if not ok or value < at_least or (below is not None and value >= below):
    upper = f" and below {below}" if below is not None else ""
    raise UserError(f"{name} must be a whole number of at least {at_least}{upper}, "
                    f"not {value!r}.")


def require_kind(name, value, kinds):
  """Raises `UserError` unless a value is of one of some classes, given by their names in gin."""
  if not isinstance(value, tuple(kinds.values())):
    classes = " or ".join(kind.__name__ for kind in kinds.values())
    in_gin = " or ".join(f"@{gin_name}()" for gin_name in kinds)
    raise UserError(f"{name} must be {classes}, in gin {in_gin}, not {value!r}.")


def require_bool(name, value):
  """Raises `UserError` unless `value` is True or False."""
  if not isinstance(value, bool):
    raise UserError(f"{name} must be True or False, not {value!r}.")
