"""Options of metrics: as text, `psnr:channels=luma,crop=4`, and checked, in one way for all."""

import dataclasses
import re
from collections.abc import Callable, Iterable
from os import PathLike

from perceptual import errors
from perceptual.errors import UserError


@dataclasses.dataclass(frozen=True)
class Kind:
  """What values an option takes.

  Attributes:
    words: what they are, for messages.
    fits: whether a value is of this kind.
    read: text to a value; raises `ValueError` or `KeyError`. None where text cannot say it.
    default: the value of an option that is not given, as text for people.
  """

  words: str
  fits: Callable
  read: Callable | None = None
  default: str = "none"

  def by_default(self, text):
    """Returns this kind with a default, as text for people."""
    return dataclasses.replace(self, default=text)


TEXT = Kind("a name", lambda value: isinstance(value, str), str)
PATH = Kind("a path", lambda value: isinstance(value, (str, PathLike)), str)
INTEGER = Kind(
    "a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool), int)
BOOL = Kind("true or false", lambda value: isinstance(value, bool),
            lambda text: {"true": True, "false": False}[text.lower()])
NAMES = Kind(
    "a list of names",
    lambda value: isinstance(value, Iterable) and not isinstance(value, (str, bytes)),
    lambda text: [name.strip() for name in text.split(",") if name.strip()])
ARRAY = Kind("an array", lambda value: True)

# What every metric takes beside its own options.
FOR_ALL = {"float_range": TEXT.by_default("0,1")}


def split(source):
  """Returns a metric's name and its options as text: `(name, {option: text})`.

  `NAME:OPTION=VALUE,OPTION=VALUE`. A value may hold commas: what follows one without a `=` belongs
  to the value before, as in `vgg16:taps=relu1_2,relu2_2,distance=style`. A source with `://` has no
  options.

  Args:
    source: text, as the user wrote it.

  Raises:
    UserError: an option without a name or a value, or one given twice.
  """
  name, colon, text = source.partition(":")
  if not colon or text.startswith("//"):
    return source, {}
  found = {}
  for part in filter(None, re.split(r",(?=[^,=]*=)", text)):
    option, equals, value = map(str.strip, part.partition("="))
    if not (option and equals and value):
      raise UserError(f"{errors.shown(source)}: options after the colon are OPTION=VALUE, "
                      f"separated by commas, not {errors.shown(part)}.")
    if option in found:
      raise UserError(f"{errors.shown(source)}: {option} is given twice.")
    found[option] = value
  return name, found


def joined(name, texts):
  """Returns a metric's name and its options as one text, of which `split` makes the two again."""
  given = ",".join(f"{option}={text}" for option, text in texts.items())
  return f"{name}{':' if given else ''}{given}"


def read(what, texts, kinds):
  """Returns options of text as values.

  Args:
    what: whose they are, for messages.
    texts: `{option: text}`.
    kinds: `{option: Kind}`, all that there are.

  Raises:
    UserError: an unknown option, or text that is not a value of its kind.
  """
  errors.require_options(what, texts, kinds)
  values = {}
  for option, text in texts.items():
    if kinds[option].read is None:
      raise UserError(f"The option {option} of {what} is {kinds[option].words}, which text cannot "
                      "say: use perceptual.load_metric.")
    try:
      values[option] = kinds[option].read(text)
    except (ValueError, KeyError):
      raise _wrong(option, kinds[option], text) from None
  return values


def checked(what, given, kinds):
  """Returns the options that were given, without those that are None, which count as not given.

  Args:
    what: whose they are, for messages.
    given: `{option: value}`.
    kinds: `{option: Kind}`, all that there are.

  Raises:
    UserError: an unknown option, or a value of another kind.
  """
  errors.require_options(what, given, kinds)
  given = {option: value for option, value in given.items() if value is not None}
  for option, value in given.items():
    if not kinds[option].fits(value):
      raise _wrong(option, kinds[option], value)
  return given


def _wrong(option, kind, value):
  return UserError(f"{option} must be {kind.words}, not {errors.shown(value)}.")
