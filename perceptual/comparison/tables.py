"""A comparison as text for a screen."""

import collections

import numpy as np

from perceptual.common.text_table import aligned
from perceptual.comparison import summary

_SKIPPED_SHOWN = 10
_SIZES_SHOWN = 3
DIRECTIONS = {True: "lower is better", False: "higher is better"}


def text(comparison):
  """Returns what a screen shows: the values, what was altered, and what was skipped.

  Of pairs that the user named, every value; of folders and lists, means with their errors.
  """
  if not len(comparison.compared()):
    parts = ["nothing could be compared"]
  elif comparison.pairing.explicit:
    parts = [_candidates(comparison)]
  else:
    parts = [_means(comparison), _clips(comparison)]
  altered = _altered(comparison.pairing, comparison.headers, comparison.compared())
  return "\n\n".join(filter(
      None, [*parts, _kept(comparison), altered, _skipped(comparison.skipped)]))


def outlook(inspected):
  """Returns what would be compared, for a `run.InspectedPairs`, and what not."""
  pairing = inspected.pairing
  sizes = collections.Counter(
      inspected.headers[reference].size for reference in pairing.pairs[inspected.comparable, 0])
  shown = ", ".join(f"{count:,} of {width}x{height}"
                    for (height, width), count in sizes.most_common(_SIZES_SHOWN))
  more = f", and {len(sizes) - _SIZES_SHOWN:,} more sizes" if len(sizes) > _SIZES_SHOWN else ""
  about = f"{pairing.about}: {len(inspected.comparable):,} pairs{shown and f' ({shown}{more})'}"
  altered = _altered(pairing, inspected.headers, inspected.comparable)
  return "\n\n".join(filter(None, [about, altered, _skipped(inspected.skipped())]))


def _candidates(comparison):
  """A line a candidate, the closest first."""
  first = comparison.columns[0]
  sign = 1 if comparison.lower_is_better[first] else -1
  head = ["candidate", *_headings(comparison)]
  rows = [[comparison.pairing.names(pair)[1], *map(number, comparison.values[pair])]
          for pair in sorted(comparison.compared(),
                             key=lambda pair: sign * comparison.of(first)[pair])]
  title = f"{_title(comparison)} to {comparison.pairing.names(0)[0]}"
  return f"{title}; {_directions(comparison)}\n\n{aligned([head, *rows])}"


def _title(comparison):
  """`resnet6, local distance`, or the labels of several metrics."""
  if len(comparison.fingerprints) > 1:
    return ", ".join(comparison.fingerprints)
  fingerprint, = comparison.fingerprints.values()
  kind = fingerprint.get("distance", "")
  return f"{fingerprint['name']}, {kind} distance" if kind else fingerprint["name"]


def _headings(comparison):
  """Of one metric its value and its taps' terms; of several their labels."""
  label = comparison.columns[0]
  if len(comparison.fingerprints) > 1:
    return comparison.columns
  value = "distance" if comparison.lower_is_better[label] else "similarity"
  return [value, *(column.removeprefix(f"{label}/") for column in comparison.columns[1:])]


def _directions(comparison):
  """`lower is better`, with the names of the metrics where they differ in it."""
  by_direction = collections.defaultdict(list)
  for label, lower in comparison.lower_is_better.items():
    by_direction[lower].append(label)
  if len(by_direction) == 1:
    return DIRECTIONS[next(iter(by_direction))]
  return ", ".join(f"{DIRECTIONS[lower]}: {' '.join(labels)}"
                   for lower, labels in by_direction.items())


def _means(comparison):
  """A line a metric."""
  lines = [["metric", "mean", "std error", "std dev", "lowest", "highest", "pairs", "direction"]]
  infinite = []
  for label, lower in comparison.lower_is_better.items():
    found = summary.summarise(comparison.of(label))
    lines.append([label, *map(number, (
        found.mean, found.standard_error, found.standard_deviation, found.lowest, found.highest)),
                  f"{found.count:,}", DIRECTIONS[lower]])
    if found.infinite:
      infinite.append(f"{label}: {found.infinite:,} infinite values are not in the mean")
  return "\n\n".join([comparison.pairing.about, "\n".join([aligned(lines), *infinite])])


def _clips(comparison):
  """A line a clip, and one for the mean over clips; nothing without clips."""
  labels = list(comparison.fingerprints)
  clips = summary.by_clip(comparison)
  lines = [["clip", "frames", *labels]]
  for clip, found in clips.items():
    frames = max(found[label].count for label in labels)
    lines.append([clip, f"{frames:,}", *(number(found[label].mean) for label in labels)])
  overall = summary.over_clips(comparison)
  if not clips:
    return ""
  for name in ("mean", "standard_error"):
    lines.append([f"{name.replace('_', ' ')} over clips", "",
                  *(number(getattr(overall[label], name)) for label in labels)])
  return aligned(lines)


def _kept(comparison):
  if not comparison.kept:
    return ""
  return f"{comparison.kept:,} of {len(comparison.compared()):,} pairs come from an earlier run"


def _altered(pairing, headers, pairs):
  """How many of the files of pairs lose what on the way to the metric."""
  files = np.unique(pairing.pairs[pairs])
  notes = collections.Counter(note for file in files for note in headers[file].notes)
  return "\n".join(f"{count:,} of {len(files):,} files: {note}"
                   for note, count in notes.most_common())


def _skipped(skipped):
  lines = [": ".join([", ".join(filter(None, [entry.reference, entry.candidate])), entry.reason])
           for entry in skipped[:_SKIPPED_SHOWN]]
  rest = len(skipped) - len(lines)
  more = [f"and {rest:,} more, in skipped.csv where --output_dir is given"] if rest else []
  return "\n".join([f"skipped: {len(skipped):,}", *(f"  {line}" for line in [*lines, *more])]
                   if skipped else [])


def number(value):
  """Returns a value with four decimals, or in scientific notation where those would be few."""
  if value is None or np.isnan(value):
    return ""
  if value == 0 or abs(value) >= 1e-3:
    return f"{value:.4f}"
  return f"{value:.2e}"
