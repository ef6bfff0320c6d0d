"""The runs of a study: what its gin files say, spelled out.

A run is called by its network (by its task, where one trains with a loss), by what differs from its
base file, and by its seed: `resnet6-width0.25-seed1`. A value that is the base file's own is left
out, so a run that several sweeps ask for, as the default of each, has one name and is made once.
"""

import dataclasses
import itertools

from perceptual import errors
from perceptual.experiments import config, sweeps
from perceptual.tasks import judgements

PIXELS = "pixels"  # in the place of a network: a loss of pixels alone
STUDY_DIR = "{study_dir}"  # in a value: the folder of the study

_LOSS = "loss.metric"


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of a study.

  Attributes:
    index: its number in the study, from 0.
    name: its name, and that of its folder.
    kind: `train`, `learn`, `task`, or `judge`, which trains nothing and scores its loss.
    base: its gin file.
    bindings: further gin bindings, as `network.width = 0.25`, in the order in which they apply.
    network: name of the network; of kind `task` and `judge`, of what the loss is made with, or
      `pixels`.
    seed: its seed.
    values: binding -> value of every binding that varies in the study; None where it has no value.
    varied: those of `values` in which the run differs from its base file.
    studies: names of the study and of the included ones that ask for this run.
    trunk: of kind `learn`: name of the run whose network is learned on.
    trunk_checkpoint: of kind `learn`: which of its checkpoints.
  """

  index: int
  name: str
  kind: str
  base: str
  bindings: tuple[str, ...]
  network: str
  seed: int
  values: dict
  varied: tuple[str, ...]
  studies: tuple[str, ...]
  trunk: str | None = None
  trunk_checkpoint: str | None = None

  @property
  def has_loss(self):
    """Whether it is of a loss, whose measures are collected, and not of a network with scores."""
    return self.kind in ("task", "judge")

  @property
  def identity(self):
    """What makes this run another run if it changes, as plain data."""
    return {"kind": self.kind, "base": self.base, "bindings": list(self.bindings),
            "trunk": self.trunk, "trunk_checkpoint": self.trunk_checkpoint}

  @property
  def builds_on_others(self):
    """Whether it needs what another run of the study leaves: a trunk, or a file in its folder."""
    return self.trunk is not None or any(STUDY_DIR in binding for binding in self.bindings)

  def parse(self, study_dir):
    """Reads the run's gin files and bindings, with `study_dir` in the place of `{study_dir}`."""
    config.parse([self.base], [binding.replace(STUDY_DIR, str(study_dir))
                               for binding in self.bindings])


@dataclasses.dataclass(frozen=True)
class Study:
  """A study.

  Attributes:
    name: its name.
    columns: the bindings that vary in it.
    runs: its `Run`s, by index.
    note: a sentence about it for whoever plans it; None for none.
  """

  name: str
  columns: tuple[str, ...]
  runs: tuple[Run, ...]
  note: str | None = None

  def run(self, name):
    """Returns the run of a name, None if there is none."""
    return next((run for run in self.runs if run.name == name), None)


def read(file):
  """Returns the `Study` of a gin file.

  Raises:
    UserError: if the file or one it includes is missing or wrong, two different runs have one name,
      or there is no run that a learned one builds on.
  """
  asked, parts = _parts(file, including=())
  name = asked.name
  if not parts:
    raise errors.UserError(f"The study {file} has no runs.")
  columns = tuple(dict.fromkeys(
      binding for _, _, sweep in parts
      for binding in (*sweep.vary, *(key for point in sweep.points.values() for key in point))))
  found = {}
  for study, fixed, sweep in parts:
    for run in _runs(study, fixed, sweep, columns):
      _add(found, run, name)
  runs = tuple(dataclasses.replace(run, index=index) for index, run in enumerate(found.values()))
  for run in runs:
    if run.trunk is not None and run.trunk not in found:
      raise errors.UserError(f"The run {run.name} learns on {run.trunk}, which is not a run of the "
                             f"study {name}.")
  return Study(name, columns, runs, asked.note)


def _parts(file, including):
  """Returns the file's `sweeps.Study` and its (study name, fixed bindings, sweep)s.

  Those of included files come first.
  """
  if file in including:
    raise errors.UserError(f"The study {file} includes itself: {' -> '.join((*including, file))}.")
  config.parse([file])
  study = config.study()
  config.check_used(config.STUDY)
  parts = []
  for other in study.include:
    parts += [(part, {**fixed, **study.bindings}, sweep)
              for part, fixed, sweep in _parts(other, (*including, file))[1]]
  parts += [(study.name, study.bindings, sweep) for sweep in study.sweeps]
  return study, parts


def _add(found, run, study):
  """Adds a run to those found by name, or its study to the same run that is there already."""
  there = found.setdefault(run.name, run)
  if there is run:
    return
  if there.identity != run.identity:
    differ = sorted(set(there.bindings) ^ set(run.bindings)) or [there.base, run.base]
    raise errors.UserError(f"Two runs of the study {study} are called {run.name} and differ: "
                           f"{'; '.join(differ)}. Give one a point of its own name.")
  found[run.name] = dataclasses.replace(
      there, studies=tuple(dict.fromkeys([*there.studies, *run.studies])))


def _runs(study, fixed, sweep, columns):
  """Yields the runs of one sweep, index 0, in the order base, point, values, seed."""
  for base in sweep.bases:
    common = {**fixed, **sweep.bindings}
    config.parse([base], _as_gin(common))
    kind, subject = _kind_and_subject(sweep)
    loss = config.value(_LOSS)
    defaults = {binding: config.value(binding) for binding in columns}
    for point in sweep.points or {"": {}}:
      for values in itertools.product(*sweep.vary.values()):
        varied = {**sweep.points.get(point, {}), **dict(zip(sweep.vary, values))}
        varied = {binding: value for binding, value in varied.items()
                  if not _equal(value, defaults[binding])}
        labels = _labels(point, sweep, varied)
        for seed in sweep.seeds:
          name = "-".join([subject, *labels, f"seed{seed}"])
          seeded = {sweeps.SEEDS[kind]: seed} if kind in sweeps.SEEDS else {}
          own = {"kind": kind, "base": base, "name": name,
                 "bindings": _as_gin({**common, **varied, **seeded})}
          if sweep.learn:
            own = {"kind": "learn", "base": sweep.learn, "name": f"{name}-lin", "trunk": name,
                   "bindings": _as_gin({**fixed, sweeps.SEEDS["learn"]: seed}),
                   "trunk_checkpoint": sweep.trunk_checkpoint}
          network = subject if kind == "train" else varied.get(_LOSS, loss) or PIXELS
          yield Run(index=0, network=network, seed=seed, values={**defaults, **varied},
                    varied=tuple(varied), studies=(study,), **own)


def _kind_and_subject(sweep):
  """What a sweep does with the base file that was parsed, and what its runs' names begin with."""
  if sweep.judge:
    return "judge", judgements.NAME
  if config.is_task():
    return "task", config.task_name()
  return "train", config.network()[0]


def _labels(point, sweep, varied):
  """What a run's name says of its values: the point's name, then each value that differs."""
  labels = [point] if any(binding in varied for binding in sweep.points.get(point, ())) else []
  labels += [f"{binding.rpartition('.')[2]}{_text(binding, varied[binding])}"
             for binding in sweep.vary if binding in varied]
  return labels


def _text(binding, value):
  is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
  text = f"{value:g}" if is_number else str(value)
  if not sweeps.NAME.fullmatch(text):
    raise errors.UserError(f"The value {value!r} of {binding} cannot stand in a run's name: put it "
                           "into sweep.points, under a name of its own.")
  return text


def _equal(value, default):
  if isinstance(value, (tuple, list)) and isinstance(default, (tuple, list)):
    return list(value) == list(default)
  return value == default and isinstance(value, bool) == isinstance(default, bool)


def _as_gin(bindings):
  """Returns bindings as gin's text, a tuple."""
  return tuple(
      f"{binding} = {value}" if isinstance(value, str) and value[:1] in ("@", "%")
      else f"{binding} = {value!r}" for binding, value in bindings.items())
