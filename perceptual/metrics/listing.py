"""All metrics that have a name, as text and as data: what each is, and how to get its weights."""

import csv
import io
import json
import textwrap

from perceptual.common.text_table import aligned
from perceptual.metrics import options

_WIDTH = 100
_GAP = 2  # between the columns of `aligned`
_COLUMNS = ("metric", "kind", "summary", "better", "values", "smallest_side", "weights",
            "how_to_get")


def table(specs):
  """Returns a line a metric, and below what the columns mean and how to get weights.

  Args:
    specs: `registry.Spec`s.
  """
  heads = ["metric", "better", "values", "smallest", "weights", "what it is"]
  cells = [[spec.name, _better(spec), spec.values, _side(spec),
            _weights(spec) if spec.needs_weights else "-"] for spec in specs]
  taken = sum(max(map(len, column)) + _GAP for column in zip(heads[:-1], *cells))
  lines = [heads]
  for spec, line in zip(specs, cells):
    first, *others = textwrap.wrap(spec.summary, _WIDTH - taken)
    lines += [[*line, first], *([*[""] * len(line), other] for other in others)]
  legend = (
      "better: which values mean more alike. smallest: the least height and width of an image in "
      "pixels, by default options. weights: whether those that a metric needs are on this machine; "
      "- where it needs none.")
  notes = [textwrap.fill(legend, _WIDTH),
           "A metric's options: for instance `perceptual metrics --metric=gaussian-resnet6`"]
  missing = next((spec.name for spec in specs if not spec.weights_available), None)
  if missing:
    notes.append(f"Weights that are missing: for instance `perceptual convert --network={missing} "
                 "--download`\n(without --download from files that this machine has)")
  return "\n".join([aligned(lines), "", *notes])


def details(spec, *, given=None, metric=None):
  """Returns all about one metric: what it is, its options, how to get its weights.

  Args:
    spec: a `registry.Spec`.
    given: its options as the user wrote them, `{option: text}`; None for none.
    metric: the metric that was made with these options; None where it was not made.
  """
  given = given or {}
  lines = [
      f"{options.joined(spec.name, given)}: {spec.summary}",
      f"  better         {_better(spec)}",
      f"  values         {spec.values}",
      f"  smallest side  {_side_with(spec, given, metric)}",
      textwrap.fill(_options(spec, given), _WIDTH, initial_indent="  options        ",
                    subsequent_indent=" " * 17, break_on_hyphens=False)]
  if spec.aliases:
    lines.append(f"  also called    {', '.join(spec.aliases)}")
  if spec.needs_weights:
    are_here = metric is not None or spec.weights_available
    found = "on this machine" if are_here else f"to get: {how_to_get(spec)}"
    lines.append(f"  weights        {found}")
  return "\n".join(lines)


def _side_with(spec, given, metric):
  """Returns the least side of images with the options that were given, as text."""
  if metric is not None:
    return str(metric.smallest_side)
  return f"{_side(spec) or 'that of the network'}{' with default options' if given else ''}"


def _options(spec, given):
  """Returns options with their values and defaults, as text."""
  kinds = spec.options | {name: kind for name, kind in options.FOR_ALL.items() if name in given}
  return ", ".join(
      f"{name}{f'={given[name]}' if name in given else ''} (default: {kind.default})"
      for name, kind in kinds.items()) or "none"


def how_to_get(spec):
  """Returns the command that gets the weights of a metric; empty if it needs none."""
  if not spec.needs_weights:
    return ""
  from perceptual.weights import store

  return store.command_to_get(list(spec.weights))


def as_csv(specs):
  """Returns a line a metric, as CSV with a head."""
  text = io.StringIO()
  writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
  writer.writeheader()
  writer.writerows(_row(spec) for spec in specs)
  return text.getvalue()


def as_json(specs):
  """Returns a list of metrics, with the defaults of their options and other names, as JSON."""
  return json.dumps([
      {**_row(spec), "options": {name: kind.default for name, kind in spec.options.items()},
       "aliases": list(spec.aliases)} for spec in specs], indent=2) + "\n"


def _row(spec):
  return dict(zip(_COLUMNS, (
      spec.name, spec.kind, spec.summary, _better(spec), spec.values, spec.smallest_side,
      _weights(spec), how_to_get(spec))))


def _better(spec):
  return "lower" if spec.lower_is_better else "higher"


def _side(spec):
  return "" if spec.smallest_side is None else str(spec.smallest_side)


def _weights(spec):
  """Whether its weights are here: not needed, here or missing."""
  if not spec.needs_weights:
    return "not needed"
  return "here" if spec.weights_available else "missing"
