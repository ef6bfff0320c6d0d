"""One progress bar for every slow pass over data: count, pace and time left, on stderr.

In a log, where stderr is not a terminal, it is whole lines: one every `LOG_SECONDS`, and one at the
end of a pass; none of a pass that is over within `QUIET_SECONDS`.
"""

import contextlib
import sys

from tqdm import tqdm

LOG_SECONDS = 10.0
QUIET_SECONDS = 3.0
_TERMINAL_SECONDS = 0.2
_BYTE = "byte"


def progress(items=None, *, description, total=None, initial=0, unit="image",
             silent=False):
  """Wraps `items` in a progress bar; without `items` returns a bar to `update()` by hand.

  Where an exception may leave the loop, use it in a `with`, which ends the bar's line.

  Args:
    items: an iterable, or None.
    description: what is being done, printed before the bar.
    total: the number of items; taken from `len(items)` where that is known.
    initial: how many of them an earlier run has already done.
    unit: the name of one item, a regular noun; bytes are counted in powers of ten.
    silent: whether to show nothing, for what is over at once.
  """
  if total is None:
    with contextlib.suppress(TypeError):
      total = len(items)
  has_stderr = sys.stderr is not None  # None without a console
  bar = _TerminalBar if has_stderr and sys.stderr.isatty() else _LogBar
  return bar(items, desc=description, total=total, initial=initial, unit=unit,
             unit_scale=unit == _BYTE, bar_format=bar.formats[total is None],
             disable=silent or not has_stderr)


def plural(count, noun):
  """Returns a count and a regular noun: '1 image', '12,000 images', '0 batches'."""
  return f"{count:,} {_plural(noun, count)}"


def _plural(noun, count):
  if count == 1:
    return noun
  return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


class _Bar(tqdm):
  """Adds to what a format may have: `{counted}`, '3 of 12 images', and `{pace}`, '5.0 images/s'."""

  formats = ("{desc}", "{desc}")  # with a known total, and without

  @property
  def format_dict(self):
    state = super().format_dict
    done = state["n"] - state["initial"]
    rate = state["rate"] or (done / state["elapsed"] if state["elapsed"] else 0)
    return {**state, "counted": self._counted(state["n"], state["total"]), "pace": self._pace(rate)}

  def _counted(self, count, total):
    numbers = [self._number(number) for number in (count, total) if number is not None]
    return f"{' of '.join(numbers)} {_plural(self.unit, count if total is None else total)}"

  def _pace(self, rate):
    if not rate:
      return "?"
    if rate < 1:
      return f"{1 / rate:.1f} s/{self.unit}"
    number = self.format_sizeof(rate) if self.unit_scale else f"{rate:,.1f}"
    return f"{number} {_plural(self.unit, 0)}/s"

  def _number(self, count):
    return self.format_sizeof(count) if self.unit_scale else f"{count:,}"


class _TerminalBar(_Bar):
  """One line of a terminal, written over and over."""

  formats = ("{l_bar}{bar}| {counted} [{elapsed}<{remaining}, {pace}]",
             "{desc}: {counted} [{elapsed}, {pace}]")

  def __init__(self, items, **options):
    super().__init__(items, file=sys.stderr, dynamic_ncols=True, mininterval=_TERMINAL_SECONDS,
                     **options)


class _LogBar(_Bar):
  """Whole lines of a log, of what takes more than a moment."""

  formats = ("{desc}: {percentage:.0f}%, {counted}, {elapsed} so far, {remaining} left, {pace}",
             "{desc}: {counted}, {elapsed} so far, {pace}")

  def __init__(self, items, **options):
    self._shown = options["initial"]
    super().__init__(items, file=_WholeLines(sys.stderr), mininterval=LOG_SECONDS, **options)

  def display(self, msg=None, pos=None):
    if self.n > self._shown and self.format_dict["elapsed"] >= QUIET_SECONDS:
      self._shown = self.n
      super().display(msg, pos)

  def moveto(self, n):
    """Does nothing: a bar within another has no place of its own in a log."""


class _WholeLines:
  """A stream to which what tqdm writes comes as whole lines."""

  def __init__(self, stream):
    self._stream = stream

  def write(self, text):
    line = text.strip()
    if line:
      self._stream.write(f"{line}\n")

  def flush(self):
    self._stream.flush()
