"""What a study says of the paper's claims, from its collected table: tables on screen and as CSV.

Is there an inverse U over training, at which accuracy is its peak, does the score fall with the
rate, do the deep taps carry the fall, do other distances score higher?
"""

import dataclasses

from perceptual import errors
from perceptual.common.text_table import aligned
from perceptual.studies.analyses import configurations, over_training
from perceptual.studies.analyses import table as tables
from perceptual.studies.figures import data

_SHOWN = 100  # rows of a table on screen; the CSV files hold all

_PEAKS = {"untrained": "untrained", "peak": "peak", "peak_epoch": "epoch", "peak_accuracy":
          "accuracy", "last": "last", "last_epoch": "epoch", "last_accuracy": "accuracy",
          "last_less_peak": "last less peak"}
_FALLS = {"from_epoch": "from epoch", "to_epoch": "to epoch", "from_rate": "from rate",
          "to_rate": "to rate", "accuracy_before": "accuracy", "accuracy_after": "then",
          "score_before": "score", "score_after": "then", "change": "change"}
_PAIRED = {"examples": "examples", "unseen": "unseen", "peak": "peak", "last": "last",
           "last_less_peak": "last less peak"}


@dataclasses.dataclass(frozen=True)
class Findings:
  """What a study says.

  Attributes:
    judged_set: the set that the scores are of.
    peaks: rows of `over_training.peaks`.
    rate_falls: rows of `over_training.rate_falls`.
    peak_to_last: rows of the analysis of that name, of the runs that were analysed.
  """

  judged_set: str
  peaks: list[dict]
  rate_falls: list[dict]
  peak_to_last: list[dict]


def read(study_dir, *, judged_set=None):
  """Returns the `Findings` of a study that was collected.

  Args:
    study_dir: the study's folder, `pathlib.Path`.
    judged_set: as `configurations.View` takes it.

  Raises:
    UserError: if it was not collected, or no run was scored at two steps of training.
  """
  path = data.collected(study_dir)
  table = configurations.View(judged_set=judged_set).rows_of_set(
      tables.read(path, either={"subset": configurations.MEAN}))
  curves = over_training.curves(table, judged_set=judged_set)
  if not curves:
    raise errors.UserError(f"{path} has no run that was scored at two steps of training.")
  data.gather(study_dir)
  scored_on = table["judged_set"][0]
  return Findings(scored_on, over_training.peaks(curves), over_training.rate_falls(curves),
                  _paired(study_dir / data.ANALYSES_FILE, scored_on))


def as_text(found):
  """Returns `Findings` as text: a table a question.

  Args:
    found: `Findings`.
  """
  headline = {"distance": "local", "tap": configurations.SUM}
  parts = [
      (f"Over training: 2AFC on {found.judged_set}, %, by the distance local over all taps",
       _rows(found.peaks, **headline), ("configuration", "seeds"), _PEAKS),
      ("By distance", _rows(found.peaks, tap=configurations.SUM), ("configuration", "distance"),
       _PEAKS),
      ("By tap, of the distance local", _rows(found.peaks, distance="local"),
       ("configuration", "tap"), _PEAKS),
      ("Where the learning rate steps down", _rows(found.rate_falls, **headline),
       ("configuration",), _FALLS),
      ("The best checkpoint and the last, example by example (unseen: none of these examples has "
       "chosen the best one)", _rows(found.peak_to_last, distance="local"), ("run", "tap"),
       _PAIRED)]
  texts = [f"{title}\n{_text(rows, names, columns)}" for title, rows, names, columns in parts
           if rows]
  return "\n\n".join([*texts, "In brackets: 95% intervals over seeds and triplets, on judged/NAME "
                      "over seeds and references; those of single runs over triplets or references "
                      "alone. The peak is the best of many noisy scores, and "
                      "so a little too high.\n"])


def write(found, folder):
  """Writes all rows of `Findings` as CSV into a folder."""
  for name in ("peaks", "rate_falls", "peak_to_last"):
    if rows := getattr(found, name):
      tables.write_csv(folder / f"{name}.csv", rows)


def _paired(path, judged_set):
  """Returns the gathered rows of `peak_to_last` on a judged set."""
  if not path.exists():
    return []
  table = tables.read(path, ("analysis", "run")).where(analysis="peak_to_last")
  if not {"judged_set", "unseen"} <= set(table.columns):
    return []
  table = table.where(judged_set=judged_set)
  names = ("run", "distance", "tap", "examples", "unseen", "peak", "last", "last_less_peak", "low",
           "high")
  return [{name: table[name][i] for name in names} for i in range(len(table))]


def _rows(rows, **values):
  return [row for row in rows if all(row[name] == value for name, value in values.items())]


def _text(rows, names, columns):
  head = [*names, *columns.values()]
  text = aligned([head, *([*(str(row[name]) for name in names),
                           *(_cell(row, name) for name in columns)] for row in rows[:_SHOWN])])
  return text if len(rows) <= _SHOWN else f"{text}\nand {len(rows) - _SHOWN:,} more"


def _cell(row, name):
  value = row[name]
  if value is None or isinstance(value, str):
    return value or ""
  if name == "examples":
    return f"{value:,.0f}"
  if name.endswith("rate"):
    return f"{value:.3g}"
  if name in ("last_less_peak", "change"):
    return f"{value:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
  if name == "peak" and "peak_low" in row:
    return f"{value:.1f} [{row['peak_low']:.1f}, {row['peak_high']:.1f}]"
  return f"{value:.4g}" if name.endswith("epoch") else f"{value:.1f}"
