"""A plan as text and as a table: every run, subtotals, totals, and what finished runs say of it."""

import statistics

from perceptual.common.text_table import aligned
from perceptual.data.labelled import imagenet64
from perceptual.metrics import listing, registry
from perceptual.studies import definition, planning, study_dir, tpu_costs
from perceptual.studies.devices import DEVICES
from perceptual.training import records

_SHOWN = 200  # runs on screen; of more, their subtotals alone


def table(planned, name, device):
  """Returns the plan as text: a line a run, subtotals, the totals, and what the numbers are.

  Of more than 200 runs that have subtotals no run has a line.

  Args:
    planned: `Planned`s.
    name: what the device is called.
    device: the `devices.Device` whose hours are estimated.
  """
  by_sweep = subtotals(planned, device)
  summary = [by_sweep, totals(planned, name, device)]
  rows = [] if by_sweep and len(planned) > _SHOWN else [_rows(planned, name, device)]
  return "\n\n".join(filter(None, [*rows, *summary]))


def _rows(planned, name, device):
  """Returns a line a run, and what the columns are."""
  lines = [["index", "run", "parameters", "MFLOPs", "steps", "batch", "PFLOPs", "memory GB",
            "checkpoints MB", "hours"]]
  for one in planned:
    lines.append([
        str(one.run.index), one.run.name, f"{one.parameters:,}", _rounded(one.flops / 1e6),
        f"{one.steps:,}", str(one.batch_size), _rounded(one.total_flops / 1e15),
        _rounded(one.memory / 1e9), _rounded(one.checkpoints / 1e6), _rounded(one.hours(device))])
  about = "PFLOPs are of the whole run, MFLOPs of one image."
  if tpu_costs.has(name):
    lines = [[*line, *cells] for line, cells in zip(lines, tpu_costs.columns(name, planned))]
    about += f"\n{tpu_costs.ABOUT}"
  return f"{aligned(lines)}\n{about}"


def subtotals(planned, device):
  """Returns the cost of each sweep as text, a line a study and what varies in it; empty for one.

  A run that several studies ask for counts for the first.

  Args:
    planned: `Planned`s.
    device: the `devices.Device` whose hours are estimated.
  """
  sweeps = {}
  for one in planned:
    sweeps.setdefault((one.run.studies[0], _varied(one.run)), []).append(one)
  if len(sweeps) < 2:
    return ""
  lines = [["study", "varied", "runs", "PFLOPs", "checkpoints GB", "hours"]]
  for (study, varied), of_sweep in sweeps.items():
    lines.append([
        study, varied, str(len(of_sweep)),
        _rounded(sum(one.total_flops for one in of_sweep) / 1e15),
        _rounded(sum(one.checkpoints for one in of_sweep) / 1e9),
        _rounded(sum(one.hours(device) for one in of_sweep))])
  return aligned(lines)


def totals(planned, name, device):
  """Returns the totals of a plan and what its numbers are, as text."""
  lines = [
      f"{len(planned)} runs, {len({(one.run.network, one.parameters) for one in planned})} "
      f"different networks: {_rounded(sum(one.total_flops for one in planned) / 1e18)} EFLOPs, "
      f"{_rounded(sum(one.checkpoints for one in planned) / 1e9)} GB of checkpoints, "
      f"{_rounded(sum(one.hours(device) for one in planned))} hours on one {name}.",
      "MFLOPs: millions of operations for one image, a multiplication and an addition being two. "
      "Memory: an estimate, the whole batch on one device.",
      f"Hours: an estimate. {name}: {device.origin}."]
  uncounted = dict.fromkeys(
      one.run.network for one in planned if one.run.has_loss
      and one.run.network != definition.PIXELS and not planning.network_of_loss(one.run.network))
  if uncounted:
    lines.append(f"The cost of the loss itself is not counted of: {', '.join(uncounted)}.")
  too_large = [one.run.name for one in planned
               if device.bytes and _memory(name, one) > device.bytes]
  if too_large:
    more = ", ..." if len(too_large) > 3 else ""
    lines.append(
        f"More than the {device.bytes / 1e9:.0f} GB of one {name}: {len(too_large)} runs "
        f"({', '.join(too_large[:3])}{more}); spread their batches over several.")
  return "\n".join(lines)


def _memory(name, one):
  """Bytes of the whole batch on one device: in proportion to the compiled step's, or the estimate.
  """
  step = tpu_costs.training(name, one)
  return one.memory if step is None else step.memory * max(1, one.batch_size / step.batch)


def sizes(planned):
  """Returns what the plan took for the sizes of data that were not prepared; empty without any."""
  if not any(one.published for one in planned):
    return ""
  return (f"Sizes: ImageNet's {imagenet64.PUBLISHED_SIZES['train']:,} images of 1,000 classes, as "
          "no --data_dir was given; with --data_dir=DIR those of the prepared data.")


def missing_weights(planned):
  """Returns for which losses this machine lacks the weights, as text; empty if for none."""
  losses = dict.fromkeys(one.run.network for one in planned if one.run.has_loss)
  specs = [spec for name in losses if (spec := registry.find(name)) is not None]
  missing = [spec for spec in specs if not spec.weights_available]
  if not missing:
    return ""
  names = ", ".join(spec.name for spec in missing)
  return (f"Weights that are missing on this machine: {names}; to get those of the first: "
          f"{listing.how_to_get(missing[0])}")


def check(planned, folder, name, device):
  """Returns how fast finished runs were trained beside the estimate, as text; empty without any.

  Args:
    planned: `Planned`s.
    folder: the study's `study_dir.StudyDir`.
    name: what the device is called on which they were trained.
    device: that `devices.Device`.
  """
  ratios = {}
  for one in planned:
    if one.run.kind == "train" and folder.state(one.run).state == study_dir.FINISHED:
      rows = records.read_metrics(folder.model_dir(one.run).metrics)
      measured = [row["images_per_second"] for row in rows if "images_per_second" in row]
      if measured:
        ratios[one.run.name] = statistics.median(measured) * one.training_seconds(device)
  if not ratios:
    return ""
  slowest, fastest = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
  return (f"Checked: {len(ratios)} finished runs trained at "
          f"{statistics.median(ratios.values()):.2f} times the speed estimated for one {name}, the "
          f"slowest ({slowest}) at {ratios[slowest]:.2f}, the fastest ({fastest}) at "
          f"{ratios[fastest]:.2f}.")


def as_csv_rows(planned):
  """Returns (columns, rows) of a plan, with the hours on every device.

  Of each TPU, besides, what `tpu_costs.training` tells of a step of one core; empty where that was
  not compiled.
  """
  names = ["parameters", "flops", "activations", "steps", "batch_size", "evaluations",
           "total_flops", "values", "memory", "checkpoints"]
  of_core = ["batch", "memory", "flops"]
  tpus = [device for device in DEVICES if tpu_costs.has(device)]
  columns = ["index", "run", *names, *(f"hours.{device}" for device in DEVICES),
             *(f"core_{name}.{device}" for device in tpus for name in of_core)]
  return columns, [
      [one.run.index, one.run.name, *(getattr(one, name) for name in names),
       *(f"{one.hours(device):.4g}" for device in DEVICES.values()),
       *(getattr(tpu_costs.training(device, one), name, "") for device in tpus for name in of_core)]
      for one in planned]


def _varied(run):
  """What varies in a run, without the configurables: `width`."""
  return ", ".join(name.rpartition(".")[2] for name in run.varied) or "nothing: out of the box"


def _rounded(number):
  """A number as text with three digits, or with all of those before its point."""
  if 0 < number < 0.0001:
    return "<0.0001"
  return f"{number:,.0f}" if round(number, 1) >= 100 else f"{number:.3g}"
