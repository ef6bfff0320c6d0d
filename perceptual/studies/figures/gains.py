"""Table 1 of the paper: what each sweep gains over the network out of the box."""

from perceptual.studies.analyses import optimum, parameters
from perceptual.studies.figures import drawn, published, style, sweeps


def gains(data):
  """Gains of the best of each sweep over the default, with 95% intervals; published ones beside."""
  found = optimum.gains(data.configurations())
  drawn.require(found, "gains", "networks out of the box, and a sweep of the same network")
  stated = published.GAINS if data.comparable else {}
  rows = []
  for row in found:
    shown = {name: drawn.rounded(value) if isinstance(value, float) else value
             for name, value in row.items()}
    rows.append({**shown, "published_gain": stated.get(row["network"], {}).get(row["parameter"])})
  missing = [f"{style.network_name(network)}: sweep of {parameters.title(parameter)}, "
             "or the network out of the box" for parameter in optimum.TABLE_1
             for network in sweeps.expected(parameter)
             if not any((row["network"], row["parameter"]) == (network, parameter)
                        for row in rows)]
  return drawn.Drawn(None, rows, missing)


def as_latex(rows):
  """Returns the rows of `gains` as a LaTeX table, published gains in brackets."""
  columns = [name for name in optimum.TABLE_1 if any(row["parameter"] == name for row in rows)]
  lines = [r"\begin{tabular}{l" + "r" * (len(columns) + 2) + "}", r"\toprule",
           " & ".join(["network", "default", *(parameters.PARAMETERS[name].title
                                               for name in columns), "best"]) + r" \\", r"\midrule"]
  for network in dict.fromkeys(row["network"] for row in rows):
    of_network = {row["parameter"]: row for row in rows if row["network"] == network}
    first = next(iter(of_network.values()))
    cells = [style.network_name(network), f"{first['default']:.1f}",
             *(_cell(of_network.get(name)) for name in columns),
             f"{max(row['score'] for row in of_network.values()):.1f}"]
    lines.append(" & ".join(cells) + r" \\")
  return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cell(row):
  if row is None:
    return "--"
  stated = row["published_gain"]
  return _signed(row["gain"]) + ("" if stated is None else f" [{_signed(stated)}]")


def _signed(value):
  """Returns a number with its sign; without one if it rounds to zero."""
  return f"${value:+.1f}$" if abs(value) >= 0.05 else "$0.0$"
