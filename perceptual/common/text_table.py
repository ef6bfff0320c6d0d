"""Tables as text."""

import itertools

_GAP = "  "


def aligned(lines, *, over=None):
  """Returns lines of cells as text: words flush left, numbers flush right, a rule below the head.

  Args:
    lines: lists of as many strings each; the first is the head. A column of numbers is one whose
      cells below the head all begin with a digit, a minus or a less-than sign, or are empty.
    over: headings above the head, one a column; equal neighbours share one. None for none.
  """
  widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
  groups = [[i for i, _ in group] for _, group in itertools.groupby(
      enumerate(over or []), key=lambda pair: pair[1])]
  for group in groups:
    widths[group[0]] += max(0, len(over[group[0]]) - _room(group, widths))
  text = [_GAP.join(over[group[0]].ljust(_room(group, widths)) for group in groups)] * bool(over)
  numeric = [all(line[i][:1] in "-<0123456789" for line in lines[1:]) for i in range(len(widths))]
  text += [_GAP.join(cell.rjust(width) if number else cell.ljust(width)
                     for cell, width, number in zip(line, widths, numeric)) for line in lines]
  text = [line.rstrip() for line in text]
  heads = 2 if over else 1
  return "\n".join([*text[:heads], "-" * max(map(len, text)), *text[heads:]])


def _room(group, widths):
  """The width of columns that stand side by side."""
  return sum(widths[i] for i in group) + len(_GAP) * (len(group) - 1)
