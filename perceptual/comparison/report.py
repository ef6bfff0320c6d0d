"""A comparison as one HTML page that needs nothing else: no other file, no network, no library."""

import datetime
import itertools
import json

import numpy as np
from matplotlib import colors

from perceptual.common import files, pages
from perceptual.common.html import node, table
from perceptual.comparison import heatmaps, plots, ranking, result_files, summary
from perceptual.comparison.pairing import Skipped
from perceptual.comparison.tables import DIRECTIONS, number
from perceptual.version import __version__

FILE = "report.html"
SHOWN = 24  # pairs from either end, which bounds the page at a few megabytes
_SKIPPED_SHOWN = 500
_CLIPS_SHOWN = 500
_PICTURE = 512  # pixels, the longer side of the images, which can be enlarged
_MAP = 256  # pixels, the longer side of the heat maps

_STYLE = """
.files { display: block; overflow-wrap: anywhere; width: 13rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } svg { max-width: 100%; width: 30rem; }
svg text { fill: CanvasText; font-size: 11px; } .bar, .dot { fill: var(--bar); }
.dot { fill-opacity: .5; }
.mean { stroke: var(--mean); stroke-dasharray: 4 3; } .axis { stroke: CanvasText; }
.scale { display: inline-block; height: .8em; width: 10em; vertical-align: baseline; }
"""


def write(comparison, maps, output_dir, *, settings, command=None):
  """Writes `report.html`.

  Args:
    comparison: `run.Comparison` with at least one compared pair.
    maps: `heatmaps.Maps` of it.
    output_dir: a folder.
    settings: plain data: how the comparison was run.
    command: the command line that asked for it, as text; None where there was none.

  Raises:
    UserError: if it cannot be written.
  """
  title = f"perceptual compare: {comparison.pairing.about}"
  body = [*_counts(comparison), *_summary(comparison), *_clips(comparison),
          *_distributions(comparison), *_pairs(comparison, maps), *_skipped(comparison),
          *_provenance(comparison, settings, command)]
  folder = files.place(output_dir)
  with result_files.writing(folder):
    files.write_text(folder / FILE, pages.document(title, body, style=_STYLE))


def _counts(comparison):
  yield node("p", f"{len(comparison.compared()):,} pairs compared, {len(comparison.skipped):,} "
                  "entries skipped.")


def _summary(comparison):
  yield node("h2", "Summary")
  lines = []
  for label, lower in comparison.lower_is_better.items():
    found = summary.summarise(comparison.of(label))
    lines.append([label, *map(_number, (
        found.mean, found.standard_error, found.standard_deviation, found.lowest, found.highest,
        )), (found.count, f"{found.count:,}"), (found.infinite, f"{found.infinite:,}"),
                  DIRECTIONS[lower]])
  yield table(["metric", "mean", "standard error", "standard deviation", "lowest", "highest",
               "pairs", "infinite", "direction"], lines, aria_label="Summary")
  yield node("p", "Infinite values are not in the mean. The standard error is that of "
                  "independent pairs.")


def _clips(comparison):
  clips = summary.by_clip(comparison)
  if not clips:
    return
  labels = list(comparison.fingerprints)
  yield node("h2", "Clips")
  yield node("p", _of(_CLIPS_SHOWN, len(clips), "clips", result_files.NAMES[1]))
  lines = [[clip, *(_number(found[label].mean) for label in labels)]
           for clip, found in list(clips.items())[:_CLIPS_SHOWN]]
  yield table(["clip", *(f"mean {label}" for label in labels)], lines, sortable=True,
              aria_label="Clips")


def _distributions(comparison):
  """A histogram of each metric, and each metric against each other one."""
  yield node("h2", "Distribution")
  finite = {label: np.isfinite(comparison.of(label)) for label in comparison.fingerprints}
  drawn = [plots.histogram(label, comparison.of(label)[known])
           for label, known in finite.items() if known.any()]
  for one, other in itertools.combinations(finite, 2):
    both = finite[one] & finite[other]
    if both.sum() > 1:
      drawn.append(plots.scatter(one, comparison.of(one)[both], other, comparison.of(other)[both]))
  yield node("div", *drawn, class_="plots")
  if len(finite) > 1:
    yield from _rank_correlations(comparison, finite)


def _rank_correlations(comparison, finite):
  """How alike the metrics rank the pairs."""
  rows = [[one, *(plots.rank_correlation(*(comparison.of(label)[finite[one] & finite[other]]
                                           for label in (one, other)))
                  if (finite[one] & finite[other]).sum() > 1 else "" for other in finite)]
          for one in finite]
  yield node("p", "Spearman's rank correlation of the metrics over pairs of which both are finite "
                  "(a distance and a similarity that agree have -1):")
  yield table(["metric", *finite], rows, aria_label="Rank correlations")


def _pairs(comparison, maps):
  """The pairs at both ends of the first metric, as thumbnails."""
  label = next(iter(comparison.fingerprints))
  order = ranking.farthest_first(comparison, label)
  shown = order if len(order) <= 2 * SHOWN else np.concatenate([order[:SHOWN], order[-SHOWN:]])
  pictures = {found.pair: _pictures(comparison, found, maps) for found in maps.of(shown)}
  yield node("h2", "Pairs")
  which = (f"All {len(shown):,} pairs" if len(shown) == len(order) else
           f"The {SHOWN} pairs farthest apart and the {SHOWN} closest, of {len(order):,},")
  yield node("p", f"{which} by {label}, the farthest first. A heading sorts by its column. "
                  "A click enlarges a picture; another click, or the space bar, flips between "
                  "reference and candidate, and the arrow keys go through the heat maps too. "
                  f"Pictures have at most {_PICTURE} pixels a side and are JPEG; the metrics saw "
                  "the files themselves.")
  for mapped, top in maps.tops.items():
    what = "" if comparison.lower_is_better[mapped] else ", its value subtracted from the highest"
    yield node("p", f"Heat map of {mapped}{what}: from 0 ", _scale(),
               f" to {number(top)} and above, over the candidate in grey.")
  heads = ["rank", "files", "reference", "candidate",
           *(f"heat map: {mapped}" for mapped in maps.tops), *comparison.fingerprints]
  rank = {pair: place for place, pair in enumerate(order, 1)}
  lines = [[(rank[pair], f"{rank[pair]:,}"), _files(comparison, pair), *pictures[pair],
            *(_number(comparison.of(each)[pair]) for each in comparison.fingerprints)]
           for pair in shown if pair in pictures]
  yield table(heads, lines, sortable=True, aria_label="Pairs", id="pairs")


def _files(comparison, pair):
  reference, candidate = comparison.pairing.names(pair)
  notes = result_files.altered(comparison, pair)
  return node("span", candidate, node("small", f"reference: {reference}"),
              *(node("small", note) for note in notes), class_="files")


def _pictures(comparison, found, maps):
  """The cells of one pair: reference, candidate and a heat map of each metric that has one."""
  reference, candidate = comparison.pairing.names(found.pair)
  cells = [pages.picture(found.reference, longest=_PICTURE, alt=f"reference {reference}"),
           pages.picture(found.candidate, longest=_PICTURE, alt=f"candidate {candidate}")]
  for label, top in maps.tops.items():
    cells.append("" if label not in found.maps else pages.picture(
        heatmaps.over(found.candidate, found.maps[label], top), longest=_MAP,
        alt=f"heat map of {label}, {candidate}"))
  return cells


def _scale():
  """The colours of the heat maps, from low to high."""
  stops = ", ".join(colors.to_hex(heatmaps.COLOURS(place)) for place in np.linspace(0, 1, 9))
  return node("span", class_="scale", style=f"background: linear-gradient(to right, {stops})")


def _skipped(comparison):
  skipped = comparison.skipped
  if not skipped:
    return
  yield node("h2", "Skipped")
  yield node("p", _of(_SKIPPED_SHOWN, len(skipped), "entries", result_files.NAMES[2]))
  yield table(list(Skipped._fields), skipped[:_SKIPPED_SHOWN], sortable=True, aria_label="Skipped")


def _provenance(comparison, settings, command):
  about = {"perceptual": __version__, "settings": settings, "fingerprints": comparison.fingerprints}
  yield node("h2", "How these numbers were made")
  yield node("p", f"By perceptual {__version__}, on "
                  f"{datetime.datetime.now().astimezone():%Y-%m-%d at %H:%M %Z}."
                  f"{' The command:' if command else ''}")
  if command:
    yield node("pre", command, tabindex="0")
  yield node("pre", json.dumps(about, indent=2), tabindex="0")


def _of(shown, total, what, file):
  """`All 7 entries.`, or how many of them are shown and where the others are."""
  if total <= shown:
    return f"All {total:,} {what}."
  return f"The first {shown:,} of {total:,} {what}; {file} has them all."


def _number(value):
  """A cell: the number to sort by, and its text."""
  missing = value is None or np.isnan(value)
  return ("", "") if missing else (_javascript(value), number(value))


def _javascript(value):
  return repr(float(value)).replace("inf", "Infinity")
