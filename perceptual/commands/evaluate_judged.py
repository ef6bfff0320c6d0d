"""What `perceptual evaluate` does with the sets that `perceptual prepare judged` wrote."""

import dataclasses
import functools
import json
import re

from perceptual.commands import command_line, compared_metrics
from perceptual.common import backends, files, packages
from perceptual.errors import UserError
from perceptual.evaluation import own_sets


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
  backends.make_optional()  # ONNX Runtime may have all of the metrics
  from perceptual.comparison import scoring
  from perceptual.evaluation import answers, leaderboard

  chosen = _chosen(request)
  if any(one.judged.kind == "opinions" for one in chosen):
    packages.require("scipy", extra="report", purpose="Scoring opinions")
  _require_own_folders(chosen, request.output_dir)
  print(f"Scoring {', '.join(request.sources)} on {_listed(chosen)}.", flush=True)
  if request.dry_run:
    print(f"Dry run: nothing was scored; results would be in {request.output_dir}.")
    return
  metrics = compared_metrics.load(
      request.sources, distances=request.distances, by_onnx=not backends.installed())
  if request.by_tap and not any(map(scoring.taps, metrics.values())):
    raise command_line.UsageError(f"--by_tap is for networks: {', '.join(metrics)} "
                                  f"{'has' if len(metrics) == 1 else 'have'} no taps.")
  fingerprints = {label: metric.fingerprint for label, metric in metrics.items()}
  _require_own_folders(chosen, request.output_dir, metrics=tuple(metrics),
                       columns=_columns(metrics, request.by_tap), fingerprints=fingerprints)
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
        fingerprints=fingerprints)
    boards[board.judged.name] = board
  images = {name: functools.partial(_image, one) for name, one in zip(boards, chosen)}
  _show(boards, request.output_dir, summary=_summary(boards), report=request.report,
        command=request.command, images=images)


def rescore(folders, *, output_dir, report, command):
  """Computes every score again from the `distances.csv` of earlier evaluations.

  Args:
    folders: their output folders, one of several sets for those of each; several, of the same
      metrics, make one leaderboard.
    output_dir: the folder of the results.
    report: whether pictures and the page are written.
    command: the command line as text.
  """
  backends.make_optional()  # nothing is computed from images
  from perceptual.evaluation import distance_files, leaderboard, several_sets

  boards, kept, places = {}, {}, {}
  for folder in (found for given in folders for found in several_sets.folders_of(given)):
    judged, distances, ranked, about = distance_files.read(folder)
    if judged.name in boards:
      raise UserError(f"{folder} is a second evaluation on judged/{judged.name}: give one of each.")
    boards[judged.name] = leaderboard.score(judged, distances, ranked=ranked)
    kept[judged.name] = about
    places[judged.name] = f"{output_dir}/{_place(judged.name, about['settings'])}"
  if len(set(places.values())) < len(places):
    raise UserError(f"Sets of so similar names cannot have folders of their own in {output_dir}: "
                    f"{', '.join(places)}.")
  summary = _summary(boards)
  if summary is None:
    places = dict.fromkeys(places, output_dir)
  _require_own_places(boards, places, kept, output_dir, summary)
  for name, board in boards.items():
    leaderboard.write(board, places[name], **kept[name])
  _show(boards, output_dir, summary=summary, report=report, command=command)


def _require_own_folders(chosen, output_dir, *, metrics=None, **by):
  """Refuses an output folder that holds another evaluation."""
  from perceptual.comparison import journal
  from perceptual.evaluation import answers, distance_files, kept_apart

  judged = [answers.of(one.judged, str(one.view)) for one in chosen]
  if len(chosen) > 1:
    kept_apart.require_several(output_dir, [one.name for one in judged], metrics=metrics)
    _require_no_journal(output_dir)
  for one, its_answers in zip(chosen, judged):
    kept_apart.require_one(one.folder, its_answers, **by)
    folder = files.place(one.folder)
    if (folder / distance_files.SCORES).exists():
      continue
    if (folder / journal.FILE).exists():
      _require_journal_of(one, folder / journal.FILE)
    elif (folder / distance_files.DISTANCES).exists():
      kept_apart.refuse(folder, f"a {distance_files.DISTANCES} without {distance_files.SCORES}")


def _require_own_places(boards, places, kept, output_dir, summary):
  """Refuses folders for scores computed again that hold another evaluation."""
  from perceptual.evaluation import distance_files, kept_apart

  if summary is not None:
    kept_apart.require_several(output_dir, list(boards), metrics=summary.ranking)
    _require_no_journal(output_dir)
  for name, board in boards.items():
    sha256 = distance_files.record(board.judged, board.distances)["sha256"]
    kept_apart.require_one(places[name], board.judged, columns=tuple(board.distances),
                           fingerprints=kept[name]["fingerprints"], sha256=sha256)
    if not (files.place(places[name]) / distance_files.SCORES).exists():
      _require_no_journal(places[name])


def _require_no_journal(folder):
  from perceptual.comparison import journal
  from perceptual.evaluation import kept_apart, results

  if (results.require_folder(folder) / journal.FILE).exists():
    kept_apart.refuse(folder, f"the {journal.FILE} of another comparison")


def _require_journal_of(one, path):
  """Refuses the journal of a run on other images than those of a set in its view."""
  from perceptual.data.images.view import WHOLE
  from perceptual.evaluation import kept_apart

  try:
    first = json.loads(path.read_text("utf-8").splitlines()[1])
    file, stamp = files.resolved(first["files"][0]), first["stamps"][0]
  except (OSError, ValueError, KeyError, TypeError, IndexError):
    return  # no values yet, or damaged: the journal itself says so
  viewed = [] if one.view == WHOLE else list(one.view.stamp)
  if not file.is_relative_to(files.resolved(one.judged.directory)) or stamp[2:] != viewed:
    kept_apart.refuse(path.parent, f"the {path.name} of other images or of another size or crop")


def _columns(metrics, by_tap):
  from perceptual.comparison import scoring

  return tuple(column for label, metric in metrics.items() for column in (
      label, *(f"{label}/{tap}" for tap in (scoring.taps(metric) if by_tap else ()))))


def _place(name, settings):
  """Returns the name of the folder of a set beside others, from what its `scores.json` says."""
  from perceptual.data.images.view import View

  view = View(settings.get("image_size"), settings.get("crop"))
  bare = name.removesuffix(f" {view}") if str(view) else name
  return re.sub(r"[^\w.-]+", "-", f"{bare}{_suffix(view)}").lstrip(".")


def _suffix(view):
  return "".join(f"-{key}{value}" for key, value in dataclasses.asdict(view).items() if value)


def _summary(boards):
  from perceptual.evaluation import several_sets

  return several_sets.summarise(boards) if len(boards) > 1 else None


def _chosen(request):
  from perceptual.data.judged import prepared

  found = []
  for dataset in request.datasets:
    name, view = own_sets.viewed(dataset, image_size=request.image_size, crop=request.crop)
    folder = f"{request.output_dir}/{name}{_suffix(view)}"
    found.append(Chosen(prepared.load_judged(name, request.data_dir), view, folder))
  if len({one.folder for one in found}) < len(found):
    raise command_line.UsageError("A --dataset is given twice.")
  if len(found) == 1:
    return [dataclasses.replace(found[0], folder=request.output_dir)]
  return found


def _listed(chosen):
  return ", ".join(f"{own_sets.PREFIX}{one.judged.name}{str(one.view) and ' '}{one.view}: "
                   f"{one.judged.size:,} examples" for one in chosen)


def _image(one, example, number):
  return one.view(one.judged.image(one.judged.examples[example, number]))


def _show(boards, output_dir, *, summary, report, command, images=None):
  """Prints leaderboards, and writes what is not written yet."""
  from perceptual.evaluation import leaderboard, several_sets

  if summary:
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
