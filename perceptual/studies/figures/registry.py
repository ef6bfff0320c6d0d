"""The figures by name, and the drawing of them: vector, PNG, and a CSV of exactly what is drawn.

Names say what a figure shows: the paper's own numbers are not taken over. `gains` is its Table 1.
"""

import dataclasses
import pathlib
from collections.abc import Callable

from perceptual import errors
from perceptual.common import files
from perceptual.studies.analyses import table as tables
from perceptual.studies.figures import (
    ablations,
    features,
    gains,
    scatter,
    style,
    sweeps,
    training,
)
from perceptual.studies.figures.data import MissingData

FORMATS = ("pdf", "svg", "png")
DPI = 200
LACKS = "lacks.csv"
_SHOWN = 3  # runs that a figure lacks, on screen


@dataclasses.dataclass(frozen=True)
class Figure:
  """One figure.

  Attributes:
    title: one line.
    draw: from `data.StudyData` to `drawn.Drawn`.
  """

  title: str
  draw: Callable


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of one figure.

  Attributes:
    name: its name.
    files: the files written; none if it could not be drawn.
    rows: what is drawn.
    lacks: what the study has not run, one line each.
  """

  name: str
  files: tuple[pathlib.Path, ...]
  rows: list[dict]
  lacks: tuple[str, ...]


FIGURES = {
    "out_of_the_box": Figure("Networks trained by their recipes", scatter.out_of_the_box),
    "subsets": Figure("Subsets of the judged set", scatter.subsets),
    "all_runs": Figure("All configurations", scatter.all_runs),
    "train_steps": Figure("Number of training steps", sweeps.train_steps),
    "width_and_depth": Figure("Width and depth", sweeps.width_and_depth),
    "regularization": Figure("Weight decay, central crop, dropout, label smoothing",
                             sweeps.regularization),
    "training": Figure("Score and accuracy over training", training.training),
    "over_training": Figure("Score against accuracy over training", training.over_training),
    "layers": Figure("Scores of single layers", training.layers),
    "functions": Figure("Perceptual functions", features.functions),
    "shallow": Figure("Few layers, and no skip connections", ablations.shallow),
    "class_subsets": Figure("Subsets of the classes", ablations.class_subsets),
    "inputs": Figure("Noise, AutoAugment and larger images", ablations.inputs),
    "sensitivity": Figure("Distortion sensitivity", features.sensitivity),
    "spatial_frequency": Figure("Spatial frequencies", features.spatial_frequency),
    "entropy": Figure("Entropy of features", features.feature_entropy),
    "dynamic_range": Figure("Dynamic range of the score", features.dynamic_range),
    "gains": Figure("Gains over the networks out of the box (Table 1)", gains.gains),
}


def draw(name, data, output_dir, *, formats=FORMATS, dpi=DPI):
  """Draws one figure into a folder: NAME.pdf, NAME.svg, NAME.png and NAME.csv.

  Of the table `gains` NAME.tex and NAME.csv are written.

  Args:
    name: one of `FIGURES`.
    data: `data.StudyData`.
    output_dir: the folder, made if it is not there.
    formats: which of `FORMATS`.
    dpi: of the PNG.

  Returns:
    An `Outcome`.

  Raises:
    MissingData: the study lacks all runs of this figure.
    UserError: the name is unknown.
  """
  if name not in tuple(FIGURES):
    raise errors.unknown("figure", name, FIGURES)
  folder = files.place(output_dir)
  with style.context():
    found = FIGURES[name].draw(data)
    if found.figure is None:
      written = [folder / f"{name}.tex"]
      files.write_text(written[0], gains.as_latex(found.rows))
    else:
      written = _save(found.figure, folder / name, formats, dpi)
  written.append(folder / f"{name}.csv")
  tables.write_csv(written[-1], found.rows)
  return Outcome(name, tuple(written), found.rows, tuple(found.lacks))


def draw_all(data, output_dir, *, names=None, formats=FORMATS, dpi=DPI, report=lambda line: None):
  """Draws figures, going on where one lacks its runs; lacks.csv is what each of them lacks.

  Args:
    data: `data.StudyData`.
    output_dir: the folder.
    names: which of `FIGURES`; None for all.
    formats: see `draw`.
    dpi: see `draw`.
    report: called with a line about each figure.

  Returns:
    A list of `Outcome`, in the order of the names; without files where a figure was not drawn.
  """
  outcomes = []
  for name in FIGURES if names is None else names:
    try:
      outcomes.append(draw(name, data, output_dir, formats=formats, dpi=dpi))
    except MissingData as error:
      outcomes.append(Outcome(name, (), [], (str(error),)))
    report(_line(outcomes[-1]))
  files.write_csv(files.place(output_dir) / LACKS, ["figure", "lacks"], [
      [outcome.name, line] for outcome in outcomes for line in outcome.lacks])
  return outcomes


def _save(figure, stem, formats, dpi):
  """Writes a figure in each format; returns the paths."""
  figure.draw_without_rendering()
  figure.set_layout_engine("none")  # laid out, once for all formats
  written = [stem.with_name(f"{stem.name}.{extension}") for extension in formats]
  for path, extension in zip(written, formats):
    with files.beside(path) as temporary:
      figure.savefig(temporary, dpi=dpi, metadata=_NO_DATE[extension])
  return written


# So that equal tables give equal files.
_NO_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


def _line(outcome):
  if not outcome.files:
    return f"{outcome.name}: not drawn. {outcome.lacks[0]}"
  line = f"{outcome.name}: {len(outcome.rows)} rows drawn"
  if outcome.lacks:
    line += f"; lacks {len(outcome.lacks)}: {'; '.join(outcome.lacks[:_SHOWN])}"
  if len(outcome.lacks) > _SHOWN:
    line += f"; and so on, see {LACKS}"
  return line
