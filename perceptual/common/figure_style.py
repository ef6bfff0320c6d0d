"""One style for all figures: sizes, colours and markers, fit for a paper.

Widths are those of a column and of a page in two-column papers, and text is legible at that size.
Colours are those of Okabe and Ito (2008), which colour-blind people tell apart; every colour has a
marker of its own, so that black and white will do. matplotlib is imported when something is drawn.
"""

import io

from perceptual.common import files

COLUMN = 3.4  # inches
PAGE = 7.0

# Yellow, the eighth, is left out: it is hardly seen on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
GREY = "#777777"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SETTINGS = {
    "font.family": "DejaVu Sans", "font.size": 7, "axes.titlesize": 7.5, "axes.labelsize": 7,
    "xtick.labelsize": 6.5, "ytick.labelsize": 6.5, "legend.fontsize": 6.5,
    "legend.frameon": False, "legend.handlelength": 1.6, "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.6, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.minor.width": 0.4, "lines.linewidth": 1.0,
    "lines.markersize": 3.5, "errorbar.capsize": 1.5, "axes.grid": True, "grid.alpha": 0.25,
    "grid.linewidth": 0.4, "axes.axisbelow": True, "pdf.fonttype": 42, "svg.fonttype": "none",
    "svg.hashsalt": "perceptual", "figure.dpi": 100,
}


def context():
  """Returns the context manager inside which figures are made and saved."""
  import matplotlib

  return matplotlib.rc_context(_SETTINGS)


def subplots(rows=1, columns=1, *, width=COLUMN, height=2.5, **options):
  """Returns (figure, axes `[rows, columns]`).

  Args:
    rows: of panels.
    columns: of panels.
    width: of the figure in inches.
    height: of the figure in inches.
    **options: of `matplotlib.figure.Figure.subplots`.
  """
  import matplotlib.figure

  figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False, **options)
  if rows * columns > 1:
    for letter, panel in zip("abcdefghijkl", axes.flat):
      panel.set_title(f"({letter})", loc="left", fontweight="bold")
  return figure, axes


def save(figure, folder, name):
  """Writes a figure as `name.png` and `name.svg`, which differ only where it does.

  Args:
    figure: made inside `context`.
    folder: a path that is there.
    name: of the files.

  Returns:
    The bytes of the PNG.
  """
  contents = {}
  for kind, options in (("png", {"dpi": 200}), ("svg", {"metadata": {"Date": None}})):
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, **options)
    contents[kind] = stream.getvalue()
    with files.beside(folder / f"{name}.{kind}") as temporary:
      temporary.write_bytes(contents[kind])
  return contents["png"]
