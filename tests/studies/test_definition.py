"""A study spelled out: names, bindings, what is made once, and every mistake as one line."""

import pytest

from perceptual.errors import UserError
from perceptual.experiments import config
from perceptual.studies import definition

from .conftest import STUDY


def _names(study):
  return [run.name for run in study.runs]


def test_runs_have_names_that_tell_what_they_are(write):
  study = definition.read(write("""
study.name = 'all'
study.sweeps = [@a/sweep()]
a/sweep.bases = ['BASE']
a/sweep.vary = {'network.width': [0.1, 0.2], 'train.weight_decay': [1e-4, 1e-05]}
a/sweep.seeds = [0, 3]
"""))
  assert _names(study) == [
      "resnet2-seed0", "resnet2-seed3",
      "resnet2-weight_decay1e-05-seed0", "resnet2-weight_decay1e-05-seed3",
      "resnet2-width0.2-seed0", "resnet2-width0.2-seed3",
      "resnet2-width0.2-weight_decay1e-05-seed0", "resnet2-width0.2-weight_decay1e-05-seed3"]
  assert [run.index for run in study.runs] == list(range(8))
  assert study.columns == ("network.width", "train.weight_decay")
  last = study.runs[-1]
  assert last.bindings == ("network.width = 0.2", "train.weight_decay = 1e-05", "train.seed = 3")
  assert last.values == {"network.width": 0.2, "train.weight_decay": 1e-5}
  assert last.varied == ("network.width", "train.weight_decay")
  first = study.runs[0]
  assert first.values == {"network.width": 0.1, "train.weight_decay": 1e-4}
  assert (first.varied, first.bindings) == ((), ("train.seed = 0",))


def test_a_run_reads_what_its_bindings_say(write):
  run = definition.read(write()).run("resnet2-width0.2-seed0")
  run.parse("anywhere")
  assert config.network() == ("resnet2", {"width": 0.2})
  settings = config.train_settings()
  assert (settings.score_steps, settings.train_steps, settings.seed) == ([1], 2, 0)


def test_points_have_names_and_go_with_every_value(write):
  study = definition.read(write("""
study.name = 'points'
study.sweeps = [@a/sweep()]
a/sweep.bases = ['BASE']
a/sweep.vary = {'class_subset.count': [5, 10]}
a/sweep.bindings = {'images.classes': '@class_subset()'}
a/sweep.points = {
    'random': {'class_subset.choose': 'random'},
    'top': {'class_subset.choose': 'top', 'class_subset.accuracies': '{study_dir}/x.csv'},
}
"""))
  assert _names(study) == ["resnet2-random-count5-seed0", "resnet2-random-count10-seed0",
                           "resnet2-top-count5-seed0", "resnet2-top-count10-seed0"]
  run = study.runs[-1]
  assert "images.classes = @class_subset()" in run.bindings
  run.parse("/some/folder")
  assert config.value("class_subset.accuracies") == "/some/folder/x.csv"


def test_a_run_of_several_studies_is_made_once(write):
  write("study.name = 'depths'\nstudy.sweeps = [@a/sweep()]\na/sweep.bases = ['BASE']\n"
        "a/sweep.seeds = [0, 1]", "other.gin")
  widths = write(STUDY, "widths.gin")
  study = definition.read(write(
      f"study.name = 'both'\nstudy.include = ['{widths}', '{widths[:-10]}other.gin']\n"
      "study.bindings = {'train.score_steps': [1], 'train.eval_interval': 1}"))
  assert _names(study) == ["resnet2-seed0", "resnet2-width0.2-seed0", "resnet2-seed1"]
  assert [run.studies for run in study.runs] == [("micro", "depths"), ("micro",), ("depths",)]
  assert all("train.eval_interval = 1" in run.bindings for run in study.runs)


def test_a_learned_metric_has_its_trunk_in_the_study(write):
  text = STUDY.replace("@widths/sweep()", "@widths/sweep(), @learned/sweep()") + (
      "learned/sweep.bases = ['BASE']\nlearned/sweep.learn = 'gin/studies/bases/lin_small.gin'\n"
      "learned/sweep.seeds = SEEDS")
  study = definition.read(write(text.replace("SEEDS", "[0]")))
  run = study.runs[-1]
  assert (run.name, run.kind, run.trunk, run.trunk_checkpoint) == (
      "resnet2-seed0-lin", "learn", "resnet2-seed0", "last")
  assert "learn.seed = 0" in run.bindings
  with pytest.raises(UserError, match="resnet2-seed5-lin learns on resnet2-seed5, which is not"):
    definition.read(write(text.replace("SEEDS", "[5]")))


@pytest.mark.parametrize(("old", "new", "culprit"), [
    ("'micro'", "'mi cro'", "study.name must be a name of letters"),
    ("'micro'", "'..'", "study.name must be a name of letters"),
    ("[0.1, 0.2]", "0.1", "network.width needs a list of values, not 0.1"),
    ("'network.width'", "'width'", "'width' is not a binding such as 'network.width'"),
    ("'network.width'", "'network.hight'", "Unknown option of resnet2 'hight'"),
    ("@widths/sweep()", "1", "study.sweeps must be Sweep, in gin @sweep"),
    ("[@widths/sweep()]", "[]", "A study needs runs: study.sweeps, "),
    ("['BASE']", "'BASE'", "sweep.bases must be a list of gin files"),
    ("['BASE']", "['nowhere.gin']", "There is no gin file nowhere.gin"),
    ("sweep.vary", "sweep.varied", "varied"),
    ("[0.1, 0.2]", "[0.1, [1, 2]]", "cannot stand in a run's name: put it into sweep.points"),
    ("study.bindings", "widths/sweep.seeds = [-1]\nstudy.bindings", "sweep.seeds .* not -1"),
    ("study.bindings", "widths/sweep.seeds = [3, 3]\nstudy.bindings", "^sweep.seeds has 3 twice"),
    ("[0.1, 0.2]", "[0.1, 0.10]", "^sweep.vary: network.width has 0.1 twice"),
    ("'network.width'", "'train.seed'", "^sweep.vary: train.seed is what sweep.seeds gives"),
    ("@widths/sweep()", "@widths/sweep", r"^study.sweeps: write @NAME/sweep\(\) with its brackets"),
    ("study.bindings", "widths/sweep.bindings = {'train.seed': 1}\nstudy.bindings",
     "^sweep.bindings: train.seed is what sweep.seeds gives"),
    ("study.bindings", "widths/sweep.points = {'a b': {}}\nstudy.bindings", "sweep.points must"),
    ("study.bindings", "widths/sweep.bindings = {'network.dropout': 0.5}\nother/sweep.bases = "
     "['BASE']\nstudy.sweeps = [@widths/sweep(), @other/sweep()]\nstudy.bindings",
     "Two runs of the study micro are called resnet2-seed0 and differ: network.dropout = 0.5"),
    ("study.bindings", "unused/sweep.seeds = [1]\nstudy.bindings",
     "bindings of unused/sweep have no effect"),
])
def test_mistakes_are_one_line(write, old, new, culprit):
  with pytest.raises(UserError, match=culprit) as caught:
    study = definition.read(write(STUDY.replace(old, new)))
    study.runs[-1].parse("anywhere")
    config.network()
  assert "\n" not in str(caught.value)


def test_a_study_that_includes_itself_is_refused(write, tmp_path):
  path = str(tmp_path / "study.gin")
  with pytest.raises(UserError, match="includes itself: "):
    definition.read(write(f"study.name = 'a'\nstudy.include = ['{path}']"))
