"""What `perceptual evaluate` does with the sets that `perceptual prepare judged` wrote."""

import dataclasses
import functools
import re

from perceptual.commands import command_line, compared_metrics
from perceptual.common import backends, packages
from perceptual.errors import UserError

PREFIX = "judged/"


@dataclasses.dataclass(frozen=True)
class Chosen:
  """One judged set that is scored.

  Attributes:
    judged: the `PreparedJudgements`.
    view: the `view.View` in which its images are compared.
    folder: where its results are written.
  """

  judged: object
  view: object
  folder: str


@dataclasses.dataclass(frozen=True)
class Request:
  """What the command line asks for.

  Attributes:
    datasets: `judged/NAME` or `judged/NAME:image_size=N,crop=N`, at least one.
    sources: the metrics.
    data_dir: the folder of prepared data sets.
    output_dir: the folder of the results.
    image_size: of sets that do not say their own, or None.
    crop: the same.
    distances: names of further distances between the features of networks.
    by_tap: whether each tap is scored too.
    report: whether pictures and the page are written.
    command: the command line as text.
    dry_run: whether to stop before anything is scored.
  """

  datasets: tuple[str, ...]
  sources: tuple[str, ...]
  data_dir: str
  output_dir: str
  image_size: int | None
  crop: int | None
  distances: tuple[str, ...]
  by_tap: bool
  report: bool
  command: str
  dry_run: bool


def run(request):
  """Scores metrics on judged sets, prints the leaderboard and writes it."""
  from perceptual.evaluation import answers, leaderboard, results

  chosen = _chosen(request)
  results.require_folder(request.output_dir)
  print(f"Scoring {', '.join(request.sources)} on {_listed(chosen)}.", flush=True)
  if request.dry_run:
    print(f"Dry run: nothing was scored; results would be in {request.output_dir}.")
    return
  metrics = compared_metrics.load(
      request.sources, distances=request.distances, by_onnx=not backends.installed())
  from perceptual.comparison import judged_pairs

  boards = {}
  for one in chosen:
    found = judged_pairs.measure(one.judged, metrics, view=one.view, per_tap=request.by_tap,
                                 output_dir=one.folder)
    board = leaderboard.score(answers.of(one.judged, str(one.view)), found, ranked=tuple(metrics))
    leaderboard.write(
        board, one.folder, settings={
            "metrics": list(request.sources), "data_dir": request.data_dir,
            **dataclasses.asdict(one.view)},
        fingerprints={label: metric.fingerprint for label, metric in metrics.items()})
    boards[board.judged.name] = board
  images = {name: functools.partial(_image, one) for name, one in zip(boards, chosen)}
  _show(boards, request.output_dir, report=request.report, command=request.command,
        images=images)


def rescore(folders, *, output_dir, report, command):
  """Computes every score again from the `distances.csv` of earlier evaluations.

  Args:
    folders: their output folders; several, of the same metrics, make one leaderboard.
    output_dir: the folder of the results.
    report: whether pictures and the page are written.
    command: the command line as text.
  """
  from perceptual.evaluation import distance_files, leaderboard

  boards = {}
  for folder in folders:
    judged, distances, ranked, kept = distance_files.read(folder)
    if judged.name in boards:
      raise UserError(f"{folder} is a second evaluation on judged/{judged.name}: give one of each.")
    boards[judged.name] = leaderboard.score(judged, distances, ranked=ranked)
    place = re.sub(r"[^\w.-]+", "-", judged.name)
    leaderboard.write(boards[judged.name],
                      output_dir if len(folders) == 1 else f"{output_dir}/{place}", **kept)
  _show(boards, output_dir, report=report, command=command)


def _chosen(request):
  from perceptual.data.judged import prepared

  found = []
  for dataset in request.datasets:
    name, view = _viewed(dataset, request)
    suffix = "".join(f"-{key}{value}" for key, value in dataclasses.asdict(view).items() if value)
    folder = f"{request.output_dir}/{name}{suffix}"
    found.append(Chosen(prepared.load_judged(name, request.data_dir), view, folder))
  if len({one.folder for one in found}) < len(found):
    raise command_line.UsageError("A --dataset is given twice.")
  if len(found) == 1:
    return [dataclasses.replace(found[0], folder=request.output_dir)]
  return found


def _viewed(dataset, request):
  """Returns the name of a set and its `View`."""
  from perceptual.data.images.view import View
  from perceptual.metrics import options

  source, texts = options.split(dataset.removeprefix(PREFIX))
  sizes = options.read(dataset, texts, {"image_size": options.INTEGER, "crop": options.INTEGER})
  return source, View(**{"image_size": request.image_size, "crop": request.crop, **sizes})


def _listed(chosen):
  return ", ".join(f"{PREFIX}{one.judged.name}{str(one.view) and ' '}{one.view}: "
                   f"{one.judged.size:,} examples" for one in chosen)


def _image(one, example, number):
  return one.view(one.judged.image(one.judged.examples[example, number]))


def _show(boards, output_dir, *, report, command, images=None):
  """Prints leaderboards, and writes what is not written yet."""
  from perceptual.evaluation import leaderboard, several_sets

  summary = None
  if len(boards) > 1:
    summary = several_sets.summarise(boards)
    several_sets.write(summary, output_dir)
  for board in boards.values():
    print(f"\n{leaderboard.text(board)}")
  if summary:
    print(f"\n{several_sets.text(summary)}")
  print(f"\nEvery distance and score: {output_dir}")
  if not report:
    return
  if not packages.is_installed("matplotlib"):
    print(f"No figures and no page: they need Matplotlib ({packages.install('report')}).")
    return
  from perceptual.evaluation import leaderboard_page

  leaderboard_page.write(boards, output_dir, summary=summary, images=images, command=command)
  print(f"As a page, and as PNG and SVG: {output_dir}/{leaderboard_page.FILE}")
