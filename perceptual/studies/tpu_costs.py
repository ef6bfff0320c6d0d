"""What a step of training takes of a TPU, as its own compiler reports: a table in this package.

`tools/tpu` compiles the steps, without a TPU, and writes the table.
"""

import csv
import dataclasses
import functools
import pathlib

FILE = pathlib.Path(__file__).with_name("tpu_costs.csv")
COLUMNS = ("network", "step", "chip", "batch", "cores", "image_size", "precision", "parameters",
           "activations", "compiles", "memory", "flops", "bytes_accessed")


@dataclasses.dataclass(frozen=True)
class Chip:
  """A generation of TPU.

  Attributes:
    name: what it is called.
    gigabytes: the memory that it is published to have.
  """

  name: str
  gigabytes: int


CHIPS = {"v4": Chip("TPU v4", 32), "v5e": Chip("TPU v5e", 16), "v5p": Chip("TPU v5p", 95),
         "v6e": Chip("TPU v6e", 32)}


# What `columns` are, for people.
ABOUT = ("GB and GFLOPs a core: of one training step of so many images in mixed bfloat16, as the "
         "TPU's compiler tells; \"not compiled\" where it was not asked (docs/tpu.md).")


@dataclasses.dataclass(frozen=True)
class Step:
  """What a step of training takes of one core.

  Attributes:
    batch: images of the step.
    memory: bytes of what the step is given and of what it keeps meanwhile.
    flops: floating-point operations.
  """

  batch: int
  memory: int
  flops: int


def has(device):
  """Whether the table is of a device of `devices.DEVICES`."""
  return device.removeprefix("tpu-") in CHIPS and device.startswith("tpu-")


def columns(device, planned):
  """Returns columns for a plan as text, a head and then a line for each `planning.Planned`."""
  lines = [["images a core", "GB a core", "GFLOPs a core"]]
  for one in planned:
    step = training(device, one)
    lines.append(["", "not compiled", ""] if step is None else [
        str(step.batch), f"{step.memory / 1e9:.2f}", f"{step.flops / 1e9:,.0f}"])
  return lines


def training(device, planned):
  """Returns the `Step` of a run that trains a classifier; None if that was not compiled.

  A network of another width, depth or number of classes than the compiled one is told by its
  parameters, one for images of another size by the values that its layers put out.

  Args:
    device: a name of `devices.DEVICES`, such as `tpu-v5e`; of others there is nothing.
    planned: the `planning.Planned`.
  """
  if planned.run.kind != "train":
    return None
  return _training().get((device.removeprefix("tpu-"), planned.run.network, planned.parameters,
                          planned.activations))


@functools.cache
def _training():
  """The compiled steps of training, those of the largest batch that fits."""
  with FILE.open(newline="", encoding="utf-8") as file:
    rows = [row for row in csv.DictReader(file)
            if row["step"] == "train" and row["compiles"] == "yes"]
  rows.sort(key=lambda row: int(row["batch"]))
  return {(row["chip"], row["network"], int(row["parameters"]), int(row["activations"])): Step(
      int(row["batch"]), int(row["memory"]), int(float(row["flops"]))) for row in rows}
