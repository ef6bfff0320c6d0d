"""What the folder of a study says of its runs, where that is damaged or of another study."""

import types

import pytest

from perceptual.errors import UserError
from perceptual.studies import study_dir

STUDY = types.SimpleNamespace(name="micro", runs=())


def _run(width):
  return types.SimpleNamespace(name="a", identity={"bindings": [f"network.width = {width}"]})


def test_a_state_that_there_is_not_is_damage(tmp_path):
  folder = study_dir.StudyDir(tmp_path, STUDY)
  folder.write_state(_run(1), study_dir.FINISHED, steps=4)
  assert folder.state(_run(1)) == study_dir.State(study_dir.FINISHED, None, 4)
  folder.write_state(_run(1), "fini3hed")
  with pytest.raises(UserError, match=r"a/study.json is damaged: a run cannot be 'fini3hed'\.$"):
    folder.state(_run(1))


def test_a_run_that_has_changed_names_the_file_that_says_so(tmp_path):
  folder = study_dir.StudyDir(tmp_path, STUDY)
  folder.write_state(_run(1), study_dir.FINISHED)
  assert folder.state(_run(2)).note == (
      "network.width = 1 before, network.width = 2 now; "
      f"see {tmp_path / 'runs' / 'a' / 'study.json'}")
