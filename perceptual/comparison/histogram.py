"""A histogram as an SVG element that needs nothing from outside its page."""

import numpy as np

from perceptual.comparison.html import node
from perceptual.comparison.tables import number

_BINS = 30
_WIDTH, _HEIGHT = 480, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 24, 12, 40
_TICKS = 5


def svg(label, values):
  """Returns the histogram of a metric.

  Args:
    label: the metric's.
    values: `[pairs]` finite numbers, at least one.
  """
  low, high = float(values.min()), float(values.max())
  if low == high:
    low, high = low - 0.5, high + 0.5
  counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
  tallest = int(counts.max())

  def x(value):
    return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

  def y(count):
    return round(_HEIGHT - _BOTTOM - count / tallest * (_HEIGHT - _TOP - _BOTTOM), 1)

  bars = [
      node("rect", node("title", f"{number(start)} to {number(end)}: {count:,} pairs"),
           x=x(start), y=y(count), width=round(max(x(end) - x(start) - 1, 1), 1),
           height=round(y(0) - y(count), 1), class_="bar")
      for count, start, end in zip(counts, edges, edges[1:]) if count]
  mean = float(values.mean())
  marks = [node("line", node("title", f"mean {number(mean)}"), x1=x(mean), x2=x(mean), y1=_TOP,
                y2=y(0), class_="mean"),
           node("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y(0), y2=y(0), class_="axis")]
  texts = [_text(f"{value:.3g}", x(value), y(0) + 16, "middle")
           for value in np.linspace(low, high, _TICKS)]
  texts += [_text(f"{tallest:,}", _LEFT - 6, _TOP + 8, "end"), _text("0", _LEFT - 6, y(0), "end"),
            _text(label, (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "middle")]
  return node(
      "svg", *bars, *marks, *texts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img",
      aria_label=f"Histogram of {label} over {len(values):,} pairs: from {number(values.min())} to "
                 f"{number(values.max())}, mean {number(mean)}")


def _text(text, x, y, anchor):
  return node("text", text, x=x, y=y, text_anchor=anchor)
