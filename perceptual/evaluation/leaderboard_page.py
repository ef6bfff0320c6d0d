"""Leaderboards as one HTML page that needs nothing else, and its figures as PNG and SVG.

    leaderboard.html         everything, with the pictures on which metrics and people disagree most
    leaderboard.png, .svg    bars with intervals, and which differences are more than chance
    agreement.png, .svg      each metric against people's answers, with the fitted logistic

Of several sets the figures have the set's name before theirs: `materials-agreement.png`.
"""

import datetime
import re

from perceptual.common import figure_style, files, pages
from perceptual.common.html import node, table
from perceptual.evaluation import (
  disagreements,
  leaderboard,
  leaderboard_figures,
  results,
  several_sets,
)
from perceptual.version import __version__

FILE = "leaderboard.html"
SHOWN = 12  # choices of a kind on which metrics and people disagree, which bounds the page
_PICTURE = 400  # pixels, the longer side of the pictures, which can be enlarged
_DOTS = {"2afc": "triplet", "jnd": "pair", "opinions": "image"}  # of the scatter plots
# All scores of a set fit a window of 1300 pixels.
_STYLE = """
td b { font-weight: 600; }
table { font-size: 14px; } th, td { padding: .35rem .4rem; } th { white-space: normal; }
td:nth-child(2) { min-width: 11rem; overflow-wrap: anywhere; }
"""


def write(boards, output_dir, *, summary=None, images=None, command=None):
  """Writes the page and the figures.

  Args:
    boards: `{name: leaderboard.Leaderboard}`, at least one.
    output_dir: a folder, made if it is not there.
    summary: `several_sets.Summary` of several boards.
    images: `{name: function of an example and the number of one of its images (0 for the reference)
      to [height, width, 3] uint8}`; sets without one have no pictures.
    command: the command line that asked for it, as text; None where there was none.

  Raises:
    UserError: if something cannot be written, or an image cannot be read.
  """
  folder = results.require_folder(output_dir)
  folder.mkdir(parents=True, exist_ok=True)
  body = list(_several(summary, folder)) if summary else []
  for name, board in boards.items():
    prefix = f"{re.sub('[^A-Za-z0-9_.-]+', '-', name)}-" if summary else ""
    body += _set(name, board, (images or {}).get(name), folder, prefix)
  body += _provenance(command)
  title = f"Metrics and people: {', '.join(f'judged/{name}' for name in boards)}"
  files.write_text(folder / FILE, pages.document(title, body, style=_STYLE))


def _several(summary, folder):
  columns = [*summary.boards, several_sets.MEAN]
  yield node("h2", "All sets")
  yield table(
      ["", "metric", *columns, "better than"],
      [[_number(place), metric, *(_score(several_sets.column(summary, title),
                                         summary.scores[title][metric]) for title in columns),
        _better_than(summary, metric)]
       for place, metric in enumerate(summary.ranking, 1)],
      sortable=True, aria_label="All sets")
  yield node("p", "Percent: 2AFC of triplets and of pairs of opinions within a reference, average "
                  "precision of same/different pairs; the mean is unweighted. "
                  f"{_sentence(leaderboard.better_than('the mean'))}.")
  with figure_style.context():
    yield _drawn(
        leaderboard_figures.standings(
            summary, headline="two_afc", scores=summary.scores[several_sets.MEAN]),
        folder, "leaderboard", "The mean over sets, and its differences")


def _set(name, board, image, folder, prefix):
  """Yields the section of one set."""
  yield node("h2", f"judged/{name}")
  yield from (node("p", line) for line in leaderboard.about(board))
  names = list(board.scores)
  yield table(
      ["", "metric", *map(leaderboard.heading, names), "better than"],
      [[_number(place), metric, *(_score(score, board.scores[score][metric]) for score in names),
        _better_than(board, metric)]
       for place, metric in enumerate(board.ranking, 1)],
      sortable=True, aria_label=f"judged/{name}")
  headline = leaderboard.heading(board.headline).removesuffix(" %")
  for line in (leaderboard.better_than(headline), *leaderboard.ceilings(board.judged),
               *leaderboard.notes(board)):
    yield node("p", f"{_sentence(line)}.")
  with figure_style.context():
    yield _drawn(
        leaderboard_figures.standings(
            board, headline=board.headline, scores=board.scores[board.headline],
            limits=leaderboard_figures.limits_of(board.judged)),
        folder, f"{prefix}leaderboard", f"Bars and differences of judged/{name}")
    yield node("h3", "Metrics against people")
    yield node("p", f"Each dot is one {_DOTS[board.judged.kind]}; of large sets only some are "
                    "drawn. The line is the logistic of four parameters.")
    yield _drawn(leaderboard_figures.agreement(board), folder, f"{prefix}agreement",
                 f"Distances against answers of judged/{name}")
  if image is not None:
    yield from _disagreements(board, image)


def _disagreements(board, image):
  found = disagreements.choices(board)
  best = board.ranking[0]
  yield node("h3", "Where metrics and people disagree most")
  yield node("p", "A click enlarges a picture; another click, or the space bar, flips between the "
                  "first two, and the arrow keys go through all of a row. Pictures have at most "
                  f"{_PICTURE} pixels a side and are JPEG; the metrics saw the files themselves. "
                  f"At most {disagreements.MOST_A_REFERENCE} of one reference are shown. A "
                  "disagreement of 1 means that people are unanimous, and that the metric prefers "
                  "the other image by more than in any other example.")
  for title, disagreement in (("All metrics together", found.of_all()),
                              (f"The best metric: {best}", found.of(best))):
    chosen = disagreements.most(disagreement, found.references, SHOWN)
    lines = [[_number(place), *_cells(board, found, choice, image),
              (float(disagreement[choice]), f"{disagreement[choice]:.2f}")]
             for place, choice in enumerate(chosen, 1)]
    heads = ["a", "b"] if found.images.shape[1] == 3 else ["distorted"]
    yield node("p", node("b", title), "" if lines else ": none")
    if lines:
      yield table(["", "reference", *heads, "disagreement"], lines, sortable=True,
                  aria_label=title)


def _cells(board, found, choice, image):
  """The pictures of one choice, with what people and metrics said of each."""
  judged = board.judged
  for place, (example, slot) in enumerate(found.images[choice].tolist()):
    names = [judged.references[example], *judged.candidates[example]]
    said = [] if not place else [_people(judged, example, place), _metrics(board, found, choice,
                                                                          place)]
    yield node("div", pages.picture(image(example, slot), longest=_PICTURE,
                                    alt=f"{'reference' if not place else 'ab'[place - 1]}: "
                                        f"{names[slot]}"),
               node("small", names[slot]), *(node("small", line) for line in said))


def _people(judged, example, place):
  answer = judged.values[example]
  if judged.kind == "opinions":
    return f"people: {answer:g}"
  votes = "" if judged.votes is None else f" of {judged.votes[example]} votes"
  if judged.kind == "jnd":
    return f"people: {answer:.0%}{votes} saw no difference"
  return f"people: {answer if place == 2 else 1 - answer:.0%}{votes}"


def _metrics(board, found, choice, place):
  """Which metrics find a candidate the closer one; of a pair, how far each finds it."""
  if found.images.shape[1] == 2:
    return "more different than of all pairs: " + ", ".join(
        f"{metric} {(found.metrics[metric][choice] + 1) / 2:.0%}" for metric in board.ranking)
  sign = 1 if place == 2 else -1
  closer = [metric for metric in board.ranking if sign * found.metrics[metric][choice] > 0]
  return f"found closer by: {', '.join(closer) or 'none'}"


def _provenance(command):
  yield node("h2", "How these numbers were made")
  yield node("p", f"By perceptual {__version__}, on "
                  f"{datetime.datetime.now().astimezone():%Y-%m-%d at %H:%M %Z}. Metrics' "
                  "fingerprints and all numbers are in scores.json and distances.csv."
                  f"{' The command:' if command else ''}")
  if command:
    yield node("pre", command, tabindex="0")


def _drawn(figure, folder, name, alt):
  return node("figure", pages.drawing(figure_style.save(figure, folder, name), alt=alt))


def _better_than(board, metric):
  return leaderboard.in_short([board.ranking.index(other) + 1 for other in board.beaten(metric)])


def _number(place):
  return place, str(place)


def _score(name, value):
  return ("", "") if value.value is None else (value.value, leaderboard.cell(name, value))


def _sentence(line):
  return line[0].upper() + line[1:]
