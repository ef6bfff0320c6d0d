"""All networks as data and as text: parameters, operations and taps at a size of image."""

import csv
import dataclasses
import io
import itertools
import json

from perceptual import errors, models
from perceptual.common.text_table import aligned
from perceptual.models import costs
from perceptual.models import taps as feature_taps


@dataclasses.dataclass(frozen=True)
class Listed:
  """A network at a size of image.

  Attributes:
    name: its name for `models.build`.
    parameters: `costs.parameters` of the whole network, with its classifier.
    flops: the operations of the whole network for one image, as `costs.flops` counts them; None
      where the images are too small for it.
    tap_parameters: those that the taps need, which are what a metric holds.
    tap_flops: the operations that the taps need; None where the images are too small.
    taps: its `taps.TapInfo`s.
    note: why operations are missing; empty if they are not.
  """

  name: str
  parameters: int
  flops: int | None
  tap_parameters: int
  tap_flops: int | None
  taps: tuple
  note: str = ""


def inspect(name, *, image_size=64, num_classes=1000, **options):
  """Returns the `Listed` of a network, without making its weights.

  Args:
    name: one of `models.names()`.
    image_size: the side of the images, in pixels.
    num_classes: the number of classes.
    **options: as `models.build` takes them.

  Raises:
    UserError: an unknown network or option.
  """
  with costs.unallocated():
    model = models.build(name, num_classes=num_classes, **options)
    trunk = feature_taps.select_taps(model)
    found = feature_taps.list_taps(model)
    flops, note = _flops_or_why_not(model, image_size)
    tap_flops, tap_note = _flops_or_why_not(trunk, image_size)
  return Listed(name, costs.parameters(model), flops, costs.parameters(trunk), tap_flops, found,
                tap_note or note)


def table(rows, image_size):
  """Returns a line a network, and below it the notes.

  Args:
    rows: `Listed`s.
    image_size: the size for which they were measured.
  """
  over = ["", *["with classifier"] * 2, *["for the taps"] * 2, "", "", ""]
  lines = [["network", *["parameters", "MFLOPs"] * 2, "taps", "channels", "strides"]]
  for row in rows:
    lines.append([row.name, f"{row.parameters:,}", _mega(row.flops), f"{row.tap_parameters:,}",
                  _mega(row.tap_flops), str(len(row.taps)), _ends(tap.channels for tap in row.taps),
                  _strides(row.taps)])
  notes = [f"{row.name}: {row.note}" for row in rows if row.note]
  legend = (f"MFLOPs: millions of operations for one image of {image_size}x{image_size}, a "
            "multiplication and an addition being two.\nfor the taps: what a metric needs. "
            "strides: pixels per position of a tap; none for vectors.")
  return "\n".join([aligned(lines, over=over), "", legend, *notes])


def details(row, image_size):
  """Returns all about one network: costs, every tap, every option with its default."""
  whole = f"{row.parameters:,} parameters, {_mega(row.flops) or 'unknown'} MFLOPs"
  trunk = f"{row.tap_parameters:,} parameters, {_mega(row.tap_flops) or 'unknown'} MFLOPs"
  taps = [["tap", "channels", "stride"],
          *([tap.name, str(tap.channels), _stride(tap.stride)] for tap in row.taps)]
  options = [["option", "default"],
             *([name, repr(value)] for name, value in models.network_options(row.name).items())]
  return "\n".join([
      f"{row.name} at {image_size}x{image_size}", f"  with its classifier  {whole}",
      f"  for its taps         {trunk}", *([f"  {row.note}"] if row.note else []), "",
      aligned(taps), "", aligned(options)])


def as_csv(rows, image_size):
  """Returns a line a tap of every network, as CSV with a head."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(["network", "image_size", "parameters", "flops", "tap_parameters", "tap_flops",
                   "tap", "channels", "stride"])
  for row in rows:
    for tap in row.taps:
      writer.writerow([row.name, image_size, row.parameters, row.flops, row.tap_parameters,
                       row.tap_flops, tap.name, tap.channels, tap.stride])
  return text.getvalue()


def as_json(rows, image_size):
  """Returns everything as JSON: the size, and a list of networks with their taps and options."""
  return json.dumps({"image_size": image_size, "networks": [
      {**dataclasses.asdict(row), "options": models.network_options(row.name)} for row in rows]},
                    indent=2) + "\n"


def _flops_or_why_not(model, image_size):
  try:
    return costs.flops(model, image_size), ""
  except errors.UserError as error:
    return None, str(error)


def _mega(flops):
  return "" if flops is None else f"{flops / 1e6:,.0f}"


def _ends(numbers):
  """The least and the greatest, as text."""
  numbers = list(numbers)
  least, greatest = min(numbers), max(numbers)
  return f"{least}" if least == greatest else f"{least}-{greatest}"


def _strides(taps):
  """The strides in network order, each once: `4 8 16 32`."""
  return " ".join(stride for stride, _ in itertools.groupby(_stride(tap.stride) for tap in taps))


def _stride(stride):
  return "none" if stride is None else str(stride)
