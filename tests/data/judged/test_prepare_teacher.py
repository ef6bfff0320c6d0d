"""The teacher set: a metric's answers, written with its fingerprint, read back as a judged set."""

import collections

import numpy as np
import pytest

from perceptual.data import distortions
from perceptual.data.images import image_files
from perceptual.data.judged import cross_family, judged_sets, prepare_teacher
from perceptual.errors import UserError


class Teacher:
  """Finds the candidate closer whose mean is nearer to the reference's."""

  name = "mean-difference"
  lower_is_better = True
  fingerprint = {"name": "mean-difference", "options": {"of": "all pixels"}}  # noqa: RUF012

  def __call__(self, reference, candidate):
    assert reference.dtype == candidate.dtype == np.uint8 and reference.ndim == 4
    return np.abs(_means(reference) - _means(candidate))


class Similarity(Teacher):
  """The same teacher, which tells how alike images are."""

  lower_is_better = False

  def __call__(self, reference, candidate):
    return -super().__call__(reference, candidate)


def _means(images):
  return images.astype(np.float64).mean(axis=(1, 2, 3))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  return data_dir, prepare_teacher.prepare("demo", data_dir, Teacher(), seed=2, limit=30)


@pytest.fixture(scope="module")
def subset(prepared):
  return judged_sets.load("teacher", data_dir=prepared[0]).subsets[0]


def test_the_answers_are_the_teachers(subset):
  distances = [[], []]
  for example in subset.images.as_numpy_iterator():
    for side in (0, 1):
      distances[side].append(Teacher()(
          example["reference"][None], example[f"candidate_{side}"][None])[0])
  np.testing.assert_array_equal(subset.answers, np.less(distances[1], distances[0]))
  assert 0.2 < subset.answers.mean() < 0.8


def test_it_says_that_no_human_judged_and_divides_by_families(prepared, subset):
  judged_set = judged_sets.load("teacher", data_dir=prepared[0])
  assert (judged_set.name, judged_set.kind, judged_set.by_people) == ("teacher", "2afc", False)
  assert judged_set.note == "judged by mean-difference, a stand-in for people: no human judged"
  assert subset.name == "cross" and subset.size == prepared[1].counts["triplets"] > 20
  closer, farther = subset.groups["closer family"], subset.groups["farther family"]
  assert {*closer, *farther} <= set(distortions.FAMILIES) and (closer != farther).all()
  assert judged_sets.load("teacher", data_dir=prepared[0], limit=4).note.endswith(
      "; at most 4 examples a subset")


def test_the_kinds_of_distortion_are_named_in_one_order():
  columns = {"judge": np.array([1.0, 0.0]), "family_0": np.array([b"jpeg", b"shift"]),
             "family_1": np.array([b"shift", b"jpeg"])}
  groups = judged_sets._cross_family_groups(columns)
  assert list(groups["closer family"]) == ["shift", "shift"]
  assert list(groups["farther family"]) == ["jpeg", "jpeg"]
  assert list(groups["kinds of distortion"]) == ["compression and spatial"] * 2


def test_metadata_tell_who_judged_and_what(prepared):
  data_dir, report = prepared
  metadata = prepare_teacher.open_prepared(data_dir).info.metadata
  assert metadata["teacher"] == Teacher().fingerprint
  assert (metadata["source"], metadata["seed"], metadata["images"]) == ("demo", 2, 30)
  assert metadata["label"] == report.label and "no human judged" in str(report)
  assert metadata["counts"] == report.counts
  assert sum(report.counts.values()) == 30


def test_a_similarity_judges_as_its_distance_does(prepared, subset, tmp_path):
  prepare_teacher.prepare("demo", tmp_path, Similarity(), seed=2, limit=30)
  other = judged_sets.load("teacher", data_dir=tmp_path).subsets[0]
  np.testing.assert_array_equal(other.answers, subset.answers)


def test_what_is_learned_from_is_made_of_other_photographs_with_other_draws(prepared, tmp_path):
  data_dir = prepared[0]
  report = prepare_teacher.prepare("demo", data_dir, Teacher(), split="train", seed=2, limit=30)
  assert report.directory == data_dir / "teacher" / "cross_train" / "1.0.0"
  assert f"teacher/cross_train: {report.counts['triplets']} triplets from 30 images" in str(report)
  sets = {split: judged_sets.load("teacher", data_dir=data_dir, split=split)
          for split in judged_sets.SPLITS}
  assert [s.name for s in sets.values()] == ["teacher", "teacher (train)"]
  assert sets["train"].note == sets["val"].note and sets["train"].size > 20
  seen = {split: {example["reference"].tobytes()
                  for example in judged_set.subsets[0].images.as_numpy_iterator()}
          for split, judged_set in sets.items()}
  assert not seen["val"] & seen["train"]
  families = [list(judged_set.subsets[0].groups["closer family"][:20])
              for judged_set in sets.values()]
  assert families[0] != families[1]


def test_the_same_photographs_for_both_are_refused(tmp_path):
  images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
  (tmp_path / "files").mkdir()
  for number, image in enumerate(images):
    (tmp_path / "files" / f"{number}.png").write_bytes(image_files.encode_png(image))
  prepare_teacher.prepare(str(tmp_path / "files"), tmp_path, Teacher(), per_image=3)
  message = r"^3 of the images are in .*/teacher/cross/1\.0\.0 already: "
  with pytest.raises(UserError, match=message):
    prepare_teacher.prepare(str(tmp_path / "files"), tmp_path, Teacher(), split="train")
  assert not (tmp_path / "teacher" / "cross_train" / "1.0.0").exists()


def _triplets(count):
  image = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
  return cross_family.triplets([image], seed=0, per_image=count)


def test_ties_are_dropped_and_counted():
  class Undecided(Teacher):
    def __call__(self, reference, candidate):
      return np.zeros(len(reference))

  counts = collections.Counter()
  assert list(prepare_teacher.judged(_triplets(5), Undecided(), counts)) == []
  assert counts == {"ties": 5}


def test_a_teacher_that_fails_is_named_and_leaves_nothing(tmp_path):
  class Broken(Teacher):
    def __call__(self, reference, candidate):
      return np.where(np.arange(len(reference)) == 1, np.nan, 1.0)

  with pytest.raises(UserError, match="mean-difference cannot judge: its answer for candidate_0 of "
                                      "cross-000001-00 is not finite"):
    prepare_teacher.prepare("demo", tmp_path, Broken(), limit=4)
  assert not list(tmp_path.rglob("*tfrecord*"))


@pytest.mark.parametrize("options, culprit", [
    ({"seed": -1}, "-1"), ({"per_image": 0}, "per_image"), ({"image_size": 16}, "16"),
    ({"limit": 0}, "limit"), ({"under": "val"}, "no folders"), ({"source": "nowhere"}, "nowhere"),
    ({"split": "test"}, "Unknown split of teacher 'test'. Available: val, train"),
])
def test_mistakes_are_one_line_and_write_nothing(tmp_path, options, culprit):
  arguments = {"source": "demo", **options}
  with pytest.raises(UserError, match=culprit) as error:
    prepare_teacher.prepare(arguments.pop("source"), tmp_path, Teacher(), **arguments)
  assert "\n" not in str(error.value)
  assert not list(tmp_path.iterdir())


def test_the_same_command_again_does_nothing(prepared):
  data_dir, first = prepared
  again = prepare_teacher.prepare("demo", data_dir, Teacher(), seed=2, limit=30)
  assert again.found and again.counts == first.counts
  assert str(again).startswith("Already complete, nothing to do: teacher/cross: ")
  assert "\n" not in str(again) and "no human judged" in str(again)


class Other(Teacher):
  fingerprint = {"name": "other"}  # noqa: RUF012


@pytest.mark.parametrize(("options", "told"), [
    ({"seed": 0}, "seed 2, not 0"), ({"limit": 29}, "images 30 of SHA-256 .*, not 29 of SHA-256"),
    ({"metric": Other()}, "teacher mean-difference .*, not other")])
def test_a_set_that_was_made_otherwise_stays(prepared, options, told):
  given = {"metric": Teacher(), "seed": 2, "limit": 30, **options}
  with pytest.raises(UserError, match=f"already holds a data set, made with {told}.*: to replace"):
    prepare_teacher.prepare("demo", prepared[0], given.pop("metric"), **given)


def test_a_set_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match=f"No data set in {tmp_path}/teacher/cross/1.0.0: prepare"):
    judged_sets.load("teacher", data_dir=tmp_path)
  with pytest.raises(UserError, match="teacher needs a data_dir"):
    judged_sets.load("teacher")
