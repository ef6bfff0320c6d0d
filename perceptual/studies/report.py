"""A study as one HTML page that needs nothing else: its figures, its tables, what is missing."""

from perceptual import errors
from perceptual.common import files, pages
from perceptual.common.html import node, table
from perceptual.studies.analyses import registry as analyses
from perceptual.studies.analyses import table as tables
from perceptual.studies.figures import registry as figures
from perceptual.version import __version__

FILE = "report.html"

# The tables of the page besides that of gains: analyses of the collected table alone.
TABLES = ("optimum", "correlations", "functions", "class_subsets", "frontier")
# The judged sets that no people judged, and what answered instead.
_STAND_INS = {"graded": "its answers are right by construction",
              "teacher": "its answers are those of another metric"}
_SHOWN = 60  # rows of a table; the CSV files hold all

_STYLE = ".lacks { color: #a33; } table { font-size: 13px; }\n"


def write(data, output_dir, *, title, report=lambda line: None):
  """Draws all figures into a folder, writes the tables as CSV, and `report.html` of all.

  Args:
    data: `figures.data.StudyData`.
    output_dir: the folder, made if it is not there.
    title: of the page, for instance the study's name.
    report: called with a line about each figure.

  Returns:
    The path of the page.

  Raises:
    UserError: if the folder cannot be written.
  """
  folder = files.place(output_dir)
  outcomes = figures.draw_all(data, folder, report=report)
  found = {name: _rows(name, data) for name in TABLES}
  for name, rows in found.items():
    if rows:
      tables.write_csv(folder / f"table_{name}.csv", rows)
  body = [*_about(data), *_figures(outcomes), *_gains(outcomes), *_tables(found),
          *_missing(outcomes), node("p", f"Made by perceptual {__version__}.")]
  files.write_text(folder / FILE, pages.document(title, body, style=_STYLE))
  return folder / FILE


def _rows(name, data):
  """Returns the rows of an analysis of the table; none if it has no run for it."""
  try:
    return analyses.run(name, analyses.Inputs(table=data.scores))
  except errors.UserError:
    return []


def _about(data):
  runs = len(data.scores.unique("run"))
  networks = len(data.scores.unique("network"))
  yield node("p", f"{runs:,} runs of {networks:,} networks, scored on {data.judged_set}. "
                  "Error bars are standard errors over seeds, intervals are 95%.")
  if not data.comparable:
    yield node("p", "Published scores are of bapps/2afc: they are not comparable, and not shown.")
  judge = _STAND_INS.get(data.judged_set.partition("/")[0])
  if judge:
    yield node("p", node("strong", f"No people judged {data.judged_set}: {judge}."))


def _missing(outcomes):
  lacks = {outcome.name: outcome.lacks for outcome in outcomes if outcome.lacks}
  yield node("h2", "What is missing of the paper's figures")
  if not lacks:
    yield node("p", "Nothing: every figure has all its runs.")
    return
  yield node("ul", *(node("li", f"{figures.FIGURES[name].title}: {'; '.join(lines)}")
                     for name, lines in lacks.items()), class_="lacks")


def _figures(outcomes):
  for outcome in outcomes:
    picture = next((path for path in outcome.files if path.suffix == ".png"), None)
    if picture is None:
      continue
    title = figures.FIGURES[outcome.name].title
    yield node("h2", title)
    yield node("figure", pages.drawing(picture.read_bytes(), alt=title),
               node("figcaption", _caption(outcome.name), f" Numbers: {outcome.name}.csv."))


def _caption(name):
  """Returns what a figure's function says of itself, as one paragraph."""
  return " ".join(figures.FIGURES[name].draw.__doc__.split())


def _gains(outcomes):
  for outcome in outcomes:
    if outcome.name == "gains" and outcome.rows:
      yield from _table(figures.FIGURES["gains"].title, outcome.rows, "gains.csv")


def _tables(found):
  for name, rows in found.items():
    if rows:
      summary = analyses.get(name).summary
      yield from _table(summary[0].upper() + summary[1:], rows, f"table_{name}.csv")


def _table(title, rows, file):
  yield node("h2", title)
  lines = [[_cell(row.get(column)) for column in rows[0]] for row in rows[:_SHOWN]]
  yield table([column.replace("_", " ") for column in rows[0]], lines, aria_label=title)
  more = "" if len(rows) <= _SHOWN else f"The first {_SHOWN} of {len(rows):,} rows. "
  yield node("p", f"{more}All numbers: {file}.")


def _cell(value):
  """Returns a cell as `html.table` takes it: numbers with their text."""
  if value is None:
    return ""
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    return str(value)
  return float(value), f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
