"""Loads what an analysis needs, and no more: run directories, metrics, judged sets, images."""

import dataclasses

from perceptual import loading
from perceptual.common.files import local_copy, resolved, size
from perceptual.data.judged import judged_sets
from perceptual.errors import UserError, unknown
from perceptual.evaluation import own_sets
from perceptual.experiments import config
from perceptual.studies.analyses import by_reference, measuring, registry
from perceptual.studies.analyses import table as tables
from perceptual.training import model_dir

FOLDER = "analyses"  # of a run directory: what was found of it
# Columns that say of what rows are.
MARKS = ("analysis", "run", "network", "checkpoint", "step", "judged_set")


@dataclasses.dataclass(frozen=True)
class Sources:
  """Where what an analysis needs comes from.

  Attributes:
    model_dirs: run directories.
    metrics: what `loading.load_metric` takes, as text.
    checkpoint: one of `model_dir.CHECKPOINTS`, or a `step-N` that was kept.
    dataset: name of a judged set, as `judged_set` takes it; None for none.
    data_dir: the folder of prepared data sets; None for the demo's.
    table: path of a collected table; None for none.
    distance: the distance between features.
    limit: at most this many images, and triplets of each subset; None for all.
  """

  model_dirs: tuple[str, ...] = ()
  metrics: tuple[str, ...] = ()
  checkpoint: str = "best_score"
  dataset: str | None = None
  data_dir: str | None = None
  table: str | None = None
  distance: str = "local"
  limit: int | None = None


def analyse(analysis, sources):
  """Returns the rows of an analysis, each marked with the analysis and the run.

  Raises:
    UserError: as `inputs` and `registry.run`, or if there is nothing to analyse.
  """
  given = inputs(analysis, sources)
  rows = registry.run(analysis, given)
  if not rows:
    raise UserError(f"The table holds no run for the analysis {analysis}.")
  about = {"analysis": analysis, **identity(sources), **_distance(analysis, sources)}
  if given.judged_set is not None:
    about["judged_set"] = given.judged_set.name
  return [{**about, **row} for row in rows]


def rows_there(path, analysis, sources, judged_set):
  """Returns the rows of a file of an analysis: (those that are asked for, the others).

  Args:
    path: the file; without it there are none.
    analysis: name of the analysis.
    sources: `Sources`, whose checkpoint and distance are asked for.
    judged_set: the name of the set, as rows are marked with it; None for all.

  Raises:
    UserError: if the file is damaged.
  """
  there = tables.read(path, ("analysis", "run")).rows() if path.exists() else []
  wanted = {"checkpoint": sources.checkpoint, **_distance(analysis, sources),
            **({} if judged_set is None else {"judged_set": judged_set})}
  own = [all(row.get(name) == value for name, value in wanted.items()) for row in there]
  return ([row for row, is_own in zip(there, own) if is_own],
          [row for row, is_own in zip(there, own) if not is_own])


def inputs(analysis, sources):
  """Returns `registry.Inputs` with what an analysis needs, as far as its sources are given.

  Args:
    analysis: name of an analysis.
    sources: `Sources`.

  Raises:
    UserError: if a source is wrong, or run directories hold different networks.
  """
  needs = registry.get(analysis).needs
  found = {"distance": sources.distance}
  if "table" in needs and sources.table is not None:
    found["table"] = tables.read(sources.table)
  if "judged_set" in needs and sources.dataset is not None:
    if own_sets.is_own(sources.dataset) and not registry.get(analysis).takes_own:
      raise UserError(f"The analysis {analysis} takes one of {', '.join(judged_sets.DATASETS)}, "
                      f"not {sources.dataset}.")
    found["judged_set"] = judged_set(
        sources.dataset, data_dir=sources.data_dir, limit=sources.limit)
  if "metrics" in needs and (sources.metrics or sources.model_dirs):
    if not registry.get(analysis).compares:
      require_one_network(sources)
    found["metrics"] = _metrics(sources)
  if "last_metrics" in needs and sources.model_dirs:
    found["last_metrics"] = _metrics(dataclasses.replace(sources, checkpoint="last"))
    if "judged_set" in found:
      seen = [_triplets_seen(path, found["judged_set"]) for path in sources.model_dirs]
      found["unseen_from"] = None if None in seen else max(seen)
  if "classifiers" in needs and sources.model_dirs:
    require_one_network(sources)
    found["classifiers"] = tuple(
        measuring.classifier(model_dir.load_network(path, sources.checkpoint)[0])
        for path in sources.model_dirs)
  if "images" in needs:
    found |= _images(sources)
  return registry.Inputs(**found)


def judged_set(name, *, data_dir=None, limit=None):
  """Returns a judged set by name: `judged_sets.JudgedSet`, or a `by_reference.OwnSet`.

  Args:
    name: one of `judged_sets.DATASETS`, or `judged/NAME`, which may have a view of its own:
      `judged/NAME:image_size=64,crop=48`.
    data_dir: the folder of prepared data sets.
    limit: at most this many triplets of each subset; None for all. `judged/NAME` is taken whole.

  Raises:
    UserError: as `judged_sets.load` and `by_reference.load`.
  """
  if own_sets.is_own(name):
    return by_reference.load(name, data_dir)
  if name not in judged_sets.DATASETS:
    raise unknown("judged set", name, (*judged_sets.DATASETS, f"{own_sets.PREFIX}NAME"))
  return judged_sets.load(name, data_dir=data_dir, limit=limit)


def require_one_network(sources):
  """Raises `UserError` unless all run directories hold one network, with the same options."""
  networks = {path: model_dir.ModelDir(path).read_network() for path in sources.model_dirs}
  paths = list(networks)
  for path in paths[1:]:
    if networks[path] != networks[paths[0]]:
      raise UserError(f"Run directories of one analysis must hold one network: {paths[0]} has "
                      f"{networks[paths[0]]}, {path} has {networks[path]}.")


def identity(sources):
  """Returns what a run directory's rows are marked with: run, network and step.

  Of several, the run is all their names; without one, nothing is known.
  """
  if not sources.model_dirs:
    return {}
  names = [resolved(path).name for path in sources.model_dirs]
  latest = model_dir.ModelDir(sources.model_dirs[0]).require_latest(sources.checkpoint)
  network, _ = model_dir.ModelDir(sources.model_dirs[0]).read_network()
  return {"run": " ".join(names), "network": network, "checkpoint": sources.checkpoint,
          "step": int(latest.rpartition("-")[2])}


def _distance(analysis, sources):
  """Returns the distance with which rows are marked, of analyses of one."""
  return {"distance": sources.distance} if registry.get(analysis).of_distance else {}


def _metrics(sources):
  metrics = {name: loading.load_metric(name) for name in sources.metrics}
  for path in sources.model_dirs:
    metrics[str(path)] = loading.load_chosen(model_dir=path, checkpoint=sources.checkpoint)
  return metrics


def _triplets_seen(path, judged_set):
  """Returns how many triplets at the beginning of each subset chose a run's best checkpoint.

  None stands for all: in some subset there is no other.
  """
  folder = model_dir.ModelDir(path)
  score = (folder.read_run() or {}).get("score", {})
  if score.get("judged_set") != judged_set.name:
    return 0
  _parse_config(folder)
  limit = config.judged()[2]
  some_left = limit is not None and all(subset.size > limit for subset in judged_set.subsets)
  return limit if some_left else None


def _images(sources):
  """Returns the validation images that the first run was trained beside, or the prepared ones."""
  if sources.model_dirs:
    _parse_config(model_dir.ModelDir(sources.model_dirs[0]))
    images = config.images(sources.data_dir)
    augmentation = config.train_settings().augmentation
  else:
    source = "demo" if sources.data_dir is None else "imagenet64"
    config.parse([], [f"images.source = {source!r}"])
    images, augmentation = config.images(sources.data_dir), None
  return {"images": measuring.validation_arrays(
      images, augmentation=augmentation, limit=sources.limit), "num_classes": images.num_classes}


def _parse_config(folder):
  """Reads the gin file of a run."""
  path = folder.path / "config.gin"
  if not size(path):
    raise UserError(f"{path} is missing or empty: it says how the run was made.")
  with local_copy(path) as local:
    config.parse([local])
