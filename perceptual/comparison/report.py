"""A comparison as one HTML page that needs nothing else: no other file, no network, no library."""

import base64
import io
import json
import pathlib

import numpy as np
from matplotlib import colors
from PIL import Image

from perceptual.common import files
from perceptual.comparison import heatmaps, histogram, ranking, result_files, summary
from perceptual.comparison.html import node, page, table
from perceptual.comparison.pairing import Skipped
from perceptual.comparison.tables import DIRECTIONS, number
from perceptual.version import __version__

FILE = "report.html"
SHOWN = 24  # pairs from either end, which bounds the page at a few megabytes
_SKIPPED_SHOWN = 500
_CLIPS_SHOWN = 500
_THUMBNAIL = 256  # pixels, the longer side

_POLICY = ("default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
           "script-src 'unsafe-inline'")
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --bar: #3a78c2; --mean: #c2410c; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
h1, td { overflow-wrap: break-word; } td { max-width: 32rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem; text-align: left;
  vertical-align: top; }
th { background: Canvas; position: sticky; top: 0; white-space: nowrap; }
th button { background: none; border: 0; color: inherit; cursor: pointer; font: inherit; padding: 0;
  text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
td.number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
td img { display: block; min-width: 8rem; width: 12rem; }
td small { display: block; } .files { display: block; overflow-wrap: anywhere; width: 13rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } svg { max-width: 100%; width: 30rem; }
svg text { fill: CanvasText; font-size: 11px; } .bar { fill: var(--bar); }
.mean { stroke: var(--mean); stroke-dasharray: 4 3; } .axis { stroke: CanvasText; }
.scale { display: inline-block; height: .8em; width: 10em; vertical-align: baseline; }
pre { border: 1px solid var(--line); overflow-x: auto; padding: .75rem; }
"""
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th"), body = heading.closest("table").tBodies[0];
    const order = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    const value = row => row.cells[heading.cellIndex].dataset.value ??
        row.cells[heading.cellIndex].textContent;
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // what is missing comes last
      const difference = Number(a) - Number(b);
      const result = Number.isNaN(difference) ? a.localeCompare(b) : difference;
      return order === "ascending" ? result : -result;
    };
    body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b))));
  });
}
"""


def write(comparison, maps, output_dir, *, settings):
  """Writes `report.html`.

  Args:
    comparison: `run.Comparison` with at least one compared pair.
    maps: `heatmaps.Maps` of it.
    output_dir: a folder.
    settings: plain data: how the comparison was run.

  Raises:
    UserError: if it cannot be written.
  """
  title = f"perceptual compare: {comparison.pairing.about}"
  head = [node("meta", charset="utf-8"),
          node("meta", http_equiv="Content-Security-Policy", content=_POLICY),
          node("meta", name="viewport", content="width=device-width, initial-scale=1"),
          node("title", title), node("style", _STYLE)]
  body = [node("h1", title), *_counts(comparison), *_summary(comparison), *_clips(comparison),
          *_histograms(comparison), *_pairs(comparison, maps), *_skipped(comparison),
          *_provenance(comparison, settings), node("script", _SCRIPT)]
  folder = pathlib.Path(output_dir).expanduser()
  with result_files.writing(folder):
    files.write_text(folder / FILE, page(head, [node("main", *body)]))


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


def _histograms(comparison):
  yield node("h2", "Distribution")
  plots = []
  for label in comparison.fingerprints:
    values = comparison.of(label)
    finite = values[np.isfinite(values)]
    if len(finite):
      plots.append(histogram.svg(label, finite))
  yield node("div", *plots, class_="plots")


def _pairs(comparison, maps):
  """The pairs at both ends of the first metric, as thumbnails."""
  label = next(iter(comparison.fingerprints))
  order = ranking.farthest_first(comparison, label)
  shown = order if len(order) <= 2 * SHOWN else np.concatenate([order[:SHOWN], order[-SHOWN:]])
  mapped = next(iter(maps.tops), None)
  pictures = {found.pair: _pictures(comparison, found, mapped, maps)
              for found in maps.of(shown, [mapped] if mapped else [])}
  yield node("h2", "Pairs")
  which = (f"All {len(shown):,} pairs" if len(shown) == len(order) else
           f"The {SHOWN} pairs farthest apart and the {SHOWN} closest, of {len(order):,},")
  yield node("p", f"{which} by {label}, the farthest first. A heading sorts by its column. "
                  f"Thumbnails have at most {_THUMBNAIL} pixels a side and are JPEG; the metrics "
                  "saw the files themselves.")
  if mapped:
    what = "" if comparison.lower_is_better[mapped] else " missing to an image with itself"
    yield node("p", f"Heat maps: {mapped}{what}, from 0 ", _scale(),
               f" to {number(maps.tops[mapped])} and above, over the candidate in grey.")
  heads = ["rank", "files", "reference", "candidate", *(["heat map"] if mapped else []),
           *comparison.fingerprints]
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


def _pictures(comparison, found, mapped, maps):
  """The cells of one pair: reference, candidate and, where there are maps, heat map."""
  reference, candidate = comparison.pairing.names(found.pair)
  cells = [_thumbnail(found.reference, f"reference {reference}"),
           _thumbnail(found.candidate, f"candidate {candidate}")]
  if mapped in found.maps:
    over = heatmaps.over(found.candidate, found.maps[mapped], maps.tops[mapped])
    cells.append(_thumbnail(over, f"heat map of {candidate}"))
  elif mapped:
    cells.append("")
  return cells


def _thumbnail(pixels, alt):
  image = Image.fromarray(pixels)
  image.thumbnail((_THUMBNAIL, _THUMBNAIL))
  stream = io.BytesIO()
  image.save(stream, "JPEG", quality=90, subsampling=0)
  data = base64.b64encode(stream.getvalue()).decode("ascii")
  return node("img", src=f"data:image/jpeg;base64,{data}", alt=alt)


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


def _provenance(comparison, settings):
  about = {"perceptual": __version__, "settings": settings, "fingerprints": comparison.fingerprints}
  yield node("h2", "How these numbers were made")
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
