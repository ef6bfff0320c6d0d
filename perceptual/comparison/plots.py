"""Histograms and scatter plots as SVG elements that need nothing from outside their page."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from perceptual.common.html import node
from perceptual.common.progress import plural
from perceptual.comparison.tables import number

_BINS = 30
_WIDTH, _HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 12, 48
_TICKS = 5
_DOTS = 2000  # of a scatter plot, which bounds the page


def histogram(label, values):
  """Returns the histogram of a metric.

  Args:
    label: the metric's.
    values: `[pairs]` finite numbers, at least one.
  """
  low, high = _limits(values)
  counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
  x, y = _across(low, high), _up(0, int(counts.max()))
  bars = [
      node("rect", node("title", f"{number(start)} to {number(end)}: "
                                  f"{plural(int(count), 'pair')}"),
           x=x(start), y=y(count), width=round(max(x(end) - x(start) - 1, 1), 1),
           height=round(y(0) - y(count), 1), class_="bar")
      for count, start, end in zip(counts, edges, edges[1:]) if count]
  mean = float(values.mean())
  mark = node("line", node("title", f"mean {number(mean)}"), x1=x(mean), x2=x(mean), y1=_TOP,
              y2=y(0), class_="mean")
  return _plot([*bars, mark, *_axes((low, high), (0, int(counts.max())), label, "pairs",
                                    counted=True)],
               f"Histogram of {label} over {plural(len(values), 'pair')}: from "
               f"{number(values.min())} to {number(values.max())}, mean {number(mean)}")


def scatter(label_x, values_x, label_y, values_y):
  """Returns one metric's values against another's, a dot a pair.

  Args:
    label_x: the one metric's.
    values_x: `[pairs]` finite numbers, at least two.
    label_y: the other metric's.
    values_y: `[pairs]` finite numbers of the same pairs.
  """
  shown = np.linspace(0, len(values_x) - 1, min(len(values_x), _DOTS)).astype(int)
  limits_x, limits_y = _widened(*_limits(values_x)), _widened(*_limits(values_y))
  x, y = _across(*limits_x), _up(*limits_y)
  dots = [node("circle", cx=x(values_x[i]), cy=y(values_y[i]), r=2.5, class_="dot")
          for i in shown]
  which = "" if len(shown) == len(values_x) else f", {len(shown):,} of them shown"
  return _plot([*dots, *_axes(limits_x, limits_y, label_x, label_y)],
               f"{label_y} against {label_x} over {len(values_x):,} pairs{which}; rank "
               f"correlation {rank_correlation(values_x, values_y)}")


def rank_correlation(values_0, values_1):
  """Returns Spearman's rank correlation as text: `0.93`, or `undefined` for constant values.

  Args:
    values_0: `[pairs]` numbers.
    values_1: `[pairs]` numbers of the same pairs.
  """
  ranks_0, ranks_1 = _ranks(values_0), _ranks(values_1)
  if not (np.ptp(ranks_0) and np.ptp(ranks_1)):
    return "undefined"
  return f"{np.corrcoef(ranks_0, ranks_1)[0, 1]:.2f}"


def _ranks(values):
  """Ranks from 0, equal values sharing the mean of theirs."""
  _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
  return (np.cumsum(counts) - (counts + 1) / 2)[which]


def _limits(values):
  low, high = float(np.min(values)), float(np.max(values))
  return (low, high) if low < high else (low - 0.5, high + 0.5)


def _widened(low, high):
  """Limits with room for the dots at the ends."""
  room = 0.04 * (high - low)
  return low - room, high + room


def _across(low, high):
  return lambda value: round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)


def _up(low, high):
  return lambda value: round(
      _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)


def _axes(limits_x, limits_y, label_x, label_y, *, counted=False):
  """Yields both axes with their labels and ticks at round numbers, of counts at whole ones."""
  x, y = _across(*limits_x), _up(*limits_y)
  bottom, left, middle = _HEIGHT - _BOTTOM, _LEFT, (_LEFT + _WIDTH - _RIGHT) / 2
  yield node("line", x1=left, x2=_WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="axis")
  yield node("line", x1=left, x2=left, y1=_TOP, y2=bottom, class_="axis")
  for tick in _ticks(*limits_x):
    yield node("line", x1=x(tick), x2=x(tick), y1=bottom, y2=bottom + 4, class_="axis")
    yield _text(f"{tick:g}", x(tick), bottom + 16, "middle")
  for tick in _ticks(*limits_y, integer=counted):
    yield node("line", x1=left - 4, x2=left, y1=y(tick), y2=y(tick), class_="axis")
    yield _text(f"{tick:g}", left - 7, y(tick) + 4, "end")
  yield _text(label_x, middle, _HEIGHT - 8, "middle")
  across, up = 14, (_TOP + bottom) / 2
  yield node("text", label_y, x=across, y=up, text_anchor="middle",
             transform=f"rotate(-90 {across} {up})")


def _ticks(low, high, *, integer=False):
  ticks = MaxNLocator(_TICKS, steps=[1, 2, 2.5, 5, 10], integer=integer).tick_values(low, high)
  return [float(f"{tick:.9g}") for tick in ticks if low <= tick <= high]


def _plot(children, description):
  return node("svg", *children, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img",
              aria_label=description)


def _text(text, x, y, anchor):
  return node("text", text, x=x, y=y, text_anchor=anchor)
