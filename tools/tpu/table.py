"""The table of steps compiled for TPUs: as data of the package, and as text for docs/tpu.md.

    python -m tools.tpu.table --folder=DIR

DIR is that of `tools.tpu.campaign`. Writes `perceptual/studies/tpu_costs.csv`, from which
`perceptual study plan` takes the memory of a TPU, and the same as a table between two marks in
docs/tpu.md. What the file has of steps that DIR has not stays, so that another machine may go on
with some networks; a change of what is compiled needs all of them again, and an empty file.
"""

import argparse
import csv
import pathlib

from perceptual.common import files
from perceptual.studies import tpu_costs
from tools.tpu import campaign

_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tpu.md"
_BEGIN, _END = ("<!-- written by tools.tpu.table: from here -->",
                "<!-- written by tools.tpu.table: to here -->")


def main():
  """Writes both."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--folder", required=True)
  rows = with_kept([row(result) for result in campaign.results(parser.parse_args().folder)])
  sizes = {one["network"]: one["parameters"] for one in rows if one["step"] != "learn"}
  rows.sort(key=lambda one: (sizes.get(one["network"], one["parameters"]), one["network"],
                             one["chip"], one["step"], -one["batch"]))
  files.write_csv(tpu_costs.FILE, tpu_costs.COLUMNS,
                  [[one[column] for column in tpu_costs.COLUMNS] for one in rows])
  text = _PAGE.read_text("utf-8")
  before, _, rest = text.partition(_BEGIN)
  _, _, after = rest.partition(_END)
  files.write_text(_PAGE, f"{before}{_BEGIN}\n\n{tables(rows)}\n\n{_END}{after}")
  print(f"{len(rows)} results: {tpu_costs.FILE}, {_PAGE}")


def with_kept(rows):
  """Returns rows and, of the table that is there, those of other steps, chips and batches."""
  def identity(one):
    return one["network"], one["step"], one["chip"], one["batch"]

  with tpu_costs.FILE.open(newline="", encoding="utf-8") as file:
    there = [{**one, "batch": int(one["batch"]), "parameters": int(one["parameters"])}
             for one in csv.DictReader(file)]
  new = {identity(one) for one in rows}
  return [one for one in there if identity(one) not in new] + rows


def row(result):
  """Returns a result of the campaign as a row of the table, by its columns."""
  compiles = result["compiles"]
  memory = compiles and result["argument_bytes"] + result["temporary_bytes"]
  return {**{column: result.get(column, "") for column in tpu_costs.COLUMNS},
          "compiles": "yes" if compiles else
          "no: memory" if campaign.is_too_large(result) else "no",
          "memory": memory or "", "flops": f"{result['flops']:.0f}" if compiles else "",
          "bytes_accessed": f"{result['bytes_accessed']:.0f}" if compiles else ""}


def tables(rows):
  """Returns tables in Markdown: one of each chip, a line a network."""
  chips = dict.fromkeys(one["chip"] for one in rows)
  return "\n\n".join(
      f"### {tpu_costs.CHIPS[chip].name}, {tpu_costs.CHIPS[chip].gigabytes} GB\n\n"
      f"{_table([one for one in rows if one['chip'] == chip])}" for chip in chips)


def _table(rows):
  lines = ["| network | images a core | train: GB | GFLOP | GB accessed | evaluate: GB "
           "| judge: GB | learn: GB |", "|---|---|---|---|---|---|---|---|"]
  for network in dict.fromkeys(one["network"] for one in rows):
    of_step = {}
    for one in (one for one in rows if one["network"] == network):
      if of_step.get(one["step"], {}).get("compiles") != "yes":
        of_step[one["step"]] = one  # the largest batch that fits, if any does
    lines.append(_line(network, of_step))
  return "\n".join(lines)


def _line(network, of_step):
  train = of_step.get("train", {})
  cells = [network, str(train.get("batch", "")), _gigabytes(train), _billions(train, "flops"),
           _billions(train, "bytes_accessed", decimals=1),
           *(_gigabytes(of_step.get(step, {})) for step in ("evaluate", "judge", "learn"))]
  return f"| {' | '.join(cells)} |"


def _gigabytes(one):
  if one.get("compiles", "yes") != "yes":
    return one["compiles"].replace("no: memory", "too large")
  return _billions(one, "memory", decimals=2)


def _billions(one, column, decimals=0):
  return f"{float(one[column]) / 1e9:,.{decimals}f}" if one.get(column) else "not compiled"


if __name__ == "__main__":
  main()
