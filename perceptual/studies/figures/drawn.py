"""What a figure's function returns, and what they share: points with error bars and their rows."""

import dataclasses

import numpy as np

from perceptual.studies.figures import data, style

ACCURACY = "top-1 accuracy, %"


@dataclasses.dataclass
class Drawn:
  """A figure and the numbers in it.

  Attributes:
    figure: `matplotlib.figure.Figure`; None of a table.
    rows: exactly what is drawn, a row a point; `source` says measured or published.
    lacks: what the study behind it has not run, one line each.
  """

  figure: object | None
  rows: list[dict]
  lacks: list[str] = dataclasses.field(default_factory=list)


def rounded(value):
  """Returns a number for CSV: a float of 6 significant digits, or None for NaN."""
  return None if np.isnan(value) else float(f"{value:.6g}")


def row(configuration, **about):
  """Returns the row of a configuration that is drawn as a point.

  Args:
    configuration: `configurations.Configuration`.
    **about: further columns, which come first.
  """
  (accuracy, score), (accuracy_error, score_error) = configuration.point, configuration.spread
  return {**about, "source": "measured", "network": configuration.network,
          **configuration.varied, "accuracy": rounded(accuracy),
          "accuracy_se": rounded(accuracy_error), "score": rounded(score),
          "score_se": rounded(score_error), "seeds": len(configuration.score)}


def published_row(network, **about):
  """Returns the row of a published point."""
  return {"source": style.PUBLISHED, "network": network, **about}


def points(axes, found, *, line="none", x=None, **options):
  """Draws configurations as points with error bars over seeds, against accuracy or `x`.

  Args:
    axes: the panel.
    found: `configurations.Configuration`s.
    line: style of the line that joins them.
    x: `[configurations]` what they are drawn against; None for accuracy, with its own error bars.
    **options: of `axes.errorbar`.
  """
  if not found:
    return
  centre = np.array([c.point for c in found])
  spread = np.nan_to_num([c.spread for c in found])
  axes.errorbar(centre[:, 0] if x is None else x, centre[:, 1], yerr=spread[:, 1],
                xerr=spread[:, 0] if x is None else None, linestyle=line, elinewidth=0.7, **options)


def published(axes, x, y, **options):
  """Draws a published point: a hollow star, one look in all figures."""
  axes.errorbar(x, y, **{"color": style.GREY, "elinewidth": 0.7, "zorder": 4,
                         "label": style.PUBLISHED, **style.PUBLISHED_LOOK, **options})


def require(found, figure, what):
  """Raises `data.MissingData` if there is nothing to draw.

  Args:
    found: what there is.
    figure: name of the figure.
    what: the runs that it needs.
  """
  if not len(found):
    raise data.MissingData(f"Figure {figure} lacks its runs: {what}.")


def lacking(expected, present, what):
  """Returns a line for each expected network that is not present.

  Args:
    expected: names of networks.
    present: names of networks.
    what: what of them is missing.
  """
  return [f"{what} of {style.network_name(name)}" for name in expected if name not in present]


def featured(found, limit=7):
  """Returns at most `limit` configurations, spread evenly over their accuracies.

  More lines than that are not told apart. They come by ascending accuracy.
  """
  ascending = sorted(found, key=lambda c: c.point[0])
  if len(ascending) <= limit:
    return ascending
  accuracies = np.array([c.point[0] for c in ascending])
  wanted = np.linspace(accuracies[0], accuracies[-1], limit)
  nearest = np.abs(accuracies - wanted[:, np.newaxis]).argmin(axis=1)
  return [ascending[i] for i in np.unique(nearest)]
