"""A leaderboard as figures: bars, a matrix of differences, and metrics against answers."""

import numpy as np

from perceptual.common import figure_style
from perceptual.errors import UserError
from perceptual.evaluation import leaderboard, logistic, two_afc

_BETTER, _WORSE, _ALIKE = "#56B4E9", "#E69F00", "#eeeeee"
_CHANCE = {"two_afc": 50.0}  # where bars begin; others begin at 0
_DOTS = 3000  # of a scatter plot
_FITTED = 5000  # examples, spread evenly, that its curve is fitted to
_PANELS = 4  # scatter plots side by side
_SHOWN = (0.002, 0.998)  # quantiles of the distances between which a scatter plot is drawn


def standings(board, *, headline, scores, limits=()):
  """Returns the figure of a leaderboard: bars with intervals beside the matrix of differences.

  Args:
    board: a `leaderboard.Leaderboard` or `several_sets.Summary`.
    headline: the name of the score.
    scores: `{metric: clustered.Score}`.
    limits: `(value, label)` of lines across the bars, as how well people agree.
  """
  ranked = board.ranking
  height = 1.0 + 0.2 * len(ranked)
  figure, axes = figure_style.subplots(
      1, 2, width=figure_style.PAGE, height=height, width_ratios=[1.15, 1])
  _bars(axes[0, 0], ranked, scores, headline, limits)
  _matrix(axes[0, 1], board)
  return figure


def limits_of(judged):
  """Returns the `limits` of `standings` of a judged set: none but of triplets."""
  if judged.kind != "2afc":
    return ()
  agreement = leaderboard.agreement_of_raters(judged)
  if agreement is None:
    agreement = two_afc.human_ceiling(judged.values)
  return (agreement, "people agree"), (two_afc.oracle(judged.values), "most possible")


def agreement(board):
  """Returns the figure of distances against answers, a panel a ranked metric, with the logistic."""
  ranked = board.ranking
  rows = -(-len(ranked) // _PANELS)
  figure, axes = figure_style.subplots(
      rows, min(len(ranked), _PANELS), width=figure_style.PAGE, height=0.4 + 1.55 * rows,
      sharey=True)
  for panel, metric in zip(axes.flat, ranked):
    panel.set_title(metric, fontweight="normal")
    _scatter(panel, _abscissa(board, metric), board.judged.values)
  for panel in axes.flat[len(ranked):]:
    panel.set_visible(False)
  across, up = _AXES[board.judged.kind]
  figure.supxlabel(across, fontsize=7)
  figure.supylabel(up, fontsize=7)
  return figure


_AXES = {"2afc": ("distance of b minus distance of a (similarities negated)",
                 "share of people for b"),
         "jnd": ("distance (similarities negated)", "share of people who saw no difference"),
         "opinions": ("distance (similarities negated)", "opinion")}


def _bars(panel, ranked, scores, headline, limits):
  base = _CHANCE.get(headline, 0.0)
  for place, metric in enumerate(ranked):
    found = scores[metric]
    if found.value is None:
      panel.text(base, place, " undefined", va="center", fontsize=6)
      continue
    panel.barh(place, found.value - base, left=base, height=0.66, color=figure_style.COLOURS[0],
               alpha=0.75)
    panel.errorbar(found.value, place, xerr=[[found.value - found.low],
                                             [found.high - found.value]],
                   color="black", elinewidth=0.9, capsize=2)
  for value, label in limits:
    panel.axvline(value, color=figure_style.GREY, linestyle="--", linewidth=0.8)
    panel.text(value, len(ranked) - 0.45, f"{label} ", rotation=90, fontsize=5.5, ha="right",
               va="bottom", color=figure_style.GREY)
  panel.axvline(base, color="black", linewidth=0.6)
  panel.set_yticks(range(len(ranked)), [f"{metric}  {place}" for place, metric in
                                        enumerate(ranked, 1)])
  panel.set_ylim(len(ranked) - 0.4, -0.6)
  panel.grid(visible=False, axis="y")
  panel.set_xlabel(f"{leaderboard.heading(headline)}, 95% intervals by reference")


def _matrix(panel, board):
  """Row less column: coloured where the difference is more than chance."""
  ranked = board.ranking
  colours = np.array([[_colour(board, metric, other) for other in ranked] for metric in ranked])
  rgb = np.array([[_rgb(colour) for colour in row] for row in colours])
  panel.imshow(rgb, aspect="auto", interpolation="none")
  for row, metric in enumerate(ranked):
    for column, other in enumerate(ranked):
      text = _difference(board, metric, other)
      panel.text(column, row, text, ha="center", va="center", fontsize=5.2)
  numbers = [str(place) for place in range(1, len(ranked) + 1)]
  panel.set_xticks(range(len(ranked)), numbers)
  panel.set_yticks(range(len(ranked)), numbers)
  panel.grid(visible=False)
  panel.set_xlabel("score of the row minus score of the column;\ncoloured only where more than "
                   "chance:\nblue, the row is better; orange, worse")


def _colour(board, metric, other):
  if board.is_better(metric, other):
    return _BETTER
  return _WORSE if board.is_better(other, metric) else _ALIKE


def _rgb(colour):
  return [int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)]


def _difference(board, metric, other):
  for pair, sign in (((metric, other), 1), ((other, metric), -1)):
    if pair in board.differences:
      value = sign * board.differences[pair].value
      if abs(value) < 0.005:
        return "0"
      return f"{value:+.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:+.1f}"
  return ""


def _abscissa(board, metric):
  """What is drawn across: the distance, of triplets the difference of the two."""
  found = board.distances[metric]
  return found[:, 1] - found[:, 0] if found.shape[1] == 2 else found[:, 0]


def _scatter(panel, x, y):
  """Draws answers against distances, and the logistic fitted to them."""
  low, high = np.quantile(x, _SHOWN)
  shown, fitted = (np.linspace(0, len(x) - 1, min(len(x), most)).astype(int)
                   for most in (_DOTS, _FITTED))
  # All dots are one picture, or the SVG of many would be slow to show.
  panel.plot(x[shown], y[shown], linestyle="none", marker="o", markersize=1.6,
             markeredgewidth=0, alpha=0.35, color=figure_style.COLOURS[0], rasterized=True)
  if low < high:
    room = 0.03 * (high - low)
    panel.set_xlim(low - room, high + room)
  panel.tick_params(axis="x", labelsize=5.5)
  panel.locator_params(axis="x", nbins=3)
  try:
    fit = logistic.fit(x[fitted], y[fitted])
  except UserError:  # a constant
    return
  line = np.linspace(low, high, 200)
  panel.plot(line, fit(line), color=figure_style.COLOURS[1])
