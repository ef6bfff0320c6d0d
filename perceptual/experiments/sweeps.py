"""Studies as data: which runs there are, said by base files and the values that vary.

    study.name = 'width'
    study.sweeps = [@resnets/sweep()]
    resnets/sweep.bases = ['gin/runs/resnet6.gin', 'gin/runs/resnet50.gin']
    resnets/sweep.vary = {'network.width': [0.25, 0.5]}
    resnets/sweep.seeds = [0, 1, 2]

These classes hold what a file says; `studies.definition` makes the runs of it.
"""

import dataclasses
import re

from perceptual import errors

NAME = re.compile(r"[A-Za-z0-9_.+-]+")  # of a study, a run or a point: it names a folder
SEEDS = {"train": "train.seed", "learn": "learn.seed", "task": "fit.seed"}  # by the kind of a run
_BINDING = re.compile(r"(?:[A-Za-z_]\w*/)*[A-Za-z_]\w*\.[A-Za-z_]\w*")


@dataclasses.dataclass(frozen=True)
class Sweep:
  """The runs of some base files with some bindings varied: every combination, with every seed.

  Values are what gin would read. A string that begins with `@` or `%` is a reference, as
  `'@class_subset()'`, and `{study_dir}` in a string stands for the study's folder.

  Attributes:
    bases: run files of `perceptual train`.
    vary: binding -> list of its values.
    points: name -> {binding: value}: several bindings that go together, or values too long for a
      name. Every point is combined with every combination of `vary`. Empty for none.
    bindings: binding -> value, the same in all these runs.
    seeds: seeds of the runs (`train.seed`, or `learn.seed`).
    learn: a run file of `perceptual learn`; None to train. Then the runs learn a metric, each on
      the trunk that the run of this sweep without `learn` has trained.
    trunk_checkpoint: the checkpoint of that trunk.
    judge: whether nothing is trained: each run scores its loss (`loss`) on judged sets (`judged`).
  """

  bases: tuple[str, ...] = ()
  vary: dict = dataclasses.field(default_factory=dict)
  points: dict = dataclasses.field(default_factory=dict)
  bindings: dict = dataclasses.field(default_factory=dict)
  seeds: tuple[int, ...] = (0,)
  learn: str | None = None
  trunk_checkpoint: str = "last"
  judge: bool = False

  def __post_init__(self):
    _require_names("sweep.bases", self.bases)
    _require_bindings("sweep.vary", self.vary)
    for binding, values in self.vary.items():
      if not isinstance(values, (tuple, list)) or not values:
        raise errors.UserError(f"sweep.vary: {binding} needs a list of values, not {values!r}.")
      _require_distinct(f"sweep.vary: {binding}", values)
    if not isinstance(self.points, dict):
      raise errors.UserError(f"sweep.points must be {{name: {{binding: value}}}}, "
                             f"not {self.points!r}.")
    for name, bindings in self.points.items():
      require_name("sweep.points", name)
      _require_bindings(f"sweep.points[{name!r}]", bindings)
    _require_bindings("sweep.bindings", self.bindings)
    if not isinstance(self.seeds, (tuple, list)) or not self.seeds:
      raise errors.UserError(f"sweep.seeds must be a list of seeds, not {self.seeds!r}.")
    for seed in self.seeds:
      errors.require_integer("Each of sweep.seeds", seed, at_least=0, below=2**32)
    _require_distinct("sweep.seeds", self.seeds)
    errors.require_bool("sweep.judge", self.judge)
    if self.judge and self.learn is not None:
      raise errors.UserError("sweep.judge trains nothing and sweep.learn does: give one of them.")


@dataclasses.dataclass(frozen=True)
class Study:
  """A study: sweeps of its own, and those of other files.

  Attributes:
    name: what the study is called.
    sweeps: `Sweep`s, in gin `[@mine/sweep()]`.
    include: gin files of other studies, whose runs are this study's too.
    bindings: binding -> value, the same in all runs, the included ones too: what is scored, and
      how often.
    note: a sentence about the whole study that `perceptual study plan` prints; None for none.
  """

  name: str | None = None
  sweeps: tuple[Sweep, ...] = ()
  include: tuple[str, ...] = ()
  bindings: dict = dataclasses.field(default_factory=dict)
  note: str | None = None

  def __post_init__(self):
    require_name("study.name", self.name)
    if self.note is not None and not isinstance(self.note, str):
      raise errors.UserError(f"study.note must be a sentence, not {self.note!r}.")
    if not isinstance(self.sweeps, (tuple, list)):
      raise errors.UserError(f"study.sweeps must be a list of @NAME/sweep(), not {self.sweeps!r}.")
    for sweep in self.sweeps:
      if isinstance(sweep, type):  # a reference that is not called
        raise errors.UserError("study.sweeps: write @NAME/sweep() with its brackets.")
      errors.require_kind("study.sweeps", sweep, {"sweep": Sweep})
    if not (self.sweeps or self.include):
      raise errors.UserError("A study needs runs: study.sweeps, a list of @NAME/sweep(), or "
                             "study.include, a list of gin files of studies.")
    if self.include:
      _require_names("study.include", self.include)
    _require_bindings("study.bindings", self.bindings)


def require_name(what, name):
  """Raises `UserError` unless `name` can name a folder."""
  if not isinstance(name, str) or not NAME.fullmatch(name) or not name.strip("."):
    raise errors.UserError(f"{what} must be a name of letters, digits, '_', '.', '+' and '-', "
                           f"not {name!r}.")


def _require_names(what, files):
  if not isinstance(files, (tuple, list)) or not files or not all(
      isinstance(file, str) for file in files):
    raise errors.UserError(f"{what} must be a list of gin files, not {files!r}.")


def _require_bindings(what, bindings):
  if not isinstance(bindings, dict):
    raise errors.UserError(f"{what} must be {{binding: value}}, not {bindings!r}.")
  for binding in bindings:
    if not isinstance(binding, str) or not _BINDING.fullmatch(binding):
      raise errors.UserError(f"{what}: {binding!r} is not a binding such as 'network.width'.")
    if binding in SEEDS.values():
      raise errors.UserError(f"{what}: {binding} is what sweep.seeds gives each run.")


def _require_distinct(what, values):
  """Raises `UserError` if a value stands twice in a list: it would make one run, not two."""
  for place, value in enumerate(values):
    if any(value == other and type(value) is type(other) for other in values[:place]):
      raise errors.UserError(f"{what} has {value!r} twice.")
